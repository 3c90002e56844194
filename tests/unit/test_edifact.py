"""Each EDIFACT message, written here, and the events that one works out from it by hand."""

from __future__ import annotations

from operators.adapters.edifact_mapping import EdifactMapping
from operators.adapters.memory import Dictionary
from tests.documents import become, context, edifact, fates

ORDER = """ORDERS
BGM+220+PO-1+9
DTM+137:202401100830:203
DTM+2:20240112:102
NAD+BY+CUSTOMER::92
NAD+DP+STORE7::92
LIN+1++5400111864181:EN
PIA+1+SHOVEL:SA
QTY+21:288:PCE
QTY+59:12:PCE
LIN+2++RAKE:SA
QTY+21:7:PCE
UNS+S
"""


def test_an_order_places_its_lines_and_not_its_packs() -> None:
    result = become(edifact(ORDER))
    assert result.documents == ["ORDERS:PO-1:9"]
    assert result.bodies() == [
        {
            "source": "acme",
            "occurred_at": "2024-01-10T08:30:00Z",
            "order_id": "PO-1",
            "channel": "ACME",
            "requested_at": "2024-01-12T12:00:00Z",
            "event_id": "ORDERS:PO-1:9",
            "type": "order_placed",
            "lines": [
                {"line_id": "1", "item": "SHOVEL", "quantity": 288, "uom": "PCE"},
                {"line_id": "2", "item": "RAKE", "quantity": 7, "uom": "PCE"},
            ],
        }
    ]


def test_the_same_order_again_adds_nothing_and_with_other_lines_is_a_conflict() -> None:
    memory = Dictionary()
    become(edifact(ORDER), memory=memory)
    assert fates(become(edifact(ORDER, control="2"), memory=memory)) == ["repeated", "repeated"]
    assert fates(become(edifact(ORDER.replace("288", "289")), memory=memory)) == ["conflict", "repeated"]


def test_an_order_may_be_served_from_where_it_goes() -> None:
    known = context({("location", "STORE7"): "S7"}, mapping=EdifactMapping(order_location=True))
    assert {line["location"] for line in become(edifact(ORDER), known).bodies()[0]["lines"]} == {"S7"}
    changed = become(edifact(ORDER, CHANGED), known).bodies()[1]["lines"]
    assert [line.get("location") for line in changed] == ["S7", None] and changed[0]["requested_at"]


def test_times_say_their_zone_or_the_source_does() -> None:
    for said, meant in (
        ("137:20240110083000:204", "2024-01-10T08:30:00Z"),
        ("137:202401100830?+01:303", "2024-01-10T07:30:00Z"),
        ("137:240110:101", "2024-01-10T12:00:00Z"),
    ):
        assert become(edifact(ORDER.replace("137:202401100830:203", said))).bodies()[0]["occurred_at"] == meant
    for wrong in ("137:202413100830:203", "137:2024:102", "137:202401100830:999", "137:202401102530:203"):
        assert fates(become(edifact(ORDER.replace("137:202401100830:203", wrong)))) == ["bad_value", "bad_value"]
    assert fates(become(edifact(ORDER), context(time_zone=None))) == ["missing_field", "missing_field"]


CHANGED = """ORDCHG
BGM+230+CHG-1+4
DTM+137:20240111:102
RFF+ON:PO-1
LIN+1+3+SHOVEL:SA
QTY+21:300:PCE
LIN+2+2+RAKE:SA
LIN+3+1+HOE:SA
QTY+21:4:PCE
LIN+4+4+BUCKET:SA
UNS+S
"""


def test_a_change_sets_adds_and_deletes_lines_of_the_order_it_names() -> None:
    result = become(edifact(ORDER, CHANGED))
    assert fates(result)[2:] == ["event", "event", "event", "no_quantity_change"]
    placed, cancelled = result.bodies()[1:]
    assert placed["order_id"] == cancelled["order_id"] == "PO-1"
    assert [(line["line_id"], line["item"], line["quantity"]) for line in placed["lines"]] == [
        ("1", "SHOVEL", 300),
        ("3", "HOE", 4),
    ]
    assert cancelled["type"] == "order_cancelled" and cancelled["lines"] == [{"line_id": "2", "item": "RAKE"}]


def test_a_cancellation_is_of_the_whole_order() -> None:
    result = become(edifact(ORDER, "ORDCHG\nBGM+230+CHG-2+1\nDTM+137:20240112:102\nRFF+ON:PO-1\n"))
    assert result.bodies()[1]["type"] == "order_cancelled" and len(result.bodies()[1]["lines"]) == 2


def test_an_order_that_replaces_cancels_what_it_leaves_out() -> None:
    text = "ORDERS\nBGM+220+PO-1+5\nDTM+137:20240111:102\nLIN+1++SHOVEL:SA\nQTY+21:3:PCE\n"
    result = become(edifact(ORDER, text))
    assert [body["type"] for body in result.bodies()] == ["order_placed", "order_placed", "order_cancelled"]


DESPATCH = """DESADV
BGM+351+SHIP-1+9
DTM+137:20240110:102
DTM+17:20240115:102
RFF+ON:PO-9
NAD+ST+DC2::92
CPS+1
LIN+1++SHOVEL:SA
QTY+12:24:PCE
CPS+2+1
LIN+2++SHOVEL:SA
QTY+12:1:PCE
LIN+3++RAKE:SA
QTY+12:6:PCE
RFF+ON:PO-10
"""


def test_a_despatch_is_expected_as_a_part_of_its_order() -> None:
    shovel, rake = become(edifact(DESPATCH)).bodies()
    assert shovel == {
        "source": "acme",
        "occurred_at": "2024-01-10T12:00:00Z",
        "location": "DC2",
        "eta": "2024-01-15T12:00:00Z",
        "event_id": "DESADV:SHIP-1:9:SHOVEL:PO-9",
        "receipt_id": "SHIP-1",
        "item": "SHOVEL",
        "type": "receipt_expected",
        "uom": "PCE",
        "quantity": 25,
        "part_of": "PO-9",
    }
    assert (rake["quantity"], rake["part_of"]) == (6, "PO-10")
    cancelled = become(edifact(DESPATCH.replace("SHIP-1+9", "SHIP-1+1"))).bodies()
    assert {body["type"] for body in cancelled} == {"receipt_cancelled"}
    assert set(fates(become(edifact(DESPATCH.replace("DTM+17:20240115:102\n", ""))))) == {"missing_field"}


def test_a_despatch_between_sites_is_a_transfer() -> None:
    known = context(mapping=EdifactMapping(shipments="transfers"))
    bodies = become(edifact(DESPATCH.replace("NAD+ST", "NAD+SF+PLANT::92\nNAD+ST")), known).bodies()
    assert [(body["transfer_id"], body["item"], body["quantity"]) for body in bodies] == [
        ("SHIP-1", "SHOVEL", 25),
        ("SHIP-1", "RAKE", 6),
    ]
    assert {(body["location"], body["to_location"]) for body in bodies} == {("PLANT", "DC2")}


RECEIPT = """RECADV
BGM+632+REC-1+9
DTM+137:20240115:102
DTM+50:20240114:102
RFF+AAK:SHIP-1
NAD+DP+DC2::92
CPS+1
LIN+1++SHOVEL:SA
QTY+48:25:PCE
QTY+124:2:PCE
RFF+BT:LOT1
LIN+2++RAKE:SA
QTY+194:5:PCE
QTY+195:1:PCE
CNT+2:2
"""


def test_a_receipt_is_received_when_the_goods_came_with_what_is_damaged_quarantined() -> None:
    result = become(edifact(RECEIPT))
    assert {body["occurred_at"] for body in result.bodies()} == {"2024-01-14T12:00:00Z"}
    assert [
        (body["item"], body["quantity"], body.get("status"), body.get("lot"), body["receipt_id"])
        for body in result.bodies()
    ] == [
        ("SHOVEL", 23, None, "LOT1", "SHIP-1"),
        ("SHOVEL", 2, "quarantined", "LOT1", "SHIP-1"),
        ("RAKE", 5, None, None, "SHIP-1"),
        ("RAKE", 1, "quarantined", None, "SHIP-1"),
    ]
    assert len({body["event_id"] for body in result.bodies()}) == 4
    taken_back = become(edifact(RECEIPT.replace("REC-1+9", "REC-1+1"))).bodies()
    assert all(body["reversal"] for body in taken_back)
    assert fates(become(edifact(RECEIPT.replace("QTY+124:2", "QTY+124:26"))))[0] == "bad_value"


LEVELS = """INVRPT
BGM+35+INV-1+9
DTM+137:20240110:102
DTM+366:202401100600:203
NAD+WH+DC2::92
LIN+1++SHOVEL:SA
QTY+145:100:PCE
QTY+124:4:PCE
LIN+2++RAKE:SA
QTY+83:7:PCE
"""


def test_an_inventory_report_is_a_statement() -> None:
    result = become(edifact(LEVELS))
    assert fates(result) == ["statement", "no_measure"]
    start, row, end = result.bodies()
    assert (start["statement_id"], start["occurred_at"], start["rows"]) == ("INVRPT:INV-1:9", "2024-01-10T06:00:00Z", 1)
    assert (row["item"], row["location"], row["on_hand"], row["quarantined"]) == ("SHOVEL", "DC2", 100, 4)
    assert (end["type"], end["rows"]) == ("statement_ended", 1)


def test_messages_without_lines_and_others_are_one_line_each() -> None:
    for kind in ("ORDERS", "ORDCHG", "DESADV", "RECADV", "INVRPT"):
        assert fates(become(edifact(f"{kind}\nBGM+1+X+9\nDTM+137:20240110:102"))) == ["missing_field"]
        assert fates(become(edifact(kind))) == ["missing_field"]
    assert fates(become(edifact("INVOIC\nBGM+380+1+9"))) == ["not_read"]
    assert fates(become(edifact("WHAT\nBGM+380+1+9"))) == ["bad_value"]
