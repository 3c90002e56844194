"""SAP as others imitate it (the package mock-sap): its interface is asked by `atp poll`, its IDocs are read."""

from __future__ import annotations

import json
import random
import threading
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from mocksap import Config, make_server

from flows.adapters.intake.checkpoints import Checkpoints
from flows.adapters.intake.counts import POLL, Counts
from flows.adapters.intake.poller import Poller
from flows.adapters.intake.raw import RawMessage
from flows.settings import load_settings
from operators.adapters.kinds import read_mapping, translate
from operators.adapters.memory import Dictionary, resolve
from operators.adapters.paging import value_at
from tests.documents import become, check, context

V4 = "/sap/opu/odata4/sap/api_salesorder/srvd_a2x/sap/api_salesorder/0001/SalesOrder"
#: Sales orders of the A2X service in OData V4, each line known by its numbers and when its order was changed.
MAPPING = """
kind = "json"
rows = "value[].to_Item[]"

[[rules]]
becomes = "order_placed"
id = ["SalesOrder", "SalesOrderItem", "^.LastChangeDate"]
[rules.fields]
order_id = "SalesOrder"
line_id = "SalesOrderItem"
channel = { value = "b2b" }
item = "Material"
quantity = "RequestedQuantity"
occurred_at = "^.LastChangeDate"
"""


class Sap:
    """A system with demo data, the same at each start."""

    def __init__(self) -> None:
        self._server = make_server(Config(port=0, db_path=":memory:", csrf=False, quiet=True))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def ask(self, path: str, said: dict[str, Any] | None = None) -> Any:
        body = None if said is None else json.dumps(said).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def orders(self) -> list[Any]:
        found: list[Any] = self.ask(f"{V4}?$expand=to_Item&$orderby=LastChangeDate")["value"]
        return found

    def idoc(self, kind: str, order: str) -> bytes:
        xml: str = self.ask("/sap/bc/idoc/generate", {"mestyp": kind, "SalesOrder": order})["xml"]
        return xml.encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def sap() -> Iterator[Sap]:
    one = Sap()
    yield one
    one.close()


def wanted(order: Any) -> dict[str, tuple[str, Decimal]]:
    """What an order's lines want: item and quantity by the line's number as IDocs have it, without zeros in front."""
    lines = order["to_Item"]
    return {
        line["SalesOrderItem"].lstrip("0"): (line["Material"], Decimal(str(line["RequestedQuantity"])))
        for line in lines
    }


def said(bodies: list[dict[str, Any]]) -> dict[str, tuple[str, Decimal]]:
    lines = [line for body in bodies for line in body.get("lines", [body])]
    return {line["line_id"].lstrip("0"): (line["item"], Decimal(str(line["quantity"]))) for line in lines}


def test_its_orders_say_the_same_as_idocs_and_by_its_interface(sap: Sap) -> None:
    orders = [order for order in sap.orders() if order["to_Item"]]
    assert len(orders) > 5
    for order in orders:
        result = become(sap.idoc("ORDERS05", order["SalesOrder"]), context(channel="b2b"))
        assert {body["type"] for body in result.bodies()} == {"order_placed"}
        assert {body["order_id"] for body in result.bodies()} == {order["SalesOrder"].lstrip("0")}
        assert said(result.bodies()) == wanted(order)


def test_the_same_order_in_another_idoc_adds_nothing(sap: Sap) -> None:
    order = next(order["SalesOrder"] for order in sap.orders() if order["to_Item"])
    first, again = sap.idoc("ORDERS05", order), sap.idoc("ORDERS05", order)
    assert first != again, "another DOCNUM"
    memory = Dictionary()
    assert become(first, context(channel="b2b"), memory).bodies()
    assert set(become(again, context(channel="b2b"), memory).ignored()) == {"repeated"}


@pytest.mark.parametrize(("message", "type_"), [("SHPCON", "shipment_confirmed"), ("SHPORD", "order_allocated")])
def test_its_deliveries_are_read_by_the_message_that_says_what_they_mean(sap: Sap, message: str, type_: str) -> None:
    """It calls all of them DELVRY, which is no message of SAP's and is refused; the lines are SAP's."""
    order = next(
        order for order in sap.orders() if order["to_Item"] and order["OverallDeliveryStatus"] not in ("B", "C")
    )
    delivery = sap.idoc("DELVRY07", order["SalesOrder"])
    assert become(delivery).refused() == {"unknown_type": 1}
    named = delivery.replace(b"<MESTYP>DELVRY<", f"<MESTYP>{message}<".encode())
    bodies = become(named, context(channel="b2b")).bodies()
    assert {body["type"] for body in bodies} == {type_}
    assert {body["order_id"] for body in bodies} == {order["SalesOrder"].lstrip("0")}
    assert said(bodies) == wanted(order)


def polled(sap: Sap, folder: Path, rules: str = "") -> list[RawMessage]:
    """What one round of `atp poll` brings; what was asked before is on disk."""
    url = f"{sap.url}{V4}?$expand=to_Item&$orderby=LastChangeDate"
    config = folder / "atp.toml"
    config.write_text(f'[sources.sap.poll]\nurl = "{url}"\nthrottle = 0\n{rules}')
    settings = load_settings(config)
    asked = settings.sources["sap"].poll
    assert asked is not None
    sent: list[RawMessage] = []
    kept = Checkpoints(folder / "polling", "sap")
    poller = Poller(
        settings, "sap", asked, kept, sent.extend, lambda _: True, Counts(POLL, ["sap"]), None, random.Random(1)
    )
    try:
        assert poller.run(once=True)
    finally:
        poller.close()
    return sent


def test_its_interface_is_polled_and_what_it_answers_is_read_by_a_mapping(sap: Sap, tmp_path: Path) -> None:
    (page,) = polled(sap, tmp_path)
    kind, mapping = read_mapping(MAPPING)
    assert kind.name == "json"
    known = context(mapping=mapping, source="acme")
    result = resolve(translate(page.value, known, kind), "acme", Dictionary())
    check(result)
    orders = sap.orders()
    assert not result.refused() and len(result.lines) == sum(len(order["to_Item"]) for order in orders)
    for order in orders:
        of_it = [body for body in result.bodies() if body["order_id"] == order["SalesOrder"]]
        assert said(of_it) == wanted(order)
    # Nothing new: the same page again is not sent, and would add nothing.
    assert polled(sap, tmp_path) == []


def test_a_server_that_stumbles_is_asked_again(sap: Sap, tmp_path: Path) -> None:
    sap.ask("/_mock/faults", {"match": "api_salesorder", "status": 503, "count": 1})
    with pytest.raises(AssertionError):
        polled(sap, tmp_path)  # it would wait, and its end comes while it does
    assert len(polled(sap, tmp_path)) == 1


def test_the_next_page_of_odata_is_found_by_a_name_with_points() -> None:
    page = {"@odata.nextLink": "SalesOrder?$skiptoken=20", "a": {"b.c": {"d": 1}}}
    assert value_at(page, "@odata.nextLink") == "SalesOrder?$skiptoken=20"
    assert (value_at(page, "a.b.c.d"), value_at(page, "a.b"), value_at(page, "@odata.count")) == ("1", None, None)
    assert httpx.URL("http://h/x").join(str(value_at(page, "@odata.nextLink"))).path == "/SalesOrder"
