"""The recipes around `atp` and the first week: their commands run as they stand, their JSON is what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.embedded import Servers
from schemas.topics import UPDATES, raw_topic
from tests.place import Place
from tests.snippets import Reader, blocks

pytestmark = pytest.mark.timeout(300)

WHOLE = r"[0-9]+"
#: Connect's own options that the recipes use, and what each takes: Kafka's documentation, 4.3.
CONNECT = {
    "connector.class": r"[a-z.]+\.[A-Z]\w+",
    "topics": r"[a-z.]+(,[a-z.]+)*",
    "tasks.max": WHOLE,
    "key.converter": r"org\.apache\.kafka\.connect\.(json\.Json|storage\.String)Converter",
    "value.converter": r"org\.apache\.kafka\.connect\.(json\.Json|storage\.String)Converter",
    "value.converter.schemas.enable": "true|false",
    "errors.tolerance": "none|all",
    "transforms": "raw",
    "transforms.raw.type": r"org\.apache\.kafka\.connect\.transforms\.RegexRouter",
    "transforms.raw.regex": ".+",
    "transforms.raw.replacement": ".+",
}
#: Those of Aiven's HTTP sink, and what each takes: its page of options. No repository that tests reach has it.
HTTP_SINK = {
    "http.url": r"https?://.+",
    "http.authorization.type": "none|oauth2|static|apikey",
    "http.headers.authorization": ".+",
    "http.headers.content.type": r"\S+",
    "batching.enabled": "true|false",
    "batch.max.size": WHOLE,
    "batch.prefix": ".*",
    "batch.separator": ".+",
    "batch.suffix": ".*",
    "max.retries": WHOLE,
    "retry.backoff.ms": WHOLE,
}
REQUIRED = {"connector.class", "topics", "http.url", "http.authorization.type"}


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


def told_to_connect() -> tuple[dict[str, str], dict[str, Any]]:
    source, sink = (json.loads(snippet.text) for snippet in blocks("docs/connecting-recipes.md", "json"))
    return source, sink


def test_what_kafka_connect_is_told_names_topics_of_ours() -> None:
    source, sink = told_to_connect()
    assert source["transforms.raw.replacement"] == raw_topic("erp")
    assert sink["config"]["topics"].split(",") == list(UPDATES)


def test_what_kafka_connect_is_told_are_options_that_it_has() -> None:
    source, sink = told_to_connect()
    assert sink.keys() == {"name", "config"}
    for told, known in ((source, CONNECT), (sink["config"], {**CONNECT, **HTTP_SINK})):
        for name, value in told.items():
            assert re.fullmatch(known[name], value), f"{name}: {value}"
    assert sink["config"].keys() >= REQUIRED


def test_a_batch_for_the_http_sink_is_json() -> None:
    config = told_to_connect()[1]["config"]
    assert config["http.headers.content.type"] == "application/json"
    update = json.dumps({"item": "LAMP", "channel": "web", "atp": 1, "version": 3})
    body = config["batch.prefix"] + config["batch.separator"].join([update, update]) + config["batch.suffix"]
    assert json.loads(body) == [json.loads(update)] * 2
