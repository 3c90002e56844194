"""The page of an order: its lines, what each still claims and where, and the event that was the newest word on it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from flows.console import words
from flows.console.desk import asked, desk_of
from flows.errors import PlainError
from flows.inspection.orders import OrderLine, order


def show_order(request: Request) -> Response:
    """Answer `/order?id=`; without an id a form that asks for one."""
    desk = desk_of(request)
    [order_id] = asked(request, "id")
    if not order_id:
        return desk.page(request, "order", title="Orders", order_id="", lines=[], sentence="")
    try:
        found = order(desk.settings, order_id)
    except PlainError as error:
        return desk.page(request, "problem", 503, title=f"Order {order_id}", sentence=str(error))
    if found is None:
        sentence = f"Nothing is kept of an order {order_id}: it was never seen, or its lines ended long ago."
        return desk.page(request, "order", 404, title="Orders", order_id=order_id, lines=[], sentence=sentence)
    lines = [_line(one) for one in found.lines]
    return desk.page(request, "order", title=f"Order {order_id}", order_id=order_id, lines=lines, sentence="")


def _line(one: OrderLine) -> dict[str, Any]:
    """Give a line as the page has it: quantities in the item's own unit, 0 left out where it says nothing."""

    def plain(value: int) -> str:
        return words.quantity(value, one.scale) if value else ""

    return {
        "line_id": one.line_id,
        "item": one.item,
        "state": one.state,
        "channel": one.channel or "",
        "ordered": "" if one.ordered is None else words.quantity(one.ordered, one.scale),
        "given_up": plain(one.given_up),
        "delivered": [(place, plain(much)) for place, much in sorted(one.delivered.items())],
        "soft": plain(one.soft),
        "location": one.location or "any",
        "hard": [(place, plain(much)) for place, much in sorted(one.hard.items())],
        "said_by": [
            (word, f"{said.event_id} of {said.source}, {words.short(said.at)}")
            for word, said in (("placed", one.placed), ("cancelled", one.cancelled), ("reopened", one.reopened))
            if said is not None
        ],
        "last": words.short(one.last_at),
        "day": one.requested_day or "",
        "expires": words.short(one.expires_at),
    }
