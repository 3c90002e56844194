"""The dataflow for Bytewax's own runner: what its start keeps, how it says no, and how it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows import availability
from flows.kafka.clients import KafkaProblem
from flows.kafka.identity import Earlier, Inputs, TopicFacts
from flows.readmodel.port import Fenced, Outage, StoreError
from flows.runtime.run import Stop
from flows.storage.facts import FACTS, Facts, read_facts, write_facts
from flows.storage.folder import Busy
from operators.ledger import FORMAT
from schemas.settings import Settings
from schemas.topics import INPUTS, REFERENCE
from tests.running import until

ORDERS = "inventory.orders"


def inputs(earlier: list[Earlier] | None = None) -> Inputs:
    topics = {name: TopicFacts(f"id-{name}", 2) for name in (*INPUTS, *REFERENCE)}
    topics[ORDERS].earlier = earlier or []
    return Inputs("cluster", topics)


class FakeWorker:
    """Stands in for the dataflow, which is not run here."""

    flow = "the dataflow"

    def __init__(self, run: Any) -> None:
        self.run, self.stop = run, Stop()
        self.metrics = SimpleNamespace(epoch_at=None)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory, and a Kafka and a Redis of which all is well."""
    for name in [name for name in os.environ if name.startswith("ATP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "state"
    monkeypatch.setenv("ATP_STATE__DIR", str(path))
    for name, stand_in in {
        "configure": lambda _: None,
        "inputs_now": lambda _: inputs(),
        "input_ends": lambda _: {f"{ORDERS}/0": 5},
        "look_for_earlier_run": lambda *_: None,
        "take_token": lambda *_: 12,
        "Worker": FakeWorker,
        "_say_how_fresh": lambda _: None,
    }.items():
        monkeypatch.setattr(availability, name, stand_in)
    before = os.umask(0o022)
    availability.build.cache_clear()
    yield path
    availability.build.cache_clear()
    os.umask(before)


def test_it_goes_on_in_a_topic_that_was_made_again_and_accepted(state: Path) -> None:
    state.mkdir()
    earlier = [Earlier("1", 2, 5_000_000)]
    write_facts(state / FACTS, Facts(FORMAT, Settings().shards, 11, inputs(earlier)))
    worker, _ = availability.build()
    assert (worker.run.ends, worker.run.ended) == ({f"{ORDERS}#1/0": 5}, (f"{ORDERS}/0", f"{ORDERS}/1"))
    kept = read_facts(state / FACTS)
    assert kept is not None and kept.inputs is not None
    assert (kept.token, kept.inputs.topics[ORDERS].earlier) == (12, earlier)


@pytest.mark.parametrize(
    ("where", "error", "said"),
    [
        ("StateFolder.open", Busy("in use by another engine: stop it"), "in use by another engine: stop it"),
        ("inputs_now", KafkaProblem("Kafka is away: start it"), "Kafka is away: start it"),
        ("look_for_earlier_run", Outage("Redis does not answer: gone"), "set redis.url"),
        ("take_token", StoreError("Redis refused: full"), "Redis refused: full"),
        ("take_token", OSError(28, "No space left on device"), "(No space left on device): make room on its disk"),
    ],
)
def test_what_keeps_it_from_starting_is_a_sentence(
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
    error: Exception,
    said: str,
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(f"flows.availability.{where}", fails)
    with pytest.raises(SystemExit) as end:
        availability.flow  # noqa: B018  # the runner asks for no more
    assert end.value.code == 1
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Fenced("FENCED 13"), 2, "a newer run of the engine has taken over from run 12"),
        (ValueError("torn"), 1, "the engine failed: ValueError: torn"),
    ],
)
def test_what_a_thread_dies_of_ends_a_process_to_which_nothing_comes(
    state: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, said: str
) -> None:
    told: list[str] = []
    left: list[int] = []
    monkeypatch.setattr(availability.log, "error", lambda sentence, **_: told.append(sentence))
    monkeypatch.setattr(availability, "leave", left.append)
    worker, _ = availability.build()
    worker.stop.fail(error)
    assert left == [code] and told[0].startswith(said)


def test_it_notes_when_the_first_epoch_is_kept_and_leaves_the_store_to_bytewax(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(availability, "FIRST_EPOCH_EVERY_S", 0.01)
    notes_it: Callable[..., None] = lambda _, folder: folder.note_first(True)  # noqa: E731
    monkeypatch.setattr(availability, "look_for_earlier_run", notes_it)
    worker, folder = availability.build()

    def reads(*_: object) -> None:
        raise AssertionError("a second SQLite in this process takes the locks of the first")

    monkeypatch.setattr("flows.storage.folder.committed_epoch", reads)
    metrics: Any = worker.metrics

    def is_noted() -> bool:
        return not folder.facts().is_first

    metrics.epoch_at = (1.0, 1.0)
    time.sleep(0.1)
    assert not is_noted(), "it may not be committed yet"
    metrics.epoch_at = (2.0, 2.0)
    until(is_noted, 10, "noted")
