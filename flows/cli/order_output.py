"""Shows how an order stands to people, and as one JSON object to scripts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from flows.cli.options import complain
from flows.inspection.orders import LineEvent, Order, OrderLine, order
from flows.inspection.standing import shown
from schemas.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

HEADS = (
    *("line", "item", "state", "ordered", "given up", "allocated", "delivered", "reserved", "soft", "channel"),
    *("last event", "said by"),
)


def show_order(settings: Settings, order_id: str, is_watched: bool, as_json: bool) -> int:
    """Show an order; 1 where nothing of it is published."""
    if is_watched:
        from flows.cli.watching import watch

        return watch(lambda: order(settings, order_id) or Order(order_id, ()), _picture, _line if as_json else None)
    found = order(settings, order_id)
    if found is None:
        complain(
            f"no line of an order {shown(order_id)} is known: it was never seen, or all of it has been finished for "
            "longer than closed_line_retention"
        )
        return 1
    if as_json:
        print(_line(found))
    else:
        from rich.console import Console

        console = Console(highlight=False)
        console.print(_picture(console, found))
    return 0


def _picture(console: Console, found: Order) -> RenderableType:
    from rich.text import Text

    from flows.tables import table

    if not found.lines:
        return Text(f"no line of an order {shown(found.order_id)} is known")
    rows = [_cells(one) for one in found.lines]
    return table(console, HEADS, rows, f"order {found.order_id}", keeps=(1, 2, 3))


def _cells(one: OrderLine) -> tuple[str, ...]:
    scale = f" x 10^{one.scale}" if one.scale else ""
    ordered = "" if one.ordered is None else f"{one.ordered}{scale}"
    soft = f"{one.soft} ({one.location or 'any'})" if one.soft else ""
    said = [event for event in (one.placed, one.cancelled, one.reopened) if event is not None]
    return (
        *(one.line_id, one.item, one.state, ordered, str(one.given_up or "")),
        *(_places(one.allocated), _places(one.delivered), _places(one.hard), soft, one.channel or ""),
        *(f"{one.last_at[:19].replace('T', ' ')}Z", ", ".join(map(_named, said))),
    )


def _places(quantities: dict[str, int]) -> str:
    return ", ".join(f"{location} {quantity}" for location, quantity in sorted(quantities.items()))


def _named(event: LineEvent) -> str:
    return f"{event.event_id} of {event.source}"


def _line(found: Order) -> str:
    return json.dumps(msgspec.to_builtins(found))
