"""A day of a shop, a warehouse and an ERP, each in its own words: in any order and however often, the same numbers."""

from __future__ import annotations

import json
import random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from operators.adapters.context import AliasTable, Context
from operators.adapters.kinds import KINDS, read_mapping, translate
from operators.adapters.memory import Dictionary, resolve
from schemas.event_table import EVENTS
from tests.conftest import ROOT
from tests.desk import Desk, at
from tests.unit.adapters.test_epcis import HERE, LAMP, THERE, document
from tests.unit.adapters.test_idoc import movement
from tests.unit.adapters.test_idoc import segment as xml
from tests.writing import written

GTIN = "04012345011111"
ALIASES = {
    ("shop", "item", "SHV-1"): "SHOVEL",
    ("shop", "location", "905"): "DC1",
    ("sap", "item", "4711"): "SHOVEL",
    ("sap", "location", "1000/0001"): "DC1",
    ("trace", "item", GTIN): "SHOVEL",
    ("trace", "location", HERE): "DC1",
    ("trace", "location", THERE): "DC2",
    ("erp", "item", "4711"): "SHOVEL",
}


def context(source: str, **more: Any) -> Context:
    return Context(source=source, aliases=AliasTable(ALIASES), **more)


NOON = 12 * 3_600_000_000
WMS = read_mapping((ROOT / "flows" / "adapters" / "mappings" / "wms.toml").read_text("utf-8"))[1]
READERS = {
    "shop": ("shopify", context("shop", channel="web")),
    "sap": ("idoc", context("sap", time_zone=ZoneInfo("UTC"), time_of_day=NOON - 3_600_000_000)),
    "trace": ("epcis", context("trace")),
    "erp": ("debezium", context("erp", mapping=WMS)),
}


def order(number: int, clock: str, ordered: int, open_: int, **more: Any) -> bytes:
    line = {"id": number * 10 + 1, "sku": "SHV-1", "quantity": ordered, "fulfillable_quantity": open_}
    head = {"id": number, "order_number": number, "financial_status": "paid", "updated_at": at(clock)}
    return written({**head, "line_items": [line], **more})


def fulfillment(number: int, clock: str, quantity: int, status: str) -> dict[str, Any]:
    head = {"id": number, "order_id": 1, "status": status, "created_at": at(clock), "location_id": 905}
    return {**head, "tracking_company": "post", "line_items": [{"id": 11, "sku": "SHV-1", "quantity": quantity}]}


SENT = fulfillment(71, "10:00", 2, "success")
PENDING, VOID = (fulfillment(72, "11:30", 1, status) for status in ("success", "cancelled"))
BACK = {
    "id": 811,
    "line_item_id": 11,
    "quantity": 1,
    "location_id": 905,
    "restock_type": "return",
    "line_item": {"sku": "SHV-1"},
}
REFUND = {"id": 81, "order_id": 1, "created_at": at("11:00"), "refund_line_items": [BACK]}
SHOP = [
    order(1, "09:00", 3, 3),
    order(1, "10:01", 3, 1, fulfillments=[SENT]),
    order(1, "11:01", 3, 1, fulfillments=[SENT], refunds=[REFUND]),
    order(1, "11:41", 3, 1, fulfillments=[SENT, VOID], refunds=[REFUND]),
    *(written(each) for each in (SENT, PENDING, VOID, REFUND)),
    order(2, "09:30", 4, 4),
    order(2, "10:30", 4, 0, cancelled_at=at("10:30")),
    order(3, "09:40", 5, 5),
    order(3, "10:40", 5, 2),
]


def goods(kind: str, quantity: str) -> str:
    fields = {"MATERIAL": "0000004711", "PLANT": "1000", "STGE_LOC": "0001", "MOVE_TYPE": kind, "ENTRY_QNT": quantity}
    return xml("E1BP2017_GM_ITEM_CREATE", **fields, PO_NUMBER="4500")


def posted(reference: str, *items: str) -> bytes:
    return movement(*items, reference=reference).replace("20260302", at("12:00")[:10].replace("-", "")).encode()


SAP = [posted("LS-1", goods("101", "7"), goods("101", "3")), posted("INV-1", goods("702", "1"))]


def traced(number: int, step: str, quantity: int, **more: Any) -> dict[str, Any]:
    way = {"readPoint": {"id": HERE}} if step == "shipping" else {"bizLocation": {"id": THERE}}
    numbers = [{"type": "desadv", "bizTransaction": f"T-{1 if number < 3 else 2}"}]
    event = {"type": "ObjectEvent", "eventID": f"e{number}", "eventTime": at("11:00"), "bizStep": step, **way}
    event |= {
        "bizTransactionList": numbers,
        "quantityList": [{"epcClass": LAMP.replace("lgtin", "sgtin"), "quantity": quantity}],
    }
    event |= {
        "sourceList": [{"type": "location", "source": HERE}],
        "destinationList": [{"type": "location", "destination": THERE}],
    }
    return {**event, **more}


TRACE = [
    written(document(traced(1, "shipping", 5))),
    written(document(traced(2, "receiving", 2))),
    written(document(traced(3, "shipping", 3))),
    written(document(traced(3, "shipping", 3, errorDeclaration={"declarationTime": at("11:30")}))),
]


def notice(lsn: int, op: str, quantity: int) -> bytes:
    row = {"notice_no": "4500", "sku": "4711", "site": "DC1", "status": "announced", "quantity": quantity}
    row |= {"due_at": at("08:00", 3), "changed_at": at("09:00")[:-3] + f"{lsn:02d}Z"}
    source = {"db": "erp", "table": "notices", "ts_ms": 1_795_000_000_000 + lsn, "lsn": lsn}
    return written({"before": None, "after": row, "op": op, "source": source})


ERP = [notice(1, "c", 12), notice(2, "u", 15), notice(3, "r", 15)]


def deliveries(seed: int) -> list[tuple[str, bytes]]:
    """All documents, some twice, shuffled; the changes of one row stay in their order, as a log has them."""
    chance = random.Random(seed)
    others = [(source, raw) for source, raws in (("shop", SHOP), ("sap", SAP), ("trace", TRACE)) for raw in raws]
    others += chance.sample(others, 8)
    chance.shuffle(others)
    log = [("erp", raw) for raw in [*ERP[: chance.randrange(4)], *ERP]]
    places = sorted(chance.sample(range(len(others) + len(log)), len(log)))
    for place, change in zip(places, log, strict=True):
        others.insert(place, change)
    return others


@pytest.mark.parametrize("seed", range(25))
def test_the_day_ends_in_the_numbers_worked_out_by_hand(seed: int) -> None:
    desk = Desk()
    desk.did("stock_counted", 20, occurred_at=at("08:00"))
    memory = Dictionary()
    for source, raw in deliveries(seed):
        kind, known = READERS[source]
        translation = resolve(translate(raw, known, KINDS[kind]), source, memory)
        assert not translation.refused(), translation.lines
        for body in translation.bodies():
            assert desk.raw(EVENTS[body["type"]].kind, json.dumps(body)) == [], body
    # counted 20; shipped 2 and 1 came back; received 10; 1 missing; 5 left for the other site, and 3 that never did
    assert desk.at("DC1", "on_hand", "expected") == (20 - 2 + 1 + 10 - 1 - 5, 15 - 10)
    assert desk.at("DC2", "on_hand", "in_transit") == (2, 3)
    # of 3 ordered 2 were shipped; one order was cancelled; of another 2 are still wanted
    assert desk.at("*", "soft_allocated") == 1 + 0 + 2
    assert desk.atp() == 23 - 3
