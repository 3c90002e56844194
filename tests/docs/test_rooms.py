"""The list of rooms is what they say of themselves; every path of the page about changes is there."""

from __future__ import annotations

import ast
import re

import pytest

from tests.conftest import ROOT

HEADS = re.findall(r"^## (.*)$", (ROOT / "docs" / "contributing.md").read_text("utf-8"), re.MULTILINE)
PATH = re.compile(r"`((?:flows|operators|schemas|tests|docs|docker|benchmarks)/[\w./-]*)`")
LONGEST = 400


def rooms() -> list[tuple[str, str]]:
    """Give each room of flows/ and what it says of itself."""
    found = []
    for path in sorted((ROOT / "flows").glob("*/__init__.py")):
        said = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        assert said, f"{path.parent.name} does not say what it decides or moves"
        found.append((path.parent.name, said.splitlines()[0]))
    return found


def table() -> str:
    """Give the rows that docs/architecture.md has of them."""
    return "\n".join(f"| `flows/{name}/` | {said} |" for name, said in rooms())


def test_the_page_lists_every_room_by_its_own_words() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    assert table() in page, f"docs/architecture.md has to have:\n{table()}"


def test_every_room_says_in_a_sentence_what_it_decides_or_moves() -> None:
    for name, said in rooms():
        assert said.endswith(".") or said.endswith("`."), name
        assert len(said) <= 120, name


def test_each_kind_of_change_has_its_place() -> None:
    assert len(HEADS) == 12


@pytest.mark.parametrize("page", ["contributing.md", "architecture.md", "guarantees.md"])
def test_every_path_that_a_page_names_is_there(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    missing = [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    assert not missing


#: What opens files, reads the environment or speaks to others; a path is a type of settings, and is not looked at.
OUTSIDE = {"io", "os", "shutil", "socket", "subprocess", "sys", "tomllib", "urllib"}
LOOKS = {
    "open",
    "read_text",
    "read_bytes",
    "exists",
    "is_file",
    "is_dir",
    "stat",
    "iterdir",
    "glob",
    "expanduser",
    "cwd",
}


def test_schemas_read_neither_files_nor_the_environment() -> None:
    found = set()
    for path in (ROOT / "schemas").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {(path.name, name.name) for name in node.names if name.name.partition(".")[0] in OUTSIDE}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OUTSIDE:
                found.add((path.name, str(node.module)))
            elif isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in LOOKS:
                    found.add((path.name, name))
    assert not found


@pytest.mark.parametrize("package", ["flows", "schemas"])
def test_no_module_is_longer_than_one_reads_at_a_time(package: str) -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in (ROOT / package).rglob("*.py")
    }
    assert not {path for path, length in lengths.items() if length > LONGEST}


def test_no_function_is_longer_than_a_screen() -> None:
    long = []
    for package in ("flows", "schemas"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                    lines = node.end_lineno - node.lineno + 1
                    if lines > 80:
                        long.append(f"{path.relative_to(ROOT)}: {node.name}, {lines} lines")
    assert not long
