"""What SAP's goods movements do here, by movement type, and how an IDoc of them (MBGMCR, WMMBXY) is read."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from operators.adapters.account import Account, Refused
from operators.adapters.checking import check
from operators.adapters.context import Context
from operators.adapters.idoc_parts import bare, location, lot, moment, quantity, raw, required, unit
from operators.adapters.json_reading import is_below_zero, opposite
from operators.adapters.values import digest, id_of, line_keys, make_id, sub_id
from operators.adapters.xml_reading import Node
from schemas.codes import BAD_VALUE, show

Does = Literal["received", "adjusted", "shipped", "returned", "moved", "left", "arrived", "released", "nothing"]


class Movement(NamedTuple):
    """What a movement type does; `sign` -1: the opposite."""

    does: Does
    sign: int = 1
    is_quarantined: bool = False


def _pairs(does: Does, types: str, sign: int = 1, is_quarantined: bool = False) -> dict[str, Movement]:
    """Give movement types, and for each the next number: SAP's cancellation of it."""
    found = {}
    for text in types.split():
        found[text] = Movement(does, sign, is_quarantined)
        found[str(int(text) + 1)] = Movement(does, -sign, is_quarantined)
    return found


MOVEMENTS: Final[dict[str, Movement]] = {
    # Receipts for a purchase order or without one; to blocked stock; returns to the supplier.
    **_pairs("received", "101 501 511 521 531"),
    **_pairs("received", "103 503 505", is_quarantined=True),
    **_pairs("received", "122 161", sign=-1),
    "105": Movement("released"),
    "106": Movement("released", -1),
    # Use within the house, scrap.
    **_pairs("adjusted", "201 221 231 241 251 261 281 291 551", sign=-1),
    **_pairs("adjusted", "553 555", sign=-1, is_quarantined=True),
    # First entries, differences of a stocktaking.
    **_pairs("adjusted", "561 701"),
    **_pairs("adjusted", "563 565 703 707", is_quarantined=True),
    **_pairs("adjusted", "711", sign=-1),
    **_pairs("adjusted", "713 715 717", sign=-1, is_quarantined=True),
    # To customers, and back.
    **_pairs("shipped", "601"),
    **_pairs("returned", "653"),
    **_pairs("returned", "651 655", is_quarantined=True),
    # From place to place, from material to material, in one step and in two.
    **_pairs("moved", "301 309 311"),
    **_pairs("left", "303 313"),
    **_pairs("arrived", "305 315"),
    # From quality inspection or blocked stock to free, and back; between these two.
    **_pairs("released", "321 343"),
    "349": Movement("nothing"),
    "350": Movement("nothing"),
}
"""Those of stock of one's own. What is not here is refused: to guess at a movement would be to count wrong."""

#: STCK_TYPE and INSMK of goods that are not free
_QUARANTINED: Final = frozenset({"2", "3", "X", "S", "Q"})


def read_movements(account: Account, context: Context, idoc: Node) -> None:
    """Account for the items of a movement: of BAPI's segments, or of WM's."""
    found = idoc.find("E1MBGMCR")
    whole = found or idoc.find("E1MBXYH") or idoc
    head = (found.find("E1BP2017_GM_HEAD_01") if found else None) or whole
    items = whole.all("E1BP2017_GM_ITEM_CREATE") or whole.all("E1MBXYI")
    lines = [(account.line(node.place), node) for node in items]
    if not lines:
        account.ignore(account.line(idoc.place), "no_lines")
        return
    try:
        occurred_at = moment(context, raw(head, "PSTNG_DATE", "BUDAT"), "", "PSTNG_DATE")
        number = bare(head, "REF_DOC_NO", "XBLNR", "GR_GI_SLIP_NO", "FRBNR")
    except Refused as refusal:
        account.refuse_all((line for line, _ in lines), refusal)
        return
    contents = [_content(node) for _, node in lines]
    # A movement without a number of its own is known by all that it says.
    identity = make_id("MBGM", number or digest(repr((occurred_at, _all_of(lines)))), occurred_at[:10])
    account.document(identity)
    quantities = [raw(node, "ENTRY_QNT", "ERFMG") for _, node in lines]
    keys = line_keys([bare(node, "LINE_ID", "ZEILE") for _, node in lines], contents, quantities)
    for key, (line, node) in zip(keys, lines, strict=True):
        try:
            head_of_all = {"source": context.source, "occurred_at": occurred_at}
            bodies = [head_of_all | body for body in _bodies(context, node, number)]
            for body in bodies:
                check(body)
        except Refused as refusal:
            account.refuse(line, refusal.code, str(refusal))
            continue
        if not bodies:
            account.ignore(line, "no_quantity" if quantity(node, "ENTRY_QNT", "ERFMG") == 0 else "same_status")
        for part, body in enumerate(bodies):
            event_id = sub_id(identity, key, *(() if part == 0 else (str(part + 1),)))
            account.say({"event_id": event_id, **body}, line)


def _content(node: Node) -> str:
    names = ("MATERIAL", "MATNR", "PLANT", "WERKS", "STGE_LOC", "LGORT", "BATCH", "CHARG", "MOVE_TYPE", "BWART")
    more = ("PO_NUMBER", "EBELN", "PO_ITEM", "EBELP", "SALES_ORD", "KDAUF", "S_ORD_ITEM", "KDPOS")
    return repr([node.text(name) for name in (*names, *more)])


def _all_of(lines: list[tuple[int, Node]]) -> list[tuple[str, str]]:
    return sorted((_content(node), raw(node, "ENTRY_QNT", "ERFMG")) for _, node in lines)


def _bodies(context: Context, node: Node, number: str) -> list[dict[str, Any]]:
    kind = raw(node, "MOVE_TYPE", "BWART")
    movement = MOVEMENTS.get(kind)
    if movement is None:
        raise Refused(
            BAD_VALUE, f"MOVE_TYPE: expected a movement of own stock such as 101 or 601, got {show(kind or None)}"
        )
    amount = quantity(node, "ENTRY_QNT", "ERFMG")
    if amount == 0 or movement.does == "nothing":
        return []
    sign = movement.sign
    if is_below_zero(amount):
        amount, sign = opposite(amount), -sign
    at = location(context, raw(node, "PLANT", "WERKS"), raw(node, "STGE_LOC", "LGORT"), "PLANT")
    is_quarantined = movement.is_quarantined or raw(node, "STCK_TYPE", "INSMK") in _QUARANTINED
    status: dict[str, Any] = {"status": "quarantined"} if is_quarantined else {}
    goods = {
        "item": context.ours("item", bare(node, "MATERIAL_LONG", "MATERIAL", "MATNR"), "MATERIAL"),
        "location": at,
        **unit(context, node, "ENTRY_UOM", "ERFME"),
        **lot(context, node, "BATCH", "CHARG"),
    }
    plain = {**goods, "quantity": amount, **({"reversal": True} if sign < 0 else {})}
    match movement.does:
        case "received":
            order = bare(node, "PO_NUMBER", "EBELN")
            return [
                {
                    "type": "stock_received",
                    **plain,
                    **status,
                    **({"receipt_id": id_of(order, "PO_NUMBER")} if order else {}),
                }
            ]
        case "adjusted":
            signed = amount if sign > 0 else opposite(amount)
            return [{"type": "stock_adjusted", **goods, **status, "quantity": signed}]
        case "shipped":
            return [{"type": "shipment_confirmed", **plain, **_order_line(node)}]
        case "returned":
            return [{"type": "return_received", **plain, **status}]
        case "released":
            way = {"from_status": "quarantined", "to_status": "available"}
            if sign < 0:
                way = {"from_status": "available", "to_status": "quarantined"}
            return [{"type": "stock_status_changed", **goods, "quantity": amount, **way}]
        case "left":
            return [
                {"type": "transfer_shipped", **plain, **status, **_transfer(number), "to_location": _to(context, node)}
            ]
        case "arrived":
            return [{"type": "stock_received", **plain, **status, **_transfer(number), "location": _to(context, node)}]
        case _:
            return _moved(context, node, goods, status, amount, sign)


def _moved(
    context: Context, node: Node, goods: dict[str, Any], status: dict[str, Any], amount: int | str, sign: int
) -> list[dict[str, Any]]:
    """In one step there is no time between: gone here, there elsewhere."""
    other = bare(node, "MOVE_MAT_LONG", "MOVE_MAT", "UMMAT")
    there = {**goods, "location": _to(context, node), **lot(context, node, "MOVE_BATCH", "UMCHA")}
    if other:
        there["item"] = context.ours("item", other, "MOVE_MAT")
    here = {"type": "stock_adjusted", **goods, **status, "quantity": opposite(amount) if sign > 0 else amount}
    return [here, {"type": "stock_adjusted", **there, **status, "quantity": amount if sign > 0 else opposite(amount)}]


def _to(context: Context, node: Node) -> str:
    plant = raw(node, "MOVE_PLANT", "UMWRK") or raw(node, "PLANT", "WERKS")
    return location(context, plant, raw(node, "MOVE_STLOC", "UMLGO") or raw(node, "STGE_LOC", "LGORT"), "MOVE_PLANT")


def _transfer(number: str) -> dict[str, str]:
    return {"transfer_id": id_of(number, "REF_DOC_NO")}


def _order_line(node: Node) -> dict[str, str]:
    order = required(node, "SALES_ORD", "KDAUF", "DELIV_NUMB", "VLIEF_AVIS")
    return {"order_id": order, "line_id": required(node, "S_ORD_ITEM", "KDPOS", "DELIV_ITEM", "VBELP_AVIS")}
