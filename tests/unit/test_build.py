"""What is compiled is what is there: a module left out, or an extension left behind, runs other code unseen."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("schemas", "operators", "flows")
#: Functions in C for modules that are: what they say in Python is beside them, but for the letters of them all.
WRITTEN_IN_C = {
    "operators.native",
    "operators.rules.native",
    "flows.publishing.native",
    "flows.readmodel.native",
    "schemas.ascii",
}
COMPILER = shutil.which("cc") or shutil.which("gcc")


def modules() -> list[str]:
    """Read what `setup.py` compiles, without running it."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "MODULES":
            return list(ast.literal_eval(node.value))
    raise AssertionError("setup.py names no MODULES")


def source_of(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def extensions() -> dict[str, Path]:
    """Map each module that has a compiled file to it."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.so"):
            found[".".join([*path.relative_to(ROOT).parent.parts, path.name.partition(".")[0]])] = path
    return found


def test_each_compiled_module_has_its_source() -> None:
    assert [module for module in modules() if not source_of(module).is_file()] == []


def test_no_types_are_declared_for_a_module_that_is_not_compiled() -> None:
    typed = {path.relative_to(ROOT).with_suffix("") for package in PACKAGES for path in (ROOT / package).rglob("*.pxd")}
    assert {".".join(path.parts) for path in typed} - WRITTEN_IN_C <= set(modules())


def test_all_are_compiled_or_none_where_nothing_can_compile_them() -> None:
    there = set(extensions())
    assert there in (set(), set(modules())), "run `make install`; `make clean` first, if files were moved"
    assert there or COMPILER is None or os.environ.get("ATP_PURE"), "run `make install`: nothing is compiled here"


def test_no_compiled_module_is_older_than_its_source() -> None:
    older = {
        module
        for module, path in extensions().items()
        for source in (source_of(module), source_of(module).with_suffix(".pxd"))
        if source.is_file() and source.stat().st_mtime > path.stat().st_mtime
    }
    assert older == set(), "run `make install`: these would run what they were before"


@pytest.mark.skipif(COMPILER is None, reason="no C compiler: nothing is compiled, so nothing can fail to be")
def test_a_module_that_does_not_compile_fails_the_build(tmp_path: Path) -> None:
    build = (ROOT / "setup.py").read_text()
    names = ", ".join(f'"{module}"' for module in ("broken",))
    begin, end = build.index("MODULES = ["), build.index("]\n", build.index("MODULES = [")) + 2
    (tmp_path / "setup.py").write_text(f"{build[:begin]}MODULES = [{names}]\n{build[end:]}")
    (tmp_path / "broken.py").write_text("def one() -> int:\n    return 1\n")
    (tmp_path / "broken.pxd").write_text("cpdef int one(str name)\n")
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode != 0
    assert "broken" in done.stderr


def test_without_a_compiler_nothing_is_compiled_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text((ROOT / "setup.py").read_text())
    script = "import setuptools; setuptools.setup = lambda **_: None; import setup; print(setup.extensions())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        check=False,
        env={"PATH": "/nonexistent", "CC": "no-such-compiler"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stdout.strip() == "[]", done.stderr
    assert "uncompiled" in done.stderr
