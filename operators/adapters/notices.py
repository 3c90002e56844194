"""Says what a shipment notice in XML announces: a receipt is (notice, item, place), and its lines add up."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from operators.adapters.account import Account
from operators.adapters.context import Context
from operators.adapters.values import make_id, plain, sub_id
from schemas.codes import BAD_VALUE


class Announced(NamedTuple):
    """A line of a notice."""

    number: int
    item: str
    location: str
    quantity: int | str
    uom: str | None
    #: the order that it is a part of, or nothing
    order: str


def announce(
    account: Account, context: Context, identity: str, notice: str, occurred_at: str, eta: str, lines: list[Announced]
) -> None:
    """Say `receipt_expected` for each item and place; what comes for two orders is two receipts."""
    orders: dict[tuple[str, str], set[str]] = {}
    together: dict[tuple[str, str, str], list[Announced]] = {}
    for line in lines:
        orders.setdefault((line.item, line.location), set()).add(line.order)
        together.setdefault((line.item, line.location, line.order), []).append(line)
    for (item, location, order), rows in together.items():
        is_one_of_several = len(orders[item, location]) > 1 and order
        receipt = make_id(*notice.split(":"), *order.split(":")) if is_one_of_several else notice
        uom = rows[0].uom
        alike = [line for line in rows if line.uom == uom]
        for line in rows:
            if line.uom != uom:
                told = f"uom: expected {uom} as in another line of the item, got {line.uom}"
                account.refuse(line.number, BAD_VALUE, told)
        body: dict[str, Any] = {
            "event_id": sub_id(identity, item, location, order),
            "type": "receipt_expected",
            "source": context.source,
            "occurred_at": occurred_at,
            "receipt_id": receipt,
            "item": item,
            "location": location,
            "quantity": plain(sum((Decimal(line.quantity) for line in alike), Decimal(0))),
            "eta": eta,
        }
        if uom is not None:
            body["uom"] = uom
        if order and order != receipt:
            body["part_of"] = order
        account.say(body, *(line.number for line in alike))
