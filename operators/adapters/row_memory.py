"""What a row of a table says now, beside what it said before: differences out, words said again, and a row's end.

A row says a set of events (its *parts*). Parts of two sorts:

- what adds up (a receipt, a shipment): the difference of its quantity is said, a fall as a reversal; where anything but
  quantity and time is another, the old is taken back and the new said in full;
- a word of which the newest stands (what an order line wants, what is expected): it is said again where it changed, and
  ended where the row has it no more.

So a snapshot that shows rows again says nothing, and a deletion needs no more than the row's key.

What is older is told in two ways, for a row that a snapshot *read* has no commit time. It bears the time at which it
was handed on, seconds to hours after it was read, and changes that were committed meanwhile come behind it with times
before its own: by time alone they would be lost.

- Changes among themselves go by (commit time, place in the log).
- A change beside a read is older if its place is not behind the read's. That holds within one log: a change that was
  committed after the read was handed on is newer wherever it stands.
- A read is older than what was handed on after it, by the clock of whoever reads the database.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from operators.adapters.account import EVENT, IGNORED, REFUSED, Fact, Message
from operators.adapters.remembered import Known, Settled, ending
from operators.adapters.values import make_id, plain
from schemas.codes import CONFLICT, parse_time
from schemas.event_table import REVERSIBLE

Body = dict[str, Any]
#: A word that the row had and has no more: remembered, because a cancelled order line has to be reopened to come back.
#: Its value is when that was (RFC 3339), in what an earlier version remembered True.
ENDED: Final = "ended"
ADDS_UP: Final = REVERSIBLE | {"stock_adjusted", "stock_status_changed"}


def row(known: Known | None, fact: Fact) -> Settled:
    """Say what is new of a row.

    `order`: "commit time.place in the log", digits of one width. `data`: `parts` {name: event without event_id}, `at`
    (RFC 3339: when the change was committed), `remembered` (names of parts that are only remembered if nothing is known
    of the row), `handed_on` (by the reader's clock, written as the order's time), `is_read` (by a snapshot).
    Remembered: the parts, the newest change's order, when the last was handed on, the order of a read since.
    """
    parts: dict[str, Body] = fact.data["parts"]
    if known and _is_older(known, fact):
        return Settled(known, [], ending(fact, IGNORED, "older"))
    if known and fact.order == known.get("read" if fact.data.get("is_read") else "order"):
        if parts == _standing(known["parts"]):
            return Settled(known, [], ending(fact, IGNORED, "repeated"))
        told = f"expected the row {fact.key} as it was before at {fact.order}, got other values"
        return Settled(known, [], ending(fact, REFUSED, CONFLICT, told))
    now = _marked(known, fact)
    if known is None:
        silent = set(fact.data["remembered"])
        if not parts:
            return Settled({**now, "parts": {}}, [], ending(fact, IGNORED, "says_nothing"))
        bodies = _said(None, {name: body for name, body in parts.items() if name not in silent}, fact)
        return _settled({**now, "parts": parts}, bodies, fact, "snapshot")
    bodies = _said(known, parts, fact)
    left = {name: body for name, body in known["parts"].items() if name not in parts}
    ended = {name: body if ENDED in body else {**body, ENDED: _ended_at(body, fact)} for name, body in left.items()}
    kept = {name: body for name, body in ended.items() if body["type"] not in ADDS_UP}
    return _settled({**now, "parts": {**kept, **parts}}, bodies, fact, "unchanged" if parts else "says_nothing")


def _is_older(known: Known, fact: Fact) -> bool:
    """Does what is known come after it? Of rows that were remembered by an earlier version only the order is known."""
    time, _, place = fact.order.partition(".")
    read: str | None = known.get("read")
    if fact.data.get("is_read"):
        last = (known.get("handed_on", ""), _place(read if read is not None else known["order"]))
        return (fact.data.get("handed_on", ""), place) < last
    if fact.order < known["order"]:
        return True
    if read is None:
        return False
    return fact.order == known["order"] or (place <= _place(read) and time < known["handed_on"])


def _place(order: str) -> str:
    return order.partition(".")[2]


def _marked(known: Known | None, fact: Fact) -> Known:
    """Give what tells from now on what is older, without parts."""
    before: Known = known or {"order": ""}
    handed_on = max(before.get("handed_on", ""), fact.data.get("handed_on", ""))
    if fact.data.get("is_read"):
        return {"order": before["order"], "handed_on": handed_on, "read": fact.order}
    return {"order": fact.order, "handed_on": handed_on}


def _settled(now: Known, bodies: list[Body], fact: Fact, otherwise: str) -> Settled:
    if not bodies:
        return Settled(now, [], ending(fact, IGNORED, otherwise))
    return Settled(now, [Message(body, fact.lines) for body in bodies], ending(fact, EVENT))


def _standing(parts: dict[str, Body]) -> dict[str, Body]:
    return {name: body for name, body in parts.items() if ENDED not in body}


def _said(known: Known | None, new: dict[str, Body], fact: Fact) -> list[Body]:
    old: dict[str, Body] = known["parts"] if known else {}
    version = _version(known, fact)
    bodies: list[Body] = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        kind = (after or before or {})["type"]
        step = _added if kind in ADDS_UP else _worded
        for mark, body in step(before, after, fact):
            bodies.append({"event_id": make_id(*fact.key.split(":"), version, name, mark), **body})
    return bodies


def _version(known: Known | None, fact: Fact) -> str:
    """Give what sorts as the row's states came: of two words of one time the engine takes the one whose id is greater.

    Of a read that is the newest change's time (zeros before any), its own place, and when it was handed on.
    """
    if not fact.data.get("is_read"):
        return fact.order
    time, _, place = fact.order.partition(".")
    since = (known or {"order": ""})["order"].partition(".")[0] or "0" * len(time)
    return f"{since}.{place}.{time}"


Steps = list[tuple[str, Body]]


def _added(before: Body | None, after: Body | None, fact: Fact) -> Steps:
    if before and after and _bare(before) == _bare(after):
        change = _signed(after) - _signed(before)
        return [("by", _with(after, change))] if change else []
    steps: Steps = []
    if before:
        # When what it takes back happened: what is corrected never was, and a count since then saw that.
        steps.append(("back", _with(before, -_signed(before))))
    if after:
        steps.append(("now", after))
    return steps


def _worded(before: Body | None, after: Body | None, fact: Fact) -> Steps:
    steps: Steps = []
    was_ended = bool(before and ENDED in before)
    ended_at = before[ENDED] if before and was_ended else None
    if before and was_ended:
        before = {name: value for name, value in before.items() if name != ENDED}
    is_same = bool(before and after and _subject(before) == _subject(after))
    if before and not was_ended and not is_same:
        end = _ENDS.get(before["type"])
        if end:
            steps.append(("end", {**end(before), "occurred_at": _ended_at(before, fact)}))
    if after:
        if is_same and was_ended and after["type"] == "order_placed":
            again_at = _not_before(ended_at, after["occurred_at"])
            steps.append(("again", {**_cancelled(after), "type": "order_reopened", "occurred_at": again_at}))
        if not (is_same and not was_ended and before and _untimed(before) == _untimed(after)):
            steps.append(("now", after))
    return steps


def _ended_at(word: Body, fact: Fact) -> str:
    """When the change was committed; a word is ended after it was said, also where its own clock is fast."""
    at: str = fact.data["at"]
    return _not_before(word["occurred_at"], at)


def _not_before(first: object, second: str) -> str:
    """Of two words the second is the newer, whatever the rows' own columns say: of one time their ids tell it."""
    return first if isinstance(first, str) and parse_time(first) > parse_time(second) else second


def _untimed(body: Body) -> Body:
    return {name: value for name, value in body.items() if name != "occurred_at"}


def _bare(body: Body) -> Body:
    """Give what two quantities must share to be one: all but quantity, time and sign."""
    rest = {name: value for name, value in body.items() if name not in ("occurred_at", "quantity", "reversal")}
    if "lines" in rest:
        rest["lines"] = [{name: value for name, value in line.items() if name != "quantity"} for line in rest["lines"]]
    return rest


def _signed(body: Body) -> Decimal:
    quantity = Decimal((body["lines"][0] if "lines" in body else body)["quantity"])
    return -quantity if body.get("reversal") else quantity


def _with(body: Body, quantity: Decimal) -> Body:
    """Give the event with this quantity; below 0 as its opposite."""
    changed = {name: value for name, value in body.items() if name != "reversal"}
    size = quantity
    if quantity < 0 and body["type"] != "stock_adjusted":
        size = -quantity
        if body["type"] == "stock_status_changed":
            changed |= {"from_status": body["to_status"], "to_status": body["from_status"]}
        else:
            changed["reversal"] = True
    if "lines" in body:
        return {**changed, "lines": [{**body["lines"][0], "quantity": plain(size)}]}
    return {**changed, "quantity": plain(size)}


def _subject(body: Body) -> tuple[Any, ...]:
    """Give what a word is about: another subject is another word, and the old one has to end."""
    line = body["lines"][0] if "lines" in body else {}
    names = ("type", "order_id", "receipt_id", "item", "location", "lot")
    # A location of an order line is no part of what it is about: the newest word has it.
    return (*(body.get(name) for name in names), line.get("line_id"), line.get("item"))


def _cancelled(body: Body) -> Body:
    line = body["lines"][0]
    head = {name: body[name] for name in ("source", "order_id")}
    return {**head, "type": "order_cancelled", "lines": [{"line_id": line["line_id"], "item": line["item"]}]}


def _unexpected(body: Body) -> Body:
    return {name: body[name] for name in ("source", "receipt_id", "item", "location")} | {"type": "receipt_cancelled"}


def _free(body: Body) -> Body:
    return {**body, "quantity": 0}


def _released(body: Body) -> Body:
    return {**body, "type": "lot_released"}


def _undated(body: Body) -> Body:
    return {name: value for name, value in body.items() if name != "best_before"}


_ENDS: Final[dict[str, Callable[[Body], Body]]] = {
    "order_placed": _cancelled,
    "receipt_expected": _unexpected,
    "stock_withheld": _free,
    "lot_held": _released,
    "lot_dated": _undated,
}
