"""What a snapshot keeps of a shard's part of the sink, and the offsets that Redis keeps: both are storage.

An array's fields are known by their place: a new one goes to the end, with a default.
"""

from __future__ import annotations

import msgspec

from schemas.messages import ItemUpdate, Outgoing, from_values, to_values


class Saved(msgspec.Struct, array_like=True):
    """What a snapshot keeps of a shard: when, what waits for Kafka, how far it was, what is held back and open."""

    saved_at: int
    waiting: list[Outgoing]
    reached: dict[str, int]
    held: tuple[dict[str, int], list[ItemUpdate]] | None
    #: exceptions open now, by code (a silent source: by its name too)
    open: dict[str, int] = {}
    #: under which Redis last took the offsets: a Redis that has a lower one is older than this snapshot
    version: int = 0


_saved = msgspec.msgpack.Decoder(Saved, dec_hook=from_values)
_offsets = msgspec.msgpack.Decoder(tuple[dict[str, int], int])
_encode = msgspec.msgpack.Encoder(enc_hook=to_values).encode


def pack(saved: Saved) -> bytes:
    """Give it as it is kept."""
    return _encode(saved)


def unpack(raw: bytes | None) -> Saved:
    """Give what was kept; of a shard of which nothing was: an empty one."""
    return Saved(0, [], {}, None) if raw is None else _saved.decode(raw)


def pack_offsets(reached: dict[str, int], version: int) -> bytes:
    """Give input offsets and the version under which Redis takes them, as they stand there."""
    return _encode((reached, version))


def unpack_offsets(raw: bytes | None) -> tuple[dict[str, int], int]:
    """Give the offsets that published numbers include, and their version; nothing, if Redis has none."""
    return _offsets.decode(raw) if raw else ({}, 0)
