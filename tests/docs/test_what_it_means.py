"""Decides whether docs/what-it-means.md tells the truth: its messages go to the engine and to the model."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flows.audit.intake import FIELDS
from flows.audit.model import Model
from flows.audit.statements import Reconciliation
from flows.settings import load_settings
from schemas.settings import Settings
from schemas.statements import STATEMENT_TYPES
from tests.conftest import ROOT
from tests.desk import at
from tests.reconciling_engine import Reconciling
from tests.snippets import blocks
from tests.unit.test_semantics_page import RECORDS, WORLD, Story

PAGE = "docs/what-it-means.md"
TEXT = (ROOT / PAGE).read_text("utf-8")
#: topic -> what the language of these pages calls a record of it
KINDS = {f"inventory.{topic}": kind for kind, topic in RECORDS.items()}
EXPLAINED = "How to read the examples"
STATEMENTS, STATEMENT = "inventory.statements", "statement"


class Example(NamedTuple):
    """A block of messages and answers, the line on which it begins, and the settings before it in its section."""

    heading: str
    settings: str
    line: int
    told: list[str]


def examples() -> Iterator[Example]:
    """Give all examples of the page, from top to bottom."""
    heading, settings = "", ""
    for snippet in blocks(PAGE):
        before = "\n".join(TEXT.split("\n")[: snippet.line])
        section = re.findall(r"^## (.*)$", before, re.M)[-1]
        if section != heading:
            heading, settings = section, ""
        if snippet.language == "toml":
            settings += snippet.text
        else:
            yield Example(heading, settings, snippet.line, snippet.text.splitlines())


EXAMPLES = list(examples())


class Sent(Story):
    """A story whose events and records are the messages themselves, each behind its topic."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        sources: dict[str, dict[str, Any]] = {}
        for name, source in settings.sources.items():
            bounds = {
                "dedup_window_us": source.dedup_window,
                "may_send": source.may_send,
                "locations": source.locations,
            }
            sources[name] = {bound: value for bound, value in bounds.items() if value is not None}
        self.engine = self.stating = Reconciling(settings.dedup_window, settings.max_clock_skew, sources)
        self.engine.clock = self.now
        self.model = Model(settings.dedup_window, settings.max_clock_skew, sources)
        self.reconciliation = Reconciliation(self.model)
        for line in WORLD:
            self.tell(line)
        self.start_again_in(settings.time_zone)
        self.numbers = itertools.count(1)

    def tell(self, line: str) -> None:
        first, _, rest = line.partition(" ")
        if first == "#":
            return
        if first in FIELDS or first in KINDS:
            value, _, code = rest.partition(" -> ")
            answer = ["->", code] if code else []
            self.send(first, json.loads(value), answer)
        elif first == STATEMENTS:
            self.state(json.loads(rest))
        elif first == STATEMENT:
            self.judged(rest.split())
        elif first in self.model.items:
            usual, self.item = self.item, first
            super().tell(rest)
            self.item = usual
        else:
            super().tell(line)

    def send(self, topic: str, message: dict[str, Any], answer: list[str]) -> None:
        if topic in KINDS:
            kind = KINDS[topic]
            fields = [f"{name}={json.dumps(value)}" for name, value in message.items() if name != kind]
            self.record(kind, [message[kind], *fields, *answer])
        else:
            assert message["type"] in FIELDS[topic], f"{topic} does not take {message['type']}"
            self.event(message["type"], [json.dumps(message), *answer])

    def state(self, message: dict[str, Any]) -> None:
        assert message["type"] in STATEMENT_TYPES, message["type"]
        raw = json.dumps(self.read("", [json.dumps(message)])).encode()
        assert self.stating.stated(raw, self.now) is None
        assert self.reconciliation.tell(raw, self.now) == []

    def judged(self, words: list[str]) -> None:
        """Compare verdict and variances: both are told `name=value` of the statement, or of a key."""
        self.stating.judge(self.now)
        self.reconciliation.judge(self.now)
        name, *facts = words
        assert name in self.stating.statuses or name in self.stating.variances, name
        if name.count(":") == 1:
            told = self.reconciliation.statements[tuple(name.split(":"))]  # type: ignore[index]
            counts = {count: told.count(count) for count in ("agreed", "in_variance", "not_compared")}
            mine, right = self.stating.statuses[name], {"verdict": told.verdict, **counts}
        else:
            known = self.reconciliation.book.variances[tuple(name.split(":"))]  # type: ignore[index]
            mine, right = self.stating.variances[name], vars(known)
        for fact in facts:
            field, _, value = fact.partition("=")
            assert (str(mine[field]), str(right[field])) == (value, value), f"{field}: engine, model"

    def read(self, kind: str, words: list[str]) -> dict[str, Any]:
        (message,) = words
        number = next(self.numbers)
        # Ids of one length: of two events at one moment the greater id is the newer.
        left_out = {"event_id": f"e-{number:03}", "source": "wms", "occurred_at": at(f"09:{number:02}")}
        return {**left_out, **json.loads(message)}


def given(folder: Path, text: str) -> Settings:
    """Read settings as `atp run` would: an unknown one fails."""
    file = folder / "atp.toml"
    file.write_text(text)
    return load_settings(file)


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{one.heading} ({one.line})" for one in EXAMPLES])
def test_the_example_is_true(example: Example, tmp_path: Path) -> None:
    story = Sent(given(tmp_path, example.settings))
    for number, line in enumerate(example.told, example.line):
        try:
            story.tell(line)
        except AssertionError as error:
            raise AssertionError(f"{PAGE}, line {number}: {line}\n{error}") from error


def test_every_row_of_the_table_leads_to_an_example_and_every_section_is_in_it() -> None:
    rows = re.findall(r"^\| \[[^]]+\]\(#([\w-]+)\) \| .+ \| .+ \|$", TEXT, re.M)
    table = [line for line in TEXT.splitlines() if line.startswith("|")]
    assert len(rows) == len(table) - 2, "a row without a link"
    headings = re.findall(r"^## (.*)$", TEXT, re.M)
    linked = {heading for heading in headings if anchor(heading) in rows}
    assert set(headings) - linked == {EXPLAINED}
    assert linked == {one.heading for one in EXAMPLES}


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_example_ends_with_a_number_or_what_is_open() -> None:
    for example in EXAMPLES:
        assert re.match(r"(\S+ )?atp |exceptions|(\S+ )?\S+ \w+=", example.told[-1]), f"line {example.line}"


@pytest.mark.parametrize(
    "lie",
    [
        "atp web = 9",
        "SPADE atp web = 9",
        "DC1 on_hand=9",
        "exceptions oversold:DC1",
        "statement erp:night agreed=1",
        'inventory.orders {"type": "stock_received", "item": "SHOVEL", "location": "DC1", "quantity": 1}',
        'inventory.warehouse {"type": "stock_received", "item": "SHOVEL", "location": "DC1", "quantity": 1} -> late',
        'inventory.warehouse {"type": "stock_received", "item": "SHOVEL", "location": "DC9", "quantity": 1}',
        'inventory.locations {"location": "DC9", "parent": "DC8"}',
    ],
)
def test_a_page_that_lies_is_caught(lie: str, tmp_path: Path) -> None:
    story = Sent(given(tmp_path, ""))
    story.tell('inventory.items {"item": "SPADE"}')
    for item in ("SHOVEL", "SPADE"):
        story.tell(
            f'inventory.warehouse {{"type": "stock_received", "item": "{item}", "location": "DC1", "quantity": 10}}'
        )
    story.tell("SPADE atp web = 10")
    with pytest.raises(AssertionError):
        story.tell(lie)
