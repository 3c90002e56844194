"""What later documents of an order mean beside the earlier ones: differences, cancellations of all, shipments by item.

A purchase order change says "two more"; a shipping advice names item and lot and no line of the order. Both need the
order. Remembered of it: of each line its item, its demand, what was allocated and shipped, and when it was given up;
and of each document what its lines said, so that a repeat is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
import xxhash

from operators.adapters.account import EVENT, IGNORED, REFUSED, Fact, Message
from operators.adapters.remembered import Known, Settled
from operators.adapters.values import plain, sub_id
from schemas.codes import BAD_VALUE, CONFLICT, LINES_MAX, MISSING_FIELD

Step = dict[str, Any]
_bytes_of: Final = msgspec.msgpack.Encoder().encode
#: (type, event id, a line of the event; or, for an event of one line, all of it)
Told = list[tuple[str, str, dict[str, Any]]]
_SAID: Final = (EVENT, "", "")
#: of an order's head, what only order_placed has
_PLACED_ONLY: Final = frozenset({"channel", "requested_at", "expires_at"})
#: of a line, what stands until another document says otherwise
_CARRIED: Final = ("location", "requested_at", "expires_at")
_LINE_FIELDS: Final = ("uom", "location", "requested_at", "expires_at")


class Lines(dict[str, dict[str, Any]]):
    """The lines of an order by line_id, while a document is told beside them.

    What is remembered is not changed: a line is copied when it is. And each line is looked at once for what is open of
    an item, however many lines the document ships.
    """

    def __init__(self, known: Mapping[str, dict[str, Any]]) -> None:
        super().__init__(known)
        self._open: dict[str, list[str]] | None = None

    def own(self, step: Step) -> dict[str, Any]:
        """The step's line, to be changed; a new one if there is none."""
        line = self[step["line_id"]] = dict(self.get(step["line_id"]) or {"item": step["item"]})
        return line

    def open_line(self, item: str) -> str | None:
        """The first line of the item that is allocated and not shipped in full, else the last that is allocated."""
        if self._open is None:
            self._open = {}
            for name, line in reversed(self.items()):
                if "allocated" in line:
                    self._open.setdefault(line["item"], []).append(name)
        waiting = self._open.get(item, [])
        while len(waiting) > 1 and _is_shipped(self[waiting[-1]]):
            waiting.pop()
        return waiting[-1] if waiting else None


def _is_shipped(line: dict[str, Any]) -> bool:
    return Decimal(line.get("shipped", 0)) >= Decimal(line["allocated"])


class _Refused(Exception):
    """One step that cannot be told."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def order_steps(known: Known | None, fact: Fact) -> Settled:
    """Tell a document's steps beside what is remembered of its order.

    `data`: `head` (order_id, channel, source, occurred_at: what all its events share), `steps`, one for each of the
    fact's lines: `does` (one of STEPS), `line_key` (what the line is known by within the document), `line_id`,
    `item`, and what the step needs; `replaces` (true: lines of the order that it leaves out are cancelled).
    Remembered: `lines` by line_id, `told` by document and line.
    """
    lines = Lines(known["lines"] if known else {})
    told: dict[str, dict[str, str]] = dict(known["told"]) if known else {}
    before = told.get(fact.identity, {})
    mine = told[fact.identity] = dict(before)
    said: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]] = {}
    fates: list[tuple[str, str, str]] = []
    for number, step in zip(fact.lines, fact.data["steps"], strict=True):
        content = xxhash.xxh3_64_hexdigest(_bytes_of(step))
        if (last := before.get(step["line_key"])) is not None:
            conflict = f"expected {fact.identity} as it was before, got another line {step['line_key']}"
            fates.append((IGNORED, "repeated", "") if last == content else (REFUSED, CONFLICT, conflict))
            continue
        try:
            events = STEPS[step["does"]](lines, fact, step)
        except _Refused as refusal:
            fates.append((REFUSED, refusal.code, str(refusal)))
            continue
        for kind, event_id, body in events:
            said.setdefault((kind, event_id), []).append((number, body))
        mine[step["line_key"]] = content
        fates.append(_SAID if events else (IGNORED, "unchanged", ""))
    if fact.data.get("replaces") and not before:
        ours = {step["line_id"] for step in fact.data["steps"]}
        event_id = sub_id(fact.identity, "left-out")
        for name, line in list(lines.items()):
            if name not in ours and not _is_gone(line) and line.get("at", "") <= fact.order:
                lines[name] = {**line, "gone": fact.order}
                bare = {"line_id": name, "item": line["item"]}
                said.setdefault(("order_cancelled", event_id), []).append((-1, bare))
    return Settled({"lines": dict(lines), "told": told}, _messages(fact, said), fates)


def _messages(fact: Fact, said: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]]) -> list[Message]:
    placed = fact.data["head"]
    bare = {name: value for name, value in placed.items() if name not in _PLACED_ONLY}
    messages = []
    for (kind, event_id), rows in said.items():
        head = {**(placed if kind == "order_placed" else bare), "event_id": event_id, "type": kind}
        if not kind.startswith("order_"):
            messages += [Message({**head, **body}, (number,)) for number, body in rows]
            continue
        for first in range(0, len(rows), LINES_MAX):
            part = rows[first : first + LINES_MAX]
            numbers = tuple(dict.fromkeys(number for number, _ in part if number >= 0))
            messages.append(Message({**head, "lines": [line for _, line in part]}, numbers))
    return messages


def _is_gone(line: dict[str, Any]) -> bool:
    return "gone" in line


def _bare(step: Step) -> dict[str, Any]:
    return {"line_id": step["line_id"], "item": step["item"]}


def _order_line(step: Step, quantity: int | str) -> dict[str, Any]:
    line = {"line_id": step["line_id"], "item": step["item"], "quantity": quantity}
    for name in _LINE_FIELDS:
        if name in step:
            line[name] = step[name]
    return line


def _amount(step: Step, name: str = "quantity") -> Decimal:
    return Decimal(step.get(name, 0))


def _known_line(lines: Lines, step: Step, what: str) -> dict[str, Any]:
    line = lines.get(step["line_id"])
    if line is None or line["item"] != step["item"] or what not in line:
        raise _Refused(
            MISSING_FIELD,
            f"quantity: expected a change of line {step['line_id']} ({step['item']}) of an order that was read before, "
            "got one of which nothing is known: replay it when the order is there",
        )
    if line.get("uom") != step.get("uom"):
        raise _Refused(BAD_VALUE, f"uom: expected {line.get('uom')} as the order has it, got {step.get('uom')}")
    return lines.own(step)


def _set_demand(lines: Lines, fact: Fact, step: Step, demand: int | str) -> Told:
    """A line that was given up earlier than this is wanted again."""
    line = lines.own(step)
    told: Told = []
    row = _order_line(step, demand)
    if fact.order >= line.get("at", ""):
        # An order_placed says all of its line: what this document leaves out is as the one before had it.
        wishes = {name: fact.data["head"][name] for name in _CARRIED if name in fact.data["head"]} | step
        for name in _CARRIED:
            if name in wishes:
                line[name] = wishes[name]
            elif name in line:
                row[name] = line[name]
        line.update(item=step["item"], demand=str(demand), at=fact.order)
        if "uom" in step:
            line["uom"] = step["uom"]
        if _is_gone(line) and line["gone"] < fact.order:
            del line["gone"]
            told.append(("order_reopened", sub_id(fact.identity, "reopened"), _bare(step)))
    told.append(("order_placed", fact.identity, row))
    return told


def _place(lines: Lines, fact: Fact, step: Step) -> Told:
    return _set_demand(lines, fact, step, step["quantity"])


def _change(lines: Lines, fact: Fact, step: Step) -> Told:
    line = _known_line(lines, step, "demand")
    demand = Decimal(line["demand"]) + _amount(step, "by")
    if demand < 0:
        raise _Refused(BAD_VALUE, f"quantity: expected at most {line['demand']} less, got {step['by']}")
    return _set_demand(lines, fact, step, plain(demand))


def _cancel(lines: Lines, fact: Fact, step: Step) -> Told:
    line = lines.own(step)
    line["gone"] = max(fact.order, line.get("gone", ""))
    return [("order_cancelled", fact.identity, _bare(step))]


def _all_lines(lines: Lines) -> Lines:
    if not lines:
        raise _Refused(
            MISSING_FIELD, "lines: expected an order that was read before, got one of which nothing is known: replay it"
        )
    return lines


def _cancel_all(lines: Lines, fact: Fact, step: Step) -> Told:
    """Of lines that are cancelled already nothing is said again."""
    told: Told = []
    for name, line in list(_all_lines(lines).items()):
        if not _is_gone(line):
            told.append(("order_cancelled", fact.identity, {"line_id": name, "item": line["item"]}))
        if line.get("gone", "") < fact.order:
            lines[name] = {**line, "gone": fact.order}
    return told


def _allocate(lines: Lines, fact: Fact, step: Step) -> Told:
    line = lines.own(step)
    line.update(item=step["item"], location=step["location"])
    if "uom" in step:
        line["uom"] = step["uom"]
    line["allocated"] = str(Decimal(line.get("allocated", 0)) + _amount(step))
    return [("order_allocated", fact.identity, _order_line(step, step["quantity"]))]


def _reallocate(lines: Lines, fact: Fact, step: Step) -> Told:
    """The line is to be shipped in this quantity instead: the difference is allocated or released."""
    line = _known_line(lines, step, "allocated")
    change = _amount(step) - Decimal(line["allocated"])
    line["allocated"] = str(_amount(step))
    if not change:
        return []
    kind = "order_allocated" if change > 0 else "order_released"
    return [(kind, fact.identity, _order_line(step, plain(abs(change))))]


def _release(lines: Lines, fact: Fact, step: Step) -> Told:
    line = lines.own(step)
    line["allocated"] = str(max(Decimal(line.get("allocated", 0)) - _amount(step), Decimal(0)))
    return [("order_released", fact.identity, _order_line(step, step["quantity"]))]


def _release_all(lines: Lines, fact: Fact, step: Step) -> Told:
    told: Told = []
    for name, line in list(_all_lines(lines).items()):
        left = Decimal(line.get("allocated", 0)) - Decimal(line.get("shipped", 0))
        if left > 0:
            row = {"line_id": name, "item": line["item"], "quantity": plain(left), "location": line["location"]}
            told.append(("order_released", fact.identity, {**row, **({"uom": line["uom"]} if "uom" in line else {})}))
            lines[name] = {**line, "allocated": line.get("shipped", "0")}
    return told


def _ship(lines: Lines, fact: Fact, step: Step) -> Told:
    """`line_id` may be absent: then the first line of the item that is not shipped in full, else `otherwise`."""
    line_id = step.get("line_id") or lines.open_line(step["item"]) or step["otherwise"]
    line = lines.own({**step, "line_id": line_id})
    told: Told = []
    row = {"line_id": line_id, "item": step["item"], "location": step["location"]}
    if "uom" in step:
        row["uom"] = step["uom"]
    if _amount(step):
        line["shipped"] = str(Decimal(line.get("shipped", 0)) + _amount(step))
        body = {**row, "quantity": step["quantity"], **({"lot": step["lot"]} if "lot" in step else {})}
        told.append(("shipment_confirmed", sub_id(fact.identity, step["line_key"]), body))
    if _amount(step, "short"):
        line["allocated"] = str(max(Decimal(line.get("allocated", 0)) - _amount(step, "short"), Decimal(0)))
        # Two lots of one line of the order may both be short: under one id they would be one unit.
        event_id = sub_id(fact.identity, "short", step["line_key"])
        told.append(("order_released", event_id, {**row, "quantity": step["short"]}))
    return told


STEPS: Final = {
    "place": _place,
    "change": _change,
    "cancel": _cancel,
    "cancel_all": _cancel_all,
    "allocate": _allocate,
    "reallocate": _reallocate,
    "release": _release,
    "release_all": _release_all,
    "ship": _ship,
}
"""What a document may do to an order's line. The names are stored."""
