"""The shape of what a memory's rules take and give."""

from __future__ import annotations

from typing import Any, NamedTuple

from operators.adapters.account import Fact, Message

#: plain JSON
Known = dict[str, Any]


class Settled(NamedTuple):
    """What a fact became."""

    known: Known
    messages: list[Message]
    #: (fate, reason, message) of each of the fact's lines, in their order
    fates: list[tuple[str, str, str]]


def ending(fact: Fact, fate: str, reason: str = "", message: str = "") -> list[tuple[str, str, str]]:
    """All of the fact's lines end alike."""
    return [(fate, reason, message)] * len(fact.lines)
