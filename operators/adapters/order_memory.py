"""What later documents of an order mean beside the earlier ones: differences, cancellations of all, shipments by item.

A purchase order change says "two more"; a shipping advice names item and lot and no line of the order. Both need the
order. Remembered of an order: of each line its item, its demand and what was allocated and shipped; and of each
document that was told, what its lines said, so that a repeat is none.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from operators.adapters.account import EVENT, IGNORED, REFUSED, Fact, Message
from operators.adapters.remembered import Known, Settled
from operators.adapters.values import digest, make_id, plain
from schemas.codes import BAD_VALUE, CONFLICT, LINES_MAX, MISSING_FIELD

Step = dict[str, Any]
Fate = tuple[str, str, str]
_SAID: Final[Fate] = (EVENT, "", "")


class _Refused(Exception):
    """One step that cannot be told."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def order_steps(known: Known | None, fact: Fact) -> Settled:
    """Tell a document's steps beside what is remembered of its order.

    `data`: `head` (order_id, channel, source, occurred_at and what all its events share), `steps`, one for each of
    the fact's lines: `does` (one of STEPS), `line_key` (what the line is known by within the document), `line_id`,
    `item`, and what the step needs. Remembered: `lines` by line_id, `told` by document and line.
    """
    told: dict[str, str] = dict(known["told"]) if known else {}
    lines: dict[str, dict[str, Any]] = {name: dict(line) for name, line in known["lines"].items()} if known else {}
    said: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]] = {}
    singles: list[Message] = []
    fates: list[Fate] = []
    for number, step in zip(fact.lines, fact.data["steps"], strict=True):
        name = make_id(fact.identity, step["line_key"])
        content = digest(repr(sorted(step.items())))
        if name in told:
            repeated = told[name] == content
            conflict = f"expected {fact.identity} as it was before, got another line {step['line_key']}"
            fates.append((IGNORED, "repeated", "") if repeated else (REFUSED, CONFLICT, conflict))
            continue
        try:
            for kind, body in STEPS[step["does"]](lines, fact, step):
                if "lines" not in body:
                    singles.append(Message(body, (number,)))
                else:
                    said.setdefault((kind, body["event_id"]), []).extend((number, line) for line in body["lines"])
        except _Refused as refusal:
            fates.append((REFUSED, refusal.code, str(refusal)))
        else:
            told[name] = content
            fates.append(_SAID)
    messages = _orders(fact, said) + singles
    return Settled({"lines": lines, "told": told}, messages, fates)


def _orders(fact: Fact, said: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]]) -> list[Message]:
    messages = []
    for (kind, event_id), rows in said.items():
        for first in range(0, len(rows), LINES_MAX):
            part = rows[first : first + LINES_MAX]
            body = {**_head(fact, kind), "event_id": event_id, "type": kind, "lines": [line for _, line in part]}
            messages.append(Message(body, tuple(dict.fromkeys(number for number, _ in part))))
    return messages


def _head(fact: Fact, kind: str) -> dict[str, Any]:
    head = fact.data["head"]
    return head if kind == "order_placed" else {name: value for name, value in head.items() if name not in _PLACED_ONLY}


_PLACED_ONLY: Final = ("channel", "requested_at", "expires_at")
Told = list[tuple[str, dict[str, Any]]]
Lines = dict[str, dict[str, Any]]


def _order_line(step: Step, **more: Any) -> dict[str, Any]:
    line = {"line_id": step["line_id"], "item": step["item"], **more}
    for name in ("uom", "location", "requested_at", "expires_at"):
        if name in step:
            line[name] = step[name]
    return line


def _remembered(lines: Lines, step: Step) -> dict[str, Any]:
    line = lines.get(step["line_id"])
    if line is None or line["item"] != step["item"] or "demand" not in line:
        raise _Refused(
            MISSING_FIELD,
            f"quantity: expected a change of line {step['line_id']} ({step['item']}) of an order that was read before, "
            "got one of which nothing is known: replay it when the order is there",
        )
    if line.get("uom") != step.get("uom"):
        raise _Refused(BAD_VALUE, f"uom: expected {line.get('uom')} as the order has it, got {step.get('uom')}")
    return line


def _place(lines: Lines, fact: Fact, step: Step) -> Told:
    line = lines.setdefault(step["line_id"], {"item": step["item"]})
    line.update(item=step["item"], demand=str(step["quantity"]), **({"uom": step["uom"]} if "uom" in step else {}))
    return [("order_placed", {"event_id": fact.identity, "lines": [_order_line(step, quantity=step["quantity"])]})]


def _change(lines: Lines, fact: Fact, step: Step) -> Told:
    line = _remembered(lines, step)
    demand = Decimal(line["demand"]) + Decimal(str(step["by"]))
    if demand < 0:
        raise _Refused(BAD_VALUE, f"quantity: expected at most {line['demand']} less, got {step['by']}")
    line["demand"] = str(demand)
    return [("order_placed", {"event_id": fact.identity, "lines": [_order_line(step, quantity=plain(demand))]})]


def _cancel(lines: Lines, fact: Fact, step: Step) -> Told:
    bare = {"line_id": step["line_id"], "item": step["item"]}
    return [("order_cancelled", {"event_id": fact.identity, "lines": [bare]})]


def _cancel_all(lines: Lines, fact: Fact, step: Step) -> Told:
    if not lines:
        raise _Refused(
            MISSING_FIELD,
            "lines: expected an order that was read before, got one of which nothing is known: replay it then",
        )
    rows = [{"line_id": name, "item": line["item"]} for name, line in lines.items()]
    return [("order_cancelled", {"event_id": fact.identity, "lines": rows})]


def _allocate(lines: Lines, fact: Fact, step: Step) -> Told:
    line = lines.setdefault(step["line_id"], {"item": step["item"]})
    line["item"] = step["item"]
    line["allocated"] = str(Decimal(line.get("allocated", "0")) + Decimal(str(step["quantity"])))
    return [("order_allocated", {"event_id": fact.identity, "lines": [_order_line(step, quantity=step["quantity"])]})]


def _ship(lines: Lines, fact: Fact, step: Step) -> Told:
    """`line_id` may be absent: then the first line of the item that is not shipped in full, else `otherwise`."""
    line_id = step.get("line_id") or _open_line(lines, step) or step["otherwise"]
    line = lines.setdefault(line_id, {"item": step["item"]})
    told: Told = []
    head = {name: value for name, value in fact.data["head"].items() if name not in _PLACED_ONLY}
    shared = {"item": step["item"], **({"uom": step["uom"]} if "uom" in step else {})}
    if Decimal(str(step["quantity"])):
        line["shipped"] = str(Decimal(line.get("shipped", "0")) + Decimal(str(step["quantity"])))
        body = {
            **head,
            **shared,
            **({"lot": step["lot"]} if "lot" in step else {}),
            "type": "shipment_confirmed",
            "event_id": make_id(fact.identity, step["line_key"]),
            "line_id": line_id,
            "location": step["location"],
            "quantity": step["quantity"],
        }
        told.append(("shipment_confirmed", body))
    if Decimal(str(step.get("short", 0))):
        row = {**shared, "line_id": line_id, "location": step["location"], "quantity": step["short"]}
        short_id = make_id(fact.identity, step["line_key"], "short")
        told.append(("order_released", {"event_id": short_id, "lines": [row]}))
    return told


def _open_line(lines: Lines, step: Step) -> str | None:
    ours = [(name, line) for name, line in lines.items() if line["item"] == step["item"] and "allocated" in line]
    for name, line in ours:
        if Decimal(line.get("shipped", "0")) < Decimal(line["allocated"]):
            return name
    return ours[-1][0] if ours else None


STEPS: Final = {
    "place": _place,
    "change": _change,
    "cancel": _cancel,
    "cancel_all": _cancel_all,
    "allocate": _allocate,
    "ship": _ship,
}
"""What a document may do to an order's line. The names are stored."""
