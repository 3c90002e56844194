"""Topics that are not what they were: what is noticed, what is accepted, how their parts are named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError

from flows.kafka.clients import Complaints
from flows.kafka.identity import Earlier, Inputs, TopicFacts, why_not
from flows.monitoring.topic_watch import DELETED, MADE_AGAIN, TopicWatch, fates
from flows.recovery import accepting
from flows.recovery.accepting import (
    ANSWER,
    REQUEST,
    AcceptProblem,
    accept,
    accept_now,
    accepted,
    full_name,
    take_request,
)
from flows.runtime.run import now
from flows.settings import load_settings
from flows.storage.facts import FACTS, Facts, Scratch, StateRefused, read_facts, write_facts
from flows.storage.folder import StateFolder
from operators.holdback import HeldShard
from operators.ledger import FORMAT
from schemas.settings import Settings, SettingsError
from schemas.topics import INPUTS, REFERENCE

ORDERS, ITEMS = "inventory.orders", "inventory.items"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    config = tmp_path / "atp.toml"
    config.touch()
    return load_settings(config, {"state.dir": str(tmp_path / "state")})


def inputs(**changed: TopicFacts) -> Inputs:
    topics = {name: TopicFacts(f"id-{name}", 2) for name in (*INPUTS, *REFERENCE)}
    return Inputs("cluster", topics | {f"inventory.{name}": facts for name, facts in changed.items()})


def test_a_topic_is_another_where_both_ids_are_known_and_differ() -> None:
    known = {name: TopicFacts("1", 2) for name in "abcd"}
    found = {"a": TopicFacts("1", 2), "b": TopicFacts("2", 2), "c": None, "d": TopicFacts("", 2)}
    assert fates(known, found) == {"b": MADE_AGAIN, "c": DELETED}


def test_accepting_gives_an_input_topic_a_generation_and_a_reference_topic_none(settings: Settings) -> None:
    known, found = inputs(), inputs(orders=TopicFacts("new", 3), items=TopicFacts("new", 1))
    kept = accepted(settings, known, found, ORDERS)
    [before] = kept.topics[ORDERS].earlier
    assert (before.id, before.partitions, kept.topics[ORDERS].id) == (f"id-{ORDERS}", 2, "new")
    assert kept.topics[ORDERS].generation == 1
    assert kept.topics[ITEMS].id == f"id-{ITEMS}", "only what was asked for"
    assert accepted(settings, known, found, ITEMS).topics[ITEMS] == TopicFacts("new", 1)
    twice = accepted(settings, kept, inputs(orders=TopicFacts("newer", 1)), ORDERS)
    assert [one.id for one in twice.topics[ORDERS].earlier] == [f"id-{ORDERS}", "new"]
    wrong = why_not(settings, known, found)
    assert wrong is not None and f"atp topics accept {ORDERS}" in wrong.remedy
    assert why_not(settings, kept, inputs(orders=TopicFacts("new", 3))) is None


@pytest.mark.parametrize(
    ("known", "found", "said"),
    [
        (None, inputs(orders=TopicFacts("new", 2)), "does not say which"),
        (inputs(), inputs(), "there is nothing to accept"),
        (inputs(), inputs(orders=TopicFacts("", 2)), "there is nothing to accept"),
        (inputs(), Inputs("other", inputs(orders=TopicFacts("new", 2)).topics), "belongs to the Kafka cluster cluster"),
    ],
)
def test_what_cannot_be_accepted_is_refused(settings: Settings, known: Inputs | None, found: Inputs, said: str) -> None:
    with pytest.raises(AcceptProblem, match=said):
        accepted(settings, known, found, ORDERS)


def test_a_topic_with_too_few_partitions_for_the_workers_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "atp.toml"
    config.write_text("workers = 6\n")
    with pytest.raises(AcceptProblem, match="has 1 partitions now, the input 5 in all, and workers is 6"):
        accepted(load_settings(config, {}), inputs(), inputs(orders=TopicFacts("new", 1)), ORDERS)


def test_a_topic_is_named_with_or_without_its_prefix(tmp_path: Path) -> None:
    config = tmp_path / "atp.toml"
    config.write_text('[topics]\nprefix = "test."\n')
    settings = load_settings(config, {})
    assert full_name(settings, ORDERS) == full_name(settings, f"test.{ORDERS}") == f"test.{ORDERS}"
    for other in ("atp.updates.high", "inventory.dead_letters", "orders"):
        with pytest.raises(AcceptProblem, match="is not a topic that the engine reads"):
            full_name(settings, other)


def test_parts_carry_the_generation_and_earlier_ones_are_named_besides() -> None:
    earlier = [Earlier("1", 2, 0), Earlier("2", 1, 0)]
    known, found = inputs(orders=TopicFacts("3", 2, earlier)), inputs(orders=TopicFacts("3", 2))
    found.carry(known)
    assert found.topics[ORDERS].generation == 2
    ends = {f"{ORDERS}/0": 5, f"{ORDERS}/1": 6, "inventory.supply/0": 7}
    assert found.named(ends) == {f"{ORDERS}#2/0": 5, f"{ORDERS}#2/1": 6, "inventory.supply/0": 7}
    assert found.ended(INPUTS) == (f"{ORDERS}/0", f"{ORDERS}/1", f"{ORDERS}#1/0")


def test_a_shard_is_not_held_back_for_a_part_that_is_no_more() -> None:
    from flows.runtime.progress import PartProgress, Progress

    progress = Progress()
    progress.expect([f"{ORDERS}#1/0"])
    assert HeldShard({f"{ORDERS}/0": 9}, {f"{ORDERS}/0": 3}).is_through(progress.has_passed)
    held = HeldShard({f"{ORDERS}#1/0": 9}, {f"{ORDERS}/0": 30})
    assert not held.is_through(progress.has_passed), "an old offset was taken for a new one"
    progress.note(f"{ORDERS}#1/0", PartProgress(10, 0, False))
    assert held.is_through(progress.has_passed)


class Heard(list[dict[str, str]]):
    """What a watch tells."""

    def __call__(self, lost: Mapping[str, str]) -> None:
        self.append(dict(lost))


def test_what_is_gone_is_believed_when_seen_twice_and_another_id_at_once(settings: Settings) -> None:
    heard = Heard()
    watch = TopicWatch(settings, heard)
    known = {"a": TopicFacts("1", 2), "b": TopicFacts("2", 2)}
    watch._known, watch._partitions = known, {"a": 2, "b": 2}
    watch._compare(known, {"a": None, "b": TopicFacts("2", 2)})
    assert not heard and not watch.lost, "a broker that starts knows nothing yet"
    watch._compare(known, {"a": None, "b": TopicFacts("2", 2)})
    assert watch.lost == {"a": DELETED}
    watch._compare(known, {})
    assert watch.lost == {"a": DELETED}, "a Kafka that is away says nothing"
    watch._compare(known, {"a": TopicFacts("9", 2), "b": TopicFacts("2", 2)})
    watch._compare(known, {"a": TopicFacts("9", 2), "b": TopicFacts("2", 2)})
    assert heard == [{"a": DELETED}, {"a": MADE_AGAIN}], "said once each"


def test_a_request_is_answered_once_and_an_old_one_not_at_all(tmp_path: Path) -> None:
    asked: list[str] = []

    def do(topic: str) -> str:
        asked.append(topic)
        if topic == "bad":
            raise AcceptProblem("no")
        return "done"

    def put(**fields: Any) -> None:
        (tmp_path / REQUEST).write_bytes(msgspec.json.encode({"id": "1", "topic": "t", "asked_at": now(), **fields}))

    assert not take_request(tmp_path, do)
    put()
    assert take_request(tmp_path, do) and not take_request(tmp_path, do)
    assert msgspec.json.decode((tmp_path / ANSWER).read_bytes()) == {"id": "1", "is_accepted": True, "text": "done"}
    put(topic="bad")
    assert not take_request(tmp_path, do)
    assert msgspec.json.decode((tmp_path / ANSWER).read_bytes())["text"] == "no"
    put(topic="old", asked_at=0)
    (tmp_path / REQUEST).write_bytes(b"{") if take_request(tmp_path, do) else None
    assert asked == ["t", "bad"]


def test_an_answer_that_cannot_be_written_ends_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / REQUEST).write_bytes(msgspec.json.encode({"id": "1", "topic": "t", "asked_at": now()}))
    monkeypatch.setattr(accepting, "_put", full)
    assert take_request(tmp_path, lambda _: "done")
    assert not (tmp_path / REQUEST).exists() and not take_request(tmp_path, lambda _: "done")


@pytest.fixture
def stopped(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of an engine that ended in the middle of a start from scratch; the orders were made again since."""
    settings.state.dir.mkdir()
    kept = Facts(FORMAT, settings.shards, 11, inputs(), scratch=Scratch(10, [2]))
    write_facts(settings.state.dir / FACTS, kept)
    monkeypatch.setattr(accepting, "inputs_now", lambda _: inputs(orders=TopicFacts("new", 3)))
    monkeypatch.setattr("flows.storage.folder.committed_epoch", lambda *_: 7)
    return settings.state.dir / FACTS


def test_accepting_leaves_a_start_from_scratch_as_far_as_it_is(settings: Settings, stopped: Path) -> None:
    for go in (lambda: accept(settings, ORDERS), lambda: accept_now(settings, StateFolder(settings), ORDERS)):
        before = read_facts(stopped)
        go()
        facts = read_facts(stopped)
        assert facts is not None and facts.inputs is not None
        assert (facts.token, facts.scratch) == (11, Scratch(10, [2]))
        assert [one.id for one in facts.inputs.topics[ORDERS].earlier] == [f"id-{ORDERS}"]
        assert before is not None
        write_facts(stopped, before)


def test_the_state_of_another_version_is_not_written_to(settings: Settings, stopped: Path) -> None:
    facts = read_facts(stopped)
    assert facts is not None
    facts.format = 99
    write_facts(stopped, facts)
    with pytest.raises(SettingsError, match="format 99"):
        accept(settings, ORDERS)
    stopped.write_bytes(b"")
    with pytest.raises(StateRefused, match="is empty"):
        accept(settings, ORDERS)


def test_a_disk_that_takes_nothing_is_said_in_a_sentence(
    settings: Settings, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flows.storage.folder.write_facts", full)
    with pytest.raises(AcceptProblem, match=r"cannot be written \(No space left on device\): say it as"):
        accept(settings, ORDERS)


def test_all_that_root_leaves_there_belongs_to_the_engines_user(
    settings: Settings, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: set[str] = set()
    monkeypatch.setattr("flows.storage.folder.os.geteuid", lambda: 0)
    monkeypatch.setattr("flows.storage.folder.os.chown", lambda path, *_: given.add(path.name))
    accept(settings, ORDERS)
    assert given == {"lock", f"{FACTS}.tmp"}
    given.clear()
    monkeypatch.setattr(accepting, "ANSWER_TIMEOUT_S", 0.0)
    with pytest.raises(AcceptProblem, match="did not answer"):
        accepting._ask(settings.state.dir, ORDERS)
    assert given == {f"{REQUEST}.tmp"}


def test_a_complaint_is_made_once_until_something_comes_again() -> None:
    complaints = Complaints()
    unknown, timed_out = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), KafkaError(KafkaError._TIMED_OUT)
    assert [complaints.is_new("a", error) for error in (unknown, unknown, timed_out)] == [True, False, True]
    assert complaints.is_new("b", unknown)
    complaints.forget("a")
    assert complaints.is_new("a", unknown) and not complaints.is_new("b", unknown)


def test_since_when_a_topic_made_again_holds_its_records_is_read_from_the_state(settings: Settings) -> None:
    from flows.recovery.accepting import accepted_at_ms

    assert accepted_at_ms(settings) == {}
    settings.state.dir.mkdir()
    earlier = [Earlier("1", 2, 5_000_000), Earlier("2", 1, 7_000_000)]
    StateFolder(settings).keep_token(3, inputs(orders=TopicFacts("3", 2, earlier)))
    assert accepted_at_ms(settings) == {ORDERS: 7000}
