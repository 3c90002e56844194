"""Names and shapes that the translator stores: on disk, in Kafka's headers, in other processes. Never rename one."""

from __future__ import annotations

from pathlib import Path

import msgspec

from flows.adapters.translator import graph, source, words
from flows.adapters.translator.again import Place
from flows.adapters.translator.metrics import TranslatorMetrics
from flows.adapters.translator.shared import Shared
from flows.adapters.translator.source import translator_group
from flows.adapters.translator.steps import MemoryStep, _Saved, shard_of
from flows.settings import load_settings
from operators.adapters import retelling
from operators.adapters.account import Fact
from operators.adapters.memory import RULES
from operators.adapters.remembered import Settled
from schemas import documents, topics
from schemas.settings import Settings
from schemas.topics import raw_topic


def settings_of(tmp_path: Path) -> Settings:
    (tmp_path / "atp.toml").write_text('[sources.acme]\nkind = "x12"\n')
    return load_settings(tmp_path / "atp.toml", {})


def test_the_steps_of_the_dataflow(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    flow = graph.build(Shared(settings, TranslatorMetrics(settings)))
    assert flow.flow_id == "translator"
    names = {step.step_name for step in flow.substeps}
    assert graph.STEPS == ("translator_inputs", "memory", "accounts", "aliases", "translated")
    assert set(graph.STEPS) <= names


def test_the_parts_of_the_source_and_the_sink() -> None:
    assert (source.ALIASES_PART, source.RAW_PART) == ("aliases", "raw")
    assert (words.SINK, words.ACCOUNTS, words.NOBODY) == ("translated", "accounts", "?")


def test_the_topics(tmp_path: Path) -> None:
    assert (topics.ALIASES, topics.DOCUMENTS, raw_topic("acme")) == (
        "inventory.aliases",
        "inventory.documents",
        "inventory.raw.acme",
    )
    assert translator_group(settings_of(tmp_path)) == "atp-engine-translator"


def test_the_folder(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    assert settings.translator_dir() == settings.state.dir / "translator"


def test_the_shard_of_what_is_remembered() -> None:
    assert words.SHARDS == 1024
    fact = Fact("order", "PO-1", "2024-01-10", "850:PO-1:00", {}, ())
    assert shard_of("acme", fact) == "0520"
    assert set(RULES) >= {"cumulative", "file_part", "order", "seen", "whole_order"}


def test_what_a_shard_keeps() -> None:
    step = MemoryStep(None)
    fact = Fact("seen", "K", "1", "D", {"content": "C", "events": []}, (0,))
    step.on_batch([words.ToMemory("m", 0, "acme", fact)])
    [(key, (day, known))] = msgspec.msgpack.decode(step.snapshot()).items()
    assert key == "acme\0seen\0K" and day > 20_000
    assert msgspec.msgpack.decode(known) == {"order": "1", "content": "C"}
    [(_, answer)] = MemoryStep(step.snapshot()).on_batch([words.ToMemory("m", 0, "acme", fact)])[0]
    assert isinstance(answer.settled, Settled) and answer.settled.fates == [("ignored", "repeated", "")]


def test_what_is_known_by_its_place_in_a_record() -> None:
    assert _Saved.__struct_fields__ == ("source", "rows", "waiting")
    waiting = ("topic", "partition", "offset", "timestamp", "missing", "became")
    assert words.Waiting.__struct_fields__ == waiting
    assert retelling.Became.__struct_fields__ == ("lines", "output", "redone")
    assert retelling.OldLine.__struct_fields__ == ("place", "fate", "reason", "message", "digest")
    assert (retelling.REPLAY, retelling.REDO, retelling.MEMORY) == ("replay", "redo", "m")


def test_the_headers() -> None:
    assert (documents.REFUSED_HEADER, documents.STOOD_HEADER) == ("refused", "refused_place")
    assert (documents.PLACE_HEADER, documents.BECAME_HEADER, documents.AGAIN_HEADER) == (
        "raw",
        "became",
        "atp_translate",
    )
    assert Place.__struct_fields__ == ("topic", "partition", "offset", "timestamp")
    again = retelling.Again("replay", "t", 0, 1, 2, "late")
    assert msgspec.json.decode(msgspec.json.encode(again)) == {
        "does": "replay",
        "topic": "t",
        "partition": 0,
        "offset": 1,
        "timestamp": 2,
        "code": "late",
    }
