"""Whose is it: what each order line of an item claims, as readers find it in `claims:<item>`.

A field a line, `order_id line_id`; a line that claims nothing has none. All that is in it follows from the line alone:
so a line is written again when something of it changed, and nothing has to be remembered of what was written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from operators.rules.days import Days
from schemas.state import Item, Line
from schemas.times import day_text, time_text

#: between order_id and line_id, which hold none
SEPARATOR = " "


def claims_of(item: Item, keys: Iterable[tuple[str, str]], days: Days) -> dict[str, str | None]:
    """Give the claims of some lines by their fields; None where a line claims nothing (any more)."""
    found: dict[str, str | None] = {}
    for key in keys:
        line = item.lines.get(key)
        found[SEPARATOR.join(key)] = None if line is None else claim_text(line, days)
    return found


def claim_text(line: Line, days: Days) -> str | None:
    """Give what a line claims as JSON; None where that is nothing.

    `soft` from `location`, where it names one; `hard` by location; quantities in base UoM x 10^scale. `since`: when the
    line was placed, or else last heard of.
    """
    hard = {location: at.claimed for location, at in sorted(line.at.items()) if at.claimed}
    if not hard and line.claimed is None:
        return None
    claim: dict[str, Any] = {"soft": line.claimed[0] if line.claimed is not None else 0, "hard": hard}
    if line.location:
        claim["location"] = line.location
    if line.channel:
        claim["channel"] = line.channel
    claim["since"] = time_text(line.placed[0] if line.placed is not None else line.last_at)
    if line.requested_at is not None:
        claim["requested_day"] = day_text(days.day_of(line.requested_at))
    if line.expires_at is not None:
        claim["expires_at"] = time_text(line.expires_at)
    return orjson.dumps(claim).decode()
