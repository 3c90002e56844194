"""docs/recipes.md, sent to a real engine from top to bottom: what it says a channel then reads is what one reads."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from tests.running import Engine, until
from tests.snippets import Reader, blocks

pytestmark = pytest.mark.timeout(300)

PAGE = "docs/recipes.md"
_line = re.compile(r"^(inventory\.\w+)\s+(?:(\S+)\s+null|(\{.*\}))$")


class Record(NamedTuple):
    """One line of a block: where it goes, and as what."""

    topic: str
    key: str | None
    value: dict[str, Any] | None


def records(text: str) -> list[Record]:
    """Read a block of the page; a line that is not as the page says fails the test."""
    found = []
    for line in text.splitlines():
        told = _line.match(line)
        assert told is not None, f"expected TOPIC {{...}} or TOPIC KEY null, got {line}"
        topic, key, value = told.groups()
        found.append(Record(topic, key, None if value is None else json.loads(value)))
    return found


def key_of(record: Record) -> str | None:
    """Give the Kafka key that the page says it has: a record's own code or codes; none for an event."""
    if record.value is None or "type" in record.value:
        return record.key
    names = {"items": "item", "locations": "location", "channels": "channel"}
    kind = record.topic.removeprefix("inventory.")
    if kind == "channel_items":
        return f"{record.value['channel']}:{record.value['item']}"
    return str(record.value[names[kind]])


def reads(world: Any, line: str) -> bool:
    """Run a line that only reads a number, until it is what the page says; False if the line is another."""
    told = re.match(r"^atp (get \S+ \S+)\s+# -> (.*)$", line)
    if told is None:
        return False
    arguments, expected = told[1].split(), told[2]
    said = ""

    def is_so() -> bool:
        nonlocal said
        said = (
            CliRunner().invoke(app, arguments, env=world.env()).output.strip()
        )  # a process for each would take a second
        return said == expected

    until(is_so, 60, lambda: f"{line}\ngot {said}")
    return True


def test_the_recipes_on_a_real_engine(world: Any) -> None:
    world.create_topics()
    world.config.write_text("\n".join(snippet.text for snippet in blocks(PAGE, "toml")))
    reader = Reader(world.folder / "recipes", {}, world.env())
    count = 0
    with Engine(world):
        for snippet in blocks(PAGE):
            if snippet.language == "sh":
                others = [line for line in snippet.text.splitlines() if not reads(world, line)]
                if others:
                    reader.shell(PAGE, "\n".join(others))
            elif snippet.language == "send":
                for record in records(snippet.text):
                    value = record.value
                    if value is not None and "type" in value:
                        count += 1
                        moment = datetime.now(UTC).isoformat()
                        value = {"event_id": f"recipe-{count}", "occurred_at": moment} | value
                    world.send(record.topic, value, key_of(record))
                    if value is None or "type" not in value:
                        world.flush()  # what an event names is there before the event
                world.flush()
    assert count > 10
