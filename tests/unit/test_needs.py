"""Decides whether the list of tools that tests need is read as it is meant."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import needs

ROOT = Path(__file__).parents[2]


def test_each_line_names_a_package_its_command_and_what_is_left_out() -> None:
    found = needs.needs(needs.LIST.read_text("utf-8"))
    assert {"kcat", "redis-server", "prometheus"} <= {need.package for need in found}
    assert len({need.package for need in found}) == len(found)
    assert all(need.purpose for need in found)


def test_only_what_is_not_here_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(needs, "LIST", tmp_path / "needs.txt")
    needs.LIST.write_text("# why\n\nbash  sh  scripts\nunicorns  no-such-command-here  riding\n")
    needs.main()
    said = capsys.readouterr().out
    assert "riding (no-such-command-here)" in said and "apt-get install unicorns\n" in said and "scripts" not in said


def test_nothing_is_said_where_nothing_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(needs, "LIST", tmp_path / "needs.txt")
    needs.LIST.write_text("bash  sh  scripts\n")
    needs.main()
    assert capsys.readouterr().out == ""


def test_the_script_of_the_pipeline_reads_the_same_list(tmp_path: Path) -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    (program,) = [line for line in script.splitlines() if line.startswith("absent=")]
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "needs.txt").write_text(
        "# why\n\nbash  sh  scripts\nunicorns  no-such-command-here  riding\n"
    )
    said = subprocess.run(
        ["bash", "-c", f'{program}; echo "$absent"'], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stdout == "unicorns\n"
