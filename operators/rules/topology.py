"""Where a channel sells from: location trees, channels and whom they share stock with (contract section 2).

Rule 1: a parent stands for itself and all beneath it. Rule 2: `sellable` is a location's own word, not its
children's. Rule 3: a location that no channel names is sold through none.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class LocationFacts:
    """An accepted record of inventory.locations."""

    parent: str = ""
    sellable: bool = True
    deducts_at: str = "first"


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """An accepted record of inventory.channels; None is "not given". Quantities in base UoM."""

    locations: tuple[str, ...] = ()
    priority: int = 100
    buffer_quantity: int | None = None
    buffer_percent: Fraction | None = None
    cap: int | None = None
    minimum: int | None = None
    low_stock_threshold: int | None = None
    horizon_days: int = 0
    promise_in_transit: bool = False
    protected_quantity: int | None = None
    max_updates_per_second: float | None = None


class Topology:
    """All locations and channels at one moment, with what follows from them. Immutable; `version` only rises."""

    def __init__(self, version: int, locations: dict[str, LocationFacts], channels: dict[str, ChannelFacts]) -> None:
        self.version = version
        self.locations = locations
        self.channels = channels
        beneath = children(locations)
        self.sells: dict[str, tuple[str, ...]] = {
            code: tuple(sorted(x for x in expand(facts.locations, beneath) if x in locations and locations[x].sellable))
            for code, facts in channels.items()
        }
        sets = {code: frozenset(sold) for code, sold in self.sells.items()}
        #: channel -> {other channel: the sellable locations they share}
        self.shared: dict[str, dict[str, tuple[str, ...]]] = {
            code: {
                other: tuple(sorted(sets[code] & sets[other]))
                for other in channels
                if other != code and sets[code] & sets[other]
            }
            for code in channels
        }
        #: locations at least one channel sells from
        self.sold: frozenset[str] = frozenset().union(*sets.values())

    def deducts_at(self, location: str) -> str:
        """When goods leave on_hand there: first, pick or shipment."""
        facts = self.locations.get(location)
        return facts.deducts_at if facts is not None else "first"

    def outranks(self, one: str, other: str) -> bool:
        """True if `one` has the higher priority: the lower number, on a tie the code that sorts first."""
        return (self.channels[one].priority, one) < (self.channels[other].priority, other)


def children(locations: dict[str, LocationFacts]) -> dict[str, list[str]]:
    """Map each parent to the locations directly beneath it."""
    beneath: dict[str, list[str]] = {}
    for code, facts in locations.items():
        if facts.parent:
            beneath.setdefault(facts.parent, []).append(code)
    return beneath


def expand(named: tuple[str, ...], beneath: dict[str, list[str]]) -> set[str]:
    """Give the named locations and all beneath them."""
    found: set[str] = set()
    waiting = list(named)
    while waiting:
        code = waiting.pop()
        if code not in found:
            found.add(code)
            waiting.extend(beneath.get(code, ()))
    return found


def has_cycle(code: str, parent: str, locations: dict[str, LocationFacts]) -> bool:
    """True if making `parent` the parent of `code` would close a circle."""
    seen = {code}
    while parent:
        if parent in seen:
            return True
        seen.add(parent)
        above = locations.get(parent)
        parent = above.parent if above is not None else ""
    return False
