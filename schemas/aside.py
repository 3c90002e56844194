"""State kept: what a count has swallowed, for as long as a statement may be as of a moment before it."""

from __future__ import annotations

import msgspec

from schemas.state import Moment


class Past(msgspec.Struct, array_like=True, gc=False):
    """One quantity of a cell before its newest count, as far back as a statement may ask.

    `base` is what it was at `since`, the earliest moment that can be asked for; what happened at or before `base_at`
    (a count's moment) is inside it, whenever it comes.
    """

    base: int
    base_at: int
    since: int
    #: counts after that and before the newest
    counts: list[tuple[Moment, int]] = []
    #: (occurred_at, change), not after the newest count
    moves: list[tuple[int, int]] = []


class Pasts(msgspec.Struct, array_like=True, gc=False):
    """What a cell's newest counts, still within the window, have put aside: of on_hand and of quarantined."""

    on_hand: Past | None = None
    quarantined: Past | None = None
