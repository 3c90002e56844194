"""What a scenario is: a name, what it shows, the marks it has to reach, and a function that measures once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; None: the scenario's own choice."""

    quick: bool = False
    runs: int = 1
    seed: int = 1
    events: int | None = None
    items: int | None = None
    locations: int = 5
    channels: int = 4
    zipf: float = 1.0
    rate: int | None = None
    seconds: float | None = None
    workers: int = 1
    settings: dict[str, object] = field(default_factory=dict)

    def pick(self, given: Any, full: Any, quick: Any) -> Any:
        """Give what was asked for; otherwise the scenario's choice for a full or for a quick run."""
        if given is not None:
            return given
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement of one variant."""

    figures: dict[str, float]
    series: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """A limit for one figure of one variant. `aim` is what would be better still; None: none was set."""

    variant: str
    figure: str
    must: float
    what: str
    aim: float | None = None
    more_is_better: bool = False

    def is_met(self, value: float, limit: float) -> bool:
        """Say whether a value is good enough."""
        return value >= limit if self.more_is_better else value <= limit


#: All that one repetition gives, by variant.
Measured = dict[str, Run]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`order` of figures in the report; the first is what is looked at first."""

    name: str
    title: str
    shows: str
    measure: Callable[[Options], Measured]
    figures: tuple[str, ...]
    marks: tuple[Mark, ...] = ()
    #: kinds of plot, by the names of benchmarks/plots.py
    plots: tuple[str, ...] = ()
