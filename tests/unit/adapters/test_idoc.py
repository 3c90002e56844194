"""What IDocs become, worked out by hand: orders, deliveries in both directions, goods movements."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from operators.adapters import idoc
from operators.adapters.account import Translation, refusals_of
from operators.adapters.context import AliasTable, Context
from operators.adapters.idoc_movements import MOVEMENTS
from operators.adapters.memory import Dictionary
from tests.adapting import checked, survives

SAP = "sap"
NOON = 12 * 3600 * 1_000_000
ALIASES = {
    (SAP, "item", "4711"): "lamp",
    (SAP, "item", "SHADE"): "shade",
    (SAP, "location", "1000/0001"): "berlin",
    (SAP, "location", "2000"): "hamburg",
    (SAP, "channel", "300"): "retail",
}


def context(**more: Any) -> Context:
    given: dict[str, Any] = {"time_zone": ZoneInfo("Europe/Berlin"), "time_of_day": NOON, **more}
    return Context(source=SAP, aliases=AliasTable(ALIASES), **given)


def read(raw: str, memory: Dictionary | None = None, **more: Any) -> Translation:
    return checked(idoc.translate(raw.encode(), context(**more)), SAP, memory)


def segment(name: str, *inner: str, **fields: str) -> str:
    body = "".join(f"<{field}>{text}</{field}>" for field, text in fields.items())
    return f'<{name} SEGMENT="1">{body}{"".join(inner)}</{name}>'


def file(kind: str, message: str, *inner: str, docnum: str = "0000000000012345") -> str:
    control = segment("EDI_DC40", DOCNUM=docnum, IDOCTYP=kind, MESTYP=message, CREDAT="20260305", CRETIM="080000")
    return f'<?xml version="1.0" encoding="utf-8"?><{kind}><IDOC BEGIN="1">{control}{"".join(inner)}</IDOC></{kind}>'


def order_line(position: str, quantity: str, material: str = "000000000000004711", action: str = "") -> str:
    names = segment("E1EDP19", QUALF="002", IDTNR=material)
    return segment("E1EDP01", names, POSEX=position, ACTION=action, MENGE=quantity, MENEE="PCE", WERKS="2000")


def order(*lines: str, message: str = "ORDERS") -> str:
    head = segment("E1EDK01", BELNR="0004500001") + segment("E1EDK03", IDDAT="012", DATUM="20260302", UZEIT="103000")
    head += segment("E1EDK03", IDDAT="002", DATUM="20260309") + segment("E1EDKA1", PARVW="AG", PARTN="0000000300")
    return file("ORDERS05", message, head, *lines)


def test_an_order_is_placed_without_its_padding() -> None:
    translation = read(order(order_line("000010", "3.000"), order_line("000020", "2.500", "SHADE")))
    assert translation.documents == ["ORDERS:4500001"]
    assert translation.bodies() == [
        {
            "source": "sap",
            "occurred_at": "2026-03-02T09:30:00Z",
            "order_id": "4500001",
            "channel": "retail",
            "requested_at": "2026-03-09T11:00:00Z",
            "event_id": "ORDERS:4500001",
            "type": "order_placed",
            "lines": [
                {"line_id": "10", "item": "lamp", "quantity": 3, "uom": "PCE"},
                {"line_id": "20", "item": "shade", "quantity": "2.5", "uom": "PCE"},
            ],
        }
    ]


def test_another_envelope_is_no_other_order_and_a_change_is_known_by_what_it_says() -> None:
    memory = Dictionary()
    read(order(order_line("000010", "3"), order_line("000020", "2")), memory)
    again = order(order_line("000010", "3"), order_line("000020", "2")).replace("12345", "99999")
    assert read(again, memory).ignored() == {"repeated": 2}
    change = order(order_line("000010", "5", action="002"), order_line("000020", "0", action="003"), message="ORDCHG")
    placed, cancelled = read(change, memory).bodies()
    assert (placed["lines"][0]["quantity"], placed["occurred_at"]) == (5, "2026-03-05T07:00:00Z")
    assert (cancelled["type"], cancelled["lines"]) == ("order_cancelled", [{"line_id": "20", "item": "lamp"}])
    assert read(change, memory).ignored() == {"repeated": 2}
    unknown = order(order_line("000010", "5", action="002"), order_line("000030", "1", "NEW"), message="ORDCHG")
    early = checked(idoc.translate(unknown.encode(), context()), SAP)
    aliases = AliasTable({**ALIASES, (SAP, "item", "NEW"): "new"})
    late = checked(idoc.translate(unknown.encode(), Context(SAP, ZoneInfo("UTC"), NOON, aliases=aliases)), SAP)
    assert early.documents == late.documents and early.refused() == {"unknown_alias": 1}


def item(position: str, quantity: str, **more: str) -> str:
    fields = {"POSNR": position, "MATNR": "000000000000004711", "WERKS": "1000", "LGORT": "0001", "LFIMG": quantity}
    return segment("E1EDL24", **{**fields, "VRKME": "PCE", "VGBEL": "0000012345", "VGPOS": "000010", **more})


def delivery(message: str, *items: str, sort: str = "LF") -> str:
    times = segment("E1EDT13", QUALF="007", NTANF="20260306", NTANZ="080000")
    times += segment("E1EDT13", QUALF="006", NTANF="20260304", NTANZ="000000", ISDD="20260304", ISDZ="150000")
    head = segment(
        "E1EDL20", segment("E1EDL21", LFART=sort), times, *items, VBELN="0080001234", ERDAT="20260302", ERZET="090000"
    )
    return file("DELVRY07", message, head)


def test_a_despatch_is_expected_as_a_part_of_its_order() -> None:
    (body,) = read(delivery("DESADV", item("000010", "6"), item("000020", "4"), item("000030", "0"))).bodies()
    assert body == {
        "event_id": "DESADV:80001234:lamp:berlin:12345",
        "type": "receipt_expected",
        "source": "sap",
        "occurred_at": "2026-03-02T08:00:00Z",
        "receipt_id": "80001234",
        "item": "lamp",
        "location": "berlin",
        "quantity": 10,
        "eta": "2026-03-06T07:00:00Z",
        "uom": "PCE",
        "part_of": "12345",
    }


def test_a_delivery_is_asked_of_the_warehouse_and_confirmed_by_lot() -> None:
    (asked,) = read(delivery("WHSORD", item("000010", "6"))).bodies()
    assert (asked["type"], asked["order_id"]) == ("order_allocated", "12345")
    assert asked["lines"] == [{"line_id": "10", "item": "lamp", "location": "berlin", "quantity": 6, "uom": "PCE"}]
    lots = (item("000010", "0"), item("900001", "4", CHARG="L1"), item("900002", "2", CHARG="L2"))
    translation = read(delivery("SHPCON", *lots))
    assert translation.ignored() == {"no_quantity": 1}
    assert [(b["type"], b["line_id"], b["lot"], b["quantity"]) for b in translation.bodies()] == [
        ("shipment_confirmed", "10", "L1", 4),
        ("shipment_confirmed", "10", "L2", 2),
    ]
    assert {b["occurred_at"] for b in translation.bodies()} == {"2026-03-04T14:00:00Z"}


def test_what_comes_from_a_supplier_is_received_when_it_is_confirmed() -> None:
    (body,) = read(delivery("WHSCON", item("000010", "6"), sort="EL")).bodies()
    assert (body["type"], body["receipt_id"], body["quantity"]) == ("stock_received", "80001234", 6)
    assert read(delivery("WHSORD", item("000010", "6"), sort="EL")).ignored() == {"announced_by_supplier": 1}


def moved(kind: str, quantity: str = "5.000", **more: str) -> str:
    fields = {"MATERIAL": "000000000000004711", "PLANT": "1000", "STGE_LOC": "0001", "MOVE_TYPE": kind}
    fields |= {
        "ENTRY_QNT": quantity,
        "ENTRY_UOM": "PCE",
        "PO_NUMBER": "4500009",
        "SALES_ORD": "12345",
        "S_ORD_ITEM": "10",
    }
    return segment("E1BP2017_GM_ITEM_CREATE", **{**fields, "MOVE_PLANT": "2000", **more})


def movement(*items: str, reference: str = "LS-77") -> str:
    head = segment("E1BP2017_GM_HEAD_01", PSTNG_DATE="20260302", REF_DOC_NO=reference)
    return file("MBGMCR03", "MBGMCR", segment("E1MBGMCR", head, segment("E1BP2017_GM_CODE", GM_CODE="01"), *items))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("101", {"type": "stock_received", "receipt_id": "4500009"}),
        ("102", {"type": "stock_received", "receipt_id": "4500009", "reversal": True}),
        ("122", {"type": "stock_received", "reversal": True}),
        ("103", {"type": "stock_received", "status": "quarantined"}),
        ("105", {"type": "stock_status_changed", "from_status": "quarantined", "to_status": "available"}),
        ("201", {"type": "stock_adjusted", "quantity": -5}),
        ("202", {"type": "stock_adjusted", "quantity": 5}),
        ("555", {"type": "stock_adjusted", "quantity": -5, "status": "quarantined"}),
        ("561", {"type": "stock_adjusted", "quantity": 5}),
        ("702", {"type": "stock_adjusted", "quantity": -5}),
        ("601", {"type": "shipment_confirmed", "order_id": "12345", "line_id": "10"}),
        ("602", {"type": "shipment_confirmed", "reversal": True}),
        ("653", {"type": "return_received"}),
        ("651", {"type": "return_received", "status": "quarantined"}),
        ("303", {"type": "transfer_shipped", "transfer_id": "LS-77", "to_location": "hamburg"}),
        ("305", {"type": "stock_received", "transfer_id": "LS-77", "location": "hamburg"}),
        ("321", {"type": "stock_status_changed", "to_status": "available"}),
        ("344", {"type": "stock_status_changed", "to_status": "quarantined"}),
    ],
)
def test_movements_are_said_by_their_type(kind: str, said: dict[str, Any]) -> None:
    (body,) = read(movement(moved(kind))).bodies()
    assert body["item"] == "lamp" and body["occurred_at"] == "2026-03-02T11:00:00Z"
    assert {name: body.get(name) for name in said} == said
    assert body.get("reversal") == said.get("reversal")


def test_a_movement_in_one_step_leaves_here_and_is_there() -> None:
    bodies = read(movement(moved("311"), moved("310", MOVE_MAT="SHADE", MOVE_PLANT=""))).bodies()
    assert [(b["item"], b["location"], b["quantity"]) for b in bodies] == [
        ("lamp", "berlin", -5),
        ("lamp", "hamburg", 5),
        ("lamp", "berlin", 5),
        ("shade", "berlin", -5),
    ]
    assert len({b["event_id"] for b in bodies}) == 4


def test_the_next_number_is_the_cancellation() -> None:
    assert all(
        MOVEMENTS[str(int(kind) + 1)].sign == -MOVEMENTS[kind].sign for kind in ("101", "201", "311", "601", "711")
    )


def test_blocked_goods_are_quarantined_and_a_minus_stands_behind() -> None:
    (body,) = read(movement(moved("101", "5.000-", STCK_TYPE="X"))).bodies()
    assert (body["quantity"], body["reversal"], body["status"]) == (5, True, "quarantined")


def test_what_moves_nothing_is_ignored_and_other_movements_are_refused() -> None:
    translation = read(movement(moved("349"), moved("101", "0.000"), moved("541"), moved("101", MATERIAL="9")))
    assert translation.ignored() == {"same_status": 1, "no_quantity": 1}
    assert [(each["code"], each["line_id"][-3:]) for each in refusals_of(translation)] == [
        ("bad_value", "[3]"),
        ("unknown_alias", "[4]"),
    ]


def test_equal_items_are_all_real_and_the_same_movement_again_is_not() -> None:
    first, second = read(movement(moved("101"), moved("101"))).bodies()
    assert first["event_id"] != second["event_id"]
    again = read(movement(moved("101"), moved("101")).replace("12345</DOCNUM", "777</DOCNUM")).bodies()
    assert again == [first, second]


def test_the_tables_own_names_are_read_too() -> None:
    row = segment(
        "E1MBXYI", MATNR="4711", WERKS="1000", LGORT="0001", BWART="101", ERFMG="2", ERFME="PCE", EBELN="4500009"
    )
    raw = file("WMMBID02", "WMMBXY", segment("E1MBXYH", row, BUDAT="20260302", XBLNR="LS-78"))
    (body,) = read(raw).bodies()
    assert (body["type"], body["receipt_id"], body["quantity"], body["location"]) == (
        "stock_received",
        "4500009",
        2,
        "berlin",
    )


def test_idocs_of_a_file_stand_by_themselves() -> None:
    both = order(order_line("000010", "3")).replace(
        "</IDOC>", "</IDOC><IDOC><EDI_DC40><MESTYP>INVOIC</MESTYP></EDI_DC40></IDOC>"
    )
    translation = read(both)
    assert len(translation.bodies()) == 1 and translation.refused() == {"unknown_type": 1}
    assert read(file("ORDERS05", "ORDRSP", segment("E1EDP01", POSEX="10"))).ignored() == {"acknowledged": 1}
    assert read(file("ORDERS05", "ORDERS")).ignored() == {"no_lines": 1}
    assert read("<ORDERS05/>").refused() == {"unknown_type": 1}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (order(order_line("000010", "")), "missing_field"),
        (order(order_line("000010", "x")), "bad_value"),
        (order(order_line("000010", "1")).replace("0004500001", "0000000000"), "missing_field"),
        (movement(moved("101")).replace("20260302", "00000000"), "missing_field"),
        (movement(moved("101")).replace("20260302", "20260230"), "bad_value"),
        (delivery("DESADV", item("000010", "1")).replace("007", "008"), "missing_field"),
        (order(order_line("000010", "1"))[:-20], "bad_value"),
    ],
)
def test_what_is_wrong_is_refused(raw: str, code: str) -> None:
    assert read(raw).refused() == {code: 1}


def test_a_date_of_no_clock_is_refused() -> None:
    assert read(movement(moved("101")), time_of_day=None).refused() == {"missing_field": 1}
    assert read(movement(moved("101")), time_zone=None).refused() == {"missing_field": 1}


def test_a_file_is_known_by_its_control_record() -> None:
    assert idoc.recognizes(order().encode(), {}) and not idoc.recognizes(b"<ORDERS05/>", {})


def samples() -> list[bytes]:
    found = [order(order_line("000010", "3")), movement(moved("101"), moved("311"), moved("303"))]
    found += [delivery(message, item("000010", "6")) for message in ("SHPCON", "DESADV", "WHSORD")]
    return [each.encode() for each in found]


def test_mutations_neither_crash_nor_lose_a_line() -> None:
    known = context(location="berlin", channel="retail")
    survives(lambda raw: idoc.translate(raw, known), SAP, samples(), 3000, seed=13)
