"""What Rust and C print goes beside the state, and does not fill the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.processes import noise
from flows.processes.noise import keep_small, noise_file
from flows.settings import load_settings
from schemas.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    config = tmp_path / "atp.toml"
    config.touch()
    return load_settings(config, {"state.dir": str(tmp_path), "workers": 2})


def test_a_file_that_grows_too_large_is_cut_while_it_is_written(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise, "FILE_MAX", 1000)
    monkeypatch.setattr(noise, "KEPT_MAX", 100)
    large, small = noise_file(settings, 0), noise_file(settings, 1)
    small.write_bytes(b"x" * 1000)
    with large.open("ab", buffering=0) as file:
        file.write(b"first" + b"x" * 1000 + b"last")
        keep_small(settings)
        file.write(b"more")
    assert large.read_bytes() == b"more"
    kept = large.with_name(f"{large.name}.old").read_bytes()
    assert len(kept) == 100 and kept.endswith(b"last")
    assert small.stat().st_size == 1000


def test_where_there_is_no_file_nothing_is_done(settings: Settings) -> None:
    keep_small(settings)
    assert not list(settings.state.dir.glob("worker-*"))
