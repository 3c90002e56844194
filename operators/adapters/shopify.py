"""What a Shopify webhook, or a page of its REST API, says: orders, fulfillments, refunds, inventory levels.

Rules of this file:

1. Everything is said by what it is about (an order at its `updated_at`, a line of a fulfillment, a line of a refund),
   so that webhooks may come twice, late and in any order. Nothing is remembered between two of them.
2. What an order wants is gross: what was put into fulfillments, plus what is still to be fulfilled. The engine takes
   off what was shipped by itself; `quantity` keeps its value after an edit, and `current_quantity` also falls when
   goods come back, which would leave the next shipment without a claim.
3. A cancelled fulfillment says the fulfillment again and takes it back: where it was never shipped, or nobody told us,
   both together are nothing.
4. `available` is what is left after the shop's own orders: a statement to compare with, never a count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from operators.adapters.account import Account, Refused, Row, Translation, one_line
from operators.adapters.context import Context
from operators.adapters.json_reading import (
    Object,
    array_of,
    compact,
    count_of,
    instant_of,
    object_of,
    quantity_of,
    read_json,
    text_of,
)
from operators.adapters.statement import say_statement
from operators.adapters.values import make_id, plain
from schemas.codes import BAD_VALUE, LINES_MAX, MISSING_FIELD, UNKNOWN_TYPE, show

KIND: Final = "shopify"
TOPIC_HEADER: Final = "x-shopify-topic"

#: states of a fulfillment in which its goods are no longer to be fulfilled
_UNDER_WAY: Final = frozenset({"pending", "open", "success"})
#: a refund's lines that bring nothing back, and why
_NO_RETURN: Final = {"cancel": "not_shipped", "no_restock": "not_restocked"}


def recognizes(raw: bytes, headers: Mapping[str, str]) -> bool:
    """Is it Shopify's? A webhook's topic says so; a file is known by words that it alone uses."""
    if _topic_of(headers):
        return True
    return raw[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" and any(
        all(word in raw for word in words) for words in _WORDS
    )


def translate(raw: bytes, context: Context) -> Translation:
    """Account for a webhook's body, or for a page of the REST API (`{"orders": [...]}`)."""
    try:
        return _translate(object_of(read_json(raw), "the document"), context)
    except Refused as refusal:
        return one_line(KIND, "document", refusal)


def _translate(document: Object, context: Context) -> Translation:
    account = Account(KIND)
    topic = _topic_of(context.headers)
    shape = _TOPICS.get(topic, _TOPICS.get(topic.partition("/")[0], "")) if topic else _shape_of(document)
    if not shape:
        if not topic and "draft_order" not in document:
            told = "expected an order, a fulfillment, a refund or an inventory level, got none of these"
            raise Refused(UNKNOWN_TYPE, f"the document: {told}")
        account.ignore(account.line(topic or "draft_order"), "not_about_quantities")
        return account.finish()
    read, plural = _READERS[shape]
    if plural not in document:
        read(account, context, document.get(shape, document), shape)
        return account.finish()
    entries = array_of(document[plural], plural)
    for number, entry in enumerate(entries):
        read(account, context, entry, f"{plural}[{number}]")
    if not entries:
        account.ignore(account.line(plural), "empty")
    return account.finish()


def _order(account: Account, context: Context, value: object, place: str) -> None:
    lines = _open(account, value, "line_items", place)
    try:
        order = object_of(value, place)
        order_id = _id(order, "id", place)
        updated_at = instant_of(context, order.get("updated_at"), f"{place}.updated_at")
        cancelled_at = order.get("cancelled_at")
        if cancelled_at is not None:
            cancelled_at = instant_of(context, cancelled_at, f"{place}.cancelled_at")
        channel = _channel_of(context, order, place)
        shipped, refunded = _shipped_of(order, place), _refunded(order)
    except Refused as refusal:
        account.refuse_all((number for number, _ in lines), refusal)
        return
    account.document(make_id("order", order_id, compact(cancelled_at or updated_at)))
    if order.get("test") is True:
        for number, _ in lines:
            account.ignore(number, "test_order")
        return
    said: list[tuple[int, dict[str, Any]]] = []
    for number, entry in lines:
        try:
            line = object_of(entry, "the line")
            if line.get("requires_shipping") is False or line.get("gift_card") is True:
                account.ignore(number, "needs_no_shipping")
                continue
            body: dict[str, Any] = {"line_id": _id(line, "id", "line_items"), "item": _item_of(context, line)}
            if cancelled_at is None:
                body["quantity"] = _wanted(line, shipped.get(body["line_id"], Decimal(0)), refunded)
            said.append((number, body))
        except Refused as refusal:
            account.refuse(number, refusal.code, str(refusal))
    head: dict[str, Any]
    if cancelled_at is None:
        head = {"event_id": make_id("order", order_id, compact(updated_at)), "type": "order_placed"}
    else:
        head = {"event_id": make_id("cancelled", order_id, compact(cancelled_at)), "type": "order_cancelled"}
    head |= {"source": context.source, "occurred_at": cancelled_at or updated_at, "order_id": order_id}
    head["channel"] = channel
    for first in range(0, len(said), LINES_MAX):
        chunk = said[first : first + LINES_MAX]
        account.say({**head, "lines": [body for _, body in chunk]}, *(number for number, _ in chunk))


def _wanted(line: Object, shipped: Decimal, refunded: Mapping[tuple[str, str], Decimal]) -> int | str:
    """Give what a line wants in all: under way or shipped, and still to be fulfilled."""
    line_id = text_of(line.get("id"), "id")
    if line.get("fulfillable_quantity") is not None:
        open_ = Decimal(count_of(line["fulfillable_quantity"], "fulfillable_quantity"))
        current = line.get("current_quantity")
        return plain(max(shipped + open_, Decimal(0 if current is None else count_of(current, "current_quantity"))))
    if line.get("current_quantity") is not None:
        current = Decimal(count_of(line["current_quantity"], "current_quantity"))
        return plain(current + refunded.get((line_id, "return"), Decimal(0)))
    ordered = Decimal(count_of(line.get("quantity"), "quantity"))
    return plain(max(Decimal(0), ordered - refunded.get((line_id, "cancel"), Decimal(0))))


def _refunded(order: Object) -> dict[tuple[str, str], Decimal]:
    """Sum an order's own refunds, by line and what became of the goods."""
    sums: dict[tuple[str, str], Decimal] = {}
    for refund in array_of(order.get("refunds"), "refunds"):
        for entry in array_of(object_of(refund, "refunds").get("refund_line_items"), "refund_line_items"):
            part = object_of(entry, "refund_line_items")
            line_id = text_of(part.get("line_item_id"), "refund_line_items.line_item_id")
            restock = text_of(part.get("restock_type"), "restock_type")
            quantity = Decimal(count_of(part.get("quantity"), "refund_line_items.quantity"))
            sums[line_id, restock] = sums.get((line_id, restock), Decimal(0)) + quantity
    return sums


def _shipped_of(order: Object, place: str) -> dict[str, Decimal]:
    """Sum what an order's own fulfillments hold, by line."""
    sums: dict[str, Decimal] = {}
    for entry in array_of(order.get("fulfillments"), f"{place}.fulfillments"):
        fulfillment = object_of(entry, "fulfillments")
        if text_of(fulfillment.get("status"), "fulfillments.status") not in _UNDER_WAY:
            continue
        for part in array_of(fulfillment.get("line_items"), "fulfillments.line_items"):
            line = object_of(part, "fulfillments.line_items")
            line_id = text_of(line.get("id"), "fulfillments.line_items.id")
            quantity = Decimal(count_of(line.get("quantity"), "fulfillments.line_items.quantity"))
            sums[line_id] = sums.get(line_id, Decimal(0)) + quantity
    return sums


def _edit(account: Account, context: Context, value: object, place: str) -> None:
    """An edit says differences alone; `orders/updated`, which follows it, says what is wanted now."""
    edit = object_of(value, place)
    account.document(make_id("edit", _id(edit, "id", place)))
    changes = object_of(edit.get("line_items", {}), f"{place}.line_items")
    numbers = [
        account.line(f"{place}.line_items.{name}[{number}]")
        for name in ("additions", "removals")
        for number, _ in enumerate(array_of(changes.get(name), name))
    ]
    for line in numbers or [account.line(place)]:
        account.ignore(line, "differences_only")


def _fulfillment(account: Account, context: Context, value: object, place: str) -> None:
    lines = _open(account, value, "line_items", place)
    try:
        fulfillment = object_of(value, place)
        number_of_it = _id(fulfillment, "id", place)
        order_id = _id(fulfillment, "order_id", place)
        status = text_of(fulfillment.get("status"), f"{place}.status")
        # Not updated_at: a tracking number changes that, and it would be another fact with the same id.
        occurred_at = instant_of(context, fulfillment.get("created_at"), f"{place}.created_at")
    except Refused as refusal:
        account.refuse_all((number for number, _ in lines), refusal)
        return
    account.document(make_id("fulfillment", number_of_it, status))
    for number, entry in lines:
        if status not in ("success", "cancelled"):
            account.ignore(number, "not_shipped")
            continue
        try:
            line = object_of(entry, "the line")
            quantity = count_of(line.get("quantity"), "quantity")
            if quantity == 0 or line.get("requires_shipping") is False or line.get("gift_card") is True:
                account.ignore(number, "no_quantity" if quantity == 0 else "needs_no_shipping")
                continue
            line_id = _id(line, "id", "line_items")
            body = {
                "event_id": make_id("fulfillment", number_of_it, line_id),
                "type": "shipment_confirmed",
                "source": context.source,
                "occurred_at": occurred_at,
                "item": _item_of(context, line),
                "location": context.place(text_of(fulfillment.get("location_id"), "location_id"), "location_id"),
                "order_id": order_id,
                "line_id": line_id,
                "quantity": quantity,
            }
        except Refused as refusal:
            account.refuse(number, refusal.code, str(refusal))
            continue
        account.say(body, number)
        if status == "cancelled":
            event_id = make_id("fulfillment", number_of_it, line_id, "cancelled")
            account.say({**body, "event_id": event_id, "reversal": True}, number)


def _refund(account: Account, context: Context, value: object, place: str) -> None:
    lines = _open(account, value, "refund_line_items", place)
    try:
        refund = object_of(value, place)
        refund_id = _id(refund, "id", place)
        order_id = _id(refund, "order_id", place)
        # Not processed_at: it may be backdated by hand, and the goods came when the refund was made.
        occurred_at = instant_of(context, refund.get("created_at"), f"{place}.created_at")
    except Refused as refusal:
        account.refuse_all((number for number, _ in lines), refusal)
        return
    account.document(make_id("refund", refund_id))
    for number, entry in lines:
        try:
            line = object_of(entry, "the line")
            restock = text_of(line.get("restock_type"), "restock_type")
            if restock in _NO_RETURN:
                account.ignore(number, _NO_RETURN[restock])
                continue
            if restock != "return":
                raise Refused(
                    BAD_VALUE if restock else MISSING_FIELD,
                    f"restock_type: expected return, cancel or no_restock, got {show(restock or None)}: it does not "
                    "say whether the goods had left",
                )
            quantity = count_of(line.get("quantity"), "quantity")
            if quantity == 0:
                account.ignore(number, "no_quantity")
                continue
            body = {
                "event_id": make_id("refund", refund_id, _id(line, "id", "refund_line_items")),
                "type": "return_received",
                "source": context.source,
                "occurred_at": occurred_at,
                "item": _item_of(context, object_of(line.get("line_item"), "line_item")),
                "location": context.place(text_of(line.get("location_id"), "location_id"), "location_id"),
                "quantity": quantity,
                "order_id": order_id,
            }
            account.say(body, number)
        except Refused as refusal:
            account.refuse(number, refusal.code, str(refusal))


def _level(account: Account, context: Context, value: object, place: str) -> None:
    number = account.line(place)
    try:
        level = object_of(value, place)
        theirs = _id(level, "inventory_item_id", place)
        location = _id(level, "location_id", place)
        as_of = instant_of(context, level.get("updated_at"), f"{place}.updated_at")
        identity = make_id("level", theirs, location, compact(as_of))
        account.document(identity)
        if level.get("available") is None:
            account.ignore(number, "not_tracked")
            return
        item = context.ours("item", f"gid://shopify/InventoryItem/{theirs}", "inventory_item_id")
        key = {"item": item, "location": context.ours("location", location, "location_id")}
        row = Row(number, key, {"available": quantity_of(level["available"], "available")})
    except Refused as refusal:
        account.refuse(number, refusal.code, str(refusal))
        return
    say_statement(account, context.source, identity, as_of, [row])


def _open(account: Account, value: object, name: str, place: str) -> list[tuple[int, Any]]:
    """Open an account's line for each of a document's; of a document without any, or none at all, for it as a whole."""
    entries = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(entries, list) and entries:
        return [(account.line(f"{place}.{name}[{number}]"), entry) for number, entry in enumerate(entries)]
    number = account.line(place)
    if isinstance(value, Mapping) and (entries is None or isinstance(entries, list)):
        account.ignore(number, "no_lines")
    else:
        account.refuse(number, BAD_VALUE, f"{place}: expected an object with an array {name}, got {show(value)}")
    return []


def _id(entry: Object, name: str, place: str) -> str:
    """Give an id; Shopify's are numbers of any length, exact here."""
    text = text_of(entry.get(name), f"{place}.{name}")
    if not text:
        raise Refused(MISSING_FIELD, f"{place}.{name}: expected an id, got nothing")
    return make_id(text)


def _item_of(context: Context, line: Object) -> str:
    """Give the item of a line: by its SKU; a variant without one by its id, as GraphQL writes that."""
    sku = text_of(line.get("sku"), "sku")
    variant = text_of(line.get("variant_id"), "variant_id")
    return context.ours("item", sku or (f"gid://shopify/ProductVariant/{variant}" if variant else ""), "sku")


def _channel_of(context: Context, order: Object, place: str) -> str:
    """Give whose claim it is: the shop's own sales channel where it has an alias, else the source's channel."""
    name = text_of(order.get("source_name"), f"{place}.source_name")
    if context.channel is not None and not (name and context.has("channel", name)):
        return context.channel
    return context.ours("channel", name, f"{place}.source_name")


def _topic_of(headers: Mapping[str, str]) -> str:
    return next((value.strip() for name, value in headers.items() if name.lower() == TOPIC_HEADER), "")


def _shape_of(document: Object) -> str:
    # First what stands alone: an order has its fulfillments and refunds in it.
    if "refund_line_items" in document:
        return "refund"
    if "line_items" in document:
        return "fulfillment" if "order_id" in document else "order"
    if "inventory_item_id" in document and "location_id" in document:
        return "inventory_level"
    return next((shape for shape, (_, plural) in _READERS.items() if shape in document or plural in document), "")


#: all words of one row stand in a document that is Shopify's, and in no other kind's
_WORDS: Final = (
    (b'"line_items"', b'"financial_status"'),
    (b'"order_number"', b'"financial_status"'),
    (b'"draft_order"', b'"line_items"'),
    (b'"line_items"', b'"tracking_company"'),
    (b'"refund_line_items"',),
    (b'"order_edit"', b'"line_items"'),
    (b'"inventory_item_id"', b'"location_id"'),
)
_Reader = Callable[[Account, Context, object, str], None]
_READERS: Final[dict[str, tuple[_Reader, str]]] = {
    "order": (_order, "orders"),
    "order_edit": (_edit, "order_edits"),
    "fulfillment": (_fulfillment, "fulfillments"),
    "refund": (_refund, "refunds"),
    "inventory_level": (_level, "inventory_levels"),
}
#: a webhook's topic, or what stands before its slash
_TOPICS: Final = {
    "orders": "order",
    "orders/edited": "order_edit",
    "orders/delete": "",
    "fulfillments": "fulfillment",
    "refunds": "refund",
    "inventory_levels": "inventory_level",
    "inventory_levels/connect": "inventory_level",
    "inventory_levels/disconnect": "",
}
