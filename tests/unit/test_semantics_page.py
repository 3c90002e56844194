"""Decides whether docs/semantics.md tells the truth: each example runs against the engine and against the model."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flows.audit.model import Model
from operators.rules import lanes
from tests.desk import HOUR, MINUTE, NOON, NOW, at, instant
from tests.engine import Engine

PAGE = (Path(__file__).parents[2] / "docs" / "semantics.md").read_text()
#: first line of the block, its lines
EXAMPLES = [
    (PAGE[: found.start()].count("\n") + 2, found[1].splitlines())
    for found in re.finditer(r"^```atp\n(.*?)^```$", PAGE, re.M | re.S)
]
SOURCES: dict[str, dict[str, Any]] = {"scanner": {"may_send": {"stock_counted"}, "locations": {"DC1"}}}
RECORDS = {"item": "items", "location": "locations", "channel": "channels", "channel_item": "channel_items"}
WORLD = (
    'item SHOVEL conversions={"case":12}',
    "location DC1",
    "location DC2",
    "location STORE",
    'channel web locations=["DC1","DC2"]',
)
TIMES = {"eta", "expires_at", "requested_at"}
DATES = {"best_before"}
#: Fields that stand on an order itself, where others may stand on its lines.
OF_THE_EVENT = {"source", "channel", "reason", "correlation_id", "expires_at", "reversal"}
_moment = re.compile(r"([+-]\d+)?d?(\d\d:\d\d)?").fullmatch
_number = re.compile(r"-?\d+(\.\d+)?").fullmatch


def moment(text: str) -> str:
    """`13:00`, `+1d`, `-1d08:00`; noon where no time of day is given."""
    parts = _moment(text)
    assert parts is not None and text, f"not a time: {text}"
    return at(parts[2] or NOON.strftime("%H:%M"), int(parts[1] or 0))


def reference_of(text: str) -> str:
    """`SO-1/1` is order_id and line_id, which an exception has with a space between."""
    return text.replace("/", " ") if text.startswith("SO-") else text


def value_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class Story:
    """Tells the lines of one example to the engine and to the model, and compares both with the page."""

    def __init__(self) -> None:
        self.engine = Engine(24 * HOUR, 5 * MINUTE, SOURCES)
        self.engine.clock = self.now = NOW
        self.model = Model(24 * HOUR, 5 * MINUTE, SOURCES)
        self.numbers = itertools.count(1)
        self.item = "SHOVEL"
        self.channels: dict[str, dict[str, Any]] = {}
        for line in WORLD:
            self.tell(line)

    def tell(self, line: str) -> None:
        first, *rest = line.split()
        if first in RECORDS:
            self.record(first, rest)
        elif first == "now":
            self.now = instant(moment(rest[0]))
            self.engine.pass_time(self.now)
        elif first == "time_zone":
            self.start_again_in(rest[0])
        elif first == "atp":
            self.promised(rest[0], None if rest[2] == "none" else json.loads(rest[2]))
        elif first == "exceptions":
            parts = [(*name.split(":"), "")[:3] for name in rest]
            expected = {(code, location, reference_of(reference)) for code, location, reference in parts}
            assert self.engine.exceptions(self.item, self.now) == expected, "engine"
            assert self.model.exceptions(self.item, self.now) == expected, "model"
        elif first.split("_")[0] in ("stock", "lot", "transfer", "pick", "shipment", "return", "order", "receipt"):
            self.event(first, rest)
        else:
            self.figures(first, rest)

    def start_again_in(self, zone: str) -> None:
        """Start both with another setting `time_zone`; the engine goes on from its snapshot."""
        self.engine.config = replace(self.engine.config, time_zone=zone)
        self.engine.resume()
        self.engine.pass_time(self.now)
        self.model.zone = ZoneInfo(zone)

    def record(self, kind: str, rest: list[str]) -> None:
        code, *given = rest
        refusals: list[str] = []
        if "->" in given:
            given, refusals = given[:-2], given[-1:]
        record: dict[str, Any] = {"channel": code, "item": self.item} if kind == "channel_item" else {kind: code}
        record |= {name: value_of(value) for name, _, value in (word.partition("=") for word in given)}
        key = f"{code}:{self.item}" if kind == "channel_item" else code
        raw = (f"inventory.{RECORDS[kind]}", key.encode(), json.dumps(record).encode())
        assert self.engine.reference(*raw) == self.model.reference(*raw) == refusals

    def event(self, kind: str, words: list[str]) -> None:
        answer = ""
        if "->" in words:
            words, answer = words[:-2], words[-1]
        event = self.read(kind, words)
        topic = "orders" if kind.startswith("order_") else "supply" if kind.startswith("receipt_") else "warehouse"
        raw = (f"inventory.{topic}", json.dumps(event).encode(), self.now)
        before = self.engine.duplicates, self.model.duplicates
        code, _, line_id = answer.partition("/")
        expected = [] if code in ("", "duplicate") else [(code, line_id or None)]
        mine, right = self.engine.event(*raw), self.model.event(*raw)
        if topic == "orders" and expected and not line_id:
            mine, right = [(code, None) for code, _ in mine], [(code, None) for code, _ in right]
        assert (mine, right) == (expected, expected), "engine, model"
        more = 1 if code == "duplicate" else 0
        assert (self.engine.duplicates - before[0], self.model.duplicates - before[1]) == (more, more)

    def read(self, kind: str, words: list[str]) -> dict[str, Any]:
        event: dict[str, Any] = {"type": kind, "source": "wms", "event_id": f"e-{next(self.numbers)}"}
        event["occurred_at"] = _text(self.now)
        lines: list[dict[str, Any]] = []
        target = event
        is_order = kind.startswith("order_")
        for word in words:
            name, is_field, value = word.partition("=")
            if is_field:
                where = event if name in OF_THE_EVENT else target
                where[name] = moment(value) if name in TIMES | DATES else value_of(value)
                if name in DATES:
                    where[name] = where[name][:10]
            elif word[0] == "@":
                event["occurred_at"] = moment(word[1:])
            elif word[0] == "#":
                event["event_id"] = word[1:]
            elif word.startswith("SO-"):
                order_id, _, line_id = word.partition("/")
                event["order_id"] = order_id
                if is_order:
                    lines.append({"item": self.item})
                    target = lines[-1]
                target["line_id"] = line_id or "1"
            elif word.startswith("PO-"):
                event["receipt_id"] = word
            elif word.startswith("T-"):
                event["transfer_id"] = word
            elif _number(word):
                target["quantity"] = value_of(word)
            else:
                target["location"] = word
        if is_order:
            return {"channel": "web", **event, "lines": lines}
        return {"item": self.item, **event}

    def promised(self, channel: str, expected: int | list[int] | None) -> None:
        mine = self.engine.promise(self.item, channel, self.now)
        right = self.model.promise(self.item, channel, self.now)
        if expected is None:
            assert mine is right is None
            return
        assert mine is not None and right is not None
        if isinstance(expected, list):
            assert (mine.by_day, right.by_day) == (expected, expected), "engine, model"
            assert (mine.atp, right.atp) == (expected[0], expected[0])
        else:
            assert (mine.atp, right.atp) == (expected, expected), "engine, model"

    def figures(self, location: str, words: list[str]) -> None:
        mine = self.engine.position(self.item, self.now).get(location, {})
        right = self.model.position(self.item, self.now).get(location, {})
        assert words
        for word in words:
            name, _, value = word.partition("=")
            assert (mine.get(name, 0), right.get(name, 0)) == (int(value), int(value)), f"{word}: engine, model"


def _text(now: int) -> str:
    days, rest = divmod(now - NOW + 12 * HOUR, 24 * HOUR)
    return at(f"{rest // HOUR:02}:{rest % HOUR // MINUTE:02}", days)


@pytest.mark.parametrize(("number", "lines"), EXAMPLES, ids=[f"line-{number}" for number, _ in EXAMPLES])
def test_the_example_is_true(number: int, lines: list[str]) -> None:
    story = Story()
    for offset, line in enumerate(lines):
        try:
            story.tell(line)
        except AssertionError as error:
            raise AssertionError(f"docs/semantics.md, line {number + offset}: {line}\n{error}") from error


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    for line in table[2:]:
        yield [cell.strip().strip("`") for cell in line.strip("|").split("|")]


def test_every_answer_of_the_decision_table_is_shown_by_an_example() -> None:
    answers = {answer for _, _, answer in rows("Late, early, double, contradictory")}
    section = PAGE.split("\n## Late, early, double, contradictory\n")[1].split("\n## ")[0]
    shown = set(re.findall(r"-> (\w+)", section)) | {"applied"}
    assert len(answers) == 9 and answers <= shown
    assert shown - answers == {"unknown_location", "unknown_channel"}, "those go with unknown_item"


def test_the_table_of_lanes_is_true() -> None:
    count = 0
    for before, after, threshold, unhurried, expected in rows("Lanes"):
        known = None if before == "none" else (int(before), None)
        lane = lanes.lane(known, int(after), None, int(threshold), unhurried == "yes")
        assert lanes.LANES[lane] == expected, (before, after, threshold, unhurried)
        count += 1
    assert count == 12


def test_every_block_of_the_page_is_executed_and_every_rule_has_one() -> None:
    assert PAGE.count("```") == 2 * len(EXAMPLES), "no fenced block that is not run"
    exempt = {"How to read the examples", "Lanes", "What is forgotten, and when"}
    for section in PAGE.split("\n## ")[1:]:
        heading = section.split("\n")[0]
        assert heading in exempt or "```atp" in section, heading


def test_a_page_that_lies_is_caught() -> None:
    story = Story()
    story.tell("stock_received DC1 10")
    for lie in ("atp web = 9", "DC1 on_hand=9", "exceptions oversold:DC1", "stock_received DC1 1 -> late"):
        with pytest.raises(AssertionError):
            story.tell(lie)
