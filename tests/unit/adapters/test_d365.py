"""What is told to Dynamics 365's inventory service: differences, settings, reservations."""

from __future__ import annotations

from typing import Any

import pytest

from operators.adapters import d365
from operators.adapters.account import Translation
from operators.adapters.context import AliasTable, Context
from tests.adapting import checked, survives, wrong_values
from tests.writing import written

SOURCE = "fno"
ALIASES = {
    (SOURCE, "item", "Lamp"): "lamp",
    (SOURCE, "item", "Lamp|colorId=Red|sizeId=L"): "lamp-red",
    (SOURCE, "location", "S1/W11"): "berlin",
    (SOURCE, "location", "W12"): "hamburg",
}


def context(mapping: dict[str, Any] | None = None, **more: Any) -> Context:
    model = d365.D365Mapping(**{"time_header": "received_at", **(mapping or {})})
    headers = {"received_at": "2026-03-02T10:00:00Z"}
    return Context(**{"source": SOURCE, "aliases": AliasTable(ALIASES), "mapping": model, "headers": headers, **more})


def read(document: object, mapping: dict[str, Any] | None = None, **more: Any) -> Translation:
    return checked(d365.translate(written(document), context(mapping, **more)), SOURCE)


def change(**more: Any) -> dict[str, Any]:
    dimensions = {"siteId": "S1", "locationId": "W11"}
    fields = {"id": "c-1", "organizationId": "usmf", "productId": "Lamp", "dimensionDataSource": "pos"}
    return {**fields, "dimensions": dimensions, "quantities": {"pos": {"inbound": 5}}, **more}


def test_a_change_is_a_difference_under_its_id() -> None:
    assert read(change()).bodies() == [
        {
            "event_id": "d365:usmf:c-1",
            "type": "stock_adjusted",
            "source": "fno",
            "occurred_at": "2026-03-02T10:00:00Z",
            "item": "lamp",
            "location": "berlin",
            "quantity": 5,
        }
    ]


def test_measures_of_one_change_add_up_by_what_they_do() -> None:
    amounts = {"pos": {"Inbound": 5, "OutBound": 7.5}, "wms": {"ordered": 9, "damaged": 2}}
    bodies = read(change(quantities=amounts), {"measures": {"WMS.damaged": "quarantined"}}).bodies()
    assert [(body["quantity"], body.get("status")) for body in bodies] == [("-2.5", None), (2, "quarantined")]
    assert len({body["event_id"] for body in bodies}) == 2


def test_a_measure_that_nobody_explained_is_refused_and_not_guessed() -> None:
    assert read(change(quantities={"pos": {"staged": 5}})).refused() == {"bad_value": 1}
    assert read(change(quantities={"pos": {"staged": 5}}), {"measures": {"staged": "nothing"}}).ignored() == {
        "no_quantity": 1
    }


def test_dimensions_name_the_place_the_lot_and_the_variant() -> None:
    dimensions = {"siteId": "S1", "locationId": "W12", "sizeId": "L", "colorId": "Red", "batchId": "B1"}
    (body,) = read(change(dimensions=dimensions)).bodies()
    assert (body["item"], body["location"], body["lot"]) == ("lamp-red", "hamburg", "B1")
    assert read(change(dimensions={})).refused() == {"missing_field": 1}
    assert read(change(dimensions=None), location="berlin").bodies()[0]["location"] == "berlin"


def test_when_a_change_happened_only_its_carrier_can_say() -> None:
    assert read(change(), {"time_header": None}).refused() == {"missing_field": 1}
    assert read(change(), headers={}).refused() == {"missing_field": 1}


def setting(**more: Any) -> dict[str, Any]:
    return change(modifiedDateTimeUTC="2026-03-02T09:30:00", quantities={"iv": {"inbound": 12, "outbound": 2}}, **more)


def test_a_setting_is_a_statement_unless_nobody_else_counts_there() -> None:
    start, row, end = read(setting()).bodies()
    assert (start["statement_id"], start["occurred_at"], end["rows"]) == ("d365:usmf:c-1", "2026-03-02T09:30:00Z", 1)
    assert row["on_hand"] == 10 and "quarantined" not in row
    (body,) = read(setting(), {"settings_are": "counts"}).bodies()
    assert (body["type"], body["quantity"], body["occurred_at"]) == ("stock_counted", 10, "2026-03-02T09:30:00Z")


def test_blocked_goods_are_part_of_what_is_there() -> None:
    mapping = {"measures": {"blocked": "quarantined"}}
    amounts = {"iv": {"inbound": 12, "blocked": 3}}
    assert read({**setting(), "quantities": amounts}, mapping).bodies()[1]["on_hand"] == 15
    counted = read({**setting(), "quantities": amounts}, {**mapping, "settings_are": "counts"}).bodies()[0]
    assert (counted["quantity"], counted["quarantined"]) == (15, 3)
    minus = {**setting(), "quantities": {"iv": {"inbound": 1, "blocked": -1}}}
    assert read(minus, mapping).refused() == {"bad_value": 1}
    below = {**setting(), "quantities": {"iv": {"inbound": -1}}}
    assert read(below).bodies()[1]["on_hand"] == -1
    assert read(below, {"settings_are": "counts"}).refused() == {"bad_value": 1}


def reservation(quantity: int, number: str = "r-1") -> dict[str, Any]:
    fields = {name: value for name, value in change(id=number).items() if name != "quantities"}
    return {**fields, "modifier": "softReservOrdered", "quantity": quantity, "quantityDataSource": "iv"}


def test_reservations_of_an_item_and_place_are_one_running_claim() -> None:
    made, less = read([reservation(3), reservation(-2, "r-2")]).bodies()
    row = {"item": "lamp", "location": "berlin", "line_id": "berlin"}
    assert (made["type"], made["order_id"], made["lines"]) == (
        "order_allocated",
        "d365-reservations",
        [{**row, "quantity": 3}],
    )
    assert (less["type"], less["order_id"], less["lines"]) == (
        "order_released",
        "d365-reservations",
        [{**row, "quantity": 2}],
    )


def test_entries_of_an_array_stand_by_themselves() -> None:
    translation = read(
        [change(), change(id=None), change(productId="New"), "x", change(quantities={"pos": {"inbound": None}})]
    )
    assert len(translation.bodies()) == 1
    assert translation.refused() == {"missing_field": 2, "unknown_alias": 1, "bad_value": 1}
    assert read([]).ignored() == {"no_entries": 1}


@pytest.mark.parametrize("raw", [b'{"id": "1", "quantities": {"pos": {"inbound": 1}},}', b"", b'[{"id"'])
def test_what_is_no_json_is_refused_as_one_line(raw: bytes) -> None:
    assert checked(d365.translate(raw, context()), SOURCE).refused() == {"not_json": 1}


def test_a_body_is_known_by_its_fields() -> None:
    assert d365.recognizes(written(change()), {}) and d365.recognizes(written([change()]), {})
    assert not d365.recognizes(b'{"productId": 1}', {})


def samples() -> list[Any]:
    return [change(), [setting(), reservation(2)]]


def test_any_wrong_value_in_any_place_loses_no_line() -> None:
    for sample in samples():
        for changed in wrong_values(sample):
            read(changed)


def test_mutations_neither_crash_nor_lose_a_line() -> None:
    known = context({"settings_are": "counts"})
    survives(lambda raw: d365.translate(raw, known), SOURCE, [written(each) for each in samples()], 3000, seed=14)
