"""Each `.pxd` agrees with the module beside it: what Cython takes from the one, a reader takes from the other.

Cython itself does not compare them all: an attribute that no method sets any more, a parameter renamed in one of the
two, or a number that is cut to 32 bits when it is kept compile without a word.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
#: C functions on buffers, with a Python twin a name: tests/unit/test_native.py runs both on the same values.
BY_VALUE = {
    "schemas/ascii.pxd",
    "operators/native.pxd",
    "operators/rules/native.pxd",
    "flows/publishing/native.pxd",
    "flows/readmodel/native.pxd",
}
PAIRS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("schemas", "operators", "flows")
    for path in (ROOT / folder).rglob("*.pxd")
    if path.relative_to(ROOT).as_posix() not in BY_VALUE
)
#: What may be of 32 bits: the numbers of types, lanes, kinds and scales, none above a few hundred.
SMALL = {"type", "lane", "scale", "number", "_kind"}

#: A type of C, with a memory view's brackets; some have two or three words. Or a tuple of numbers.
KIND = r"(?:\([\w, ]+\)|(?:unsigned )?(?:long long|[\w.]+)(?:\[[^\]]*\])?)"
DECLARED = re.compile(rf"^cdef (?:public |readonly )?(?P<kind>{KIND}) (?P<names>\w+(?:, *\w+)*)$")
FUNCTION = re.compile(rf"^(?:cpdef|cdef) (?:inline )?(?:{KIND} )?(?P<name>\w+)\((?P<parameters>.*?)\)")


@dataclass
class Declared:
    """What a `.pxd` says: of the module, and of each class in it."""

    attributes: dict[str, str] = field(default_factory=dict)
    functions: dict[str, list[str]] = field(default_factory=dict)
    classes: dict[str, Declared] = field(default_factory=dict)


def statements(text: str) -> Iterator[str]:
    """Give the lines of a `.pxd`, what goes over several joined, decorators and imports left out."""
    text = re.sub(r"#.*", "", text)
    whole = ""
    for line in text.splitlines():
        whole = f"{whole} {line.strip()}" if whole else line
        if whole.count("(") > whole.count(")"):
            continue
        if whole.strip() and not whole.lstrip().startswith(("@", "cimport", "from", "ctypedef")):
            yield whole
        whole = ""


def read_pxd(path: Path) -> Declared:
    module = Declared()
    scope = module
    for line in statements(path.read_text()):
        if not line.startswith(" "):
            scope = module
        text = line.strip()
        begun = re.match(r"cdef class (\w+)", text)
        if begun is not None:
            scope = module.classes[begun[1]] = Declared()
            continue
        function = FUNCTION.match(text)
        if function is not None:
            parameters = [
                re.sub(r"\[[^\]]*\]", "", part).partition("=")[0].split()[-1].strip()
                for part in function["parameters"].split(",")
                if part.strip()
            ]
            scope.functions[function["name"]] = parameters
            continue
        declared = DECLARED.match(text)
        assert declared is not None, f"{path.name}: what is this line? {text!r}"
        scope.attributes |= {name.strip(): declared["kind"] for name in declared["names"].split(",")}
    return module


def parameters_of(function: ast.FunctionDef) -> list[str]:
    return [one.arg for one in (*function.args.posonlyargs, *function.args.args)]


def attributes_of(kind: ast.ClassDef) -> set[str]:
    """Give the slots of a class, or what its methods set where it has none."""
    for node in kind.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__slots__":
            return set(ast.literal_eval(node.value))
    targets: list[ast.expr] = []
    for node in ast.walk(kind):
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
            targets.append(node.target)
    flat = [one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])]
    found = {
        one.attr
        for one in flat
        if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id == "self"
    }
    return found | {
        node.target.id for node in kind.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def names_of(tree: ast.Module) -> set[str]:
    """Give what a module sets or imports at its top."""
    found: set[str] = set()
    for node in tree.body:
        for one in ast.walk(node) if isinstance(node, (ast.Assign, ast.AnnAssign, ast.For, ast.If)) else ():
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                found.add(one.id)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def functions_of(body: list[ast.stmt]) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


def test_there_are_files_to_compare() -> None:
    assert len(PAIRS) >= 20


@pytest.mark.parametrize("name", PAIRS)
def test_a_pxd_says_what_its_module_says(name: str) -> None:
    path = ROOT / name
    declared = read_pxd(path)
    tree = ast.parse(path.with_suffix(".py").read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = functions_of(tree.body)

    assert set(declared.classes) <= set(classes)
    assert set(declared.attributes) <= names_of(tree)
    assert declared.functions == {one: parameters_of(functions[one]) for one in declared.functions if one in functions}
    for of, said in declared.classes.items():
        assert set(said.attributes) == attributes_of(classes[of]), f"attributes of {of}"
        methods = functions_of(classes[of].body)
        expected = {one: parameters_of(methods[one]) for one in said.functions if one in methods}
        assert said.functions == expected, f"methods of {of}"


@pytest.mark.parametrize("name", PAIRS)
def test_a_number_that_is_kept_has_64_bits(name: str) -> None:
    declared = read_pxd(ROOT / name)
    narrow = {
        f"{of}.{one}"
        for of, said in declared.classes.items()
        for one, kind in said.attributes.items()
        if kind in {"int", "short", "long", "char", "unsigned"} and one not in SMALL
    }
    assert narrow == set()


def test_a_pxd_is_read_as_cython_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "one.pxd"
    path.write_text(
        """cimport cython
from schemas.state cimport Item
cdef int A, B  # two
cdef class Cell:
    cdef public long long on_hand, quarantined
    cdef unsigned long long[::1] rows
    @cython.locals(a=int,
                   b=str)
    cpdef bint take(self, long long[::1] rows,
                    object quantity=*) except -1
cdef long long _sum(object moves) except? -1
cpdef text(str one)
"""
    )
    found = read_pxd(path)
    assert found.attributes == {"A": "int", "B": "int"}
    assert found.functions == {"_sum": ["moves"], "text": ["one"]}
    assert found.classes["Cell"].attributes == {
        "on_hand": "long long",
        "quarantined": "long long",
        "rows": "unsigned long long[::1]",
    }
    assert found.classes["Cell"].functions == {"take": ["self", "rows", "quantity"]}
