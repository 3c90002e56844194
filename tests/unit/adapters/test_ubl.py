"""What UBL documents become, worked out by hand: orders, changes, notices, receipts, reports."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from operators.adapters import ubl
from operators.adapters.account import Translation
from operators.adapters.context import AliasTable, Context
from operators.adapters.memory import Dictionary
from tests.adapting import checked, survives

SOURCE = "partner"
NOON = 12 * 3600 * 1_000_000
ALIASES = {
    (SOURCE, "item", "S-1"): "lamp",
    (SOURCE, "item", "4012345678901"): "shade",
    (SOURCE, "location", "DC-7"): "berlin",
    (SOURCE, "location", "0088:SUP"): "hamburg",
    (SOURCE, "channel", "7300010000001"): "retail",
}


def read(raw: str, memory: Dictionary | None = None, mapping: Any = None, **more: Any) -> Translation:
    given: dict[str, Any] = {"time_zone": ZoneInfo("Europe/Berlin"), "time_of_day": NOON, **more}
    context = Context(source=SOURCE, aliases=AliasTable(ALIASES), mapping=mapping, **given)
    return checked(ubl.translate(raw.encode(), context), SOURCE, memory)


def document(kind: str, *inner: str) -> str:
    spaces = "urn:oasis:names:specification:ubl:schema:xsd:"
    names = f'xmlns="{spaces}{kind}-2" xmlns:cbc="{spaces}CommonBasicComponents-2" '
    names += f'xmlns:cac="{spaces}CommonAggregateComponents-2"'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{kind} {names}>{"".join(inner)}</{kind}>'


def x(path: str, *inner: str, unit: str = "") -> str:
    """Write elements in each other; what holds text is basic, what holds others is aggregate, as UBL has them."""
    text = "".join(inner)
    for number, name in enumerate(reversed(path.split("/"))):
        prefix = "cac" if number or text.startswith("<") else "cbc"
        attribute = f' unitCode="{unit}"' if unit and not number else ""
        text = f"<{prefix}:{name}{attribute}>{text}</{prefix}:{name}>"
    return text


def item(name: str = "S-1", more: str = "") -> str:
    return x("Item", x("SellersItemIdentification/ID", name), more)


BUYER = x("BuyerCustomerParty/Party/EndpointID", "7300010000001")
STANDARD = x("Item/StandardItemIdentification/ID", "4012345678901")


def order_line(number: str, quantity: str, what: str = "", status: str = "") -> str:
    code = x("LineStatusCode", status) if status else ""
    return x("OrderLine/LineItem", x("ID", number), code, x("Quantity", quantity, unit="C62"), what or item())


def order(*lines: str, more: str = "", date: str = "2026-03-02") -> str:
    head = (x("ID", "PO 7"), x("IssueDate", date), x("IssueTime", "10:00:00"), BUYER)
    return document("Order", *head, more, *lines)


def change(sequence: str, *lines: str) -> str:
    head = (x("ID", f"C{sequence}"), x("SequenceNumberID", sequence), x("IssueDate", f"2026-03-0{2 + int(sequence)}"))
    return document("OrderChange", *head, x("OrderReference/ID", "PO 7"), BUYER, *lines)


def test_an_order_is_placed_by_its_buyers_channel() -> None:
    wanted = x("Delivery/RequestedDeliveryPeriod/EndDate", "2026-03-09")
    translation = read(order(order_line("1", "3"), order_line("2", "1.50", STANDARD), more=wanted))
    assert translation.documents == ["Order:PO%207"]
    assert translation.bodies() == [
        {
            "source": "partner",
            "occurred_at": "2026-03-02T09:00:00Z",
            "order_id": "PO%207",
            "channel": "retail",
            "requested_at": "2026-03-09T11:00:00Z",
            "event_id": "Order:PO%207",
            "type": "order_placed",
            "lines": [
                {"line_id": "1", "item": "lamp", "quantity": 3, "uom": "C62"},
                {"line_id": "2", "item": "shade", "quantity": "1.5", "uom": "C62"},
            ],
        }
    ]


def test_the_same_order_again_adds_nothing_and_another_of_its_number_is_a_conflict() -> None:
    memory = Dictionary()
    read(order(order_line("1", "3"), order_line("2", "1")), memory)
    shuffled = read(order(order_line("2", "1"), order_line("1", "3")), memory)
    assert shuffled.ignored() == {"repeated": 2} and not shuffled.output
    assert read(order(order_line("1", "4")), memory).refused() == {"conflict": 1}


def test_a_change_says_what_a_line_wants_now_or_cancels_it() -> None:
    memory = Dictionary()
    read(order(order_line("1", "3"), order_line("2", "1")), memory)
    placed, cancelled = read(
        change("1", order_line("1", "5", status="5"), order_line("2", "0", status="2")), memory
    ).bodies()
    assert (placed["event_id"], placed["occurred_at"]) == ("OrderChange:PO%207:000001", "2026-03-03T11:00:00Z")
    assert placed["lines"] == [{"line_id": "1", "item": "lamp", "quantity": 5, "uom": "C62"}]
    assert (cancelled["type"], cancelled["lines"]) == ("order_cancelled", [{"line_id": "2", "item": "lamp"}])


def test_a_cancellation_takes_all_lines_of_an_order_that_is_known() -> None:
    inner = (x("ID", "X1"), x("IssueDate", "2026-03-05"), x("OrderReference/ID", "PO 7"))
    cancellation = document("OrderCancellation", *inner)
    memory = Dictionary()
    assert read(cancellation, memory).refused() == {"missing_field": 1}
    read(order(order_line("1", "3"), order_line("2", "1")), memory)
    (body,) = read(cancellation, memory).bodies()
    assert body["type"] == "order_cancelled" and [line["line_id"] for line in body["lines"]] == ["1", "2"]


SOON = x("EndDate", "2026-03-06") + x("EndTime", "08:00:00Z")


def notice(*lines: str, eta: str = SOON) -> str:
    delivery = (x("DeliveryLocation/ID", "DC-7"), x("EstimatedDeliveryPeriod", eta) if eta else "")
    head = (x("ID", "D9"), x("IssueDate", "2026-03-02Z"), x("IssueTime", "10:00:00"), x("OrderReference/ID", "PO-1"))
    supplier = x("DespatchSupplierParty/Party/EndpointID", "0088:SUP")
    return document("DespatchAdvice", *head, supplier, x("Shipment/Delivery", *delivery), *lines)


def despatched(number: str, quantity: str, order_id: str = "", what: str = "") -> str:
    reference = x("OrderReference/ID", order_id) if order_id else ""
    line = (x("ID", number), x("DeliveredQuantity", quantity, unit="C62"))
    return x("DespatchLine", *line, x("OrderLineReference", x("LineID", "1"), reference), what or item())


def test_a_despatch_is_expected_as_a_part_of_its_order_and_its_lines_add_up() -> None:
    (body,) = read(notice(despatched("1", "6"), despatched("2", "4"), despatched("3", "0"))).bodies()
    assert body == {
        "event_id": "DespatchAdvice:D9:lamp:berlin:PO-1",
        "type": "receipt_expected",
        "source": "partner",
        "occurred_at": "2026-03-02T10:00:00Z",
        "receipt_id": "D9",
        "item": "lamp",
        "location": "berlin",
        "quantity": 10,
        "eta": "2026-03-06T08:00:00Z",
        "uom": "C62",
        "part_of": "PO-1",
    }


def test_a_despatch_for_two_orders_is_two_receipts() -> None:
    bodies = read(notice(despatched("1", "6"), despatched("2", "4", "PO-2"))).bodies()
    assert [(b["receipt_id"], b["part_of"], b["quantity"]) for b in bodies] == [
        ("D9:PO-1", "PO-1", 6),
        ("D9:PO-2", "PO-2", 4),
    ]


def test_between_sites_of_ours_a_despatch_is_a_transfer() -> None:
    lot = x("ItemInstance/LotIdentification/LotNumberID", "L1")
    mapping = ubl.UblMapping(shipments="transfers")
    (body,) = read(notice(despatched("1", "6", what=item(more=lot)), eta=""), mapping=mapping).bodies()
    assert (body["type"], body["transfer_id"], body["lot"]) == ("transfer_shipped", "D9", "L1")
    assert (body["location"], body["to_location"], "eta" in body) == ("hamburg", "berlin", False)


def test_a_despatch_to_where_it_leaves_is_refused() -> None:
    mapping = ubl.UblMapping(shipments="transfers")
    same = notice(despatched("1", "6")).replace("DC-7", "0088:SUP")
    assert read(same, mapping=mapping).refused() == {"bad_value": 1}


def test_a_notice_that_does_not_say_when_is_refused() -> None:
    assert read(notice(despatched("1", "6"), eta="")).refused() == {"missing_field": 1}


def received(number: str, quantity: str, rejected: str = "") -> str:
    bad = x("RejectedQuantity", rejected, unit="C62") if rejected else ""
    return x("ReceiptLine", x("ID", number), x("ReceivedQuantity", quantity, unit="C62"), bad, item())


def receipt(*lines: str) -> str:
    head = (x("ID", "R1"), x("IssueDate", "2026-03-06"), x("DespatchDocumentReference/ID", "D9"))
    return document("ReceiptAdvice", *head, *lines)


def test_what_was_rejected_is_there_and_not_to_be_sold() -> None:
    translation = read(
        receipt(received("1", "10", "2"), received("2", "0"), received("3", "1", "2")), location="berlin"
    )
    good, bad = translation.bodies()
    assert (good["event_id"], good["quantity"], good["receipt_id"]) == ("ReceiptAdvice:R1:1", 8, "D9")
    assert (bad["event_id"], bad["quantity"], bad["status"]) == ("ReceiptAdvice:R1:1:rejected", 2, "quarantined")
    assert translation.ignored() == {"no_quantity": 1} and translation.refused() == {"bad_value": 1}
    mapping = ubl.UblMapping(received_as="transfers")
    assert read(receipt(received("1", "1")), location="berlin", mapping=mapping).bodies()[0]["transfer_id"] == "D9"


def report(kind: str, *quantities: str) -> str:
    place = x("InventoryLocation/ID", "DC-7")
    lines = [x(f"{kind}Line", x("ID", str(n)), x("Quantity", text), item(), place) for n, text in enumerate(quantities)]
    return document(kind, x("ID", "I1"), x("IssueDate", "2026-03-02"), *lines)


def test_reports_are_statements_at_the_time_of_day_that_the_source_means() -> None:
    start, row, end = read(report("InventoryReport", "4", "3")).bodies()
    assert (start["statement_id"], start["occurred_at"], end["rows"]) == (
        "InventoryReport:I1",
        "2026-03-02T11:00:00Z",
        1,
    )
    assert (row["on_hand"], row["location"]) == (7, "berlin")
    assert read(report("StockAvailabilityReport", "4")).bodies()[1]["available"] == 4
    assert read(report("InventoryReport", "4"), time_of_day=None).refused() == {"missing_field": 1}


def test_a_report_of_all_items_is_one_only_if_every_line_could_be_read() -> None:
    mapping = ubl.UblMapping(report_is_all=True)
    start = read(report("InventoryReport", "4"), mapping=mapping).bodies()[0]
    assert (start["items"], start["locations"]) == ("all", ["berlin"])
    assert "items" not in read(report("InventoryReport", "4", "x"), mapping=mapping).bodies()[0]


def test_answers_move_nothing_and_other_documents_are_refused() -> None:
    assert read(document("OrderResponse", x("ID", "1"), x("OrderLine/LineItem/ID", "1"))).ignored() == {
        "acknowledged": 1
    }
    simple = document("OrderResponseSimple", x("ID", "1"), x("AcceptedIndicator", "false"))
    assert read(simple).ignored() == {"rejected": 1}
    assert read(document("Invoice", "")).refused() == {"unknown_type": 1}
    assert read(order()).ignored() == {"no_lines": 1}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (order(order_line("1", "")), "missing_field"),
        (order(order_line("1", "-1")), "bad_value"),
        (order(order_line("1", "1", item("NEW"))), "unknown_alias"),
        (order(order_line("1", "1"), date=""), "missing_field"),
        (order(order_line("1", "1"), date="2.3.2026"), "bad_value"),
        (order(order_line("1", "1")).replace("PO 7", ""), "missing_field"),
        (order(order_line("1", "1"))[:-9], "bad_value"),
        ("<!DOCTYPE x []>" + order(order_line("1", "1"))[39:], "bad_value"),
    ],
)
def test_what_is_wrong_is_refused_by_its_line(raw: str, code: str) -> None:
    assert read(raw).refused() == {code: 1}


def test_a_document_is_known_by_its_namespace() -> None:
    assert ubl.recognizes(order().encode(), {}) and not ubl.recognizes(b"<Order/>", {})


def samples() -> list[bytes]:
    found = [order(order_line("1", "3")), change("1", order_line("1", "5", status="5")), notice(despatched("1", "6"))]
    found += [receipt(received("1", "10", "2")), report("InventoryReport", "4", "3")]
    return [each.encode() for each in found]


def test_mutations_neither_crash_nor_lose_a_line() -> None:
    context = Context(SOURCE, ZoneInfo("UTC"), NOON, aliases=AliasTable(ALIASES), location="berlin")
    survives(lambda raw: ubl.translate(raw, context), SOURCE, samples(), 3000, seed=12)
