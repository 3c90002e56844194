"""Which machines make up a cluster, which of them this is, what they hear of each other, and what keeps them apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.inspection.state_findings import state_findings
from flows.processes.agreement import difference, epoch_of_all, id_of_all, scratch_of_all, token_of_all
from flows.processes.link import TWIN_LOOKS, Link
from flows.processes.words import (
    PROTOCOL,
    Orders,
    Word,
    newest_of,
    read_orders,
    read_word,
    said_settings,
)
from flows.readmodel.port import Outage
from flows.runtime import machines as machines_module
from flows.runtime.machines import Machines, machines_of
from flows.settings import load_settings
from flows.storage.facts import Facts, Scratch, StateRefused
from flows.storage.folder import StateFolder
from flows.storage.membership import Membership
from flows.storage.recovery_store import StoreFacts, committed_epoch
from schemas.settings import Settings, SettingsError
from tests.running import until

NAMES = "atp-0.atp,atp-1.atp:7000,atp-2.atp"


@pytest.fixture
def set_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    (tmp_path / "atp.toml").touch()
    monkeypatch.setattr(machines_module.socket, "gethostname", lambda: "build-host")

    def load(**given: object) -> Settings:
        named = {name.replace("__", "."): value for name, value in given.items()}
        return load_settings(tmp_path / "atp.toml", {"state.dir": str(tmp_path / "state"), **named})

    return load


def at(settings: Settings) -> Machines:
    machines = machines_of(settings)
    assert machines is not None
    return machines


# --- which of them ----------------------------------------------------------------------------------------------------


def test_an_engine_without_machines_or_with_one_is_alone(set_to: Callable[..., Settings]) -> None:
    assert machines_of(set_to()) is None
    assert machines_of(set_to(cluster__machines="atp-0.atp")) is None


@pytest.mark.parametrize(
    ("host", "this"), [("atp-1", 1), ("atp-1.atp", 1), ("atp-2.atp.shop.svc.cluster.local", 2), ("other-0", 0)]
)
def test_a_stateful_sets_host_name_says_which_it_is(
    host: str, this: int, set_to: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines_module.socket, "gethostname", lambda: host)
    assert at(set_to(cluster__machines=NAMES)).this == this


@pytest.mark.parametrize(("said", "this"), [("2", 2), ("atp-1.atp:7000", 1), ("atp-1.atp", 1), ("atp-0.atp", 0)])
def test_it_may_be_said_by_place_or_name(said: str, this: int, set_to: Callable[..., Settings]) -> None:
    assert at(set_to(cluster__machines=NAMES, cluster__this=said)).this == this


@pytest.mark.parametrize("said", ["3", "atp-9.atp", "auto"])
def test_what_names_none_of_them_is_refused(said: str, set_to: Callable[..., Settings]) -> None:
    with pytest.raises(SettingsError, match=r"cluster\.this: .*0 atp-0\.atp, 1 atp-1\.atp:7000, 2 atp-2\.atp"):
        machines_of(set_to(cluster__machines=NAMES, cluster__this=said))


def test_a_list_that_cannot_be_is_refused(set_to: Callable[..., Settings]) -> None:
    for wrong in ("a b", "a,a", "host:0", "host:70000", [1]):
        with pytest.raises(SettingsError, match=r"cluster\.machines"):
            set_to(cluster__machines=wrong)
    with pytest.raises(SettingsError, match="shards, workers: expected at least one shard a worker, got 5 for 6"):
        set_to(cluster__machines=NAMES, workers=2, shards=5)
    with pytest.raises(SettingsError, match=r"state\.remote: expected none where cluster\.machines names several"):
        set_to(cluster__machines=NAMES, state__remote="/mnt/copies")


def test_workers_are_numbered_by_machine_and_found_by_name_and_port(set_to: Callable[..., Settings]) -> None:
    machines = at(set_to(cluster__machines=NAMES, cluster__this=1, workers=2, cluster__bind="0.0.0.0"))
    assert (machines.total, machines.others, list(machines.numbers(2))) == (6, [0, 2], [4, 5])
    assert machines.addresses(8) == (
        *("atp-0.atp:9470", "atp-0.atp:9471", "0.0.0.0:7000", "0.0.0.0:7001"),
        *("atp-2.atp:9470", "atp-2.atp:9471"),
    )
    assert list(machines.ports()) == [7000, 7001, 7002, 7003]


def test_two_runs_that_follow_each_other_have_no_port_in_common(set_to: Callable[..., Settings]) -> None:
    machines = at(set_to(cluster__machines=NAMES, cluster__this=0, workers=3))
    assert not set(machines.addresses(7)) & set(machines.addresses(8))
    assert machines.addresses(7) == machines.addresses(9)


# --- whether they fit together ----------------------------------------------------------------------------------------


def word(settings: Settings, store: StoreFacts | None = None, **facts: Any) -> Word:
    return Word(PROTOCOL, "boot", 1, "1", said_settings(settings), Facts(4, 64, **facts), store or StoreFacts())


def part(number: int, commit: int | None, of: int = 2, workers: int = 2) -> StoreFacts:
    """What one machine's file says; the newest execution's rows are in part 0."""
    first = number == 0
    return StoreFacts(
        {number: of},
        {3: (workers, 10)} if first else {},
        {3: [21, 21]} if first else {},
        {number: commit} if commit is not None else {},
        True,
    )


def test_the_same_settings_fit_wherever_kafka_and_state_are(set_to: Callable[..., Settings]) -> None:
    ours = word(set_to(cluster__machines=NAMES, cluster__this=0))
    theirs = set_to(cluster__machines=NAMES, cluster__this=1, kafka__bootstrap_servers="b:1", log__level="debug")
    assert difference(ours, word(theirs)) == ""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("shards", 32, "shards is 32 there and 64 here"),
        ("workers", 2, "workers is 2 there and 1 here"),
        ("cluster__machines", "atp-0.atp,atp-2.atp", "cluster.machines is"),
        ("redis__prefix", "b:", "redis.prefix is b: there and not set here"),
    ],
)
def test_what_differs_is_named(name: str, value: object, said: str, set_to: Callable[..., Settings]) -> None:
    ours = word(set_to(cluster__machines=NAMES, cluster__this=0))
    theirs = word(set_to(**{"cluster__machines": NAMES, "cluster__this": 0, name: value}))
    assert said in difference(ours, theirs)


def test_what_one_source_may_do_is_the_same_everywhere(set_to: Callable[..., Settings]) -> None:
    ours = word(set_to(cluster__machines=NAMES, cluster__this=0))
    theirs = word(set_to(cluster__machines=NAMES, cluster__this=0, **{"sources.wms.dedup_window": "12h"}))
    assert "sources.wms.dedup_window is" in difference(ours, theirs)


def test_another_version_is_said_and_not_compared(set_to: Callable[..., Settings]) -> None:
    ours = word(set_to(cluster__machines=NAMES, cluster__this=0))
    newer = msgspec.structs.replace(ours, version="2", settings={})
    assert difference(ours, newer) == "it is 2, this one 1: run one version"
    raw = msgspec.json.encode({"protocol": PROTOCOL + 1, "boot": "b", "beat": 7, "more": [1]})
    other = read_word(raw)
    assert other is not None and (other.boot, other.beat) == ("b", 7)
    assert "another version of the engine" in difference(ours, other)
    assert read_orders(raw) is None and read_word(b"\xff") is None and read_orders(b"{") is None


def test_all_parts_of_one_moment_are_a_state(set_to: Callable[..., Settings]) -> None:
    settings = set_to(cluster__machines="a,b", cluster__this=0)
    words = {0: word(settings, part(0, 20)), 1: word(settings, part(1, 19))}
    assert epoch_of_all(at(settings), words) == 21
    assert epoch_of_all(at(settings), {0: word(settings), 1: word(settings)}) is None
    begun = StoreFacts({0: 2})
    assert epoch_of_all(at(settings), {0: word(settings, begun), 1: word(settings)}) is None


@pytest.mark.parametrize(
    ("store", "said"),
    [
        pytest.param(StoreFacts(), r"machine 1 \(b\) holds no state, and the others do \(epoch 21\)", id="disk-lost"),
        pytest.param(part(1, None), r"machine 1 \(b\) holds no state, and others hold epoch 20", id="made-anew"),
        pytest.param(part(1, 12), r"machine 1 \(b\) holds state of epoch 12, and others hold epoch 20", id="older"),
        pytest.param(part(0, 20, of=1), "holds no state", id="of-one-machine"),
    ],
)
def test_a_part_that_is_missing_or_of_another_moment_is_refused(
    store: StoreFacts, said: str, set_to: Callable[..., Settings]
) -> None:
    settings = set_to(cluster__machines="a,b", cluster__this=0)
    with pytest.raises(StateRefused, match=said):
        epoch_of_all(at(settings), {0: word(settings, part(0, 20)), 1: word(settings, store)})


def test_parts_of_two_clusters_are_refused(set_to: Callable[..., Settings]) -> None:
    settings = set_to(cluster__machines="a,b", cluster__this=0)
    words = {n: word(settings, part(n, 20), cluster=Membership(f"id{n}", 2, n, 1), token=5 + n) for n in (0, 1)}
    with pytest.raises(StateRefused, match=r"machine 1 \(b\) holds the state of another cluster than machine 0 \(a\)"):
        epoch_of_all(at(settings), words)
    assert (id_of_all(words), token_of_all(words)) == ("id0", 6)
    assert id_of_all({0: word(settings)}) == ""


def test_a_start_from_scratch_is_through_when_each_shard_is_so_somewhere(set_to: Callable[..., Settings]) -> None:
    settings = set_to()

    def left(*shards: int, token: int = 7) -> Word:
        return word(settings, scratch=Scratch(token, list(shards)))

    leading = Scratch(7, [0, 1, 3])
    assert scratch_of_all(leading, {0: left(0, 1, 3), 1: left(1, 2, 3)}) == Scratch(7, [1, 3])
    assert scratch_of_all(leading, {0: left(0, 1, 3), 1: left(2)}) is None
    assert scratch_of_all(leading, {1: left(2, token=6)}) == leading  # of an earlier try
    assert scratch_of_all(None, {1: left(2)}) is None


def test_of_a_store_only_the_newest_execution_is_told() -> None:
    store = StoreFacts({0: 1}, {1: (2, 1), 2: (2, 9)}, {1: [8, 8], 2: [12, 13]}, {0: 11}, True)
    assert newest_of(store) == StoreFacts({0: 1}, {2: (2, 9)}, {2: [12, 13]}, {0: 11}, True)
    assert newest_of(StoreFacts()) == StoreFacts()


# --- the state directory ----------------------------------------------------------------------------------------------


def folder_of(settings: Settings, cluster: Membership | None) -> StateFolder:
    folder = StateFolder(settings)
    folder.open()
    if cluster is not None:
        folder.keep_membership(3, cluster, None)
    return folder


def test_each_machine_makes_its_files_of_the_recovery_store(set_to: Callable[..., Settings]) -> None:
    settings = set_to(cluster__machines="a,b,c", cluster__this=1, state__recovery_partitions=2)
    folder = folder_of(settings, Membership("x", 3, 1, 1))
    folder.make_store()
    there = sorted(path.name for path in (folder.path / "recovery").iterdir() if path.suffix == ".sqlite3")
    assert there == ["part-1.sqlite3", "part-4.sqlite3"]
    folder.survey()
    assert folder.store.parts == {1: 6, 4: 6} and folder.epoch is None
    (folder.path / "recovery" / "part-4.sqlite3").unlink()
    with pytest.raises(StateRefused, match=r"lacks part-4\.sqlite3 of this machine's"):
        folder.survey()
    folder.close()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cluster__this": 0}, "holds the state of machine 1 of 3, with workers=1 on each, and this is machine 0 of 3"),
        ({"cluster__machines": "a,b"}, "and this is machine 1 of 2"),
        ({"workers": 2}, "and this is machine 1 of 3, with workers=2"),
        ({"cluster__machines": ""}, r"cluster\.machines: none, but .* holds the state of machine 1 of 3"),
    ],
)
def test_the_state_of_another_machine_or_cluster_is_refused(
    changed: dict[str, object], said: str, set_to: Callable[..., Settings]
) -> None:
    given: dict[str, object] = {"cluster__machines": "a,b,c", "cluster__this": 1}
    folder_of(set_to(**given), Membership("x", 3, 1, 1)).close()
    with pytest.raises(SettingsError, match=said):
        StateFolder(set_to(**{**given, **changed})).open()


def test_the_state_of_one_machine_alone_is_refused(set_to: Callable[..., Settings]) -> None:
    import shutil

    from tests.conftest import ROOT

    kept = ROOT / "tests" / "fixtures" / "state-4" / "state"
    settings = set_to(cluster__machines="a,b", cluster__this=0, shards=4)
    shutil.copytree(kept, settings.state.dir)
    assert committed_epoch(settings.state.dir / "recovery") is not None
    with pytest.raises(SettingsError, match=r"holds the state of an engine on one machine alone"):
        StateFolder(settings).open()


# --- what they hear of each other -------------------------------------------------------------------------------------


class Hash:
    """The hash in Redis, as several links see it."""

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.is_away = False

    def __call__(self, *_: object) -> Hash:
        return self

    def all_of(self, key: str) -> dict[bytes, bytes]:
        assert key == "engine:machines"
        if self.is_away:
            raise Outage("Redis does not answer")
        return dict(self.fields)

    def put(self, key: str, fields: dict[str, bytes]) -> None:
        if self.is_away:
            raise Outage("Redis does not answer")
        self.fields |= {name.encode(): value for name, value in fields.items()}

    def close(self) -> None:
        """Nothing to close."""


def link(settings: Settings, boot: str, there: Hash) -> Link:
    return Link(settings, at(settings), Word(PROTOCOL, boot), dict, connect=there)


def test_a_machine_is_heard_when_it_says_something_and_not_by_what_it_left(set_to: Callable[..., Settings]) -> None:
    there = Hash()
    one = link(set_to(cluster__machines="a,b", cluster__this=0), "one", there)
    two = link(set_to(cluster__machines="a,b", cluster__this=1), "two", there)
    two._beat()  # of before
    one._beat()
    assert one.word_of(1) is None and one.silent_s(1) == float("inf")
    two.say(run=7, is_running=True)
    two._beat()
    one._beat()
    heard = one.word_of(1)
    assert heard is not None and (heard.boot, heard.run, heard.is_running) == ("two", 7, True)
    assert one.silent_s(1) == 0.0
    one._beat()
    assert one.silent_s(1) > 0.0


def test_nobody_is_silent_while_redis_is_away(set_to: Callable[..., Settings]) -> None:
    there = Hash()
    one = link(set_to(cluster__machines="a,b", cluster__this=0), "one", there)
    two = link(set_to(cluster__machines="a,b", cluster__this=1), "two", there)
    for _ in range(2):
        two._beat()
        one._beat()
    there.is_away = True
    one._beat()
    assert one.silent_s(1) == 0.0 and one.word_of(1) is not None
    there.is_away = False
    one._beat()
    assert 0.0 <= one.silent_s(1) < 60.0


def test_orders_arrive_as_they_were(set_to: Callable[..., Settings]) -> None:
    there = Hash()
    one = link(set_to(cluster__machines="a,b", cluster__this=0), "one", there)
    two = link(set_to(cluster__machines="a,b", cluster__this=1), "two", there)
    orders = Orders(PROTOCOL, "one", 8, ["one", "two"], ends={"inventory.orders/0": 2**60}, scratch=(3, [1, 63]))
    one.order(orders)
    one._beat()
    two._beat()
    assert two.orders == orders


def test_two_processes_that_are_one_machine_are_found_out(set_to: Callable[..., Settings]) -> None:
    there = Hash()
    settings = set_to(cluster__machines="a,b", cluster__this=1)
    one, twin = link(settings, "one", there), link(settings, "twin", there)
    for _ in range(TWIN_LOOKS + 1):
        one.refuse_twin()
        one._beat()
        twin._beat()
    with pytest.raises(SettingsError, match=r"cluster\.this: another engine says that it is machine 1 \(b\), too"):
        one.refuse_twin()


def test_a_redis_that_went_back_once_makes_nobody_a_twin(set_to: Callable[..., Settings]) -> None:
    there = Hash()
    one = link(set_to(cluster__machines="a,b", cluster__this=1), "one", there)
    one._beat()
    there.fields[b"1"] = msgspec.json.encode(Word(PROTOCOL, "of before", 9))
    for _ in range(TWIN_LOOKS + 1):
        one._beat()
    one.refuse_twin()


def test_a_link_beats_by_itself_and_says_its_last_word(set_to: Callable[..., Settings]) -> None:
    there = Hash()
    one = link(set_to(cluster__machines="a,b", cluster__this=0), "one", there)
    one.start()
    until(lambda: b"0" in there.fields, 60, "a word")
    one.say(leaves=True)
    one.close()
    last = read_word(there.fields[b"0"])
    assert last is not None and last.leaves


def test_work_that_stands_still_and_waits_for_no_server_is_stuck() -> None:
    from flows.processes.leader import STUCK_S, is_stuck
    from flows.processes.words import Report

    def of(*states: tuple[float | None, float, float]) -> Word:
        named = (dict(zip(("epoch_age_s", "redis_waits_s", "kafka_waits_s"), state, strict=True)) for state in states)
        return Word(PROTOCOL, "b", reports={number: Report(state, {}) for number, state in enumerate(named)})

    assert is_stuck(of((STUCK_S + 1, 0, 0)))
    assert not is_stuck(of((STUCK_S, 0, 0)))
    assert not is_stuck(of((STUCK_S + 1, 0, 0), (STUCK_S + 1, 0.5, 0)))
    assert not is_stuck(of((STUCK_S + 1, 0, 9.0)))
    assert not is_stuck(of((None, 0, 0))) and not is_stuck(of())


def test_the_check_says_which_machine_it_is_on_and_whose_state_is_there(set_to: Callable[..., Settings]) -> None:
    given: dict[str, object] = {"cluster__machines": "a,b,c", "cluster__this": 1}
    folder = folder_of(set_to(**given), Membership("x", 3, 1, 1))
    folder.make_store()
    folder.close()

    def found(**changed: object) -> list[tuple[str, bool, str]]:
        findings = state_findings(set_to(**{**given, **changed}), kafka_answers=False)
        return [(one.subject, one.is_ok, one.seen) for one in findings if "machine" in one.subject]

    assert found() == [("machines", True, "machine 1 (b) of 3; its links are on ports 9470 to 9471")]
    [(subject, is_ok, seen)] = found(cluster__this=2)
    assert (subject, is_ok) == ("state and machines", False) and "holds the state of machine 1 of 3" in seen
    [(subject, is_ok, seen)] = found(cluster__this="z")
    assert (subject, is_ok) == ("machines", False) and "expected one of cluster.machines" in seen
