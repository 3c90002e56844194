"""Plays the night: the ERP states what it has, three of its figures are wrong, and the engine says which, and why.

The file is made of what the engine published; so all of it agrees but for a delivery that nobody booked there, a figure
in cases, and one with the wrong sign.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from rich.console import Console

from flows.demo.world import text
from flows.kafka.reading import read_topics
from flows.kafka.sending import Sender
from flows.runtime.run import now
from schemas.explanations import CAUSES
from schemas.settings import Settings
from schemas.topics import POSITIONS, STATEMENTS, STATUSES, VARIANCES

SOURCE, STATEMENT = "erp", "nightly-file"
CASE = 12
Cell = tuple[str, str]
"""(item, location)"""


class File(NamedTuple):
    """What the ERP states of on_hand, in base units, and what is wrong with it: the cause that has to be found."""

    rows: dict[Cell, str]
    faults: dict[Cell, str]


def play(settings: Settings, catch_up: Callable[[], object], console: Console) -> bool:
    """State, let the engine judge, and tell; true if it found just what is wrong, and why."""
    written = file_of(_newest(settings, POSITIONS), [orjson.loads(raw) for raw in _events(settings)])
    console.print(
        f"Night: the ERP's file comes, {len(written.rows):,} figures, {len(written.faults)} of them wrong ...",
        style="dim",
    )
    _send(settings, written)
    catch_up()
    status = _newest(settings, STATUSES).get(f"{SOURCE}:{STATEMENT}", {})
    variances = [one for one in _newest(settings, VARIANCES).values() if one["source"] == SOURCE]
    console.print()
    console.print(
        f"the ERP's file: {status.get('verdict', 'not judged')}; {status.get('agreed', 0):,} figures agree, "
        f"{len(variances)} differ, {status.get('explained_percent', 0):g} % of the units explained"
    )
    for one in variances:
        told = CAUSES[one["cause"]].meaning
        shown = ", ".join(f"{said['event_id']} of {said['source']}" for said in one["evidence"][:1])
        where, figures = f"{one['item']} at {one['location']}", f"ours {one['ours']}, theirs {one['theirs']}"
        console.print(f"    {where}: {figures}: {one['cause']}: {told}{f' ({shown})' if shown else ''}")
    found = {(one["item"], one["location"]): one["cause"] for one in variances}
    return found == written.faults and status.get("verdict") == "accepted"


def file_of(positions: dict[str, Any], events: list[dict[str, Any]]) -> File:
    """Write the file; an event is what the warehouse said, as it came."""
    rows, whole = {}, {}
    for item, position in sorted(positions.items()):
        for location, figures in sorted(position["locations"].items()):
            rows[item, location] = f"{Decimal(figures['on_hand']).scaleb(-position['scale']):f}"
            if not position["scale"] and figures["on_hand"] > 0:
                whole[item, location] = figures["on_hand"]
    faults: dict[Cell, str] = {}
    missing = _unbooked(whole, events)
    if missing is not None:
        cell, quantity = missing
        rows[cell], faults[cell] = str(whole.pop(cell) - quantity), "missing_there"
    cases = next((cell for cell, on_hand in whole.items() if on_hand % CASE == 0 and on_hand > CASE), None)
    if cases is not None:
        rows[cases], faults[cases] = str(whole.pop(cases) // CASE), "unit"
    opposite = next(cell for cell, on_hand in whole.items() if cell[0] not in {item for item, _ in faults})
    rows[opposite], faults[opposite] = str(-whole[opposite]), "sign"
    return File(rows, faults)


def _unbooked(whole: dict[Cell, int], events: list[dict[str, Any]]) -> tuple[Cell, int] | None:
    """Find a delivery of the day that stands alone: no count after it, and none like it."""
    found: dict[Cell, dict[str, Any]] = {}
    for event in events:
        cell = (str(event.get("item")), str(event.get("location")))
        if event.get("type") == "stock_received" and not event.get("transfer_id") and "uom" not in event:
            found[cell] = event
    for cell, event in sorted(found.items()):
        quantity = event.get("quantity")
        # One word and its repeats on the cell could be a count, or another delivery like it.
        alike = [one for one in events if (one.get("item"), one.get("location")) == cell]
        is_alone = {one.get("event_id") for one in alike if one.get("quantity") == quantity} == {event["event_id"]}
        is_counted = any(one.get("type") == "stock_counted" for one in alike)
        if cell in whole and isinstance(quantity, int) and is_alone and not is_counted and whole[cell] > quantity:
            return cell, quantity
    return None


def _events(settings: Settings) -> list[bytes]:
    return [value for value in _values(settings, "inventory.warehouse") if _is_object(value)]


def _is_object(value: bytes) -> bool:
    try:
        return isinstance(orjson.loads(value), dict)
    except orjson.JSONDecodeError:
        return False  # garbage is part of the day


def _values(settings: Settings, topic: str) -> list[bytes]:
    return [message.value() for message in read_topics(settings, [topic]) if message.value()]


def _newest(settings: Settings, topic: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for message in read_topics(settings, [topic]):
        key = (message.key() or b"").decode()
        found.pop(key, None)
        if message.value() is not None:
            found[key] = orjson.loads(message.value())
    return found


def _send(settings: Settings, file: File) -> None:
    head = {"source": SOURCE, "occurred_at": text(now()), "statement_id": STATEMENT}
    sender = Sender(settings)
    count = len(file.rows)

    def say(kind: str, number: object, **fields: object) -> None:
        told = {"event_id": f"{STATEMENT}:{number}", "type": kind, **head, **fields}
        sender.send(STATEMENTS, str(fields.get("item", STATEMENT)).encode(), orjson.dumps(told))

    say("statement_started", "start", rows=count)
    for number, ((item, location), on_hand) in enumerate(file.rows.items()):
        say("stock_stated", number, item=item, location=location, on_hand=on_hand)
    say("statement_ended", "end", rows=count)
    sender.flush()
