"""What every format's tests check of a translation: each line in one place, each event as the contract has it."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

from operators.adapters.account import STATEMENT_TYPES, Translation, record_of
from operators.adapters.memory import Dictionary, resolve
from schemas.codes import parse_code, parse_id, parse_json, parse_time
from schemas.events import ANY_EVENT
from tests.writing import written

#: What stands where something else should: null, empty, numbers of every kind, other shapes.
WRONG: tuple[Any, ...] = (
    None,
    "",
    " ",
    0,
    -1,
    1.5,
    2**70,
    True,
    [],
    {},
    [None],
    {"id": None},
    "x" * 300,
    "\x00",
    "2026-13-40",
)


def checked(translation: Translation, source: str, memory: Dictionary | None = None) -> Translation:
    """Give the translation with its facts settled, after all that holds of any was looked at."""
    settled = resolve(translation, source, memory or Dictionary())
    record = record_of(settled, None)
    ends = record["event_lines"] + record["statement_lines"]
    assert settled.lines and record["lines"] == ends + sum(record["ignored"].values()) + sum(record["refused"].values())
    said = set()
    for message in settled.output:
        body = message.body
        assert body["source"] == source
        if body["type"] in STATEMENT_TYPES:
            parse_id(body["event_id"]), parse_id(body["statement_id"]), parse_time(body["occurred_at"])
            assert body["type"] != "stock_stated" or (parse_code(body["item"]) and parse_code(body["location"]))
        else:
            ANY_EVENT.validate_python(parse_json(written(body)))
        said.update(message.lines)
    assert len(said) == ends
    return settled


def wrong_values(document: Any) -> Iterator[Any]:
    """Give the document with each of its values replaced by each wrong one."""
    for path in _paths(document, ()):
        for wrong in WRONG:
            changed = copy.deepcopy(document)
            place = changed
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] = wrong
            yield changed


def _paths(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, entry in inner:
        yield (*path, name)
        yield from _paths(entry, (*path, name))


def survives(
    translate: Callable[[bytes], Translation], source: str, samples: list[bytes], rounds: int, seed: int
) -> None:
    """Change, cut and repeat bytes of the samples: nothing crashes, no line is lost, what is said is well said."""
    rng = random.Random(seed)
    for _ in range(rounds):
        raw = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(raw) + 1)
            match rng.randrange(5):
                case 0:
                    raw[at : at + 1] = bytes([rng.randrange(256)])
                case 1:
                    del raw[at : at + rng.randrange(1, 30)]
                case 2:
                    raw[at:at] = raw[at : at + rng.randrange(1, 60)]
                case 3:
                    raw[at:at] = rng.choice(
                        [b"null", b'"', b"<", b"&", b",", b";", b"\n", b"0", b"-", b"\xff", b"[", b"{"]
                    )
                case _:
                    if rng.randrange(20) == 0:
                        del raw[at:]
        checked(translate(bytes(raw)), source)
