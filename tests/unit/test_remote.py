"""Copies of the state: what belongs to one epoch, what goes up, what is cleared away, and what is taken up."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from flows.remote import cut as cutting
from flows.remote.beginning import begin_with_newest, refuse_from_scratch
from flows.remote.copying import Copier, RemoteCopies, Superseded
from flows.remote.cut import CutFile, Damaged, NoCut, Piece, read_part, take_cut
from flows.remote.manifest import MANIFESTS, VERSION, Place, place_of
from flows.remote.objects import Missing, Objects, RemoteProblem, open_objects
from flows.remote.taking_up import INCOMING, copies_in, gather, take_up
from flows.settings import load_settings
from flows.storage.facts import FACTS, StateRefused, read_facts, write_facts
from flows.storage.folder import StateFolder
from flows.storage.recovery_store import committed_epoch
from operators.shard import RETIRE_AFTER
from schemas.settings import Settings, SettingsError

FIXTURE = Path(__file__).parent.parent / "fixtures/state-4/state"
SHARDS = 4


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory as an engine left it."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "state"))


@pytest.fixture
def settings(tmp_path: Path, state: Path) -> Settings:
    """Of an engine that copies it to a folder."""
    return of(tmp_path, state)


def settings_with(**told: object) -> Settings:
    return load_settings(None, told)


def of(tmp_path: Path, state: Path, **more: object) -> Settings:
    return settings_with(shards=SHARDS, **{"state.dir": str(state), "state.remote": str(tmp_path / "remote"), **more})


def copier(settings: Settings) -> Copier:
    return Copier(open_objects(settings), settings.state.dir)


def advance(state: Path, epochs: int = 1, token: int | None = None) -> None:
    """As if the engine had committed more epochs, of a newer run where a token is told."""
    with closing(sqlite3.connect(state / "recovery/part-0.sqlite3")) as store:
        store.execute("UPDATE fronts SET worker_frontier = worker_frontier + ?", (epochs,))
        store.commit()
    if token is not None:
        facts = read_facts(state / FACTS)
        assert facts is not None
        facts.token = token
        write_facts(state / FACTS, facts)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files_of_state(folder: Path) -> dict[str, bytes]:
    """All but the recovery store, whose bytes differ although it says the same, and the lock."""
    return {name: raw for name, raw in content(folder).items() if name.startswith("segments")}


def test_a_cut_holds_what_one_epoch_names(state: Path, tmp_path: Path) -> None:
    cut = take_cut(state, tmp_path / "cut")
    assert cut.epoch == committed_epoch(state / "recovery")
    assert {file.path for file in cut.state} == set(files_of_state(state))
    assert cut.facts.shards == SHARDS
    assert [file.path for file in cut.store] == ["recovery/part-0.sqlite3"]


def test_of_a_file_that_grows_a_cut_takes_what_the_snapshots_name(state: Path, tmp_path: Path) -> None:
    [layer] = (state / "segments/layers").iterdir()
    size = layer.stat().st_size
    with layer.open("ab") as file:
        file.write(b"not yet committed")
    cut = take_cut(state, tmp_path / "cut")
    assert [file.size for file in cut.state] == [size]


def test_a_cut_does_not_wait_for_a_writer_and_does_not_see_what_it_has_not_committed(
    state: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(state / "recovery/part-0.sqlite3", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE fronts SET worker_frontier = 999")
        cut = take_cut(state, tmp_path / "cut")
        writer.execute("ROLLBACK")
    assert cut.epoch == committed_epoch(state / "recovery") != 999


def test_what_is_deleted_before_it_could_be_linked_makes_the_cut_anew(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, calls = cutting._link, []

    def late(path: Path, to: Path) -> Path:
        calls.append(path)
        if len(calls) == 1:
            raise FileNotFoundError(path)
        return link(path, to)

    monkeypatch.setattr(cutting, "_link", late)
    assert take_cut(state, tmp_path / "cut").state
    assert len(calls) == 2
    assert RETIRE_AFTER >= 1  # files outlive the epoch that let go of them: this is seldom


def test_what_a_disk_has_changed_takes_no_whole_copys_place_not_even_once_it_is_whole_again(
    settings: Settings, state: Path
) -> None:
    [path] = (state / "segments/layers").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(Damaged, match=f"state file segments/layers/{path.name} is damaged"):
        copier(settings).copy()
    assert copies_in(open_objects(settings)) == []
    path.write_bytes(whole)
    manifest = copier(settings).copy()
    assert manifest == gather(open_objects(settings), state)
    assert (state / INCOMING / path.relative_to(state)).read_bytes() == whole


def test_bytes_are_held_against_what_a_snapshot_says_of_them(tmp_path: Path) -> None:
    path = tmp_path / "sealed"
    path.write_bytes(b"sound")
    piece = Piece(0, 5, zlib.crc32(b"sound"))
    file = CutFile("segments/0001/sealed", path, 5, True, (piece,))
    assert read_part(file, 0, 5) == (b"sound", piece.checksum)
    path.write_bytes(b"sounD")
    with pytest.raises(Damaged, match=r"segments/0001/sealed is damaged \(5 bytes at 0\)"):
        read_part(file, 0, 5)
    path.write_bytes(b"soun")
    with pytest.raises(Damaged, match="has 4 bytes at 0, expected 5"):
        read_part(file, 0, 5)


def test_an_empty_directory_has_nothing_to_copy(tmp_path: Path) -> None:
    with pytest.raises(NoCut):
        take_cut(tmp_path, tmp_path / "cut")


def test_files_of_the_store_whose_moments_differ_too_much_make_no_cut(state: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(state / "recovery/part-0.sqlite3")) as store:
        store.execute("UPDATE commits SET commit_epoch = 1000")
        store.commit()
    with pytest.raises(NoCut, match="20 times"):
        take_cut(state, tmp_path / "cut")


def test_a_copy_is_taken_up_elsewhere_byte_for_byte(settings: Settings, state: Path, tmp_path: Path) -> None:
    manifest = copier(settings).copy()
    assert manifest is not None
    elsewhere = of(tmp_path, tmp_path / "elsewhere")
    folder = StateFolder(elsewhere)
    folder.open()
    begin_with_newest(elsewhere, folder)
    assert folder.epoch == manifest.epoch == committed_epoch(state / "recovery")
    assert files_of_state(folder.path) == files_of_state(state)
    assert read_facts(folder.path / FACTS) == read_facts(state / FACTS)
    assert not (folder.path / INCOMING).exists()
    folder.close()
    assert rows_of(folder.path) == rows_of(state)


def rows_of(state: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(state / "recovery/part-0.sqlite3")) as store:
        return sorted(store.execute("SELECT step_id, state_key, snap_epoch, ser_change FROM snaps").fetchall())


def test_what_is_there_is_not_sent_again(settings: Settings, state: Path) -> None:
    one = copier(settings)
    first = one.copy()
    assert first is not None and one.copy() is None
    sent = one.sent
    advance(state)
    second = one.copy()
    assert second is not None and second.epoch == first.epoch + 1
    assert one.sent - sent < 100_000  # the recovery store, compressed
    again = copier(settings)
    advance(state)
    again.copy()
    assert again.sent < 100_000  # another process finds it there


def test_a_file_that_grows_goes_up_by_parts(settings: Settings, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = copier(settings)
    take = cutting.named_in
    first = [True]

    def less(raw: bytes) -> object:
        shard, sealed, kept = take(raw)
        return shard, sealed, [place for place in kept if place[1] == 0] if first[0] else kept

    monkeypatch.setattr(cutting, "named_in", less)
    before = one.copy()
    first[0] = False
    advance(state)
    after = one.copy()
    assert before is not None and after is not None
    [short] = [file for file in before.files if "layers" in file.path]
    [long] = [file for file in after.files if "layers" in file.path]
    assert short.size < long.size and long.parts[0] == short.parts[0] and len(long.parts) == 2


def test_the_two_newest_copies_stay_and_nothing_else(settings: Settings, state: Path) -> None:
    one, objects = copier(settings), open_objects(settings)
    places = []
    for _ in range(4):
        one.copy()
        assert one.place is not None
        places.append(one.place)
        advance(state)
    assert copies_in(objects) == [places[3], places[2]]
    assert len(objects.names("recovery")) == 2
    (state / "recovery-of").mkdir()
    for name in content(Path(objects.address)):
        assert name.split("/")[0] in {MANIFESTS, "segments", "layers", "recovery"}


def test_a_run_that_was_followed_copies_and_removes_nothing(settings: Settings, state: Path, tmp_path: Path) -> None:
    old = copier(settings)
    old.copy()
    newer = Path(shutil.copytree(state, tmp_path / "newer"))
    advance(newer, token=9)
    copier(of(tmp_path, newer)).copy()
    there = content(Path(open_objects(settings).address))
    advance(state)
    with pytest.raises(Superseded, match="run 9"):
        old.copy()
    assert content(Path(open_objects(settings).address)) == there


def test_an_object_that_somebody_cleared_away_is_sent_again(settings: Settings, state: Path, tmp_path: Path) -> None:
    one, objects = copier(settings), open_objects(settings)
    one.copy()
    objects.delete([*objects.names("layers"), *objects.names("segments")])
    advance(state)
    manifest = one.copy()
    assert manifest is not None
    assert manifest.objects() <= {name for some in ("layers", "segments", "recovery") for name in objects.names(some)}


def test_where_an_object_of_the_newest_copy_is_gone_the_one_before_is_taken(settings: Settings, state: Path) -> None:
    one, objects = copier(settings), open_objects(settings)
    first = one.copy()
    advance(state)
    second = one.copy()
    assert first is not None and second is not None
    objects.delete(second.objects() - first.objects())
    manifest = gather(objects, state)
    assert manifest is not None and manifest.epoch == first.epoch


def test_where_both_are_not_whole_it_says_what_is_missing(settings: Settings, state: Path) -> None:
    objects = open_objects(settings)
    copier(settings).copy()
    objects.delete(objects.names("layers"))
    with pytest.raises(Missing, match=r"layers/.* is not in"):
        gather(objects, state)


def test_a_damaged_object_is_named_and_not_taken(settings: Settings, state: Path, tmp_path: Path) -> None:
    objects = open_objects(settings)
    copier(settings).copy()
    [name, *_] = objects.names("layers")
    objects.put(name, b"x" * len(objects.get(name)))
    elsewhere = of(tmp_path, tmp_path / "elsewhere")
    folder = StateFolder(elsewhere)
    folder.open()
    with pytest.raises(RemoteProblem, match=r"layers/.* is damaged \(expected \d+ bytes with checksum"):
        begin_with_newest(elsewhere, folder)
    assert folder.epoch is None
    folder.close()


def test_what_was_gathered_before_is_not_fetched_again(
    settings: Settings, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copier(settings).copy()
    objects, elsewhere = open_objects(settings), tmp_path / "elsewhere"
    gather(objects, elsewhere)
    asked: list[str] = []
    get = Objects.get
    monkeypatch.setattr(Objects, "get", lambda self, name: (asked.append(name), get(self, name))[1])
    gather(objects, elsewhere)
    assert {name.split("/")[0] for name in asked} == {MANIFESTS, "recovery"}


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"version":1}', "cannot be read .*missing required field"),
        (b"", "cannot be read"),
        (b"\xff", "cannot be read"),
    ],
)
def test_a_manifest_that_this_version_cannot_read_is_refused_with_what_would_do(
    settings: Settings, raw: bytes, says: str
) -> None:
    objects = open_objects(settings)
    objects.put(Place(99, 1).name, raw)
    with pytest.raises(RemoteProblem, match=says):
        gather(objects, settings.state.dir)


@pytest.mark.parametrize("what", ["form", "format"])
def test_what_a_newer_version_wrote_is_refused_by_its_name_and_what_is_here_stays(
    settings: Settings, state: Path, what: str
) -> None:
    """Whoever goes back to an older version must be told, not begin anew or with the copy before."""
    copier(settings).copy()
    objects = open_objects(settings)
    newer = json.loads(objects.get(copies_in(objects)[0].name))
    newer["engine"] = newer["facts"]["engine"] = "9.9.0"
    newer |= {"version": VERSION + 1} if what == "form" else {}
    newer["facts"]["format"] += what == "format"
    objects.put(Place(99, 1).name, json.dumps(newer).encode())
    before = content(state)
    folder = StateFolder(settings)
    folder.open()
    try:
        with pytest.raises(StateRefused) as refused:
            begin_with_newest(settings, folder)
    finally:
        folder.close()
    assert "which atp-engine 9.9.0 wrote; this is atp-engine" in refused.value.seen
    assert refused.value.remedy == "run that version, or name an empty place in state.remote"
    assert files_of_state(state) == {name: raw for name, raw in before.items() if name.startswith("segments")}
    assert not list(state.glob("older-*"))


def test_whatever_goes_wrong_it_tries_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = RemoteCopies(settings)
    with monkeypatch.context() as broken:
        broken.setattr(cutting, "_named", lambda *_: 1 / 0)
        assert copies._copy() and copies.failures == 1
    assert copies._copy() and copies.copied_at is not None


@pytest.mark.parametrize("name", ["manifests/x.json", "manifests/1-2.json", "manifests/00000001-000000000002.txt"])
def test_what_is_no_manifest_of_ours_is_left_alone(settings: Settings, name: str) -> None:
    objects = open_objects(settings)
    objects.put(name, b"?")
    assert place_of(name) is None
    copier(settings).copy()
    assert len(copies_in(objects)) == 1 and name in objects.names(MANIFESTS)


def test_other_shards_are_refused(settings: Settings, tmp_path: Path) -> None:
    copier(settings).copy()
    elsewhere = settings_with(
        shards=8, **{"state.dir": str(tmp_path / "elsewhere"), "state.remote": str(tmp_path / "remote")}
    )
    folder = StateFolder(elsewhere)
    folder.open()
    with pytest.raises(StateRefused, match=r"made with shards=4, set is shards=8: set shards=4"):
        take_up(elsewhere, folder)
    folder.close()


def test_state_of_an_older_run_gives_way_to_a_newer_copy_and_is_kept(
    settings: Settings, state: Path, tmp_path: Path
) -> None:
    newer = Path(shutil.copytree(state, tmp_path / "newer"))
    advance(newer, 5, token=9)
    copier(of(tmp_path, newer)).copy()
    for _ in range(2):  # the second time there is nothing newer
        folder = StateFolder(settings)
        folder.open()
        begin_with_newest(settings, folder)
        folder.close()
    facts = read_facts(state / FACTS)
    assert facts is not None and facts.token == 9
    [aside] = state.glob("older-*")
    assert (aside / "recovery/part-0.sqlite3").exists()


def test_state_of_the_same_run_is_gone_on_with(settings: Settings, state: Path) -> None:
    copier(settings).copy()
    advance(state, 7)
    folder = StateFolder(settings)
    folder.open()
    before = folder.epoch
    begin_with_newest(settings, folder)
    assert folder.epoch == before
    folder.close()


def test_from_scratch_is_refused_where_a_copy_is_known(settings: Settings, tmp_path: Path) -> None:
    elsewhere = of(tmp_path, tmp_path / "elsewhere")
    refuse_from_scratch(elsewhere)
    copier(settings).copy()
    with pytest.raises(StateRefused, match=r"holds the state of run \d+ \(epoch \d+\), which it would throw away"):
        refuse_from_scratch(elsewhere)


def test_a_place_that_cannot_be_reached_stops_only_who_has_nothing_to_go_on_with(
    state: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bucket = {
        "state.remote": "s3://stock/atp",
        "state.remote_options": dict(
            endpoint="http://127.0.0.1:1", region="x", access_key_id="anybody", secret_access_key="anything"
        ),
    }
    with_state = of(tmp_path, state, **bucket)
    folder = StateFolder(with_state)
    folder.open()
    begin_with_newest(with_state, folder)
    folder.close()
    without = of(tmp_path, tmp_path / "elsewhere", **bucket)
    folder = StateFolder(without)
    folder.open()
    with pytest.raises(RemoteProblem, match=r"state.remote: manifests/ in s3://stock/atp cannot be listed .*atp check"):
        begin_with_newest(without, folder)
    folder.close()


def test_a_failing_place_is_counted_and_told_once(state: Path, tmp_path: Path) -> None:
    (tmp_path / "remote").write_text("a file, and no folder")
    copies = RemoteCopies(of(tmp_path, state))
    for _ in range(3):
        assert copies._copy()
    assert copies.failures == 3 and copies.copied_at is None


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("ftp://user:secret@host/place", 'got "ftp://..."'),
        ("s3://", "expected a folder"),
        ("s3://user:secret@host", 'got "s3://..."'),
        ("", "expected a folder"),
    ],
)
def test_a_remote_that_is_none_is_refused_at_the_start(address: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_with(**{"state.remote": address})
    assert says in str(refused.value) and "secret" not in str(refused.value)


def test_options_without_a_bucket_are_refused() -> None:
    with pytest.raises(SettingsError, match="remote_options beside the address of a bucket"):
        settings_with(**{"state.remote": "/mnt/x", "state.remote_options": {"region": "x"}})


def test_an_option_that_the_kind_of_bucket_does_not_know_is_refused(tmp_path: Path) -> None:
    wrong = settings_with(**{"state.remote": "s3://stock/atp", "state.remote_options": {"nonsense": "x"}})
    with pytest.raises(SettingsError, match="nonsense"):
        open_objects(wrong)
