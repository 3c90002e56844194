"""Decides whether docs/rules.md leads to what it names: every function and every test on it exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rules.md").read_text()
#: a line of the contract, where it is decided, what shows it
ROWS = re.findall(r"^\| (?!the contract|---)(.+?) \| `([\w.]+)` \| `([\w./]+)::(\w+)` \|$", PAGE, re.M)


def named(path: str) -> Any:
    """What `rules.cells.count` or `shard.Shard._take` names beneath `operators`."""
    parts = path.split(".")
    for size in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(["operators", *parts[:size]]))
        except ModuleNotFoundError:
            continue
        for part in parts[size:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"{path}: no such module beneath operators")


def test_every_row_is_read() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| the contract")]
    assert len(rows) == len(ROWS) > 50


@pytest.mark.parametrize(("rule", "place", "file", "test"), ROWS, ids=[row[0][:40] for row in ROWS])
def test_a_rule_leads_to_its_code_and_its_test(rule: str, place: str, file: str, test: str) -> None:
    assert callable(named(place)), place
    assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.M), f"{file} has no {test}"


def test_every_decision_of_the_rules_is_on_the_page() -> None:
    """A new rule is a new row: every public function of `operators.rules` is named, or serves one that is."""
    helpers = {"handle", "takes_nothing", "is_closed", "hold", "forget_moves", "over_received", "expect", "children"}
    helpers |= {"has_cycle", "stands_alone", "split_safety", "bounded_map", "take", "has_reversal", "days_in"}
    for path in sorted((ROOT / "operators" / "rules").glob("*.py")):
        if path.stem == "native":  # decides nothing
            continue
        for name in re.findall(r"^def ([a-z]\w*)\(", path.read_text(), re.M):
            assert name in helpers or f"`rules.{path.stem}.{name}`" in PAGE, f"{path.stem}.{name} is not on the page"
