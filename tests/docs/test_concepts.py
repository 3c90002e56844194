"""The glossary explains every word that the interface uses for a figure, a lane or the time of an event."""

from __future__ import annotations

import pytest

from schemas.outputs import all_schemas
from schemas.topics import LANES
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "concepts.md").read_text("utf-8").partition("## Glossary")[2]


def figures() -> list[str]:
    """Give the names of what is published of an item at a location."""
    return list(all_schemas()["inventory.positions"]["$defs"]["LocationFigures"]["properties"])


@pytest.mark.parametrize("word", [*figures(), *LANES, "atp", "occurred_at", "conflict", "late", "in_the_future"])
def test_the_glossary_has(word: str) -> None:
    assert f"`{word}`" in PAGE
