"""A few steps on bytes and arrays that Python makes expensive, each as plain Python.

`native.pxd` beside this says the same in C; compiled modules take that, uncompiled ones this. A test compares the two.
This module itself is never compiled.
"""

from __future__ import annotations

from array import array
from sys import intern
from zlib import crc32

import msgspec
from xxhash import xxh3_64_intdigest

from schemas.state import Cell, Chain, Handling, Line, Place

_encode = msgspec.msgpack.Encoder().encode


def interned(known: list[str], value: bytes, start: int, size: int) -> str:
    """Give a part of `value`, which is ASCII, as a text: the object that `known`, of 2^n texts, gave last time, if it
    still has it, else the one that `sys.intern` gives.
    """
    text = value[start : start + size].decode("ascii")
    slot = crc32(value[start : start + size]) & len(known) - 1
    if known[slot] != text:
        known[slot] = intern(text)
    return known[slot]


def ascii_text(value: bytes, start: int, size: int) -> str:
    """Give a part of `value`, which is ASCII, as a text."""
    return value[start : start + size].decode("ascii")


def checksum(text: str) -> int:
    """Give CRC-32 of a text's UTF-8."""
    return crc32(text.encode())


def fresh(numbers: array[int]) -> array[int]:
    """Give an empty array of the same kind. (`array(...)` parses its arguments as a format: 0.1 us.)"""
    return array(numbers.typecode)


def append_pair(numbers: array[int], one: int, other: int) -> None:
    """Append two numbers. (`array.append` parses its argument as a format: 0.1 us each.)"""
    numbers.append(one)
    numbers.append(other)


def joined(one: str, two: str, three: str, four: str) -> bytes:
    """Give four ASCII texts as one, with the unit separator between them."""
    return f"{one}\x1f{two}\x1f{three}\x1f{four}".encode()


def hashed(content: bytes) -> int:
    """Give 64 bits of XXH3."""
    return xxh3_64_intdigest(content)


def hashed_names(one: str, two: str, three: str, four: str) -> int:
    """Give 64 bits of XXH3 of four ASCII texts as `joined` gives them."""
    return xxh3_64_intdigest(joined(one, two, three, four))


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


#: bits of each group of fields in `digest`, the lowest first: type, quantity, occurred_at, location; lot, status,
#: quarantined and channel; order_id, transfer_id, receipt_id and to_location; eta, expires_at and requested_at
DIGEST_BITS = (5, 7, 7, 6, 5, 5, 4)
_M31, _M64, _GOLDEN = (1 << 31) - 1, (1 << 64) - 1, 0x9E3779B97F4A7C15


def digest(
    kind: int,
    occurred_at: int,
    quantity: int,
    quarantined: int | None,
    location: str,
    lot: str,
    status: str,
    channel: str,
    order_id: str,
    transfer_id: str,
    receipt_id: str,
    to_location: str,
    eta: int | None,
    expires_at: int | None,
    requested_at: int | None,
) -> int:
    """Give a few bits of each group of what a unit says, as a number of 39 bits: part of the stored format."""
    kept = -1 if quarantined is None else quarantined
    days = 3 * (-1 if eta is None else eta) + 5 * (-1 if expires_at is None else expires_at)
    days += 7 * (-1 if requested_at is None else requested_at)
    return (
        kind
        | _bits(quantity, 7) << 5
        | _bits(occurred_at, 7) << 12
        | _bits(_number_of(location), 6) << 19
        | _bits(_number_of(f"{lot}\x1f{status}\x1f{channel}") + 3 * kept, 5) << 25
        | _bits(_number_of(f"{order_id}\x1f{transfer_id}\x1f{receipt_id}\x1f{to_location}"), 5) << 30
        | _bits(days, 4) << 35
    )


def _bits(number: int, bits: int) -> int:
    return (number * _GOLDEN & _M64) >> 64 - bits


def _number_of(text: str) -> int:
    return int.from_bytes(text.encode(), "little") % _M31


def packed_text(text: str) -> bytes:
    """Give a text as MessagePack."""
    return _encode(text)


def packed_key(kind: str, one: str, other: str) -> bytes:
    """Give three texts, with the unit separator between them, as one in MessagePack."""
    return _encode(f"{kind}\x1f{one}\x1f{other}")


def packed_map_size(count: int) -> bytes:
    """Give the head of a MessagePack mapping of so many."""
    if count < 16:
        return bytes((0x80 | count,))
    return b"\xde" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdf" + count.to_bytes(4, "big")


def packed_cell(cell: Cell) -> bytes:
    """Give the record of a lot's goods."""
    return _encode((cell.on_hand, cell.quarantined, cell.count, cell.quarantine_count, None))


def packed_place(place: Place) -> bytes:
    """Give the record of a place's goods of no lot, and what is shown of it."""
    return _encode((place.on_hand, place.quarantined, place.count, place.quarantine_count, place.shown))


def packed_journal(
    stays: int, moves: array[int] | None, quarantine_stays: int, quarantine_moves: array[int] | None
) -> bytes:
    """Give how many numbers of the journals so far stay, and those after them."""
    return _encode(
        (
            stays,
            b"" if moves is None else moves[stays:].tobytes(),
            quarantine_stays,
            b"" if quarantine_moves is None else quarantine_moves[quarantine_stays:].tobytes(),
        )
    )


def packed_claim(line: Line) -> bytes:
    """Give the record of an order line."""
    places: dict[str, tuple[str, int, int, int, int, list[Handling], list[Handling], int]] = {
        location: (
            at.deducts_at,
            at.allocated,
            at.released,
            at.picked,
            at.shipped,
            at.picks,
            at.shipments,
            at.claimed,
        )
        for location, at in line.at.items()
    }
    record = (
        line.demand,
        line.placed,
        line.location,
        line.channel,
        line.expires_at,
        line.requested_at,
        line.cancelled,
        line.lapsed,
        line.last_at,
        places,
        line.claimed,
    )
    if line.cancellations is None:
        return _encode(record)
    return _encode((*record, (line.cancellations.word, line.cancellations.parts)))


def packed_chain(chain: Chain) -> bytes:
    """Give the record of where an item's trail stands."""
    return _encode((chain.number, chain.at, *chain.levels))


def packed_promises(
    as_of: int,
    published: dict[str, tuple[int, tuple[int, ...] | None]],
    exceptions: list[tuple[str, str, str, int]],
    unlocated: int,
    day: int,
) -> bytes:
    """Give the record of an item itself."""
    return _encode((as_of, published, exceptions, unlocated, day))


def text_until(value: bytes, at: int, classes: bytes) -> int:
    """Read bytes while their class is not 0; give 256 times where that ended, plus what all of the bytes are.

    The class of a zero byte is 0: in C one stands behind the last byte of `value`.
    """
    kind = 255
    while at < len(value):
        what = classes[value[at]]
        if what == 0:
            break
        kind &= what
        at += 1
    return at << 8 | kind


def first_quote(value: bytes, at: int, end: int) -> int:
    """Give where the next quotation mark is; `end` if there is none before."""
    found = value.find(b'"', at, end)
    return end if found < 0 else found


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


def places_text(places: dict[str, Place], withheld: dict[str, int]) -> str:
    """Give what is shown of the locations that ever showed something, as the fields of a JSON object."""
    return ",".join(
        f'"{code}":{{"on_hand":{place.shown_on_hand},"quarantined":{place.shown_quarantined},'
        f'"soft_allocated":{place.shown_soft_allocated},"hard_reserved":{place.shown_hard_reserved},'
        f'"in_transit":{place.shown_in_transit},"expected":{place.shown_expected},'
        f'"withheld":{withheld.get(code, 0)},"available":{place.shown_available}}}'
        for code, place in places.items()
        if place.is_shown
    )
