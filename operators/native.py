"""What a trail is made of (operators/trail.py) as MessagePack, as plain Python.

`native.pxd` beside this says the same in C; compiled modules take that, uncompiled ones this. A test compares the two.
This module itself is never compiled.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from operators.rules.native import packed_map_size
from schemas.messages import ChannelUpdate
from schemas.state import Chain, Place
from schemas.units import Unit

_encode = msgspec.msgpack.Encoder().encode


def packed_touch(topic: str, partition: int, offset: int, unit: Unit, quantity: int, outcome: str) -> bytes:
    """Give which unit touched an item, and where its message stands."""
    return _encode(
        (
            topic,
            partition,
            offset,
            unit.event_id,
            unit.source,
            unit.line_id or unit.order_id,
            unit.type,
            unit.location,
            quantity,
            outcome,
        )
    )


def packed_figures(
    location: str, on_hand: int, quarantined: int, place: Place, withheld: int, by_day: list[bytes]
) -> bytes:
    """Give a location and its figures, an entry of a frame's places; `by_day`: those by day, the last of which says
    something. Without any, those at the end that are 0 are left out.
    """
    figures = [
        on_hand,
        quarantined,
        place.soft_allocated,
        place.hard_reserved,
        place.in_transit,
        place.expected,
        withheld,
    ]
    while figures and not figures[-1] and not by_day:
        figures.pop()
    return _encode(location) + _encode([*figures, *map(Raw, by_day)])


def packed_records(
    policy: bytes | None,
    overrides: Mapping[str, bytes],
    topology: bytes,
    published: dict[str, tuple[int, tuple[int, ...] | None]],
) -> bytes:
    """Give the records under which an item stands and what is published; `topology`: two values, which and since when.

    Days are left out: they follow from the rest of a frame.
    """
    numbers = {channel: value[0] for channel, value in published.items()}
    return b"\x95" + _encode(policy) + _encode(overrides) + topology + _encode(numbers)


def packed_frame(
    records: bytes | None, places: list[bytes] | None, unlocated: Mapping[str, int], by_day: bytes, shown: int
) -> bytes:
    """Give a frame of its parts; `places` as `packed_figures` gives them, None: they follow from the figures moved."""
    entries = None if places is None else Raw(packed_map_size(len(places)) + b"".join(places))
    return _encode((None if records is None else Raw(records), entries, unlocated, Raw(by_day), shown))


def packed_group(
    code: str,
    at: int,
    chain: Chain,
    has_levels: bool,
    cause: str,
    touches: list[bytes],
    fields: dict[str, int | None] | None,
    channels: list[ChannelUpdate],
    frame: bytes | None,
) -> bytes:
    """Give an item's group, which comes behind those that its chain knows; the newest with records may be itself."""
    return _encode(
        (
            code,
            at,
            chain.number + 1,
            (chain.at, *chain.levels) if has_levels else (chain.at,),
            cause,
            [Raw(touch) for touch in touches],
            fields,
            [(change.channel, None if change.removed else change.atp) for change in channels],
            None if frame is None else Raw(frame),
            at - chain.records_at,
        )
    )


def packed_record(form: int, run: int, at: int, groups: list[bytes]) -> bytes:
    """Give a record of some groups."""
    return _encode((form, run, at, [Raw(group) for group in groups]))
