"""How order lines stand, as fields of their orders' hashes: what a slice writes to `order:<order_id>`.

A claim's text is what the line claims, AND_ORDER, and how it stands in its order; the second is taken off here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from operators.claims import AND_ORDER, SEPARATOR
from schemas.messages import ItemUpdate

_NONE, _ONE = b"$1\r\n0\r\n", b"$1\r\n1\r\n"


class OrderFields(NamedTuple):
    """Keys and words as Redis' protocol has them, and how many they are."""

    key_count: int
    keys: bytes
    word_count: int
    words: bytes


def take_off(updates: Sequence[ItemUpdate], before: bytes) -> OrderFields | None:
    """Leave in each update what its lines claim alone, and give the rest; None where nothing is said of orders.

    `before`: what stands before an order's id in its key.
    """
    keys: list[bytes] = []
    words: list[bytes] = []
    count = 0
    for update in updates:
        if not update.claims:
            continue
        claims: dict[str, str | None] = {}
        for field, text in update.claims.items():
            claim, is_told, order = (text or "").partition(AND_ORDER)
            claims[field] = claim or None
            if is_told:
                order_id, _, line_id = field.partition(SEPARATOR)
                keys.append(_word(before + order_id.encode()))
                name = _word(f"{line_id} {update.item}".encode())
                if order:
                    words += (_ONE, name, _word(order.encode()), _NONE)
                    count += 4
                else:  # the line is forgotten
                    words += (_NONE, _ONE, name)
                    count += 3
        update.claims = claims
    return OrderFields(len(keys), b"".join(keys), count, b"".join(words)) if keys else None


def _word(raw: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(raw), raw)
