"""Decides what Redis' word about a shard is worth from a start on, and so what the shard still owes readers (G3, G6).

Rule 1: a standing changes by a step, and TABLE has all that may be taken; another one raises and changes nothing.
Rule 2: a shard is held back from its start on or never. Once released, it is not held back again in this run.
Rule 3: a loss of Redis may be found any number of times, at any moment, while a shard makes up for the one before too.

    NEW ── BEGIN ─────────────────────────────────────────────────────────────► WHOLE ── LOSE ──► REFILLING ─┐
     └─ RESUME ──► HELD ── RELEASE ───────────────────────────────────────────────▲ ▲                        │
                    └─ DOUBT ──► DOUBTED ── RELEASE ──► RESTATING ── MARK ────────┘ └───────────────── MARK ─┘

DOUBT is for a shard that is held back, LOSE for one that is not: the first has to be past all that an earlier run can
have read before it says everything, the second can say it at once.
"""

from __future__ import annotations

from enum import Enum


class Standing(Enum):
    """What is known of what readers have of a shard."""

    #: not opened in this run
    NEW = "new"
    #: Redis says how far it is, and is believed so far: held back until its state is there again
    HELD = "held"
    #: Redis does not have all that was published: held back until past all that an earlier run can have read
    DOUBTED = "doubted"
    #: was doubted, and says everything again; each number is compared with what Kafka was sent
    RESTATING = "restating"
    #: Redis lost what this run wrote, and the shard says everything again; Kafka has it all
    REFILLING = "refilling"
    #: readers have all that it said
    WHOLE = "whole"


class Step(Enum):
    """What happens to a standing."""

    #: nothing of the shard was ever kept or published, and Redis has all it had
    BEGIN = "begin"
    RESUME = "resume"
    #: held back, and Redis is found not to have what was published
    DOUBT = "doubt"
    #: not held back any more: its state is as far as what readers have
    RELEASE = "release"
    #: Redis is found to have lost what this run wrote
    LOSE = "lose"
    #: it has said everything, once; it may have been asked more often
    ANSWER = "answer"
    #: everything that it was asked for is said and written
    MARK = "mark"


TABLE: dict[tuple[Standing, Step], Standing] = {
    (Standing.NEW, Step.BEGIN): Standing.WHOLE,
    (Standing.NEW, Step.RESUME): Standing.HELD,
    (Standing.HELD, Step.DOUBT): Standing.DOUBTED,
    (Standing.HELD, Step.RELEASE): Standing.WHOLE,
    (Standing.HELD, Step.ANSWER): Standing.HELD,  # counts when it is released
    (Standing.DOUBTED, Step.DOUBT): Standing.DOUBTED,  # lost a second time
    (Standing.DOUBTED, Step.RELEASE): Standing.RESTATING,
    (Standing.DOUBTED, Step.ANSWER): Standing.DOUBTED,  # an input that ends lets a shard say everything unasked
    (Standing.RESTATING, Step.LOSE): Standing.RESTATING,  # what Kafka was sent is no better known by that
    (Standing.RESTATING, Step.ANSWER): Standing.RESTATING,
    (Standing.RESTATING, Step.MARK): Standing.WHOLE,
    (Standing.REFILLING, Step.LOSE): Standing.REFILLING,
    (Standing.REFILLING, Step.ANSWER): Standing.REFILLING,
    (Standing.REFILLING, Step.MARK): Standing.WHOLE,
    (Standing.WHOLE, Step.LOSE): Standing.REFILLING,
    (Standing.WHOLE, Step.ANSWER): Standing.WHOLE,  # asked for when its input ended, and answered before
    (Standing.WHOLE, Step.MARK): Standing.WHOLE,
}

#: not released yet
HELD_BACK = frozenset({Standing.HELD, Standing.DOUBTED})
#: Redis cannot tell what was published of it: Kafka's own tail is asked
UNSURE = frozenset({Standing.DOUBTED, Standing.RESTATING})
#: it was asked to say everything, and has not yet
FILLING = frozenset({Standing.RESTATING, Standing.REFILLING})


class IllegalStep(AssertionError):
    """A step that may not be taken from there: whoever takes it has lost count."""


def after(standing: Standing, step: Step) -> Standing:
    """Give the standing after a step; IllegalStep names both if TABLE does not have it."""
    follows = TABLE.get((standing, step))
    if follows is None:
        may = ", ".join(one.value for at, one in TABLE if at is standing)
        raise IllegalStep(f"a shard that is {standing.value} cannot take the step {step.value!r}, only {may}")
    return follows
