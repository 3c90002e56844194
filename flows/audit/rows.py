"""Decides for the naive model what a statement amounts to: its rows, their counts, how much of it has a cause."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import floor

from flows.audit.stated import RowKey, Stated


@dataclass
class Row:
    """A row with when it was logged; `ours`: by measure what it was compared with, None where it could not be."""

    stated: Stated
    logged_at: int
    is_judged: bool = False
    ours: dict[str, int | None] = field(default_factory=dict)
    #: measures that differ
    differs: set[str] = field(default_factory=set)
    sent_before: int | None = None
    is_absent: bool = False

    @property
    def result(self) -> str:
        """Give which of the counts it is in: what differs outweighs what agrees, and that what nobody knows."""
        if self.differs:
            return "in_variance"
        return "agreed" if any(ours is not None for ours in self.ours.values()) else "not_compared"


@dataclass
class Statement:
    """All that was said under one id, and what was found."""

    source: str
    statement_id: str
    first_as_of: int
    start: Stated | None = None
    started_at: int | None = None
    end: Stated | None = None
    ended_at: int | None = None
    rows: dict[RowKey, Row] = field(default_factory=dict)
    absent: list[Row] = field(default_factory=list)
    refused: set[tuple[object, ...]] = field(default_factory=set)
    duplicates: int = 0
    conflicts: int = 0
    verdict: str = "pending"
    verdict_at: int | None = None
    reasons: list[str] = field(default_factory=list)
    causes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    units: Fraction = Fraction(0)
    explained: Fraction = Fraction(0)

    @property
    def as_of(self) -> int:
        """Give its start's moment, until there is one that of its first message."""
        return self.first_as_of if self.start is None else self.start.as_of

    @property
    def said(self) -> list[int]:
        """Give how many rows start and end say, as far as they do."""
        return [told.rows for told in (self.start, self.end) if told is not None and told.rows is not None]

    @property
    def taken(self) -> int:
        """Give how many rows were taken."""
        return len(self.rows)

    @property
    def seen(self) -> int:
        """Give how many rows were judged or refused."""
        return sum(row.is_judged for row in self.rows.values()) + len(self.refused)

    def count(self, result: str) -> int:
        """Give how many rows agreed, are in_variance or were not_compared."""
        return sum(row.is_judged and row.result == result for row in self.rows.values())

    @property
    def is_complete(self) -> bool:
        """Whether start, end and as many rows as they say are there and judged."""
        there = self.start is not None and self.end is not None and all(self.seen >= rows for rows in self.said)
        return there and all(row.is_judged for row in self.rows.values())

    @property
    def explained_percent(self) -> Fraction:
        """Give how much of what differs has a cause, one decimal, rounded down; 100 where nothing differs."""
        return Fraction(floor(1000 * self.explained / self.units), 10) if self.units else Fraction(100)


@dataclass(frozen=True)
class Sent:
    """An atp as it was sent to Kafka, 0 where the item was unlisted."""

    at: int
    atp: int


def text_of(units: Fraction) -> str:
    """Give an exact decimal as text, no longer than it has to be."""
    text = format(Decimal(units.numerator) / Decimal(units.denominator), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
