"""Layers that are not sealed yet: one file a process, synced once an epoch, deleted when no snapshot names it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.runtime.epoch_end import EpochEnd
from flows.storage import layers as module
from flows.storage.layers import WRITE_FROM, LayerError, LayerFiles
from operators.shard import RETIRE_AFTER, Kept

FILE_BYTES = 1000


@pytest.fixture
def files(tmp_path: Path) -> LayerFiles:
    return LayerFiles(tmp_path / "layers", token=7, worker=3, file_bytes=FILE_BYTES)


def names(files: LayerFiles) -> list[str]:
    return sorted(path.name for path in files._folder.iterdir())


def epoch(files: LayerFiles, shard: int = 0, size: int = 10) -> Kept:
    """A shard has changed, and names that alone."""
    kept = files.keep(os.urandom(size))
    files.use(shard, [kept])
    files.sync()
    return kept


def test_what_was_kept_is_read_by_the_next_run_as_it_was(files: LayerFiles, tmp_path: Path) -> None:
    kept = [files.keep(layer) for layer in (b"one", b"", b"three")]
    files.sync()
    later = LayerFiles(tmp_path / "layers", token=8)
    assert [later.read(place) for place in kept] == [b"one", b"", b"three"]


def test_a_sync_comes_after_all_that_was_kept_and_only_where_something_was(
    files: LayerFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    sync = os.fdatasync
    monkeypatch.setattr(module.os, "fdatasync", lambda one: (seen.append(os.fstat(one).st_size), sync(one)))
    files.sync()
    assert seen == []
    files.keep(b"12345")
    files.keep(b"678")
    files.sync()
    files.sync()
    assert seen == [8]


def test_much_is_written_before_the_epoch_ends(files: LayerFiles) -> None:
    files.keep(bytes(WRITE_FROM - 1))
    [name] = names(files)
    assert (files._folder / name).stat().st_size == 0
    files.keep(b"1")
    assert (files._folder / name).stat().st_size == WRITE_FROM == files.written


@pytest.mark.parametrize("how", ["shorter", "changed", "gone"])
def test_a_damaged_file_stops_the_start_with_its_name(files: LayerFiles, how: str) -> None:
    kept = epoch(files)
    path = files._folder / kept[0]
    if how == "shorter":
        os.truncate(path, 9)
    elif how == "changed":
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.unlink()
    with pytest.raises(LayerError, match=f"{path}.*restore state.dir"):
        files.read(kept)


def test_a_full_file_is_followed_by_another_at_the_end_of_an_epoch(files: LayerFiles) -> None:
    kept = [epoch(files, size=size) for size in (FILE_BYTES - 1, 1, 1)]
    assert [place[:3] for place in kept] == [
        ("00000007-03-00000001.lay", 0, FILE_BYTES - 1),
        ("00000007-03-00000001.lay", FILE_BYTES - 1, 1),
        ("00000007-03-00000002.lay", 0, 1),
    ]


def test_what_lies_in_the_two_newest_files_is_recent_and_what_another_run_wrote_is_not(files: LayerFiles) -> None:
    kept = [epoch(files, size=FILE_BYTES) for _ in range(3)]
    assert [files.is_recent(place) for place in kept] == [False, True, True]
    assert not files.is_recent(("00000006-03-00000003.lay", 0, 1, 0))
    assert not files.is_recent(("", 0, 0, 0))
    assert not LayerFiles(files._folder, token=9).is_recent(("", 0, 0, 0)), "nothing was written yet"


def test_a_file_goes_so_many_epochs_after_the_last_shard_stopped_naming_it(files: LayerFiles) -> None:
    first, second = files.keep(bytes(FILE_BYTES)), files.keep(b"2")
    files.use(1, [first])
    files.use(2, [second])
    files.sync()
    epoch(files, 1)
    for _ in range(RETIRE_AFTER + 1):
        epoch(files, 1)
    assert names(files) == ["00000007-03-00000001.lay", "00000007-03-00000002.lay"], "the second shard names it still"
    for _ in range(RETIRE_AFTER):
        epoch(files, 2)
    assert names(files) == ["00000007-03-00000001.lay", "00000007-03-00000002.lay"]
    epoch(files, 2)
    assert names(files) == ["00000007-03-00000002.lay"]


def test_files_of_older_runs_go_when_all_shards_have_written_again_what_they_had_there(
    files: LayerFiles, tmp_path: Path
) -> None:
    epoch(files)
    beside = LayerFiles(tmp_path / "layers", token=8, worker=1)
    epoch(beside)
    later = LayerFiles(tmp_path / "layers", token=8, worker=0)
    (tmp_path / "layers" / "notes.txt").write_text("somebody's")
    for _ in range(RETIRE_AFTER):
        epoch(later)
    assert "00000007-03-00000001.lay" in names(later)
    epoch(later)
    assert names(later) == ["00000008-00-00000001.lay", "00000008-01-00000001.lay", "notes.txt"]


def test_what_runs_left_that_were_too_short_goes_when_the_next_one_ends_its_first_epoch(tmp_path: Path) -> None:
    def run(token: int, resumed: list[Kept]) -> list[Kept]:
        files = LayerFiles(tmp_path, token)
        again = [files.keep(files.read(place)) for place in resumed]
        if not again:
            again = [files.keep(b"1")]
        files.use(0, again)
        files.sync()
        files.close()
        return again

    kept = run(1, [])
    run(2, kept)  # dies before its first epoch is committed: the next one resumes from what the first had
    kept = run(3, kept)
    assert sorted(path.name[:8] for path in tmp_path.iterdir()) == ["00000001", "00000003"]
    for token in (4, 5, 6):
        kept = run(token, kept)
    assert sorted(path.name[:8] for path in tmp_path.iterdir()) == ["00000005", "00000006"]


def test_a_disk_that_takes_a_part_of_a_write_gets_the_rest(files: LayerFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda one, content: write(one, content[:3]))
    kept = epoch(files, size=10)
    monkeypatch.undo()
    assert len(files.read(kept)) == 10


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_disk_that_refuses_fails_the_epoch(files: LayerFiles, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, call, refuse)
    files.keep(b"1")
    with pytest.raises(OSError, match="No space"):
        files.sync()


# --- when it is synced


def synced(when: Callable[[EpochEnd], None]) -> int:
    syncs: list[int] = []
    when(EpochEnd(lambda: syncs.append(1)))
    return len(syncs)


def test_the_last_shard_that_was_reached_makes_all_safe() -> None:
    def two(end: EpochEnd) -> None:
        end.reach(1)
        end.reach(2)
        end.reach(1)
        end.answer(2)

    assert synced(two) == 0
    assert synced(lambda end: (two(end), end.answer(1))[0]) == 1


def test_a_shard_that_nothing_is_known_to_have_reached_makes_all_safe() -> None:
    assert synced(lambda end: end.answer(5)) == 1


def test_a_shard_that_was_not_asked_after_all_does_not_keep_the_next_epochs_from_being_safe() -> None:
    def forgotten(end: EpochEnd) -> None:
        end.reach(1)
        end.reach(2)
        end.answer(1)
        end.reach(1)  # the next epoch has begun

    assert synced(forgotten) == 1
    assert synced(lambda end: (forgotten(end), end.answer(1))[0]) == 2
