"""Counts that correct what a row says, by a rule or by a person, and the event that says so (contract section 9)."""

from __future__ import annotations

from collections.abc import Mapping

from operators import ours
from operators.evaluate import measure_of
from operators.reconciled_json import count_event
from operators.reconciling.desk import Desk
from operators.rules import causes, holds, lots
from schemas.reconciled import Standing
from schemas.state import Item
from schemas.topics import WAREHOUSE
from schemas.variances import OWN_SOURCE


def count_of(
    desk: Desk,
    item: Item,
    row: list[Standing],
    wanted: set[str],
    judged: Mapping[str, int],
    stated: Mapping[str, int],
    *,
    by_person: bool,
) -> holds.Count | None:
    """Give the count that corrects the wanted measures of a row; None where it has to be asked, or cannot be counted.

    `stated`: all that the row says, also what agrees. `judged`: what ours was, by measure, where that is not what is
    known now.
    """
    shard = desk.shard
    first = row[0]
    place, lot, as_of = first.place, first.lot, first.as_of
    on_hand = judged.get("on_hand", desk.ours(item, place, lot, "on_hand", as_of))
    quarantined = judged.get("quarantined", desk.ours(item, place, lot, "quarantined", as_of))
    if on_hand is None or quarantined is None:
        return None
    differing = {one.measure: one.cause for one in row if one.state not in ("resolved", "corrected", "accepted")}
    correctable = holds.Correctable(
        on_hand,
        quarantined,
        stated,
        {name: cause for name, cause in differing.items() if name in causes.PHYSICAL},
        frozenset(wanted),
        bool(lot) and lots.was_held(item, lot, place, as_of),
        not lot and ours.has_lots(item, place, as_of, shard._journal_horizon),
        shard.clock() - as_of > shard._windows.of(OWN_SOURCE),
    )
    return holds.correction(correctable, by_person)


def say_count(
    desk: Desk, item: Item, one: Standing, count: holds.Count, event_id: str, occurred_at: int, reason: str
) -> None:
    """Write a count of the cell of a variance."""
    event = count_event(item.code, one, count, event_id, occurred_at, reason, measure_of(item).scale)
    desk.say(WAREHOUSE, item.code, event)
