"""The recipes around `atp` and the first week: their commands run as they stand, their JSON is what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.embedded import Servers
from schemas.topics import UPDATES, raw_topic
from tests.place import Place
from tests.snippets import Reader, blocks

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def place(servers: Servers, tmp_path: Path) -> Iterator[Place]:
    servers.revive()
    one = Place(servers, tmp_path)
    yield one
    one.tidy()


def test_the_recipes_are_done_as_they_stand(place: Place) -> None:
    reader = place.reader("recipes")
    reader.shell("docs/connecting-recipes.md")
    assert (reader.folder / "inbox" / "done" / "po-1.edi").exists()


def test_the_first_day_is_done_as_it_stands(tmp_path: Path) -> None:
    Reader(tmp_path, {}, {}).shell("docs/first-week.md")


def test_what_kafka_connect_is_told_names_topics_of_ours() -> None:
    source, sink = (json.loads(snippet.text) for snippet in blocks("docs/connecting-recipes.md", "json"))
    assert source["transforms.raw.replacement"] == raw_topic("erp")
    assert sink["config"]["topics"].split(",") == list(UPDATES)
