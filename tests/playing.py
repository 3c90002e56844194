"""Plays a random history to the engine and to the model, and makes one that fails short enough to read.

What fails is written to tests/failures/ as a list of actions, and told again by every run of the tests for as long as
the file lies there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flows.audit.intake import MAX_BYTES
from flows.audit.model import Model
from flows.audit.quick import QuickModel
from operators import shard
from tests import invariants
from tests.engine import Code, Engine
from tests.histories import CHANNELS, ITEMS, LOCATIONS, SKEW, WINDOW, Action, History

FAILURES = Path(__file__).parent / "failures"
CHECK_EVERY = 15
FIGURES = (
    *("on_hand", "quarantined", "soft_allocated", "hard_reserved", "in_transit", "expected", "withheld"),
    "available",
)
#: bytes after which a snapshot goes to files: every one does, now and then one, none
SEAL_FROM = (1, 500, 65_536)


@dataclass(frozen=True)
class Tale:
    """A history as it was told: all that is needed to tell it again, word for word."""

    name: str
    clock: int
    seal_from: int
    #: timers are seen to before each look at the invariants; else only where an event or a comparison does it
    is_punctual: bool
    actions: tuple[Action, ...]
    #: whose days count
    time_zone: str = "UTC"


@dataclass
class Played:
    """What a history was made of."""

    events: int = 0
    refused: int = 0
    duplicates: int = 0
    policy_changes: int = 0
    jumps: int = 0
    layers: int = 0
    snapshots: int = 0
    resumes: int = 0


def tale_of(history: History) -> Tale:
    """Give all of a seeded history; its seed also decides how state is kept and when timers are seen to."""
    seed, clock = history.seed, history.now
    actions = tuple(history.actions())
    return Tale(f"seed-{seed}", clock, SEAL_FROM[seed % 3], seed % 2 == 0, actions, history.time_zone)


def compare(engine: Engine, model: Model, now: int, where: str) -> None:
    """Every number and every exception of every item, side by side."""
    for item in ITEMS:
        ours, theirs = engine.position(item, now), model.position(item, now)
        for location in (*LOCATIONS, "*"):
            names = FIGURES if location != "*" else ("soft_allocated",)
            mine = {name: ours.get(location, {}).get(name, 0) for name in names}
            right = {name: theirs.get(location, {}).get(name, 0) for name in names}
            assert mine == right, f"{where}: position of {item} at {location}"
        for channel in CHANNELS:
            answer, expected = engine.promise(item, channel, now), model.promise(item, channel, now)
            if expected is None:
                assert answer is None, f"{where}: {item} in {channel} is not listed"
            else:
                assert answer is not None, f"{where}: {item} in {channel} is listed"
                assert (answer.atp, answer.by_day) == (expected.atp, expected.by_day), f"{where}: {item} in {channel}"
        assert engine.exceptions(item, now) == model.exceptions(item, now), f"{where}: exceptions of {item}"


def agree(mine: list[Code], right: list[Code]) -> bool:
    """Equal; or, where a unit is wrong twice over, refused by both (what was applied is compared as numbers)."""
    return sorted(mine, key=str) == sorted(right, key=str) or bool(mine and right)


def play(tale: Tale) -> Played:
    """Tell both the same history; after each step the invariants hold, and every so often all numbers are compared."""
    with patch.object(shard, "SEAL_FROM", tale.seal_from):
        return _play(tale)


def _play(tale: Tale) -> Played:
    engine = Engine(WINDOW, SKEW, None, tale.time_zone)
    model = QuickModel(WINDOW, SKEW, None, MAX_BYTES, tale.time_zone)
    engine.clock = tale.clock
    played = Played()
    for step, (action, what) in enumerate(tale.actions):
        where = f"{tale.name}, step {step}, {action} {what}"
        if action == "reference":
            played.policy_changes += 1
            assert bool(engine.reference(*what)) == bool(model.reference(*what)), where
        elif action == "event":
            played.events += 1
            mine, right = engine.event(*what), model.event(*what)
            played.refused += bool(mine)
            assert agree(mine, right), f"{where}: {mine} {right}"
        elif action == "time":
            played.jumps += 1
            engine.pass_time(what)
        elif action == "write_ahead":
            played.layers += 1
            engine.shard.write_ahead()
        elif action == "snapshot":
            played.snapshots += 1
            engine.shard.snapshot()
        else:
            played.resumes += 1
            engine.resume()
        if tale.is_punctual:
            engine.pass_time(engine.clock)
        if not engine.shard.is_sweeping:  # until a change of policy is through, items stand under this one or that
            invariants.hold(engine, model, where)
        if step % CHECK_EVERY == 0:
            compare(engine, model, engine.clock, where)
    engine.resume()
    compare(engine, model, engine.clock, f"{tale.name}, at the end")
    assert engine.duplicates == model.duplicates, f"{tale.name}: duplicates"
    played.duplicates = engine.duplicates
    return played


# --- what fails --------------------------------------------------------------------------------------------------


def failure_of(tale: Tale) -> str:
    """What goes wrong; empty if nothing does."""
    try:
        play(tale)
    except Exception as error:  # whatever it is: a KeyError of the engine is a failure too
        return f"{type(error).__name__}: {error}"
    return ""


def shortened(tale: Tale, fails: Callable[[Tale], str] = failure_of) -> Tale:
    """Leave out actions, many at a time and then one by one, while what is left still fails."""
    actions = list(tale.actions)
    size = max(1, len(actions) // 2)
    while True:
        start, is_shorter = 0, False
        while start < len(actions):
            fewer = actions[:start] + actions[start + size :]
            if fails(_with(tale, fewer)):
                actions, is_shorter = fewer, True
            else:
                start += size
        if size == 1 and not is_shorter:
            return _with(tale, actions)
        size = max(1, size // 2)


def _with(tale: Tale, actions: list[Action]) -> Tale:
    return Tale(tale.name, tale.clock, tale.seal_from, tale.is_punctual, tuple(actions), tale.time_zone)


def write(tale: Tale, folder: Path) -> Path:
    """Write a failing history, as short as it gets; gives the file."""
    short = shortened(tale)
    folder.mkdir(exist_ok=True)
    path = folder / f"{tale.name}.json"
    path.write_text(json.dumps({"error": failure_of(short), **plain(short)}, indent=1) + "\n")
    return path


def plain(tale: Tale) -> dict[str, Any]:
    """Give a history as JSON has it."""
    return {
        "name": tale.name,
        "clock": tale.clock,
        "seal_from": tale.seal_from,
        "is_punctual": tale.is_punctual,
        "time_zone": tale.time_zone,
        "actions": [[action, *_words(what)] for action, what in tale.actions],
    }


def _words(what: Any) -> Iterator[Any]:
    if isinstance(what, tuple):
        for word in what:
            yield word.decode() if isinstance(word, bytes) else word
    elif what is not None:
        yield what


def read(told: dict[str, Any]) -> Tale:
    """Give a history that was written as JSON."""
    actions: list[Action] = []
    for action, *words in told["actions"]:
        if action == "reference":
            topic, key, value = words
            actions.append((action, (topic, key.encode(), None if value is None else value.encode())))
        elif action == "event":
            topic, value, recorded_at = words
            actions.append((action, (topic, value.encode(), recorded_at)))
        else:
            actions.append((action, words[0] if words else None))
    kept = (told["name"], told["clock"], told["seal_from"], told["is_punctual"])
    return Tale(*kept, tuple(actions), told.get("time_zone", "UTC"))
