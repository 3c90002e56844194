"""The page that explains a number: as a tree whose terms add up to it, now or at a moment of the last day."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flows.console import words
from flows.console.desk import Desk, address, asked, desk_of
from flows.console.numbers import Away
from flows.errors import PlainError
from flows.inspection.explained_view import moment_of
from flows.inspection.explaining import explain
from flows.inspection.trailed import NoTrail

#: Deeper than this the tree is folded at first.
UNFOLDED = 3
DAY_S = 86_400
DAY_DIGITS_MAX = 3


def show_explanation(request: Request) -> Response:
    """Answer `/explain?item=&channel=&day=&at=`."""
    desk = desk_of(request)
    item, channel, day, at = asked(request, "item", "channel", "day", "at")
    if not item or not channel:
        return RedirectResponse(address("/item", code=item), 303)
    title = f"Why {channel} may promise that of {item}"
    number = int(day) if day.isdecimal() and len(day) <= DAY_DIGITS_MAX else 0
    found, sentence, status = None, "", 200
    try:
        moment = moment_of(at, "at") if at else None
    except ValueError as error:
        return desk.page(request, "problem", 400, title=title, sentence=str(error))
    try:
        found = explain(desk.settings, item, channel, number, moment)
    except NoTrail as error:  # an answer: another moment may be asked for
        sentence = str(error)
    except PlainError as error:
        sentence, status = str(error), 503
    except ValueError as error:
        return desk.page(request, "problem", 400, title=title, sentence=str(error))
    now_s = int(time.time())
    published = found.published if found is not None else None
    return desk.page(
        request,
        "explain",
        status,
        title=title,
        item_code=item,
        channel=channel,
        day=number,
        found=found,
        sentence=sentence,
        published=None if found is None or published is None else words.quantity(published, found.scale),
        days=range(_days(desk, item, channel)),
        unfolded=UNFOLDED,
        at=at,
        has_trail=desk.settings.trail.enabled,
        slider_from=(now_s - DAY_S) * 1000,
        slider_max=DAY_S,
        slider_at=DAY_S if moment is None else min(DAY_S, max(0, moment // 1_000_000 - now_s + DAY_S)),
    )


def _days(desk: Desk, item: str, channel: str) -> int:
    try:
        return len(desk.numbers.item(item).by_day(channel))
    except Away:
        return 0
