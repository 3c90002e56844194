"""What EPCIS events become: transfers and their arrival, receipts, goods made of others, errors taken back."""

from __future__ import annotations

from typing import Any

import pytest

from operators.adapters import epcis
from operators.adapters.account import Translation, refusals_of
from operators.adapters.context import AliasTable, Context
from operators.adapters.gs1 import Thing, document_number, place_names, thing_of, word_of
from tests.adapting import checked, survives, wrong_values
from tests.writing import written

SOURCE = "trace"
HERE, THERE, STRANGER = (f"urn:epc:id:sgln:4012345.0000{number}.0" for number in (1, 2, 9))
#: its GTIN by hand: 0401234501111, from the right times 3, 1, 3 ...: 3+1+3+1+0+5+12+3+6+1+0+4+0 = 39, and 1 to 40
LAMP = "urn:epc:class:lgtin:4012345.001111.L7"
ALIASES = {
    (SOURCE, "item", "04012345011111"): "lamp",
    (SOURCE, "item", "urn:epc:idpat:sgtin:4012345.066666.*"): "shade",
    (SOURCE, "location", HERE): "berlin",
    (SOURCE, "location", "4012345000023"): "hamburg",
}


def translated(document: object) -> Translation:
    context = Context(source=SOURCE, aliases=AliasTable(ALIASES))
    return checked(epcis.translate(written(document), context), SOURCE)


def event(step: str = "shipping", **more: Any) -> dict[str, Any]:
    fields = {"type": "ObjectEvent", "eventID": "urn:uuid:1", "action": "OBSERVE", "bizStep": step}
    fields |= {"eventTime": "2026-03-02T10:00:00+01:00", "eventTimeZoneOffset": "+01:00", "readPoint": {"id": HERE}}
    return {**fields, "quantityList": [{"epcClass": LAMP, "quantity": 20, "uom": "C62"}], **more}


def document(*events: Any) -> dict[str, Any]:
    head = {"@context": [], "type": "EPCISDocument", "schemaVersion": "2.0", "creationDate": "2026-03-02T10:00:00Z"}
    return {**head, "epcisBody": {"eventList": list(events)}}


TO = {
    "destinationList": [{"type": "owning_party", "destination": STRANGER}, {"type": "location", "destination": THERE}]
}
DESADV = {"bizTransactionList": [{"type": "desadv", "bizTransaction": "urn:epcglobal:cbv:bt:4012345000009:1152"}]}
PO = {"bizTransactionList": [{"type": "urn:epcglobal:cbv:btt:po", "bizTransaction": "http://orders.example/po/77"}]}


def test_goods_that_are_shipped_to_a_place_of_ours_are_a_transfer() -> None:
    translation = translated(document(event(**TO, **DESADV)))
    assert translation.bodies() == [
        {
            "event_id": "epcis:urn%3Auuid%3A1:quantityList:04012345011111:L7:C62",
            "type": "transfer_shipped",
            "source": "trace",
            "occurred_at": "2026-03-02T09:00:00Z",
            "transfer_id": "1152",
            "location": "berlin",
            "to_location": "hamburg",
            "item": "lamp",
            "quantity": 20,
            "lot": "L7",
            "uom": "C62",
        }
    ]
    assert translation.lines[0].place == "eventList[0].quantityList[0]"


def arrival(**more: Any) -> dict[str, Any]:
    return event("receiving", readPoint={"id": f"{THERE[:-1]}400"}, bizLocation={"id": THERE}, **more)


def test_goods_that_come_from_a_place_of_ours_end_the_transfer() -> None:
    came = {"sourceList": [{"type": "location", "source": HERE}]}
    (body,) = translated(arrival(**came, **DESADV)).bodies()
    assert (body["type"], body["transfer_id"], body["location"]) == ("stock_received", "1152", "hamburg")


def test_goods_that_come_from_elsewhere_are_a_receipt() -> None:
    came = {"sourceList": [{"type": "possessing_party", "source": STRANGER}]}
    (body,) = translated(arrival(**came, **DESADV)).bodies()
    assert body["receipt_id"] == "1152" and "transfer_id" not in body
    assert translated(arrival(**came)).bodies()[0].keys().isdisjoint({"receipt_id", "transfer_id"})


def test_where_nobody_says_from_where_a_despatch_names_a_transfer_and_an_order_a_receipt() -> None:
    assert translated(arrival(**DESADV)).bodies()[0]["transfer_id"] == "1152"
    assert translated(arrival(**PO)).bodies()[0]["receipt_id"] == "http://orders.example/po/77"


def test_instances_are_counted_by_item_and_lot() -> None:
    shade = "urn:epc:id:sgtin:4012345.066666."
    epcs = [f"{shade}{serial}" for serial in (1, 2, 3)] + ["urn:epc:id:sscc:4012345.1234567890"]
    epcs += [f"https://id.gs1.org/01/04012345011111/10/L7/21/{serial}" for serial in (1, 2)]
    translation = translated(arrival(epcList=epcs, quantityList=None, **PO))
    assert [(b["item"], b["quantity"], b.get("lot")) for b in translation.bodies()] == [
        ("shade", 3, None),
        ("lamp", 2, "L7"),
    ]
    assert translation.ignored() == {"logistic_unit": 1}


def test_damaged_goods_are_quarantined() -> None:
    assert translated(arrival(disposition="cbv:Disp-damaged", **PO)).bodies()[0]["status"] == "quarantined"
    assert "status" not in translated(arrival(disposition="in_progress", **PO)).bodies()[0]


def test_an_error_declaration_takes_back_under_an_id_of_its_own() -> None:
    right = event(**TO, **DESADV)
    wrong = {**right, "errorDeclaration": {"declarationTime": "2026-03-03T10:00:00Z", "reason": "incorrect_data"}}
    (said,), (back,) = translated(right).bodies(), translated(wrong).bodies()
    assert back.pop("reversal") is True
    assert back.pop("event_id") == "epcis:urn%3Auuid%3A1:error:quantityList:04012345011111:L7:C62"
    assert back == {name: value for name, value in said.items() if name != "event_id"}


def test_a_voided_shipment_is_taken_back_and_a_void_declared_wrong_is_one_again() -> None:
    void = event("void_shipping", **TO, **DESADV)
    assert translated(void).bodies()[0]["reversal"] is True
    assert translated({**void, "errorDeclaration": {}}).bodies()[0]["reversal"] is False


def transformation(**more: Any) -> dict[str, Any]:
    fields = {"type": "TransformationEvent", "eventID": "urn:uuid:2", "eventTime": "2026-03-02T10:00:00Z"}
    fields |= {"bizLocation": {"id": HERE}, "inputQuantityList": [{"epcClass": LAMP, "quantity": 10.5, "uom": "KGM"}]}
    return {**fields, "outputEPCList": [f"urn:epc:id:sgtin:4012345.066666.{serial}" for serial in (1, 2)], **more}


def test_what_is_made_of_others_takes_them_and_is_there() -> None:
    said = [(body["type"], body["item"], body["quantity"]) for body in translated(transformation()).bodies()]
    assert said == [("stock_adjusted", "lamp", "-10.5"), ("stock_adjusted", "shade", 2)]
    back = [(body["item"], body["quantity"]) for body in translated(transformation(errorDeclaration={})).bodies()]
    assert back == [("lamp", "10.5"), ("shade", -2)]


def test_events_that_move_nothing_are_ignored_by_name() -> None:
    kinds = ("AggregationEvent", "TransactionEvent", "AssociationEvent")
    translation = translated(
        document(*({**event(), "type": kind} for kind in kinds), event("inspecting"), event(quantityList=[]))
    )
    expected = {"aggregation": 1, "transaction": 1, "association": 1, "no_movement": 1, "no_items": 1}
    assert translation.ignored() == expected
    assert translated(document()).ignored() == {"no_events": 1}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"destinationList": None}, "missing_field"),
        ({"bizTransactionList": []}, "missing_field"),
        ({"eventTime": None}, "missing_field"),
        ({"eventTime": "2026-03-02T10:00:00"}, "missing_field"),
        ({"type": "SaleEvent"}, "bad_value"),
        ({"destinationList": [{"type": "location", "destination": HERE}]}, "bad_value"),
        (
            {"destinationList": [{"type": "location", "destination": "urn:epc:id:sgln:4012345.abcde.0"}]},
            "unknown_alias",
        ),
        ({"quantityList": [{"epcClass": "urn:epc:class:lgtin:4012345.099999.1", "quantity": 1}]}, "unknown_alias"),
        ({"quantityList": [{"epcClass": LAMP}]}, "missing_field"),
        ({"quantityList": [{"epcClass": LAMP, "quantity": -1}]}, "bad_value"),
        ({"quantityList": ["x"]}, "bad_value"),
        ({"quantityList": {}}, "bad_value"),
    ],
)
def test_what_is_wrong_is_refused_and_the_other_events_count(changed: dict[str, Any], code: str) -> None:
    right = event(**TO, **DESADV)
    translation = translated(document({**right, **changed}, right))
    assert translation.refused() == {code: 1} and len(translation.bodies()) == 1
    assert refusals_of(translation)[0]["line_id"].startswith("eventList[0]")


def test_an_event_without_an_id_is_known_by_its_content() -> None:
    first, other = event(eventID=None, **TO, **DESADV), event(eventID=None, **{**TO, **DESADV, "action": "ADD"})
    captured = {**first, "recordTime": "2026-03-05T10:00:00Z"}
    assert translated(first).bodies() == translated(captured).bodies()
    assert translated(first).bodies() != translated(other).bodies()


def test_an_answer_to_a_query_is_read_like_a_document() -> None:
    right = event(**TO, **DESADV)
    answer = {"queryResults": {"resultsBody": {"eventList": [right]}}}
    assert (
        translated({"type": "EPCISQueryDocument", "epcisBody": answer}).bodies() == translated(document(right)).bodies()
    )
    assert epcis.recognizes(written(document()), {}) and epcis.recognizes(written(right), {})
    assert not epcis.recognizes(b'{"eventTime": 1}', {})


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        # By hand, times 3, 1, 3 ... from the right: 0401234507346 makes 18+4+9+7+0+5+12+3+6+1+0+4+0 = 69, and 1 to 70;
        # with 1 in front 72, and 8 to 80.
        ("urn:epc:id:sgtin:4012345.007346.2017", "04012345073461"),
        ("urn:epc:id:sgtin:4012345.107346.2017", "14012345073468"),
        ("https://id.gs1.org/01/4012345011111/21/7", "04012345011111"),
        ("https://shop.example/a/01/04012345011111?x=1", "04012345011111"),
    ],
)
def test_an_item_is_a_gtin_from_whatever_names_it(name: str, thing: str) -> None:
    found = thing_of(name)
    assert found is not None and found.names[0] == thing


def test_names_of_other_things_stay_as_they_are() -> None:
    assert thing_of("urn:epc:id:gid:1234.5.6") == Thing(("urn:epc:id:gid:1234.5.6",))
    assert thing_of("https://id.gs1.org/00/340123450000000018") is None
    assert place_names("https://id.gs1.org/414/4012345000023/254/7")[1] == "4012345000023"
    assert place_names(HERE)[1] == "4012345000016"
    assert document_number("http://orders.example/1") == "http://orders.example/1"
    for name in (
        "shipping",
        "cbv:BizStep-shipping",
        "urn:epcglobal:cbv:bizstep:shipping",
        "https://ref.gs1.org/cbv/BizStep-shipping",
    ):
        assert word_of(name) == "shipping"


def samples() -> list[dict[str, Any]]:
    return [
        document(event(**TO, **DESADV), arrival(**PO)),
        transformation(),
        event(errorDeclaration={}, **TO, **DESADV),
    ]


def test_any_wrong_value_in_any_place_loses_no_line() -> None:
    for sample in samples():
        for changed in wrong_values(sample):
            translated(changed)


def test_mutations_neither_crash_nor_lose_a_line() -> None:
    context = Context(source=SOURCE, aliases=AliasTable(ALIASES))
    survives(lambda raw: epcis.translate(raw, context), SOURCE, [written(each) for each in samples()], 3000, seed=11)
