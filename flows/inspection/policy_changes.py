"""Says which values of which records of reference data changed between two moments.

Records are compared as the engine has them, so that only what decides is told: a text that was spelled otherwise, or a
default that was written out, is no change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any

from operators.evaluate import item_facts, override_facts
from operators.explaining import plain
from operators.rules.statements import decimal_text
from operators.rules.topology import Topology

#: A change may concern each of 100,000 locations: no more than these are named.
CHANGES_MAX = 50
#: values of an item's record that are x 10^scale
SCALED = frozenset({"safety_stock", "low_stock_threshold"})


@dataclass(frozen=True, slots=True)
class Changed:
    """One value of a record; where the record came or went, of all of it."""

    #: as `inventory.channels`, without a prefix
    topic: str
    #: of the record
    key: str
    #: which value; empty: the record itself
    field: str
    #: None: it was not given, or there was no record
    before: str | None
    after: str | None

    @property
    def text(self) -> str:
        """The change as one phrase."""
        record = f"{self.topic} {self.key}"
        if not self.field:
            return f"{record} {'came' if self.before is None else 'was deleted'}"
        return f"{record}: {self.field} {_shown(self.before)} -> {_shown(self.after)}"


def of_item(item: str, before: bytes | None, after: bytes | None) -> Iterator[Changed]:
    """Compare an item's own record; None: it has none."""
    was, now = (item_facts(raw) if raw is not None else None for raw in (before, after))
    yield from _compared("inventory.items", item, was, now, *(facts.scale if facts else 0 for facts in (was, now)))


def of_channel_items(item: str, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Iterator[Changed]:
    """Compare the records of an item in channels."""
    for channel in sorted(before.keys() | after.keys()):
        was, now = (override_facts(raw[channel]) if channel in raw else None for raw in (before, after))
        yield from _compared("inventory.channel_items", f"{channel}:{item}", was, now)


def of_topology(before: Topology, after: Topology) -> Iterator[Changed]:
    """Compare the channels and the locations."""
    for topic, was, now in (
        ("inventory.channels", before.channels, after.channels),
        ("inventory.locations", before.locations, after.locations),
    ):
        for code in sorted(was.keys() | now.keys()):
            yield from _compared(topic, code, was.get(code), now.get(code))


def _compared(topic: str, key: str, was: Any, now: Any, scale_was: int = 0, scale_now: int = 0) -> Iterator[Changed]:
    if was == now:
        return
    if was is None or now is None:
        yield Changed(topic, key, "", None if was is None else "", None if now is None else "")
    known = now if now is not None else was
    for field in fields(known):
        missing = field.default
        one = getattr(was, field.name) if was is not None else missing
        other = getattr(now, field.name) if now is not None else missing
        if one != other:
            scaled = field.name in SCALED
            yield Changed(
                topic,
                key,
                field.name,
                None if was is None else _text(one, scale_was if scaled else 0),
                None if now is None else _text(other, scale_now if scaled else 0),
            )


def _text(value: Any, scale: int = 0) -> str | None:
    """Give a value of a record as a person wrote it, or nearly."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Fraction):
        return str(value) if 10**6 % value.denominator else decimal_text(value)
    if isinstance(value, tuple):
        parts = (f"{part[0]} {_text(part[1], scale)}" if isinstance(part, tuple) else str(part) for part in value)
        return ", ".join(parts)
    return plain(value, scale) if scale and isinstance(value, int) else str(value)


def _shown(value: str | None) -> str:
    return "none" if value is None or value == "" else value
