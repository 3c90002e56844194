"""What SAP's IDocs say in XML: orders, deliveries in both directions, goods movements.

Rules of this file:

1. Several IDocs of a file stand by themselves. The message (MESTYP) says what they mean, the segments what of.
2. Ids come from business documents: orders, deliveries, references. DOCNUM and the time of sending are the envelope's.
3. Padding is taken off: `000010` is line 10, `000000000000004711` the material 4711.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from operators.adapters.account import Account, Fact, Refused, Translation, one_line
from operators.adapters.checking import check
from operators.adapters.context import Context
from operators.adapters.idoc_movements import read_movements
from operators.adapters.idoc_parts import bare, location, lot, moment, quantity, raw, required, unit
from operators.adapters.json_reading import is_below_zero
from operators.adapters.notices import Announced, announce
from operators.adapters.values import digest, id_of, line_keys, make_id, sub_id
from operators.adapters.xml_reading import Node, read_xml
from schemas.codes import BAD_VALUE, MISSING_FIELD, UNKNOWN_TYPE, show

KIND: Final = "idoc"


class IdocMapping(BaseModel):
    """What a system's IDocs leave open. What is not given has the value that is usual."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    inbound_types: tuple[str, ...] = ("EL", "EG", "LED")
    """Delivery types (LFART) of what comes from suppliers: confirmed, they are received and not shipped."""
    item_qualifiers: tuple[str, ...] = ("002", "001", "003")
    """Orders: QUALF of E1EDP19 whose material is asked for an alias: the first that has one, else the first."""
    order_location: bool = False
    """Orders: the plant of a line is a location of ours, which serves it."""


_ORDERS: Final = frozenset({"ORDERS", "ORDCHG"})
#: a delivery, by its message: announced by a supplier, asked of a warehouse, confirmed by it
_ANNOUNCED: Final = frozenset({"DESADV"})
_ASKED: Final = frozenset({"SHPORD", "WHSORD", "PICKSD"})
_CONFIRMED: Final = frozenset({"SHPCON", "WHSCON"})
_MOVEMENTS: Final = frozenset({"MBGMCR", "WMMBXY"})
_ANSWERS: Final = frozenset({"ORDRSP"})
#: E1EDP01-ACTION of a line that is given up
_DELETED: Final = "003"
_Step = tuple[int, dict[str, Any]]


def recognizes(raw_bytes: bytes, headers: Mapping[str, str]) -> bool:
    """Is it an IDoc? By its control record."""
    return raw_bytes[:64].lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"<" and b"<EDI_DC40" in raw_bytes[:8192]


def translate(raw_bytes: bytes, context: Context) -> Translation:
    """Account for all IDocs of a file."""
    try:
        root = read_xml(raw_bytes)
        idocs = root.all("IDOC") or ([root] if root.name == "IDOC" else [])
        if not idocs:
            raise Refused(UNKNOWN_TYPE, f"document: expected an element IDOC beneath {show(root.name)}, got none")
    except Refused as refusal:
        return one_line(KIND, "document", refusal)
    mapping = context.mapping if isinstance(context.mapping, IdocMapping) else IdocMapping()
    account = Account(KIND)
    for idoc in idocs:
        _one(account, context, mapping, idoc)
    return account.finish()


def _one(account: Account, context: Context, mapping: IdocMapping, idoc: Node) -> None:
    message = idoc.text("EDI_DC40", "MESTYP") or ""
    if message in _ORDERS:
        _order(account, context, mapping, idoc, message)
    elif message in _ANSWERS:
        for node in idoc.all("E1EDP01") or [idoc]:
            account.ignore(account.line(node.place), "acknowledged")
    elif message in _ANNOUNCED | _ASKED | _CONFIRMED:
        _delivery(account, context, mapping, idoc, message)
    elif message in _MOVEMENTS:
        read_movements(account, context, idoc)
    else:
        known = ", ".join(sorted(_ORDERS | _ANSWERS | _ANNOUNCED | _ASKED | _CONFIRMED | _MOVEMENTS))
        told = f"MESTYP: expected one of {known}, got {show(message or None)}"
        account.refuse(account.line(idoc.place), UNKNOWN_TYPE if message else MISSING_FIELD, told)


def _order(account: Account, context: Context, mapping: IdocMapping, idoc: Node, message: str) -> None:
    lines = [(account.line(node.place), node) for node in idoc.all("E1EDP01")]
    if not lines:
        account.ignore(account.line(idoc.place), "no_lines")
        return
    try:
        order_id = id_of(
            _qualified(idoc, "E1EDK02", "001", "BELNR") or bare(idoc.find("E1EDK01") or idoc, "BELNR"), "BELNR"
        )
        head: dict[str, Any] = {"source": context.source, "occurred_at": _ordered_at(context, idoc, message)}
        head |= {"order_id": order_id, "channel": _channel(context, idoc)}
        wanted = _date_of(idoc, "002")
        if wanted is not None:
            head["requested_at"] = moment(context, *wanted, "E1EDK03")
    except Refused as refusal:
        account.refuse_all((number for number, _ in lines), refusal)
        return
    names = [_names(mapping, node) for _, node in lines]
    quantities = [raw(node, "MENGE") for _, node in lines]
    keys = line_keys([bare(node, "POSEX") for _, node in lines], names, quantities)
    steps: list[_Step] = []
    for key, names_of_it, (number, node) in zip(keys, names, lines, strict=True):
        try:
            known = next(
                (name for name in names_of_it if context.has("item", name)), names_of_it[0] if names_of_it else ""
            )
            step: dict[str, Any] = {"does": "place", "line_key": key, "line_id": id_of(key, "POSEX")}
            step["item"] = context.ours("item", known, "E1EDP19")
            if raw(node, "ACTION") == _DELETED:
                step["does"] = "cancel"
            else:
                step["quantity"] = _not_negative(node, "MENGE")
                step |= unit(context, node, "MENEE")
                if mapping.order_location:
                    step["location"] = location(context, raw(node, "WERKS"), raw(node, "LGORT"), "WERKS")
            steps.append((number, step))
        except Refused as refusal:
            account.refuse(number, refusal.code, str(refusal))
    # A change has no number of its own: it is known by what it says, in their words, whatever aliases there are yet.
    actions = [raw(node, "ACTION") for _, node in lines]
    said = (digest(repr(sorted(zip(keys, names, quantities, actions, strict=True)))),) if message == "ORDCHG" else ()
    identity = make_id(message, order_id, *said)
    account.document(identity)
    if steps:
        data = {"head": head, "steps": [step for _, step in steps]}
        order = str(head["occurred_at"]).removesuffix("Z")
        account.remember(Fact("order", order_id, order, identity, data, tuple(number for number, _ in steps)))


def _ordered_at(context: Context, idoc: Node, message: str) -> str:
    """Of an order its own date; of a change when it was sent, for the date in it is still the order's."""
    dated = _date_of(idoc, "012") if message == "ORDERS" else None
    if dated is not None:
        return moment(context, *dated, "E1EDK03")
    control = idoc.find("EDI_DC40") or idoc
    return moment(context, raw(control, "CREDAT"), raw(control, "CRETIM"), "CREDAT")


def _date_of(idoc: Node, qualifier: str) -> tuple[str, str] | None:
    for node in idoc.all("E1EDK03"):
        if node.text("IDDAT") == qualifier and raw(node, "DATUM"):
            return raw(node, "DATUM"), raw(node, "UZEIT")
    return None


def _qualified(node: Node, segment: str, qualifier: str, field: str) -> str:
    return next((bare(one, field) for one in node.all(segment) if one.text("QUALF") == qualifier), "")


def _names(mapping: IdocMapping, node: Node) -> tuple[str, ...]:
    found = (_qualified(node, "E1EDP19", qualifier, "IDTNR") for qualifier in mapping.item_qualifiers)
    return tuple(name for name in found if name)


def _channel(context: Context, idoc: Node) -> str:
    buyer = next((bare(one, "PARTN", "LIFNR") for one in idoc.all("E1EDKA1") if one.text("PARVW") == "AG"), "")
    if context.channel is not None and not (buyer and context.has("channel", buyer)):
        return context.channel
    return context.ours("channel", buyer, "E1EDKA1-PARTN")


def _not_negative(node: Node, *names: str) -> int | str:
    number = quantity(node, *names)
    if is_below_zero(number):
        raise Refused(BAD_VALUE, f"{names[0]}: expected a number of 0 or more, got {number}")
    return number


def _delivery(account: Account, context: Context, mapping: IdocMapping, idoc: Node, message: str) -> None:
    """A delivery's items: expected, asked of the warehouse, or confirmed by it."""
    head = idoc.find("E1EDL20")
    items = head.all("E1EDL24") if head is not None else []
    lines = [(account.line(node.place), node) for node in items]
    if head is None or not lines:
        account.ignore(account.line(idoc.place), "no_lines")
        return
    try:
        delivery = required(head, "VBELN")
        sort = raw(head.find("E1EDL21") or head, "LFART")
        is_inbound = sort in mapping.inbound_types
        # A delivery may be asked for and confirmed once each: the message is part of what it is.
        identity = make_id(message, delivery)
        occurred_at = _happened_at(context, idoc, head, message)
        eta = _time_of(context, head, ("007", "001")) if message in _ANNOUNCED else None
        if message in _ANNOUNCED and eta is None:
            raise Refused(MISSING_FIELD, "E1EDT13: expected when it arrives (QUALF 007), got nothing")
    except Refused as refusal:
        account.refuse_all((number for number, _ in lines), refusal)
        return
    account.document(identity)
    announced: list[Announced] = []
    for number, node in lines:
        try:
            amount = _not_negative(node, "LFIMG")
            if amount == 0:
                account.ignore(number, "no_quantity")  # the head of lines by lot
                continue
            goods: dict[str, Any] = {
                "item": context.ours("item", bare(node, "MATNR", "KDMAT"), "MATNR"),
                "location": location(context, raw(node, "WERKS"), raw(node, "LGORT"), "WERKS"),
                "quantity": amount,
                **unit(context, node, "VRKME"),
            }
            if message in _ANNOUNCED:
                order = bare(node, "VGBEL")
                announced.append(
                    Announced(
                        number,
                        goods["item"],
                        goods["location"],
                        amount,
                        goods.get("uom"),
                        make_id(order) if order else "",
                    )
                )
                continue
            key = required(node, "POSNR")
            body: dict[str, Any] = {"event_id": sub_id(identity, key)}
            body |= {"source": context.source, "occurred_at": occurred_at}
            if is_inbound:
                if message in _ASKED:
                    account.ignore(number, "announced_by_supplier")
                    continue
                body |= {"type": "stock_received", "receipt_id": delivery, **goods, **lot(context, node, "CHARG")}
            else:
                order, line = bare(node, "VGBEL") or delivery, bare(node, "VGPOS") or key
                of_the_order = {"order_id": id_of(order, "VGBEL"), "line_id": id_of(line, "VGPOS")}
                if message in _CONFIRMED:
                    body |= {"type": "shipment_confirmed", **of_the_order, **goods, **lot(context, node, "CHARG")}
                else:
                    row = {"line_id": of_the_order["line_id"], **goods}
                    body |= {"type": "order_allocated", "order_id": of_the_order["order_id"], "lines": [row]}
            check(body)
        except Refused as refusal:
            account.refuse(number, refusal.code, str(refusal))
            continue
        account.say(body, number)
    announce(account, context, identity, delivery, occurred_at, eta or "", announced)


def _happened_at(context: Context, idoc: Node, head: Node, message: str) -> str:
    """Of a confirmation the goods issue; else when the document was made, else when it was sent."""
    if message in _CONFIRMED and (issued := _time_of(context, head, ("006", "010"))):
        return issued
    if raw(head, "ERDAT"):
        return moment(context, raw(head, "ERDAT"), raw(head, "ERZET"), "ERDAT")
    control = idoc.find("EDI_DC40") or idoc
    return moment(context, raw(control, "CREDAT"), raw(control, "CRETIM"), "CREDAT")


def _time_of(context: Context, head: Node, qualifiers: tuple[str, ...]) -> str | None:
    """Give the first of these deadlines: what it really was, else what was planned."""
    for qualifier in qualifiers:
        for node in head.all("E1EDT13"):
            if node.text("QUALF") == qualifier:
                for date, time in (("ISDD", "ISDZ"), ("NTEND", "NTENZ"), ("NTANF", "NTANZ")):
                    if raw(node, date).strip("0"):
                        return moment(context, raw(node, date), raw(node, time), f"E1EDT13-{date}")
    return None
