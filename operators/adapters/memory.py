"""What a fact becomes, given what was said of its key before: one pure function a rule.

A rule takes what is remembered of the fact's key (plain JSON, or None at first) and the fact, and gives what to
remember, the messages, and where each of the fact's lines ends. It changes neither argument. The ids of its messages
come from the document and the line, so that a run that begins again from an older snapshot says the same again.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, Protocol

from operators.adapters.account import EVENT, IGNORED, REFUSED, Fact, Message, Translation
from operators.adapters.order_memory import order_steps
from operators.adapters.part_memory import file_part
from operators.adapters.remembered import Known, Settled, ending
from operators.adapters.row_memory import row
from operators.adapters.values import make_id, plain
from operators.adapters.whole_order import whole_order

__all__ = ["RULES", "Dictionary", "Known", "Memory", "Settled", "resolve"]


def cumulative(known: Known | None, fact: Fact) -> Settled:
    """A document's line says how much there has been in all: what is new of it is an event, a fall its reversal.

    `data`: `value` (decimal text), `event` (an event without event_id and quantity), optional `fall` (an event to
    write instead of the reversal, likewise). Remembered: the newest order and its value.
    """
    value = Decimal(fact.data["value"])
    last_order, last_value = (known["order"], Decimal(known["value"])) if known else ("", Decimal(0))
    if known and fact.order < last_order:
        return Settled(known, [], ending(fact, IGNORED, "older"))
    if known and fact.order == last_order:
        if value == last_value:
            return Settled(known, [], ending(fact, IGNORED, "repeated"))
        told = f"expected {last_value} as {fact.identity} had it before, got {value}"
        return Settled(known, [], ending(fact, REFUSED, "conflict", told))
    now: Known = {"order": fact.order, "value": str(value)}
    change = value - last_value
    if not change:
        return Settled(now, [], ending(fact, IGNORED, "unchanged"))
    if change > 0:
        body = dict(fact.data["event"])
    else:
        body = dict(fact.data["fall"]) if "fall" in fact.data else {**fact.data["event"], "reversal": True}
    body["event_id"] = make_id(fact.key, fact.order)
    body["quantity"] = plain(abs(change))
    return Settled(now, [Message(body, fact.lines)], ending(fact, EVENT))


def seen(known: Known | None, fact: Fact) -> Settled:
    """What was said once is not said again, whatever message carries it (a snapshot row of a change that came already).

    `data`: `content` (any text that tells what it says), `events` (whole events). Remembered: the newest order and
    content. Of an older order: ignored as `older`; the same content: `repeated`; else its events.
    """
    content = fact.data["content"]
    if known and fact.order < known["order"]:
        return Settled(known, [], ending(fact, IGNORED, "older"))
    if known and content == known["content"]:
        return Settled({"order": fact.order, "content": content}, [], ending(fact, IGNORED, "repeated"))
    messages = [Message(body, fact.lines) for body in fact.data["events"]]
    return Settled({"order": fact.order, "content": content}, messages, ending(fact, EVENT))


Rule = Callable[[Known | None, Fact], Settled]
RULES: Final[dict[str, Rule]] = {
    "cumulative": cumulative,
    "file_part": file_part,
    "order": order_steps,
    "row": row,
    "seen": seen,
    "whole_order": whole_order,
}
"""By the name that a fact gives. The names are stored: never rename one."""


class Memory(Protocol):
    """Where facts are settled."""

    def settle(self, source: str, fact: Fact) -> Settled:
        """Say what the fact becomes, and remember it."""


class Dictionary:
    """The memory of one run over files."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Known] = {}

    def settle(self, source: str, fact: Fact) -> Settled:
        """Say what the fact becomes, and remember it."""
        key = (source, fact.rule, fact.key)
        settled = RULES[fact.rule](self._known.get(key), fact)
        self._known[key] = settled.known
        return settled


def resolve(translation: Translation, source: str, memory: Memory) -> Translation:
    """Give the translation with every fact settled, in the order of the document: no line waits any more."""
    lines = list(translation.lines)
    output: list[Message] = []
    taken = 0
    for fact, place in zip(translation.facts, translation.places, strict=True):
        output += translation.output[taken:place]
        taken = place
        settled = memory.settle(source, fact)
        for number, fate in zip(fact.lines, settled.fates, strict=True):
            line = lines[number]
            line.fate, line.reason, line.message = fate
        output.extend(settled.messages)
    output += translation.output[taken:]
    return Translation(translation.kind, translation.documents, lines, output)
