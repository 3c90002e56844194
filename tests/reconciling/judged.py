"""Holds what came of a story against what it says must come of it, whoever it was told to."""

from __future__ import annotations

from typing import Any, Protocol

from tests.reconciling.story import Action, Story, world


class Side(Protocol):
    """Whoever keeps to the contract: tell it a story, then ask."""

    #: refusals of what it wrote itself
    refusals: list[tuple[str, str | None]]
    #: code by the number of the action, since `begin`
    refused: dict[int, str]

    @property
    def corrections(self) -> list[dict[str, Any]]:
        """Give the counts that it wrote, each once."""
        ...

    @property
    def statements(self) -> list[str]:
        """Give the statements that have a status."""
        ...

    def begin(self) -> None:
        """Count what is told from here on."""
        ...

    def tell(self, action: Action) -> None:
        """Take one action and do what is due."""
        ...

    def status(self, name: str) -> dict[str, Any]:
        """Give a statement's status."""
        ...

    def variances(self) -> dict[str, dict[str, Any]]:
        """Give all variances by key."""
        ...

    def withheld(self) -> dict[str, int]:
        """Give what is withheld because of them, by "item:location", where it is not 0."""
        ...

    def alerts(self) -> set[str]:
        """Give where something is withheld for longer than a day, as item:location."""
        ...

    def complaints(self) -> set[str]:
        """Give the open statement_rejected exceptions."""
        ...


def tell(story: Story, side: Side) -> None:
    """Tell a story, and compare all that it speaks of."""
    for action in world():
        side.tell(action)
    assert side.refused == {}
    side.begin()
    for action in story.told:
        side.tell(action)
    check(story, side)


def check(story: Story, side: Side) -> None:
    """Compare all that the story speaks of."""
    assert side.refused == {number % len(story.told): code for number, code in story.refused.items()}
    for name, expected in story.statuses.items():
        status = side.status(name)
        assert {field: status[field] for field in expected} == expected, f"status of {name}: {status}"
    if story.variances is not None:
        found = side.variances()
        assert found.keys() == story.variances.keys(), found
        for key, expected in story.variances.items():
            assert {field: found[key][field] for field in expected} == expected, f"{key}: {found[key]}"
    if story.withheld is not None:
        assert side.withheld() == story.withheld
    if story.corrections is not None:
        assert _sorted(side.corrections) == _sorted(story.corrections)
    if story.alerts is not None:
        assert side.alerts() == story.alerts
    if story.complaints is not None:
        assert side.complaints() == story.complaints
    assert side.refusals == []


def _sorted(corrections: list[dict[str, Any]]) -> list[list[tuple[str, str]]]:
    return sorted(sorted((name, str(value)) for name, value in one.items()) for one in corrections)
