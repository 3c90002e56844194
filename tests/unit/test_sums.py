"""Sums have no limit: what does not fit into 64 bits is written exactly all the same, and read back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from operators.ledger import decode_item, records_of
from operators.position import ITSELF, place_of
from schemas.state import Item, Line, LineAt, Receipt, Transfer
from schemas.sums import pack, to_json
from schemas.units import Origin, Unit

HUGE = 2**70 + 1


@pytest.mark.parametrize("value", [0, -(2**63), 2**64 - 1, "text", b"\x00\xff", None, True, 1.5, [1, "a", None]])
def test_what_fits_is_written_as_ever(value: Any) -> None:
    assert pack(value) == msgspec.msgpack.encode(value)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_huge_sum_is_read_back_exactly(sign: int) -> None:
    line = Line(demand=sign * HUGE, at={"EAST": LineAt("first", allocated=sign * HUGE)}, claimed=None)
    assert msgspec.msgpack.Decoder(Line, strict=False).decode(pack(line)) == line


def test_json_of_a_huge_sum_is_exact() -> None:
    assert json.loads(to_json({"sum": HUGE, "days": [-HUGE, 1]})) == {"sum": HUGE, "days": [-HUGE, 1]}


def test_a_unit_with_an_absurd_quantity_may_wait_and_be_kept() -> None:
    unit = Unit(1, "RETRO-CLOCK", "wms", "e1", "", 5, 6, Origin("t", 0, 1, 2, None, b"{}"), quantity=10**30)
    kept = msgspec.convert(msgspec.msgpack.decode(pack([unit]))[0], Unit)
    assert kept.quantity == str(10**30) and kept.item == "RETRO-CLOCK" and kept.origin == unit.origin


def test_an_item_with_huge_sums_comes_back_from_a_snapshot() -> None:
    item = Item("RETRO-CLOCK")
    place = place_of(item, "EAST")
    place.cell.on_hand, place.cell.quarantined = HUGE, -HUGE
    place.shown = (HUGE, -HUGE, 0, 0, 0, 0, 2 * HUGE)
    item.published = {"web": (HUGE, (HUGE, 1))}
    item.transfers["T", "EAST"] = Transfer(shipped=HUGE, received=1)
    item.receipts["R", "EAST"] = Receipt(quantity=5, received=HUGE)
    item.dirty = {("c", "EAST", ""), ("t", "T", "EAST"), ("r", "R", "EAST"), ITSELF}
    layer = msgspec.msgpack.decode(pack(records_of(item)), type=dict[str, msgspec.Raw])
    back = decode_item("RETRO-CLOCK", [msgspec.Raw(msgspec.msgpack.encode(layer))])
    assert (back.places["EAST"].cell.on_hand, back.places["EAST"].cell.quarantined) == (HUGE, -HUGE)
    assert back.places["EAST"].shown == place.shown
    assert back.published == item.published
    assert back.transfers["T", "EAST"].shipped == HUGE
    assert back.receipts["R", "EAST"].received == HUGE
