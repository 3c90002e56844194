"""What runs in a clone of the repository leaves nothing there that git would take for a change or for a new file."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks import results
from benchmarks.__main__ import results_folder
from tests.conftest import ROOT
from tests.shop import open_shop, promised, take_in
from tests.snippets import blocks

#: What the pages have a reader write into the folder that they are in.
PAGES = ("README.md", "docs/quickstart.md", "docs/import.md", "docs/operations.md", "docs/recipes.md")


def git(folder: Path, *arguments: str) -> str:
    """Give what git says; fail the test with its complaint."""
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def not_ignored(folder: Path, names: set[str]) -> set[str]:
    """Give those of the names (of files that need not be there) that git would take for new files."""
    inside = {name for name in names if not name.startswith("/")}
    asked = subprocess.run(
        ["git", "-C", str(folder), "check-ignore", "--stdin"],
        input="\n".join(sorted(inside)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode in (0, 1), asked.stderr  # 1: none of them is ignored
    return inside - set(asked.stdout.splitlines())


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own with the files of this one as they stand now."""
    folder = tmp_path_factory.mktemp("clone")
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "all", "--no-verify")
    return folder


def test_no_state_of_an_engine_is_in_the_repository() -> None:
    kept = "tests/fixtures/"  # the state of an older version, which today's must read: there on purpose
    tracked = [name for name in git(ROOT, "ls-files").splitlines() if not name.startswith(kept)]
    left = re.compile(r"^state/|\.sqlite3|(^|/)engine\.json$|\.log$|^atp\.toml$")
    assert [name for name in tracked if left.search(name)] == []


def test_an_engine_run_in_a_clone_with_its_default_state_folder_leaves_git_status_clean(
    world: Any, clone: Path
) -> None:
    open_shop(world, items=1)
    take_in(world, 0, 5)
    env = world.env() | {"PYTHONPATH": str(clone)}
    del env["ATP_STATE__DIR"], env["ATP_CONFIG"]  # as for whoever has set nothing but the addresses
    for arguments in (("check",), ("run", "--until-caught-up")):
        done = subprocess.run(
            world.command(*arguments), cwd=clone, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert promised(world) == 5
    assert (clone / "state" / "engine.json").is_file(), "state.dir is a folder of the clone"
    assert git(clone, "status", "--porcelain") == ""


def test_what_the_pages_have_a_reader_write_is_ignored(clone: Path) -> None:
    written = {
        "atp.toml",
        "state/engine.json",
        ".state/x",
        ".cache/x",
        "flows/x.so",
        "node_modules/redis/x",
        "prometheus/wal",
    }
    for page in PAGES:
        for snippet in blocks(page, "sh") if (ROOT / page).is_file() else ():
            written |= set(re.findall(r"(?<![-=<'])>>? ?([\w./-]+\.\w+)", snippet.text))
    assert {"engine.log", "servers.env", "items.csv"} <= written
    assert not_ignored(clone, written) == set()


def test_a_quick_measurement_does_not_write_over_the_report_in_the_repository(clone: Path) -> None:
    assert results_folder(None, quick=False) == results.FOLDER
    quick = results_folder(None, quick=True)
    assert quick != results.FOLDER
    assert not_ignored(clone, {f"{quick.relative_to(ROOT)}/drain.json"}) == set()
