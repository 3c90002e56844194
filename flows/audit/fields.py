"""Decides for the naive model which fields readers have to find of an item in Redis, and where they find others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from flows.audit.model import Model

Found = Mapping[str, str]
"""A hash as Redis has it; every value is text."""
Values = dict[str, Any]
"""By field: an integer, a list of integers by day, or None where there is no such field."""
POSITION, PROMISES = "position", "atp"
WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")


class Difference(NamedTuple):
    """A field of a hash that is not as it was computed again. None: there is no such field."""

    hash: str
    field: str
    recomputed: Any
    published: Any


def promises(model: Model, item: str, now_us: int) -> Values:
    """Give every field of `atp:<item>` that a channel reads."""
    fields: Values = {}
    for channel in model.channels:
        promise = model.promise(item, channel, now_us)
        if promise is not None:
            fields[channel] = promise.atp
            if promise.by_day is not None:
                fields[f"{channel}:by_day"] = promise.by_day
    return fields


def position(model: Model, item: str, now_us: int) -> Values:
    """Give every figure of `position:<item>`, 0 too."""
    return {
        f"{location}:{name}": figure
        for location, figures in model.position(item, now_us).items()
        for name, figure in figures.items()
    }


def read_promises(found: Found) -> Values:
    """Give the same of what Redis has; what is no number stays text, and so differs."""
    return {name: _read(value) for name, value in found.items() if not name.startswith("_")}


def read_position(found: Found) -> Values:
    """Give the same of what Redis has; what is no number stays text, and so differs."""
    return {name: _read(value) for name, value in found.items() if not name.startswith("_")}


def _read(value: str) -> Any:
    if WHOLE.fullmatch(value):
        return int(value)
    try:
        return json.loads(value)
    except ValueError:
        return value


def differences(hash_name: str, recomputed: Values, published: Values) -> list[Difference]:
    """Compare a hash field by field; of a position an absent figure is 0."""
    absent = 0 if hash_name == POSITION else None
    found = []
    for name in sorted(recomputed.keys() | published.keys()):
        ours, theirs = recomputed.get(name, absent), published.get(name, absent)
        # What is available where nothing else is said follows from the policy alone, and is shown with the next event.
        if hash_name == POSITION and name.endswith(":available") and name not in published:
            continue
        if ours != theirs:
            found.append(Difference(hash_name, name, ours, theirs))
    return found
