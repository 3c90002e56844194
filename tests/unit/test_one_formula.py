"""A promise is computed in one place, and a second time by the naive model; nowhere a third time."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from operators import evaluate, explaining
from operators.rules import lots, promise
from tests.conftest import ROOT

#: Where what is free at a location is worked out: the rules, what takes them apart, and the naive model.
FREE = {
    "flows/audit/model.py": "the naive model",
    "flows/audit/quantities.py": "the naive model",
    "flows/audit/variances.py": "the naive model's part for statements",
    "flows/inspection/known_item.py": "what is past its day, from the figures that are published",
    "flows/reconciling/state.py": "a figure as of a moment, no promise",
    "operators/evaluate.py": "step 1 for day 0, in the one pass over an item's places",
    "operators/ours.py": "what a statement is compared with: a figure, no promise",
    "operators/rules/exceptions.py": "what is wrong with a location's figures",
    "operators/rules/lots.py": "the units of a dated lot",
    "operators/rules/promise.py": "step 1",
}
#: Where a buffer's percentage becomes units; the naive model has it in fractions.
PERCENT = {
    "operators/evaluate.py": "step 5 in 64 bits, which a test holds against the policy's own",
    "operators/rules/policy.py": "step 5",
}


def modules() -> list[Path]:
    return [path for room in ("flows", "operators", "schemas") for path in sorted((ROOT / room).rglob("*.py"))]


def subtracts(source: str, one: str, other: str) -> bool:
    """Is a thing so named subtracted from another so named somewhere?"""
    return any(
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Sub)
        and one in ast.unparse(node.left)
        and other in ast.unparse(node.right)
        for node in ast.walk(ast.parse(source))
    )


def multiplies_percent(source: str) -> bool:
    """Is a buffer's share multiplied with something?"""
    return any(
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Mult)
        and any(name in ast.unparse(node) for name in ("buffer_percent", "buffer_numerator", ".numerator"))
        and "conver" not in ast.unparse(node)
        for node in ast.walk(ast.parse(source))
    )


def test_what_is_free_at_a_location_is_worked_out_nowhere_else() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in modules()
        if subtracts(path.read_text("utf-8"), "on_hand", "quarantined")
    }
    assert found == set(FREE), "a third formula, or one less: see the list above"


def test_a_buffer_is_taken_off_nowhere_else() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in modules() if multiplies_percent(path.read_text("utf-8"))}
    assert found == set(PERCENT), "a third formula, or one less: see the list above"


def test_a_planted_third_formula_is_found() -> None:
    assert subtracts("free = place.on_hand - place.quarantined - hard", "on_hand", "quarantined")
    assert multiplies_percent("buffer = free * policy.buffer_percent // 100")


@pytest.mark.parametrize("name", ["promise", "promise_by_span", "sums_of", "dues", "withheld_at", "unlocated_due"])
def test_the_tree_takes_its_terms_from_the_rules_themselves(name: str) -> None:
    assert getattr(explaining, name) is getattr(promise, name)


def test_the_tree_and_the_engine_take_what_is_physical_and_past_from_the_same_rules() -> None:
    assert explaining.physical is lots.physical and evaluate.physical is lots.physical
    assert explaining.past is lots.past and evaluate.past is lots.past
