"""What UBL 2 documents say: orders and their changes, despatch and receipt advices, reports of what there is.

Rules of this file:

1. A document is known by its kind and ID, a change by its order and its place among the changes.
2. A date without a time, and a time without an offset, are what the source's settings make of them.
3. What was received includes what was rejected: that much is there and not to be sold.
4. A report is a statement: what another party has, or says that it has, is compared and never counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from operators.adapters.account import Account, Fact, Refused, Row, Translation, one_line
from operators.adapters.checking import check
from operators.adapters.context import AliasKind, Context
from operators.adapters.json_reading import instant_of_text, is_below_zero
from operators.adapters.notices import Announced, announce
from operators.adapters.statement import say_statement
from operators.adapters.values import id_of, line_keys, make_id, not_negative, number_of, plain, sub_id
from operators.adapters.xml_reading import Node, read_xml
from schemas.codes import BAD_VALUE, MISSING_FIELD, UNKNOWN_TYPE, parse_decimal, show

KIND: Final = "ubl"
ItemName = Literal[
    "SellersItemIdentification",
    "BuyersItemIdentification",
    "StandardItemIdentification",
    "ManufacturersItemIdentification",
    "CatalogueItemIdentification",
]


class UblMapping(BaseModel):
    """What a partner's UBL leaves open. What is not given has the value that is usual."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    item_names: Annotated[tuple[ItemName, ...], Field(min_length=1)] = (
        "SellersItemIdentification",
        "BuyersItemIdentification",
        "StandardItemIdentification",
    )
    """Which of an item's names is asked for an alias: the first that has one, else the first."""
    order_location: bool = False
    """Orders: the place of delivery is a location of ours, which serves the order (else it is the customer's)."""
    shipments: Literal["receipts", "transfers"] = "receipts"
    """Despatch advices: `receipts` comes from a supplier and is expected; `transfers` leaves a site of ours."""
    received_as: Literal["receipts", "transfers"] = "receipts"
    """Receipt advices: what they receive was announced as a receipt, or as a transfer."""
    report_is_all: bool = False
    """Reports list every item of their location, so that what is missing is 0."""


_date = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(Z|[+-][0-9]{2}:[0-9]{2})?").fullmatch
#: LineStatusCode of a changed order
_CANCELLED: Final = "2"
_Step = tuple[int, dict[str, Any]]


def recognizes(raw: bytes, headers: Mapping[str, str]) -> bool:
    """Is it UBL? Its namespaces say so."""
    is_xml = raw[:64].lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"<"
    return is_xml and b"urn:oasis:names:specification:ubl:schema:xsd:" in raw[:4096]


def translate(raw: bytes, context: Context) -> Translation:
    """Account for one document by its lines."""
    try:
        root = read_xml(raw)
        read = _DOCUMENTS.get(root.name)
        if read is None:
            raise Refused(UNKNOWN_TYPE, f"document: expected one of {', '.join(_DOCUMENTS)}, got {show(root.name)}")
    except Refused as refusal:
        return one_line(KIND, "document", refusal)
    mapping = context.mapping if isinstance(context.mapping, UblMapping) else UblMapping()
    account = Account(KIND)
    read(account, context, mapping, root)
    return account.finish()


def _lines(account: Account, root: Node, name: str, *inner: str) -> list[tuple[int, Node]]:
    """Open an account's line for each of the document's; without any, for the document, ignored."""
    found = root.all(name)
    if not found:
        account.ignore(account.line(root.name), "no_lines")
    return [(account.line(node.place), node.find(*inner) or node) for node in found]


def _order(account: Account, context: Context, mapping: UblMapping, root: Node) -> None:
    lines = _lines(account, root, "OrderLine", "LineItem")
    try:
        order_id = _id(root, "ID")
        _place_lines(account, context, mapping, root, lines, order_id, make_id(root.name, order_id))
    except Refused as refusal:
        account.refuse_all((number for number, _ in lines), refusal)


def _change(account: Account, context: Context, mapping: UblMapping, root: Node) -> None:
    lines = _lines(account, root, "OrderLine", "LineItem")
    try:
        order_id = _id(root, "OrderReference", "ID")
        sequence = root.text("SequenceNumberID") or _id(root, "ID")
        # Changes of one moment are told apart by their ids: the number stands where it sorts.
        number = sequence.zfill(6) if sequence.isdecimal() else sequence
        _place_lines(account, context, mapping, root, lines, order_id, make_id(root.name, order_id, number))
    except Refused as refusal:
        account.refuse_all((number for number, _ in lines), refusal)


def _place_lines(
    account: Account,
    context: Context,
    mapping: UblMapping,
    root: Node,
    lines: list[tuple[int, Node]],
    order_id: str,
    identity: str,
) -> None:
    head: dict[str, Any] = {
        "source": context.source,
        "occurred_at": _moment(context, root, "Issue"),
        "order_id": order_id,
        "channel": _channel(context, root),
    }
    requested = root.find("Delivery", "RequestedDeliveryPeriod")
    if requested is not None and requested.text("EndDate"):
        head["requested_at"] = _moment(context, requested, "End")
    place: dict[str, str] = {}
    if mapping.order_location:
        place["location"] = _location(context, root)
    account.document(identity)
    keys = _keys(lines, "Quantity")
    steps: list[tuple[int, dict[str, Any]]] = []
    for key, (number, node) in zip(keys, lines, strict=True):
        try:
            step: dict[str, Any] = {"does": "place", "line_key": key, "line_id": id_of(key, "ID")}
            step["item"] = _item(context, mapping, node)
            if node.text("LineStatusCode") == _CANCELLED:
                step["does"] = "cancel"
            else:
                step["quantity"] = not_negative(_quantity(node, "Quantity"), "Quantity")
                step |= _uom(context, node, "Quantity") | place
            steps.append((number, step))
        except Refused as refusal:
            account.refuse(number, refusal.code, str(refusal))
    _remember(account, order_id, head, identity, steps)


def _remember(account: Account, order_id: str, head: dict[str, Any], identity: str, steps: list[_Step]) -> None:
    if steps:
        data = {"head": head, "steps": [step for _, step in steps]}
        order = str(head["occurred_at"]).removesuffix("Z")
        account.remember(Fact("order", order_id, order, identity, data, tuple(number for number, _ in steps)))


def _cancellation(account: Account, context: Context, mapping: UblMapping, root: Node) -> None:
    """All lines of the order, which has to be known: the document names none."""
    number = account.line(root.name)
    try:
        order_id = _id(root, "OrderReference", "ID")
        identity = make_id(root.name, order_id, _id(root, "ID"))
        account.document(identity)
        head = {"source": context.source, "occurred_at": _moment(context, root, "Issue"), "order_id": order_id}
        step = {"does": "cancel_all", "line_key": "all", "line_id": "all", "item": ""}
        _remember(account, order_id, head, identity, [(number, step)])
    except Refused as refusal:
        account.refuse(number, refusal.code, str(refusal))


def _response(account: Account, context: Context, mapping: UblMapping, root: Node) -> None:
    """What a seller says to an order: no quantity moves."""
    account.document(make_id(root.name, root.text("ID") or ""))
    reason = "rejected" if root.text("AcceptedIndicator") == "false" else "acknowledged"
    for node in root.all("OrderLine") or [root]:
        account.ignore(account.line(node.place), reason)


def _despatch(account: Account, context: Context, mapping: UblMapping, root: Node) -> None:
    lines = _lines(account, root, "DespatchLine")
    try:
        notice = _id(root, "ID")
        identity = make_id(root.name, notice)
        occurred_at = _moment(context, root, "Issue")
        is_transfer = mapping.shipments == "transfers"
        to = _location(context, root)
        ours = _despatched_from(context, root) if is_transfer else ""
        eta = _eta(context, root)
        if eta is None and not is_transfer:
            raise Refused(MISSING_FIELD, "EstimatedDeliveryPeriod: expected when it arrives, got nothing")
    except Refused as refusal:
        account.refuse_all((number for number, _ in lines), refusal)
        return
    account.document(identity)
    keys = _keys(lines, "DeliveredQuantity")
    header_order = root.text("OrderReference", "ID") or ""
    announced: list[Announced] = []
    for key, (number, node) in zip(keys, lines, strict=True):
        try:
            quantity = not_negative(_quantity(node, "DeliveredQuantity"), "DeliveredQuantity")
            if quantity == 0:
                account.ignore(number, "no_quantity")
                continue
            item, uom = _item(context, mapping, node), _uom(context, node, "DeliveredQuantity")
            if not is_transfer:
                order = node.text("OrderLineReference", "OrderReference", "ID") or header_order
                announced.append(
                    Announced(
                        number, item, to, quantity, uom.get("uom"), id_of(order, "OrderReference") if order else ""
                    )
                )
                continue
            body: dict[str, Any] = {
                "event_id": sub_id(identity, key),
                "type": "transfer_shipped",
                "source": context.source,
                "occurred_at": occurred_at,
                "transfer_id": notice,
                "item": item,
                "location": ours,
                "to_location": to,
                "quantity": quantity,
                **uom,
                **_lot(context, node),
            }
            body |= {"eta": eta} if eta else {}
            check(body)
        except Refused as refusal:
            account.refuse(number, refusal.code, str(refusal))
            continue
        account.say(body, number)
    announce(account, context, identity, notice, occurred_at, eta or "", announced)


def _receipt(account: Account, context: Context, mapping: UblMapping, root: Node) -> None:
    lines = _lines(account, root, "ReceiptLine")
    try:
        identity = make_id(root.name, _id(root, "ID"))
        occurred_at = _moment(context, root, "Issue")
        location = _location(context, root)
        number_of_it = root.text("DespatchDocumentReference", "ID") or root.text("OrderReference", "ID")
        came = {}
        if number_of_it:
            name = "transfer_id" if mapping.received_as == "transfers" else "receipt_id"
            came[name] = id_of(number_of_it, "DespatchDocumentReference")
    except Refused as refusal:
        account.refuse_all((number for number, _ in lines), refusal)
        return
    account.document(identity)
    keys = _keys(lines, "ReceivedQuantity")
    for key, (number, node) in zip(keys, lines, strict=True):
        try:
            received = not_negative(_quantity(node, "ReceivedQuantity"), "ReceivedQuantity")
            rejected = not_negative(node.text("RejectedQuantity") or "0", "RejectedQuantity")
            accepted = plain(parse_decimal(received) - parse_decimal(rejected))
            if is_below_zero(accepted):
                raise Refused(BAD_VALUE, f"RejectedQuantity: expected at most {received}, got {rejected}")
            body: dict[str, Any] = {
                "type": "stock_received",
                "source": context.source,
                "occurred_at": occurred_at,
                "item": _item(context, mapping, node),
                "location": location,
                **_uom(context, node, "ReceivedQuantity"),
                **_lot(context, node),
                **came,
            }
        except Refused as refusal:
            account.refuse(number, refusal.code, str(refusal))
            continue
        if accepted != 0:
            account.say({**body, "event_id": sub_id(identity, key), "quantity": accepted}, number)
        if rejected != 0:
            blocked = {"event_id": sub_id(identity, key, "rejected"), "quantity": rejected, "status": "quarantined"}
            account.say(body | blocked, number)
        if received == 0:
            account.ignore(number, "no_quantity")


def _report(measure: str, line_name: str) -> Callable[[Account, Context, UblMapping, Node], None]:
    def read(account: Account, context: Context, mapping: UblMapping, root: Node) -> None:
        lines = _lines(account, root, line_name)
        try:
            identity = make_id(root.name, _id(root, "ID"))
            as_of = _moment(context, root, "Issue")
        except Refused as refusal:
            account.refuse_all((number for number, _ in lines), refusal)
            return
        account.document(identity)
        rows: list[Row] = []
        for number, node in lines:
            try:
                quantity = number_of(_quantity(node, "Quantity"), "Quantity")
                key = {"item": _item(context, mapping, node), "location": _reported_at(context, root, node)}
                rows.append(
                    Row(number, key | _lot(context, node) | _uom(context, node, "Quantity"), {measure: quantity})
                )
            except Refused as refusal:
                account.refuse(number, refusal.code, str(refusal))
        is_all = mapping.report_is_all and len(rows) == len(lines)
        places = sorted({row.key["location"] for row in rows}) if is_all else None
        say_statement(account, context.source, identity, as_of, rows, locations=places, is_all=is_all)

    return read


def _id(node: Node, *path: str) -> str:
    return id_of(node.text(*path) or "", "/".join(path))


def _quantity(node: Node, name: str) -> str:
    return node.text(name) or ""


def _uom(context: Context, node: Node, name: str) -> dict[str, str]:
    quantity = node.find(name)
    code = quantity.attribute("unitCode") if quantity is not None else None
    return {"uom": context.ours("uom", code, "unitCode")} if code else {}


def _lot(context: Context, node: Node) -> dict[str, str]:
    number = node.text("Item", "ItemInstance", "LotIdentification", "LotNumberID")
    return {"lot": context.ours("lot", number, "LotNumberID")} if number else {}


def _keys(lines: list[tuple[int, Node]], quantity: str) -> list[str]:
    """What each line is known by: its ID, else its item and how many lines of it stand before."""
    nodes = [node for _, node in lines]
    numbers, names = [node.text("ID") or "" for node in nodes], [_all_names(node) for node in nodes]
    return line_keys(numbers, names, [_quantity(node, quantity) for node in nodes])


def _all_names(node: Node) -> tuple[str | None, ...]:
    names = (*UblMapping().item_names, "ManufacturersItemIdentification", "CatalogueItemIdentification")
    return tuple(node.text("Item", name, "ID") for name in names)


def _item(context: Context, mapping: UblMapping, node: Node) -> str:
    names = [node.text("Item", name, "ID") for name in mapping.item_names]
    return _first_known(context, "item", [name for name in names if name], "Item")


def _first_known(context: Context, kind: AliasKind, names: list[str], what: str) -> str:
    known = next((name for name in names if context.has(kind, name)), names[0] if names else "")
    return context.ours(kind, known, what)


def _party_names(node: Node | None) -> list[str]:
    party = None if node is None else node.find("Party")
    if party is None:
        return []
    ids = [identification.text("ID") for identification in party.all("PartyIdentification")]
    return [name for name in (party.text("EndpointID"), *ids, party.text("PartyName", "Name")) if name]


def _channel(context: Context, root: Node) -> str:
    names = _party_names(root.find("BuyerCustomerParty"))
    if context.channel is not None and not any(context.has("channel", name) for name in names):
        return context.channel
    return _first_known(context, "channel", names, "BuyerCustomerParty")


def _location(context: Context, root: Node) -> str:
    """Where goods go: the place of delivery, else who takes them, else the source's location."""
    names: list[str] = []
    for delivery in (root.find("Delivery"), root.find("Shipment", "Delivery")):
        for name in ("DeliveryLocation", "DeliveryAddress"):
            names.append((delivery.text(name, "ID") if delivery else None) or "")
    names = [name for name in names if name] + _party_names(root.find("DeliveryCustomerParty"))
    known = next((name for name in names if context.has("location", name)), None)
    # A customer's address has no alias, and the source's own place is surer than a guess at a code.
    if known is None and context.location is not None:
        return context.location
    return context.place(known or (names[0] if names else ""), "DeliveryLocation")


def _despatched_from(context: Context, root: Node) -> str:
    names = [root.text("Shipment", "Delivery", "Despatch", "DespatchAddress", "ID") or ""]
    names = [name for name in names if name] + _party_names(root.find("DespatchSupplierParty"))
    return _first_known(context, "location", names, "DespatchSupplierParty")


def _reported_at(context: Context, root: Node, node: Node) -> str:
    own = node.text("InventoryLocation", "ID") or root.text("InventoryLocation", "ID")
    return context.place(own or "", "InventoryLocation")


def _eta(context: Context, root: Node) -> str | None:
    for name in ("EstimatedDeliveryPeriod", "PromisedDeliveryPeriod", "RequestedDeliveryPeriod"):
        period = root.find("Shipment", "Delivery", name)
        if period is not None:
            for side in ("End", "Start"):
                if period.text(f"{side}Date"):
                    return _moment(context, period, side)
    return None


def _moment(context: Context, node: Node, name: str) -> str:
    """Give RFC 3339 in UTC of `<name>Date` and `<name>Time`, whichever of the two has the offset."""
    date, time = node.text(f"{name}Date"), node.text(f"{name}Time") or ""
    found = _date(date or "")
    if found is None:
        code = BAD_VALUE if date else MISSING_FIELD
        raise Refused(code, f"{name}Date: expected a date, got {show(date)}")
    if not time:
        return instant_of_text(context, found[1], f"{name}Date")
    zone = "" if re.search(r"(Z|[+-][0-9]{2}:[0-9]{2})$", time) else found[2] or ""
    return instant_of_text(context, f"{found[1]}T{time}{zone}", f"{name}Time")


_DOCUMENTS: Final[dict[str, Callable[[Account, Context, UblMapping, Node], None]]] = {
    "Order": _order,
    "OrderChange": _change,
    "OrderCancellation": _cancellation,
    "OrderResponse": _response,
    "OrderResponseSimple": _response,
    "DespatchAdvice": _despatch,
    "ReceiptAdvice": _receipt,
    "InventoryReport": _report("on_hand", "InventoryReportLine"),
    "StockAvailabilityReport": _report("available", "StockAvailabilityReportLine"),
}
