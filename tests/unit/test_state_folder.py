"""Whose rights to a state directory are taken away, and whose its files are."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from flows.settings import load_settings
from flows.storage.facts import ENGINE, FACTS, Facts, StateRefused, read_facts, write_facts
from flows.storage.folder import StateFolder, tighten
from operators.ledger import FORMAT


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def loosened(folder: Path, *names: str) -> Path:
    """Make a folder that others may read, with files in it that they may read too."""
    folder.mkdir()
    for name in names:
        (folder / name).touch()
        (folder / name).chmod(0o644)
    folder.chmod(0o755)
    return folder


def test_a_folder_of_somebody_else_that_is_named_by_mistake_keeps_its_rights(tmp_path: Path) -> None:
    home = loosened(tmp_path / "home", "lock", "photo.jpg")
    tighten(home)
    assert (mode(home), mode(home / "lock"), mode(home / "photo.jpg")) == (0o755, 0o644, 0o644)


@pytest.mark.parametrize("names", [(), ("lock",), ("lock", "engine.json.tmp"), (FACTS, "photo.jpg")])
def test_the_folder_of_an_engine_is_for_its_user_alone(tmp_path: Path, names: tuple[str, ...]) -> None:
    ours = loosened(tmp_path / "state", *names)
    tighten(ours)
    assert mode(ours) == 0o700
    assert {name: mode(ours / name) for name in names} == {
        name: 0o644 if name == "photo.jpg" else 0o600 for name in names
    }


def test_state_of_a_newer_format_is_refused_with_the_version_that_wrote_it(tmp_path: Path) -> None:
    settings = load_settings(None, {"state.dir": str(tmp_path), "shards": 8})
    for engine, name in (("9.9.0", "atp-engine 9.9.0"), ("", "another version of atp-engine")):
        write_facts(tmp_path / FACTS, Facts(FORMAT + 1, 4, engine=engine))
        before = (tmp_path / FACTS).read_bytes()
        folder = StateFolder(settings)
        with pytest.raises(StateRefused) as refused:
            folder.open()
        folder.close()
        assert (
            f"holds state of format {FORMAT + 1}, which {name} wrote; this is atp-engine {ENGINE}" in refused.value.seen
        )
        assert f"reads formats 1 to {FORMAT}" in refused.value.seen, "and not that shards differ"
        assert "run that version, or restore what was backed up before the upgrade" in refused.value.remedy
        assert (tmp_path / FACTS).read_bytes() == before


def test_a_run_notes_which_version_writes_the_state_from_now_on(tmp_path: Path) -> None:
    settings = load_settings(None, {"state.dir": str(tmp_path), "shards": 4})
    write_facts(tmp_path / FACTS, Facts(FORMAT - 1, 4, 6, engine="0.0.1"))
    folder = StateFolder(settings)
    folder.open()
    folder.keep_token(7)
    folder.close()
    assert read_facts(tmp_path / FACTS) == Facts(FORMAT, 4, 7, engine=ENGINE)


@pytest.mark.parametrize("user", [0, 1000])
def test_what_root_writes_there_belongs_to_the_folders_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    given: list[tuple[str, int, int]] = []

    def chown(path: Path, owner: int, group: int) -> None:
        given.append((path.name, owner, group))
        raise PermissionError(1, "no owners here")

    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "chown", chown)
    write_facts(tmp_path / FACTS, Facts(FORMAT, 4))
    owner = os.stat(tmp_path)
    assert given == ([(f"{FACTS}.tmp", owner.st_uid, owner.st_gid)] if user == 0 else [])
    assert mode(tmp_path / FACTS) == 0o600
