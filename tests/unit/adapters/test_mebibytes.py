"""A message of a mebibyte costs what its length costs, in each of the formats: nothing grows with the square of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from operators.adapters.kinds import KINDS, translate
from operators.adapters.memory import Dictionary, resolve
from tests.documents import context
from tests.unit.adapters import test_d365, test_epcis, test_idoc, test_rows, test_shopify, test_ubl
from tests.writing import written


def shop_order() -> bytes:
    """Lines whose quantity is found from what was refunded, and as many refunds."""
    lines = [test_shopify.line(number, fulfillable_quantity=None) for number in range(3000)]
    refunded = [{"line_item_id": number % 3000, "restock_type": "return", "quantity": 1} for number in range(8000)]
    return written(test_shopify.order(*lines, refunds=[{"refund_line_items": refunded}]))


def traced() -> bytes:
    epcs = [f"urn:epc:id:sgtin:4012345.{number:06d}.1" for number in range(20_000)]
    return written(test_epcis.document(test_epcis.arrival(epcList=epcs, **test_epcis.PO)))


def movement() -> bytes:
    return test_idoc.movement(*(test_idoc.moved("311") for _ in range(2500))).encode()


def api() -> bytes:
    document = test_rows.api()
    document["orders"][0]["lines"] *= 6000
    return written(document)


def till() -> bytes:
    return (test_rows.HEAD + "9,sale,SKU-1,1,2026-07-01T10:00:00Z\n" * 28_000).encode()


MADE: dict[str, tuple[Callable[[], bytes], dict[str, Any]]] = {
    "shopify": (shop_order, {}),
    "epcis": (traced, {}),
    "d365": (lambda: written([test_d365.setting(id=str(number)) for number in range(4000)]), {}),
    "ubl": (lambda: test_ubl.order(*(test_ubl.order_line(str(n), "1") for n in range(4000))).encode(), {}),
    "idoc": (movement, {}),
    "csv": (
        till,
        {"mapping": test_rows.context(test_rows.MOVES).mapping},
    ),
    "json": (api, {"mapping": test_rows.context(test_rows.API).mapping}),
}


@pytest.mark.parametrize("kind", MADE)
def test_a_mebibyte_takes_a_second_and_not_minutes(kind: str) -> None:
    make, known = MADE[kind]
    raw = make()
    assert len(raw) > 500_000
    started = time.process_time()
    result = resolve(translate(raw, context(channel="web", **known), KINDS[kind]), "acme", Dictionary())
    # Some tenths of a second on a quiet machine.
    assert time.process_time() - started < 10
    assert len(result.lines) >= 2500 and not result.refused()
