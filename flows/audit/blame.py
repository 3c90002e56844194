"""Decides why a published number is not as it was computed again: which field, event or record makes the difference.

What is named is shown, not guessed: with that one event left out, or counted twice, or with that older record in force,
the naive model gives exactly what is published.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from flows.audit.fields import POSITION, PROMISES, Difference, Values, differences, position, promises
from flows.audit.intake import Unit
from flows.audit.reading import Place, Record
from flows.audit.recount import Recount

BY_HAND, NOT_COUNTED, COUNTED_TWICE = "changed_in_redis", "not_counted", "counted_twice"
OLDER_RECORD, NOT_PROVABLE, UNKNOWN = "older_record", "not_provable", "unknown"
#: Of an item with more units each is not tried: the newest are, for so long.
TRIED_MAX, TRIED_S = 2000, 30.0


class Blame(NamedTuple):
    """Why fields differ. `events`: the messages that show it; `record`: the reference record."""

    cause: str
    fields: tuple[tuple[str, str], ...]
    sentence: str
    events: tuple[dict[str, Any], ...] = ()
    record: dict[str, Any] | None = None


def blame(
    model: Recount,
    item: str,
    now_us: int,
    found: Sequence[Difference],
    published: Mapping[str, Values],
    told: Mapping[str, Values],
) -> list[Blame]:
    """Say why each field differs. `told`: what the engine's newest words in Kafka say of the item, hash by hash."""
    by_hand = [one for one in found if _is_by_hand(one, told[one.hash])]
    said = [_by_hand(one) for one in by_hand]
    rest = [one for one in found if one not in by_hand]
    if not rest:
        return said
    # What somebody changed in Redis is put right first: the rest is the engine's own.
    own = {name: dict(values) for name, values in published.items()}
    for one in by_hand:
        own[one.hash][one.field] = one.recomputed
    names = tuple((one.hash, one.field) for one in rest)
    named = None
    if any(one.hash == POSITION for one in rest):
        named = _event(model, item, now_us, own, names)
    if named is None and not any(one.hash == POSITION and not one.field.endswith(":available") for one in rest):
        named = _record(model, item, now_us, own, names)
    if named is None:
        named = Blame(
            UNKNOWN,
            names,
            "the engine published it so; neither one event left out or counted twice nor an older record explains it",
        )
    return [*said, named]


def _is_by_hand(one: Difference, told: Values) -> bool:
    """Was it right when the engine said it last? A figure that it never said is 0, and a promise is not there."""
    absent = 0 if one.hash == POSITION else None
    return bool(told) and told.get(one.field, absent) == one.recomputed


def _by_hand(one: Difference) -> Blame:
    where = "inventory.positions" if one.hash == POSITION else "the update topics"
    return Blame(
        BY_HAND,
        ((one.hash, one.field),),
        f"Redis has {shown(one.published)}, and the engine's newest word in Kafka ({where}) is "
        f"{shown(one.recomputed)}, as it was computed again: somebody else wrote to Redis, or Redis lost a write",
    )


def shown(value: Any) -> str:
    """Give a value as people read it."""
    return "nothing" if value is None else str(value)


def _event(
    model: Recount, item: str, now_us: int, own: Mapping[str, Values], names: tuple[tuple[str, str], ...]
) -> Blame | None:
    """Find the one unit without which, or with which twice, the model gives what is published."""
    units = list(model.units_of.get(item, []))
    deadline = time.monotonic() + TRIED_S
    places = {field.rpartition(":")[0] for _, field in names}
    for unit in reversed([unit for unit in units if _may_move(unit, places)][-TRIED_MAX:]):
        if time.monotonic() > deadline:
            return None
        without = [other for other in units if other is not unit]
        if _agrees(model, item, now_us, own, without):
            return Blame(
                NOT_COUNTED,
                names,
                "what is published is as if this event had not come: it is in Kafka, and the engine did not count it",
                (_named(model, unit),),
            )
        twice = [*units, unit._replace(event_id=f"{unit.event_id}~")]
        if _agrees(model, item, now_us, own, twice):
            return Blame(
                COUNTED_TWICE,
                names,
                "what is published is as if this event had been counted twice",
                (_named(model, unit),),
            )
    return None


def _may_move(unit: Unit, places: Collection[str]) -> bool:
    """Can it have moved figures of these locations? An order's unit can move others: it serves claims there."""
    if "order_id" in unit.content or "location" not in unit.content:
        return True
    return unit.content["location"] in places or unit.content.get("to_location") in places


def _agrees(model: Recount, item: str, now_us: int, own: Mapping[str, Values], units: list[Unit]) -> bool:
    with model.only(item, units):
        return not differences(POSITION, position(model, item, now_us), own[POSITION])


def _named(model: Recount, unit: Unit) -> dict[str, Any]:
    _, place = model.logged.get(unit.key, (0, None))
    topic, partition, offset = place if place is not None else ("", -1, -1)
    said: dict[str, Any] = {"topic": topic, "partition": partition, "offset": offset, "type": unit.kind}
    said |= {"source": unit.source, "event_id": unit.event_id}
    said |= {"line_id": unit.line_id} if unit.line_id else {}
    return said | {name: unit.content[name] for name in ("location", "quantity", "order_id") if name in unit.content}


def _record(
    model: Recount, item: str, now_us: int, own: Mapping[str, Values], names: tuple[tuple[str, str], ...]
) -> Blame | None:
    """Find the older reference record with which the model promises what is published."""
    for record in _older(model, item):
        with model.under(record, item) as is_accepted:
            if not is_accepted:
                continue
            if differences(PROMISES, promises(model, item, now_us), own[PROMISES]):
                continue
        topic, partition, offset = record.place
        newest = model.history[topic, record.key][-1].place
        return Blame(
            OLDER_RECORD,
            names,
            f"what is published is as if an older record of {record.key.decode(errors='replace')} were still in force: "
            f"{topic}/{partition}@{offset}, and the newest is @{newest[2]}",
            record=_record_facts(record, newest),
        )
    return None


def _record_facts(record: Record, newest: Place) -> dict[str, Any]:
    topic, partition, offset = record.place
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "key": record.key.decode(errors="replace"),
        "newest_offset": newest[2],
    }


def _older(model: Recount, item: str) -> Iterable[Record]:
    """Give the records that were in force before the present ones, the newest first; at last that there was none."""
    concerned = [
        (key, records)
        for key, records in model.history.items()
        if key[0] in ("inventory.channels", "inventory.locations")
        or (key[0] == "inventory.items" and key[1] == item.encode())
        or (key[0] == "inventory.channel_items" and key[1].endswith(b":" + item.encode()))
    ]
    older = [record for _, records in concerned for record in records[:-1]]
    yield from sorted(older, key=lambda record: record.timestamp_us, reverse=True)
    for (topic, key), records in concerned:
        if topic == "inventory.channel_items":
            yield Record((topic, 0, records[0].place[2] - 1), 0, key, None)
