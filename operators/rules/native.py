"""A few steps on bytes and arrays that Python makes expensive, each as plain Python.

`native.pxd` beside this says the same in C; compiled modules take that, uncompiled ones this. A test compares the two.
This module itself is never compiled.
"""

from __future__ import annotations

from array import array

import msgspec

_encode = msgspec.msgpack.Encoder().encode


def append_pair(numbers: array[int], one: int, other: int) -> None:
    """Append two numbers. (`array.append` parses its argument as a format: 0.1 us each.)"""
    numbers.append(one)
    numbers.append(other)


def joined(one: str, two: str, three: str, four: str) -> bytes:
    """Give four ASCII texts as one, with the unit separator between them."""
    return f"{one}\x1f{two}\x1f{three}\x1f{four}".encode()


def packed_line(
    kind: int,
    occurred_at: int,
    quantity: int,
    location: str,
    order_id: str,
    channel: str,
    expires_at: int | None,
    requested_at: int | None,
) -> bytes:
    """Give what an order's line says as a MessagePack array."""
    return _encode((kind, occurred_at, quantity, location, order_id, channel, expires_at, requested_at))


def packed_movement(
    kind: int,
    occurred_at: int,
    quantity: int,
    quarantined: int | None,
    location: str,
    lot: str,
    status: str,
    order_id: str,
    transfer_id: str,
    receipt_id: str,
    to_location: str,
    eta: int | None,
) -> bytes:
    """Give what a warehouse or supply event says as a MessagePack array."""
    return _encode(
        (
            kind,
            occurred_at,
            quantity,
            quarantined,
            location,
            lot,
            status,
            order_id,
            transfer_id,
            receipt_id,
            to_location,
            eta,
        )
    )


def text_until(value: bytes, at: int, end: int, classes: bytes) -> int:
    """Read bytes while their class is not 0; give 256 times where that ended, plus what all of the bytes are."""
    kind = 255
    while at < end:
        what = classes[value[at]]
        if what == 0:
            break
        kind &= what
        at += 1
    return at << 8 | kind


def is_at(name: bytes, value: bytes, start: int) -> bool:
    """Does `value`, which is long enough, say `name` at `start`?"""
    return value.startswith(name, start)


def digits(value: bytes, start: int, size: int) -> int:
    """Give the number that so many digits make, which `value` is long enough for; -1 where one is none."""
    number = 0
    for at in range(start, start + size):
        digit = value[at] - 48
        if digit < 0 or digit > 9:
            return -1
        number = number * 10 + digit
    return number


def first_not_space(value: bytes, at: int, end: int) -> int:
    """Give where the next byte is that is not JSON's white space; `end` if none is."""
    while at < end and value[at] in b" \n\r\t":
        at += 1
    return at
