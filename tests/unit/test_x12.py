"""Each X12 document, written here, and the events that one works out from it by hand."""

from __future__ import annotations

import pytest

from operators.adapters.memory import Dictionary
from operators.adapters.x12_mapping import X12Mapping
from tests.documents import become, context, fates, x12

ORDER = """850
BEG*00*SA*PO-1**20240110
DTM*010*20240112
PO1*1*5*EA***VN*SHOVEL*UP*001
PO1*2*7*EA***VN*RAKE
"""
AT = "2024-01-10T12:00:00Z"


def test_a_purchase_order_places_its_lines_for_the_partner() -> None:
    result = become(x12(ORDER))
    assert result.documents == ["850:PO-1:00"]
    assert result.bodies() == [
        {
            "source": "acme",
            "occurred_at": AT,
            "order_id": "PO-1",
            "channel": "ACME",
            "requested_at": "2024-01-12T12:00:00Z",
            "event_id": "850:PO-1:00",
            "type": "order_placed",
            "lines": [
                {"line_id": "1", "item": "SHOVEL", "quantity": 5, "uom": "EA"},
                {"line_id": "2", "item": "RAKE", "quantity": 7, "uom": "EA"},
            ],
        }
    ]


def test_the_same_order_again_in_another_interchange_adds_nothing() -> None:
    memory = Dictionary()
    become(x12(ORDER), memory=memory)
    again = become(x12(ORDER, control="000000777"), memory=memory)
    assert fates(again) == ["repeated", "repeated"] and not again.output


def test_the_same_order_twice_in_a_file_is_said_once() -> None:
    assert fates(become(x12(ORDER, ORDER))) == ["event", "event", "repeated", "repeated"]


def test_without_a_memory_of_it_the_same_order_has_the_same_ids_and_contents() -> None:
    assert become(x12(ORDER)).bodies() == become(x12(ORDER, control="000000002")).bodies()


def test_the_same_number_with_another_quantity_is_a_conflict() -> None:
    memory = Dictionary()
    become(x12(ORDER), memory=memory)
    other = become(x12(ORDER.replace("*5*EA", "*6*EA")), memory=memory)
    assert fates(other) == ["conflict", "repeated"]


def test_lines_without_numbers_are_known_by_their_product_and_may_be_shuffled() -> None:
    head = "850\nBEG*00*SA*PO-1**20240110\n"
    lines = ["PO1**5*EA***VN*SHOVEL\n", "PO1**7*EA***VN*RAKE\n", "PO1**5*EA***VN*SHOVEL\n"]
    memory = Dictionary()
    first = become(x12(head + "".join(lines)), memory=memory)
    assert len({line["line_id"] for line in first.bodies()[0]["lines"]}) == 3
    shuffled = become(x12(head + "".join(reversed(lines))), memory=memory)
    assert fates(shuffled) == ["repeated"] * 3


def test_a_line_that_cannot_be_used_takes_nothing_from_the_others() -> None:
    result = become(x12(ORDER.replace("*5*EA", "*five*EA")))
    assert fates(result) == ["bad_value", "event"]
    assert result.lines[0].place == "0001:6:PO1" and "PO102: expected a number" in result.lines[0].message


def test_a_head_that_cannot_be_used_refuses_every_line_and_no_other_set() -> None:
    result = become(x12(ORDER.replace("PO-1", ""), ORDER))
    assert fates(result) == ["missing_field", "missing_field", "event", "event"]


def test_dates_without_a_time_need_the_settings() -> None:
    for lacking in ("time_zone", "time_of_day"):
        result = become(x12(ORDER), context(**{lacking: None}))
        assert fates(result) == ["missing_field", "missing_field"]
        assert f"sources.acme.{lacking}" in result.lines[0].message


def test_theirs_is_ours_by_an_alias_and_refused_without() -> None:
    strict = context({("item", "SHOVEL"): "SPADE", ("channel", "ACME"): "B2B"}, alias_modes={})
    result = become(x12(ORDER), strict)
    assert fates(result) == ["event", "unknown_alias"]
    assert result.bodies()[0]["lines"][0]["item"] == "SPADE" and result.bodies()[0]["channel"] == "B2B"
    assert "acme:item:RAKE" in result.lines[1].message


def test_the_product_id_that_has_an_alias_names_the_item() -> None:
    result = become(x12(ORDER), context({("item", "001"): "SPADE"}))
    assert [line["item"] for line in result.bodies()[0]["lines"]] == ["SPADE", "RAKE"]


def change(*lines: str, purpose: str = "04", sequence: str = "1", date: str = "20240111") -> str:
    return "\n".join(["860", f"BCH*{purpose}*SA*PO-1**{sequence}*20240110*****{date}", *lines])


def test_a_change_sets_adds_and_takes_away() -> None:
    lines = [
        "POC*1*CA*9**EA***VN*SHOVEL",
        "POC*2*QI*3**EA***VN*RAKE",
        "POC*3*AI*4**EA***VN*HOE",
    ]
    result = become(x12(ORDER, change(*lines)))
    assert fates(result) == ["event"] * 5
    placed = result.bodies()[1]
    assert (placed["event_id"], placed["occurred_at"]) == ("860:PO-1:000001:04", "2024-01-11T12:00:00Z")
    assert [(line["line_id"], line["quantity"]) for line in placed["lines"]] == [("1", 9), ("2", 10), ("3", 4)]
    less = become(x12(ORDER, change("POC*1*QD*2**EA***VN*SHOVEL")))
    assert less.bodies()[1]["lines"][0]["quantity"] == 3


def test_a_change_keeps_what_it_does_not_speak_of() -> None:
    known = context(mapping=X12Mapping(order_location=True))
    placed = ORDER.replace("PO1*1", "N1*ST*Store*92*S7\nPO1*1")
    line = become(x12(placed, change("POC*1*CA*9**EA***VN*SHOVEL")), known).bodies()[1]["lines"][0]
    assert (line["requested_at"], line["location"]) == ("2024-01-12T12:00:00Z", "S7")
    moved = change("POC*1*CA*9**EA***VN*SHOVEL").replace("POC*1", "DTM*010*20240120\nN1*ST*Store*92*S8\nPOC*1")
    said = become(x12(placed, moved), known).bodies()[1]
    assert said["requested_at"] == "2024-01-20T12:00:00Z" and "requested_at" not in said["lines"][0]
    assert said["lines"][0]["location"] == "S8"


def test_a_difference_told_twice_counts_once() -> None:
    memory = Dictionary()
    more = change("POC*2*QI*3**EA***VN*RAKE")
    become(x12(ORDER, more), memory=memory)
    assert fates(become(x12(more, control="000000009"), memory=memory)) == ["repeated"]
    then = become(x12(change("POC*2*QI*1**EA***VN*RAKE", sequence="2")), memory=memory)
    assert then.bodies()[0]["lines"][0]["quantity"] == 11


def test_a_difference_of_an_order_that_nobody_knows_is_refused_until_it_is_known() -> None:
    memory = Dictionary()
    more = change("POC*2*QI*3**EA***VN*RAKE")
    early = become(x12(more), memory=memory)
    assert fates(early) == ["missing_field"] and "replay" in early.lines[0].message
    become(x12(ORDER), memory=memory)
    assert become(x12(more), memory=memory).bodies()[0]["lines"][0]["quantity"] == 10


def test_more_cannot_be_taken_away_than_was_ordered_and_not_in_another_unit() -> None:
    assert fates(become(x12(ORDER, change("POC*1*QD*6**EA***VN*SHOVEL"))))[2:] == ["bad_value"]
    assert fates(become(x12(ORDER, change("POC*1*QI*1**CA***VN*SHOVEL"))))[2:] == ["bad_value"]


def test_a_deleted_line_is_cancelled_and_wanted_again_when_a_later_change_adds_it() -> None:
    memory = Dictionary()
    deleted = become(x12(ORDER, change("POC*1*DI*0**EA***VN*SHOVEL")), memory=memory)
    assert deleted.bodies()[1]["type"] == "order_cancelled"
    assert deleted.bodies()[1]["lines"] == [{"line_id": "1", "item": "SHOVEL"}]
    again = change("POC*1*AI*2**EA***VN*SHOVEL", sequence="2", date="20240112")
    back = become(x12(again), memory=memory)
    assert [body["type"] for body in back.bodies()] == ["order_reopened", "order_placed"]


def test_an_order_that_comes_after_its_cancellation_does_not_revive_it() -> None:
    memory = Dictionary()
    become(x12(change("POC*1*DI*0**EA***VN*SHOVEL")), memory=memory)
    late = become(x12(ORDER), memory=memory)
    assert [body["type"] for body in late.bodies()] == ["order_placed"]


def test_changes_of_price_and_date_move_no_quantity() -> None:
    lines = ["POC*1*PC*5**EA*9.99**VN*SHOVEL", "POC*2*RS*7**EA***VN*RAKE"]
    assert fates(become(x12(change(*lines)))) == ["price_change", "no_quantity_change"]


def test_a_price_that_changes_beside_a_quantity_takes_no_line_s_number() -> None:
    for price in ("POC*1*PC*5**EA*9.99**VN*SHOVEL", "POC*1*RS*5**EA***VN*SHOVEL"):
        for lines in ((price, "POC*1*CA*9**EA***VN*SHOVEL"), ("POC*1*QI*4**EA***VN*SHOVEL", price)):
            result = become(x12(ORDER, change(*lines)))
            assert sorted(fates(result)[2:])[0] == "event" and len(result.bodies()) == 2
            assert [(line["line_id"], line["quantity"]) for line in result.bodies()[1]["lines"]] == [("1", 9)]


def test_a_cancellation_without_lines_is_of_the_whole_order() -> None:
    result = become(x12(ORDER, change(purpose="01")))
    cancelled = result.bodies()[1]
    assert cancelled["type"] == "order_cancelled"
    assert [line["line_id"] for line in cancelled["lines"]] == ["1", "2"]
    assert fates(become(x12(change(purpose="01")))) == ["missing_field"]


def test_an_order_that_replaces_cancels_what_it_leaves_out() -> None:
    replaced = "850\nBEG*05*SA*PO-1**20240111\nPO1*1*6*EA***VN*SHOVEL\n"
    result = become(x12(ORDER, replaced))
    assert [body["type"] for body in result.bodies()] == ["order_placed", "order_placed", "order_cancelled"]
    assert result.bodies()[1]["lines"][0]["quantity"] == 6
    assert result.bodies()[2]["lines"] == [{"line_id": "2", "item": "RAKE"}]


def test_a_sellers_change_is_told_and_its_bare_acknowledgment_is_not() -> None:
    text = change("POC*1*CA*4**EA***VN*SHOVEL").replace("860\nBCH*04*SA", "865\nBCA*04*{}")
    assert become(x12(ORDER, text.format("AC"))).bodies()[1]["lines"][0]["quantity"] == 4
    assert fates(become(x12(text.format("AD")))) == ["acknowledged"]
    assert fates(become(x12(text.format("RJ")))) == ["rejected"]


def test_an_acknowledgment_moves_nothing_and_says_what_is_back_ordered() -> None:
    text = """855
    BAK*00*AC*PO-1*20240110
    PO1*1*5*EA***VN*SHOVEL
    ACK*IA*5*EA
    PO1*2*7*EA***VN*RAKE
    ACK*IB*7*EA
    PO1*3*1*EA***VN*HOE
    ACK*IR*1*EA
    """
    result = become(x12(text))
    assert fates(result) == ["acknowledged", "back_ordered", "rejected"] and not result.output


NOTICE = """856
BSN*00*SHIP-1*20240110*0830
DTM*017*20240115
HL*1**S
N1*ST*Ours*92*DC2
HL*2*1*O
PRF*PO-9
HL*3*2*I
LIN*1*BP*SHOVEL
SN1*1*24*EA
HL*4*2*I
LIN*2*BP*RAKE
SN1*2*6*EA
HL*5*2*I
LIN*3*BP*SHOVEL
SN1*3*1*EA
"""


def test_a_shipment_notice_is_expected_as_a_part_of_its_order() -> None:
    result = become(x12(NOTICE))
    assert fates(result) == ["event"] * 3
    assert result.bodies() == [
        {
            "source": "acme",
            "occurred_at": "2024-01-10T08:30:00Z",
            "event_id": f"856:SHIP-1:00:{item}:DC2:PO-9",
            "receipt_id": "SHIP-1",
            "item": item,
            "location": "DC2",
            "type": "receipt_expected",
            "uom": "EA",
            "eta": "2024-01-15T12:00:00Z",
            "quantity": quantity,
            "part_of": "PO-9",
        }
        for item, quantity in (("SHOVEL", 25), ("RAKE", 6))
    ]


def test_a_notice_without_arrival_needs_the_days_of_the_way() -> None:
    bare = NOTICE.replace("DTM*017*20240115", "DTM*011*20240110*0600*UT")
    assert fates(become(x12(bare))) == ["missing_field"] * 3
    known = context(mapping=X12Mapping(transit_days=3))
    assert become(x12(bare), known).bodies()[0]["eta"] == "2024-01-13T06:00:00Z"


def test_a_cancelled_notice_is_expected_no_more() -> None:
    result = become(x12(NOTICE.replace("BSN*00", "BSN*01")))
    assert [body["type"] for body in result.bodies()] == ["receipt_cancelled", "receipt_cancelled"]


def test_one_item_for_two_orders_is_two_receipts() -> None:
    two = NOTICE + "HL*6*1*O\nPRF*PO-10\nHL*7*6*I\nLIN*1*BP*RAKE\nSN1*1*2*EA\n"
    found = {(body["receipt_id"], body["item"]): body["quantity"] for body in become(x12(two)).bodies()}
    assert found == {("SHIP-1", "SHOVEL"): 25, ("SHIP-1/PO-9", "RAKE"): 6, ("SHIP-1/PO-10", "RAKE"): 2}


def test_a_notice_between_sites_is_a_transfer() -> None:
    known = context(mapping=X12Mapping(shipments="transfers"))
    text = NOTICE.replace("N1*ST*Ours*92*DC2", "N1*ST*Ours*92*DC2\nN1*SF*Plant*92*PLANT")
    body = become(x12(text), known).bodies()[0]
    assert (body["type"], body["transfer_id"], body["quantity"]) == ("transfer_shipped", "SHIP-1", 25)
    assert (body["location"], body["to_location"]) == ("PLANT", "DC2")
    back = become(x12(text.replace("BSN*00", "BSN*01")), known).bodies()[0]
    assert back["reversal"] and back["event_id"] != body["event_id"]


SHIP_THIS = """940
W05*N*SO-1*PO-1
N1*WH*North*92*DC1
G62*04*20240110
LX*1
W01*10*EA**VN*SHOVEL
LX*2
W01*4*EA**VN*RAKE
"""
SHIPPED = """945
W06*F*SO-1*20240111*SHIP-7
N1*SF*North*92*DC1
LX*1
W12*CC*10*6**EA**VN*SHOVEL*LOT1
W12*CC*10*4**EA**VN*SHOVEL*LOT2
LX*2
W12*CP*4*3**EA**VN*RAKE
"""


def test_a_warehouse_order_allocates_there() -> None:
    result = become(x12(SHIP_THIS))
    assert result.documents == ["940:SO-1:N"]
    assert result.bodies() == [
        {
            "source": "acme",
            "occurred_at": AT,
            "order_id": "SO-1",
            "event_id": "940:SO-1:N",
            "type": "order_allocated",
            "lines": [
                {"line_id": "1", "item": "SHOVEL", "quantity": 10, "uom": "EA", "location": "DC1"},
                {"line_id": "2", "item": "RAKE", "quantity": 4, "uom": "EA", "location": "DC1"},
            ],
        }
    ]


def test_a_shipping_advice_ships_by_lot_and_releases_what_was_short() -> None:
    result = become(x12(SHIP_THIS, SHIPPED))
    shipped = [body for body in result.bodies() if body["type"] == "shipment_confirmed"]
    assert [(body["line_id"], body["item"], body.get("lot"), body["quantity"]) for body in shipped] == [
        ("1", "SHOVEL", "LOT1", 6),
        ("1", "SHOVEL", "LOT2", 4),
        ("2", "RAKE", None, 3),
    ]
    assert {body["order_id"] for body in shipped} == {"SO-1"} and {body["location"] for body in shipped} == {"DC1"}
    released = [body for body in result.bodies() if body["type"] == "order_released"]
    row = {"line_id": "2", "item": "RAKE", "location": "DC1", "uom": "EA", "quantity": 1}
    assert [body["lines"] for body in released] == [[row]]


def test_a_shipping_advice_finds_the_lines_of_its_order_by_their_items() -> None:
    swapped = SHIPPED.replace("LX*1", "LX*9").replace("LX*2", "LX*8")
    result = become(x12(SHIP_THIS, swapped))
    assert [body["line_id"] for body in result.bodies()[1:] if body["type"] == "shipment_confirmed"] == ["1", "1", "2"]
    alone = become(x12(swapped))
    assert [body["line_id"] for body in alone.bodies() if body["type"] == "shipment_confirmed"] == ["9", "9", "8"]


def test_lots_of_one_line_that_are_both_short_are_two_units() -> None:
    short = SHIPPED.replace("W12*CC*10*6**EA", "W12*CC*7*6*1*EA").replace("W12*CC*10*4**EA", "W12*CC*5*4*1*EA")
    assert short.count("*1*EA") == 2
    result = become(x12(SHIP_THIS, short))
    released = [body for body in result.bodies() if body["type"] == "order_released"]
    units = [(body["event_id"], line["line_id"], line["quantity"]) for body in released for line in body["lines"]]
    assert [unit[1:] for unit in units] == [("1", 1), ("1", 1), ("2", 1)] and len({unit[:2] for unit in units}) == 3


def test_a_shipping_advice_repeated_after_its_order_came_ships_nothing_twice() -> None:
    memory = Dictionary()
    become(x12(SHIPPED.replace("LX*1", "LX*9")), memory=memory)
    become(x12(SHIP_THIS), memory=memory)
    assert set(fates(become(x12(SHIPPED.replace("LX*1", "LX*9")), memory=memory))) == {"repeated"}


def test_what_stands_behind_the_product_ids_of_a_warehouse_s_line_names_no_item() -> None:
    bare = SHIPPED.replace("VN*SHOVEL*LOT1", "**LOT1*12.5*G*L*7")
    result = become(x12(bare))
    assert fates(result)[0] == "missing_field" and "W1208" in result.lines[0].message
    case = SHIPPED.replace("6**EA**VN*SHOVEL*LOT1", "6**EA*012345678905***LOT1*12.5*G*L*7")
    assert become(x12(case)).bodies()[0]["item"] == "012345678905"
    assert fates(become(x12(case + "LX*3\nW12*CC*1*1**EA\n")))[-1] == "missing_field"


def test_the_order_number_of_an_advice_may_stand_in_w0606_or_n9() -> None:
    for head in ("W06*F**20240111*SHIP-7**SO-1", "W06*F**20240111*SHIP-7\nN9*CO*SO-1"):
        result = become(x12(SHIPPED.replace("W06*F*SO-1*20240111*SHIP-7", head)))
        assert {body["order_id"] for body in result.bodies()} == {"SO-1"}


def test_a_cancelled_warehouse_order_is_released() -> None:
    result = become(x12(SHIP_THIS, "940\nW05*F*SO-1\nN1*WH*North*92*DC1\n"))
    assert result.bodies()[1]["type"] == "order_released"
    assert [line["quantity"] for line in result.bodies()[1]["lines"]] == [10, 4]


def test_a_changed_warehouse_order_allocates_the_difference() -> None:
    changed = SHIP_THIS.replace("W05*N", "W05*R").replace("W01*10", "W01*12").replace("W01*4", "W01*1")
    result = become(x12(SHIP_THIS, changed))
    assert [(body["type"], [line["quantity"] for line in body["lines"]]) for body in result.bodies()[1:]] == [
        ("order_allocated", [2]),
        ("order_released", [3]),
    ]


TRANSFER = """943
W06*F*TR-1*20240110*SHIP-2
N1*SF*Plant*92*PLANT
N1*ST*North*92*DC1
G62*17*20240114
W04*40*CA**VN*SHOVEL
N9*LT*LOT1
"""


def test_a_transfer_leaves_for_the_warehouse() -> None:
    text = TRANSFER
    assert become(x12(text)).bodies() == [
        {
            "source": "acme",
            "occurred_at": AT,
            "event_id": become(x12(text)).bodies()[0]["event_id"],
            "type": "transfer_shipped",
            "transfer_id": "TR-1",
            "item": "SHOVEL",
            "location": "PLANT",
            "to_location": "DC1",
            "quantity": 40,
            "uom": "CA",
            "lot": "LOT1",
            "eta": "2024-01-14T12:00:00Z",
        }
    ]
    nowhere = text.replace("N1*ST*North*92*DC1\n", "")
    assert fates(become(x12(nowhere))) == ["missing_field"]
    assert become(x12(nowhere), context(to_location="DC9")).bodies()[0]["to_location"] == "DC9"


RECEIVED = """944
W17*F*20240115*WR-5*TR-1*SHIP-1
N1*WH*North*92*DC1
W07*40*CA**VN*SHOVEL
N9*LT*LOT1
W13*3*CA*01
W07*6*EA**VN*RAKE
"""


def test_a_receipt_is_received_with_its_damaged_part_quarantined() -> None:
    result = become(x12(RECEIVED))
    assert [
        (body["item"], body["quantity"], body.get("status"), body.get("lot"), body["receipt_id"], body["location"])
        for body in result.bodies()
    ] == [
        ("SHOVEL", 37, None, "LOT1", "SHIP-1", "DC1"),
        ("SHOVEL", 3, "quarantined", "LOT1", "SHIP-1", "DC1"),
        ("RAKE", 6, None, None, "SHIP-1", "DC1"),
    ]
    assert len({body["event_id"] for body in result.bodies()}) == 3
    transfer = become(x12(RECEIVED), context(mapping=X12Mapping(received_as="transfers")))
    assert {body["transfer_id"] for body in transfer.bodies()} == {"TR-1"}


def test_more_damaged_than_received_and_unknown_conditions_are_refused() -> None:
    assert fates(become(x12(RECEIVED.replace("W13*3", "W13*41")))) == ["bad_value", "event"]
    assert fates(become(x12(RECEIVED.replace("CA*01", "CA*XX")))) == ["bad_value", "event"]


ADJUSTED = """947
W15*20240110*ADJ-1
N1*WH*North*92*DC1
W19*AU*-5*EA**VN*SHOVEL***LOT1
W19*05*4*EA**VN*RAKE
W19*06*-4*EA**VN*RAKE
W19*AA*0*EA**VN*HOE
"""


def test_adjustments_change_stock_or_its_status() -> None:
    result = become(x12(ADJUSTED))
    assert fates(result) == ["event", "event", "event", "no_quantity"]
    adjusted, held, freed = result.bodies()
    assert (adjusted["type"], adjusted["quantity"], adjusted["lot"]) == ("stock_adjusted", -5, "LOT1")
    assert (held["type"], held["quantity"], held["to_status"]) == ("stock_status_changed", 4, "quarantined")
    assert (freed["type"], freed["quantity"], freed["to_status"]) == ("stock_status_changed", 4, "available")


LEVELS = """846
BIA*08*SI*INV-1*20240110
DTM*007*20240110*0600*UT
N1*WH*North*92*DC1
LIN*1*SK*SHOVEL
QTY*17*100*EA
QTY*QH*3*EA
QTY*QB*2*EA
QTY*63*50*EA
LIN*2*SK*RAKE
QTY*33*7.5*EA
LIN*3*SK*HOE
QTY*63*9*EA
"""


def test_inventory_is_a_statement_as_of_its_moment() -> None:
    result = become(x12(LEVELS))
    assert fates(result) == ["statement", "statement", "no_measure"]
    start, shovel, rake, end = result.bodies()
    assert start == {
        "source": "acme",
        "occurred_at": "2024-01-10T06:00:00Z",
        "statement_id": "846:INV-1:08",
        "event_id": "846:INV-1:08:start",
        "type": "statement_started",
        "rows": 2,
    }
    assert (shovel["item"], shovel["location"], shovel["on_hand"], shovel["quarantined"]) == ("SHOVEL", "DC1", 100, 5)
    assert (rake["type"], rake["available"], rake["uom"]) == ("stock_stated", "7.5", "EA")
    assert "on_hand" not in rake
    assert (end["type"], end["rows"]) == ("statement_ended", 2)


def test_inventory_without_a_place_needs_the_source_s() -> None:
    nowhere = LEVELS.replace("N1*WH*North*92*DC1\n", "")
    assert become(x12(nowhere), context(location="DC9")).bodies()[1]["location"] == "DC9"
    assert fates(become(x12(nowhere), context(location=None)))[:2] == ["missing_field"] * 2


def test_all_items_are_stated_only_if_the_mapping_says_so_and_no_line_was_refused() -> None:
    known = context(mapping=X12Mapping(inventory_is_all=True))
    whole = become(x12(LEVELS), known).bodies()[0]
    assert (whole["items"], whole["locations"]) == ("all", ["DC1"])
    broken = become(x12(LEVELS.replace("QTY*33*7.5", "QTY*33*many")), known)
    assert fates(broken) == ["statement", "bad_value", "no_measure"] and "items" not in broken.bodies()[0]
    assert broken.bodies()[0]["rows"] == 1


def test_lines_of_one_item_at_one_place_are_one_row() -> None:
    twice = LEVELS + "LIN*4*SK*SHOVEL\nQTY*17*11*EA\n"
    shovel = become(x12(twice)).bodies()[1]
    assert shovel["on_hand"] == 111


@pytest.mark.parametrize("code", ["810", "997", "846", "850", "856", "860", "865", "940", "943", "944", "945", "947"])
def test_a_set_without_lines_is_one_line(code: str) -> None:
    assert len(become(x12(code)).lines) == 1


def test_other_documents_are_not_read() -> None:
    assert fates(become(x12("810\nBIG*20240110*INV-1"))) == ["not_read"]
