"""Reads an item's whole position from Redis: every figure at every location, and from when it is."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from flows.inspection.lookup import FIGURES, read
from schemas.settings import Settings

#: where claims stand that name no location yet
UNLOCATED = "*"


class Positions(msgspec.Struct, frozen=True):
    """An item's figures by location, in base UoM x 10^scale; a figure that Redis does not have is 0."""

    item: str
    scale: int
    version: int
    as_of: str | None
    published_at: str | None
    locations: dict[str, dict[str, int]]
    #: soft claims that name no location yet
    unlocated: int


def positions(settings: Settings, item: str) -> Positions | None:
    """Give an item's position, None where nothing is published of it; LookupProblem if Redis does not answer."""
    promises, position = read(settings, [item])[item]
    if not promises and not position:
        return None
    locations: dict[str, dict[str, int]] = {}
    for field, text in position.items():
        place, _, figure = field.rpartition(":")
        if place and place != UNLOCATED and figure in FIGURES:
            locations.setdefault(place, dict.fromkeys(FIGURES, 0))[figure] = int(text)
    return Positions(
        item,
        int(promises.get("_scale", "0")),
        int(position.get("_version") or promises.get("_version", "0")),
        _moment(position.get("_as_of")),
        _moment(promises.get("_published_at")),
        dict(sorted(locations.items())),
        int(position.get(f"{UNLOCATED}:soft_allocated", "0")),
    )


def _moment(millis: str | None) -> str | None:
    if millis is None:
        return None
    return datetime.fromtimestamp(int(millis) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
