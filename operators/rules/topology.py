"""Where a channel sells from: location trees, channels and whom they share stock with (contract section 2).

Rule 1: a parent stands for itself and all beneath it. Rule 2: `sellable` is a location's own word, not its
children's. Rule 3: a location that no channel names is sold through none.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from sys import intern


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
    #: all, or explicit: only the items of which a record says that it lists them
    listing: str = "all"
    #: days that a lot must still be good for on the day it is promised
    min_days_left: int = 0


class Topology:
    """All locations and channels at one moment, with what follows from them. Immutable; `version` only rises.

    Locations that the same channels sell from are a *group*: what channels share is a sum over groups, of which there
    are a handful where there are ten thousand locations. All of it costs a step for each location of each channel.
    """

    def __init__(self, version: int, locations: dict[str, LocationFacts], channels: dict[str, ChannelFacts]) -> None:
        self.version = version
        self.locations = locations
        self.channels = channels
        beneath = children(locations)
        self.sells: dict[str, tuple[str, ...]] = {
            code: tuple(sorted(x for x in expand(facts.locations, beneath) if x in locations and locations[x].sellable))
            for code, facts in channels.items()
        }
        sellers: dict[str, list[str]] = {}
        for code, sold in self.sells.items():
            for location in sold:
                sellers.setdefault(location, []).append(code)
        numbers: dict[tuple[str, ...], int] = {}
        #: location at least one channel sells from -> the number of its group
        self.group_at: dict[str, int] = {
            location: numbers.setdefault(tuple(codes), len(numbers)) for location, codes in sellers.items()
        }
        #: by number: the channels that sell from all of a group's locations
        self.groups: list[frozenset[str]] = [frozenset(codes) for codes in numbers]
        #: location -> when goods leave on_hand there, pick or shipment, where it is not "first"; one text each, so that
        #: comparing costs nothing
        self.deducts: dict[str, str] = {
            code: intern(facts.deducts_at) for code, facts in locations.items() if facts.deducts_at != "first"
        }
        #: channel -> the channels that share a sellable location with it, itself among them if it has any
        self.sharing = sharing(list(channels), self.groups)

    def rank(self, channel: str) -> tuple[int, str]:
        """Where a channel stands: the lower number has the higher priority, on a tie the code that sorts first."""
        return (self.channels[channel].priority, channel)


def sharing(channels: list[str], groups: list[frozenset[str]]) -> dict[str, frozenset[str]]:
    """Give, for each channel, all that are in a group with it. Channels with the same neighbors have one set.

    By one bit a channel: 1,000 locations with sets of their own of 1,000 channels would else be 10^9 steps.
    """
    bits = {code: 1 << number for number, code in enumerate(channels)}
    masks = dict.fromkeys(channels, 0)
    for codes in groups:
        mask = sum(bits[code] for code in codes)
        for code in codes:
            masks[code] |= mask
    sets = {mask: frozenset(code for code in channels if mask & bits[code]) for mask in set(masks.values())}
    return {code: sets[mask] for code, mask in masks.items()}


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
