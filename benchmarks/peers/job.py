"""The job that the peers in Python do for one event: dedup, quantities, a number for each channel that changed.

Only the standard library: the peers import it in environments of their own, without this project's packages.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

LOCATIONS = ("DC-1", "DC-2", "DC-3", "DC-4", "DC-5")
PLACE_OF = {code: place for place, code in enumerate(LOCATIONS)}
#: How long an event_id is remembered: the engine's default.
WINDOW = timedelta(hours=24)


class Channel(NamedTuple):
    """What a channel sells from, and what it holds back."""

    code: str
    places: tuple[int, ...]
    buffer_quantity: int
    buffer_percent: int
    cap: int | None


CHANNELS = (
    Channel("web", (0, 1, 2), 2, 0, None),
    Channel("marketplace", (1, 3), 0, 10, None),
    Channel("stores", (2, 4), 0, 0, None),
    Channel("edi", (3,), 0, 0, 20),
)
#: Which channels a movement at a place can change.
SOLD_AT = tuple(
    tuple(number for number, channel in enumerate(CHANNELS) if place in channel.places)
    for place in range(len(LOCATIONS))
)

#: What is known of an item: on hand and quarantined by place, the last number of each channel, changes published.
Figures = tuple[list[int], list[int], list[int], int]


def nothing() -> Figures:
    """Give the figures of an item of which nothing was heard. Every channel's number begins at 0."""
    return [0] * len(LOCATIONS), [0] * len(LOCATIONS), [0] * len(CHANNELS), 0


def move(event: dict[str, Any], on_hand: list[int], quarantined: list[int]) -> int:
    """Apply one event to the quantities; give the place it happened at. ValueError for a type that is not known."""
    place = PLACE_OF[event["location"]]
    quantity = event["quantity"]
    kind = event["type"]
    if kind in {"stock_received", "stock_adjusted"}:
        on_hand[place] += quantity
        if event.get("status") == "quarantined":
            quarantined[place] += quantity
    elif kind == "stock_status_changed":
        quarantined[place] += quantity if event["to_status"] == "quarantined" else -quantity
    else:
        raise ValueError(f"type {kind!r} is none of the three that this job knows")
    return place


def promise(channel: Channel, on_hand: list[int], quarantined: list[int]) -> int:
    """Compute what a channel may promise (contract section 5, with neither orders nor horizon)."""
    free = 0
    for place in channel.places:
        left = on_hand[place] - quarantined[place]
        if left > 0:
            free += left
    number = free - channel.buffer_quantity - (free * channel.buffer_percent + 99) // 100
    if channel.cap is not None and number > channel.cap:
        number = channel.cap
    return max(number, 0)


def changes(event: dict[str, Any], figures: Figures, processed_at: str) -> tuple[Figures, list[dict[str, Any]]]:
    """Apply one event that is no repeat; give the new figures and an update for each channel whose number changed."""
    on_hand, quarantined, published, version = figures
    place = move(event, on_hand, quarantined)
    updates = []
    for number in SOLD_AT[place]:
        channel = CHANNELS[number]
        atp = promise(channel, on_hand, quarantined)
        previous = published[number]
        if atp != previous:
            published[number] = atp
            version += 1
            updates.append(
                {
                    "item": event["item"],
                    "channel": channel.code,
                    "atp": atp,
                    "previous": previous,
                    "cause": event["type"],
                    "as_of": event["occurred_at"],
                    "processed_at": processed_at,
                    "version": version,
                }
            )
    return (on_hand, quarantined, published, version), updates


def milliseconds(occurred_at: str) -> int:
    """Read the time of an event."""
    return int(datetime.fromisoformat(occurred_at).timestamp() * 1000)


class Tally:
    """Says how far a peer is, on standard output, a hundred times a run."""

    def __init__(self, events: int) -> None:
        self.events = events
        self._step = max(1, events // 100)
        self._count = 0

    def one_more(self) -> bool:
        """Count an event; True when it was the last one."""
        self._count += 1
        if self._count % self._step == 0 or self._count == self.events:
            print(f"progress {self._count}", flush=True)
        return self._count >= self.events
