"""What one channel's policy makes of a quantity of one item (contract sections 2 and 5, step 5).

The most specific value that is given wins: channel_items, then channels, then items; defaults come last.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from operators.rules.topology import ChannelFacts, Topology


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """An accepted record of inventory.items; quantities in base UoM x 10^scale."""

    base_uom: str = "each"
    scale: int = 0
    conversions: tuple[tuple[str, Fraction], ...] = ()
    safety_stock: tuple[tuple[str, int], ...] = ()
    low_stock_threshold: int | None = None
    #: refuse or safe
    rounding: str = "refuse"
    #: money a base unit, for reports alone
    unit_value: Fraction | None = None


@dataclass(frozen=True, slots=True)
class OverrideFacts:
    """An accepted record of inventory.channel_items; quantities in base UoM, exact; None is "not given"."""

    buffer_quantity: Fraction | None = None
    buffer_percent: Fraction | None = None
    cap: Fraction | None = None
    minimum: Fraction | None = None
    low_stock_threshold: Fraction | None = None
    protected_quantity: Fraction | None = None
    safety_stock: tuple[tuple[str, Fraction], ...] | None = None
    listed: bool | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What stands for one item and channel; quantities in base UoM x 10^scale."""

    buffer_quantity: int
    #: buffer_percent / 100 as a ratio of integers
    buffer_numerator: int
    buffer_denominator: int
    cap: int | None
    minimum: int
    low_stock_threshold: int
    horizon_days: int
    promise_in_transit: bool
    protected_quantity: int
    safety_stock: dict[str, int]
    safety_everywhere: int
    #: days that a lot must still be good for on the day it is promised
    min_days_left: int = 0

    def safety_at(self, location: str) -> int:
        """The safety stock at a location: its own, or `*`'s."""
        return self.safety_stock.get(location, self.safety_everywhere)

    def allow(self, free: int) -> int:
        """Step 5: less the buffer and its percentage (rounded up), at most `cap`, 0 if below `minimum`."""
        atp = free - self.buffer_quantity
        if self.buffer_numerator:
            atp -= -(-free * self.buffer_numerator // self.buffer_denominator)
        if self.cap is not None and atp > self.cap:
            atp = self.cap
        return atp if atp >= self.minimum and atp > 0 else 0


def split_safety(safety_stock: tuple[tuple[str, int], ...]) -> tuple[dict[str, int], int]:
    """Give the safety stock of each location that is named, and that of every other one."""
    named = dict(safety_stock)
    everywhere = named.pop("*", 0)
    return named, everywhere


def effective(
    item: ItemFacts,
    channel: ChannelFacts,
    override: OverrideFacts | None,
    safety: tuple[dict[str, int], int] | None = None,
) -> Policy:
    """Merge the three records into what stands for the item in the channel.

    `safety`: the item's, where it is at hand: all its channels share one map, that may name every location.
    """
    factor = 10**item.scale
    given = override or _NOTHING

    def scaled(specific: Fraction | None, general: int | None, down: bool = False) -> int | None:
        # Exact, but for a record that came before its item: then it errs on the side that promises less.
        value = specific if specific is not None else general
        return None if value is None else floor(value * factor) if down else ceil(value * factor)

    percent = given.buffer_percent if given.buffer_percent is not None else channel.buffer_percent
    ratio = (percent or Fraction(0)) / 100
    threshold = scaled(given.low_stock_threshold, channel.low_stock_threshold)
    if threshold is None:
        threshold = item.low_stock_threshold or 0
    if given.safety_stock is not None:
        safety = split_safety(tuple((code, ceil(quantity * factor)) for code, quantity in given.safety_stock))
    elif safety is None:
        safety = split_safety(item.safety_stock)
    return Policy(
        buffer_quantity=scaled(given.buffer_quantity, channel.buffer_quantity) or 0,
        buffer_numerator=ratio.numerator,
        buffer_denominator=ratio.denominator,
        cap=scaled(given.cap, channel.cap, down=True),
        minimum=scaled(given.minimum, channel.minimum) or 0,
        low_stock_threshold=threshold,
        horizon_days=channel.horizon_days,
        promise_in_transit=channel.promise_in_transit,
        protected_quantity=scaled(given.protected_quantity, channel.protected_quantity) or 0,
        safety_stock=safety[0],
        safety_everywhere=safety[1],
        min_days_left=channel.min_days_left,
    )


_NOTHING = OverrideFacts()


def lists(channel: ChannelFacts, override: OverrideFacts | None) -> bool:
    """Decide whether a channel sells an item: by its record of the item, where that says so, else by its own rule."""
    if override is not None and override.listed is not None:
        return override.listed
    return channel.listing != "explicit"


def policies_of(item: ItemFacts, overrides: dict[str, OverrideFacts], topology: Topology) -> dict[str, Policy]:
    """The policy of every channel that lists the item."""
    safety = split_safety(item.safety_stock)
    return {
        code: effective(item, facts, overrides.get(code), safety)
        for code, facts in topology.channels.items()
        if lists(facts, overrides.get(code))
    }
