"""An order that is sent whole each time: what changed is said, what is left out is cancelled, what is back reopened."""

from __future__ import annotations

from typing import Any, Final

from operators.adapters.account import EVENT, IGNORED, REFUSED, Fact, Message
from operators.adapters.remembered import Known, Settled, ending
from operators.adapters.values import sub_id
from schemas.codes import CONFLICT, LINES_MAX

#: What of an order's lines is left out is a line that is there no more.
LEFT_OUT: Final = "left_out"


def whole_order(known: Known | None, fact: Fact) -> Settled:
    """Say what is new of an order that came whole.

    `data`: `head` (an order_placed without event_id and lines; it has order_id, channel, source, occurred_at),
    `lines` (order lines of contract section 2, one for each of the fact's lines). Remembered: the newest order and
    what each line said.
    """
    lines: list[dict[str, Any]] = fact.data["lines"]
    last: dict[str, Any] = known["lines"] if known else {}
    if known and fact.order < known["order"]:
        return Settled(known, [], ending(fact, IGNORED, "older"))
    ours = {_name(line): line for line in lines}
    if known and fact.order == known["order"]:
        return _again(known, fact)
    changed = [(number, line) for number, line in zip(fact.lines, lines, strict=True) if last.get(_name(line)) != line]
    back = [(number, line) for number, line in changed if last.get(_name(line), {}).get(LEFT_OUT)]
    gone = [line for name, line in last.items() if name not in ours and not line.get(LEFT_OUT)]
    head = fact.data["head"]
    messages = [
        *_said(head, "order_reopened", sub_id(fact.identity, "reopened"), back, without_quantity=True),
        *_said(head, "order_placed", fact.identity, changed),
        *_said(head, "order_cancelled", sub_id(fact.identity, "left-out"), [(-1, line) for line in gone], True),
    ]
    now = {**ours, **{_name(line): {**line, LEFT_OUT: True} for line in gone}}
    now.update({name: line for name, line in last.items() if name not in now})
    numbers = {number for number, _ in changed}
    fates = [(EVENT, "", "") if number in numbers else (IGNORED, "unchanged", "") for number in fact.lines]
    return Settled({"order": fact.order, "lines": now}, messages, fates)


def _again(known: Known, fact: Fact) -> Settled:
    """The same order once more: what was said of it stands; lines that could not be read then are said now."""
    last: dict[str, Any] = known["lines"]
    now = dict(last)
    placed: list[tuple[int, dict[str, Any]]] = []
    back: list[tuple[int, dict[str, Any]]] = []
    fates: list[tuple[str, str, str]] = []
    for number, line in zip(fact.lines, fact.data["lines"], strict=True):
        before = last.get(_name(line))
        if before is None or before.get(LEFT_OUT):
            placed.append((number, line))
            if before is not None:
                back.append((number, line))
            now[_name(line)] = line
            fates.append((EVENT, "", ""))
        elif before == line:
            fates.append((IGNORED, "repeated", ""))
        else:
            told = f"expected {fact.identity} as it was before, got another line {line['line_id']}"
            fates.append((REFUSED, CONFLICT, told))
    head = fact.data["head"]
    messages = [
        *_said(head, "order_reopened", sub_id(fact.identity, "reopened"), back, without_quantity=True),
        *_said(head, "order_placed", fact.identity, placed),
    ]
    return Settled({**known, "lines": now}, messages, fates)


def _name(line: dict[str, Any]) -> str:
    return f"{line['line_id']} {line['item']}"


def _said(
    head: dict[str, Any],
    kind: str,
    event_id: str,
    lines: list[tuple[int, dict[str, Any]]],
    without_quantity: bool = False,
) -> list[Message]:
    """One event for at most LINES_MAX lines; those of one document may share an id, for a unit has its line_id too."""
    messages = []
    for first in range(0, len(lines), LINES_MAX):
        part = lines[first : first + LINES_MAX]
        bodies = [_bare(line) if without_quantity else line for _, line in part]
        body = {**head, "event_id": event_id, "type": kind, "lines": bodies}
        messages.append(Message(body, tuple(number for number, _ in part if number >= 0)))
    return messages


def _bare(line: dict[str, Any]) -> dict[str, Any]:
    return {"line_id": line["line_id"], "item": line["item"]}
