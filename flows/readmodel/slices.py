"""A slice of the read model as bytes: what one call of the engine's functions in Redis writes (contract section 7)."""

from __future__ import annotations

from collections.abc import Sequence

from flows.readmodel import native
from flows.readmodel.order_fields import take_off
from schemas.messages import ItemUpdate


class Slice:
    """What one call writes: its keys and, for each, values and fields to delete, as Redis' protocol has them."""

    __slots__ = ("key_count", "keys", "word_count", "words")

    def __init__(self, key_count: int, keys: bytes, word_count: int, words: bytes) -> None:
        self.key_count, self.keys = key_count, keys
        self.word_count, self.words = word_count, words


def bulk_bytes(word: str | bytes | int) -> bytes:
    """Give one word of any kind."""
    raw = word if isinstance(word, bytes) else str(word).encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def pack_slice(updates: Sequence[ItemUpdate], prefix: str, version: int, published_at: int) -> Slice:
    """Give the keys of a slice and, for each, its values and the fields to delete.

    How many values is said below zero where they are all there is, and absent figures are 0.
    """
    before = prefix.encode()
    orders = take_off(updates, before + b"order:")
    one = Slice(
        *native.slice_of(
            updates, before + b"atp:", before + b"position:", before + b"claims:", version, published_at // 1000
        )
    )
    if orders is not None:
        one.key_count += orders.key_count
        one.keys += orders.keys
        one.word_count += orders.word_count
        one.words += orders.words
    return one
