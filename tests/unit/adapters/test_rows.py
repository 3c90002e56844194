"""What rows of CSV files and JSON documents become by a mapping, and how they are known again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from operators.adapters import csv_rows, json_rows
from operators.adapters.account import Translation, refusals_of
from operators.adapters.context import AliasTable, Context
from operators.adapters.kinds import MappingError, read_mapping
from operators.adapters.memory import Dictionary
from tests.adapting import checked, survives, wrong_values
from tests.conftest import ROOT
from tests.writing import written

ERP = "erp"
ALIASES = {
    (ERP, "item", "Lamp : Red"): "lamp-red",
    (ERP, "item", "SKU-1"): "lamp-red",
    (ERP, "item", "SKU-2"): "shade",
    (ERP, "location", "Berlin"): "berlin",
}


def context(page: str, **more: Any) -> Context:
    mapping = read_mapping(page)[1]
    given: dict[str, Any] = {"time_zone": ZoneInfo("Europe/Berlin"), "channel": "web", "location": "berlin", **more}
    return Context(source=ERP, aliases=AliasTable(ALIASES), mapping=mapping, **given)


def built_in(name: str, **more: Any) -> Context:
    return context((ROOT / "flows" / "adapters" / "mappings" / f"{name}.toml").read_text("utf-8"), **more)


def read_csv(text: str | bytes, known: Context, memory: Dictionary | None = None) -> Translation:
    raw = text.encode() if isinstance(text, str) else text
    return checked(csv_rows.translate(raw, known), ERP, memory)


def read_json(document: Any, known: Context, memory: Dictionary | None = None) -> Translation:
    return checked(json_rows.translate(written(document), known), ERP, memory)


MOVES = """
kind = "csv"
[[rules]]
when = { kind = "in" }
becomes = "stock_received"
fields = { item = "sku", quantity = "qty", occurred_at = "at" }
[[rules]]
when = { kind = "sale" }
becomes = "shipment_confirmed"
fields = { item = "sku", quantity = "qty", occurred_at = "at", order_id = { from = "no" }, line_id = { value = "1" } }
[[rules]]
when = { kind = ["note", ""] }
ignore = "no_movement"
"""
HEAD = "no,kind,sku,qty,at\n"


def test_a_row_becomes_what_its_rule_says_in_the_time_of_its_clock() -> None:
    (body,) = read_csv(HEAD + "7,in, SKU-1 ,12,2026-07-01 10:00\n", context(MOVES)).bodies()
    assert body.pop("event_id").endswith(":1:stock_received.0")
    assert body == {
        "type": "stock_received",
        "source": "erp",
        "occurred_at": "2026-07-01T08:00:00Z",
        "item": "lamp-red",
        "location": "berlin",
        "quantity": 12,
    }


def test_equal_rows_are_all_real_and_the_same_file_again_is_not() -> None:
    """A till sells the same thing twice within a second, and each line of its log is a sale."""
    sale = "9,sale,SKU-1,1,2026-07-01T10:00:00Z\n"
    file = HEAD + sale * 3
    ids = [body["event_id"] for body in read_csv(file, context(MOVES)).bodies()]
    assert len(set(ids)) == 3
    assert [body["event_id"] for body in read_csv(file, context(MOVES)).bodies()] == ids


NAMED = MOVES.replace('kind = "csv"', 'kind = "csv"\ndocument = ["no"]', 1)


def test_a_named_document_may_be_shuffled_and_saved_anew() -> None:
    rows = [f"7,in,SKU-{1 + number % 2},{number},2026-07-01T10:00:00Z\n" for number in range(1, 9)]
    expected = sorted(body["event_id"] for body in read_csv(HEAD + "".join(rows), context(NAMED)).bodies())
    random.Random(3).shuffle(rows)
    again = read_csv(HEAD + "".join(rows).replace("\n", "\r\n"), context(NAMED))
    assert sorted(body["event_id"] for body in again.bodies()) == expected
    assert again.documents == ["7"]


def test_a_row_with_an_id_of_its_own_is_known_in_any_file() -> None:
    page = MOVES.replace('becomes = "stock_received"', 'becomes = "stock_received"\nid = ["no"]')
    one = read_csv(HEAD + "7,in,SKU-1,2,2026-07-01T10:00:00Z\n", context(page)).bodies()
    other = read_csv(
        "a\n".join(["", ""]) + HEAD + "8,in,SKU-1,2,2026-07-01T10:00:00Z\n7,in,SKU-1,2,2026-07-01T10:00:00Z\n",
        context(page.replace("[[rules]]", "skip = 1\n[[rules]]", 1)),
    ).bodies()
    assert one[0] in other


def test_a_fall_below_zero_is_taken_back_and_zero_is_nothing() -> None:
    translation = read_csv(
        HEAD + "1,in,SKU-1,-2,2026-07-01T10:00:00Z\n2,in,SKU-1,0,2026-07-01T10:00:00Z\n", context(MOVES)
    )
    (body,) = translation.bodies()
    assert (body["quantity"], body["reversal"]) == (2, True)
    assert translation.ignored() == {"no_quantity": 1}


def test_rows_of_no_rule_are_refused_aloud_unless_the_mapping_says_otherwise() -> None:
    row = HEAD + "1,theft,SKU-1,2,2026-07-01T10:00:00Z\n"
    assert read_csv(row, context(MOVES)).refused() == {"bad_value": 1}
    assert read_csv(row, context('otherwise = "ignore"\n' + MOVES)).ignored() == {"no_rule": 1}
    assert read_csv(HEAD + "1,note,,,\n2,,,,\n", context(MOVES)).ignored() == {"no_movement": 2}


def test_a_bad_row_is_refused_by_its_line_and_the_others_count() -> None:
    rows = ["1,in,SKU-1,2,2026-07-01T10:00:00Z", "2,in,NEW,2,2026-07-01T10:00:00Z", "3,in,SKU-1,,2026-07-01T10:00:00Z"]
    rows += [
        "4,in,SKU-1,2,yesterday",
        '5,in,"SKU"-1,2,2026-07-01T10:00:00Z',
        "6,in,SKU-2,1,2026-07-01T10:00:00Z",
        "7,in,SK",
    ]
    translation = read_csv(HEAD + "\n".join(rows), context(MOVES))
    assert [body["item"] for body in translation.bodies()] == ["lamp-red", "shade"]
    assert sorted((each["line_id"], each["code"]) for each in refusals_of(translation)) == [
        ("line[3]", "unknown_alias"),
        ("line[4]", "missing_field"),
        ("line[5]", "bad_value"),
        ("line[6]", "bad_value"),
        ("line[8]", "bad_value"),
    ]


@pytest.mark.parametrize(
    ("options", "raw"),
    [
        ("", "\ufeff" + HEAD + "1,in,SKU-1,2,2026-07-01T10:00:00Z"),
        ("", '"no","kind","sku","qty","at"\r\n"1","in","SKU-1","2","2026-07-01T10:00:00Z"\r\n\r\n'),
        ("", HEAD.replace("\n", ",,\n") + "1,in,SKU-1,2,2026-07-01T10:00:00Z,,\n"),
        (
            'delimiter = ";"\ndecimal = ","\nthousands = "."',
            HEAD.replace(",", ";") + "1;in;SKU-1;2,0;2026-07-01T10:00:00Z",
        ),
        ('delimiter = "\\t"', (HEAD + "1,in,SKU-1,2,2026-07-01T10:00:00Z").replace(",", "\t")),
        ('encoding = "utf-16"', (HEAD + "1,in,SKU-1,2,2026-07-01T10:00:00Z").encode("utf-16")),
        ('columns = ["no", "kind", "sku", "qty", "at"]', "1,in,SKU-1,2,2026-07-01T10:00:00Z"),
    ],
)
def test_files_are_read_as_they_are_written(options: str, raw: str | bytes) -> None:
    page = MOVES.replace('kind = "csv"', f'kind = "csv"\n{options}', 1)
    (body,) = read_csv(raw, context(page)).bodies()
    assert (body["item"], body["quantity"]) == ("lamp-red", 2)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "missing_field"),
        (b"\xff\xfe\xff", "bad_value"),
        (b"no,kind,sku\n1,in,SKU-1\n", "missing_field"),
        (b"no,kind,sku,qty,at,no\n", "bad_value"),
        (b'"no,kind,sku,qty,at\n', "bad_value"),
    ],
)
def test_another_file_is_refused_whole(raw: bytes, code: str) -> None:
    assert read_csv(raw, context(MOVES)).refused() == {code: 1}


def test_a_file_without_rows_is_one_line_and_never_means_zero() -> None:
    assert read_csv(HEAD, context(MOVES)).ignored() == {"no_rows": 1}


@pytest.mark.parametrize(
    ("given", "form", "utc"),
    [
        ("03/29/2026 03:30 AM", "%m/%d/%Y %I:%M %p", "2026-03-29T01:30:00Z"),
        ("29.3.2026", "%d.%m.%Y", "2026-03-29T10:00:00Z"),
        ("2026-03-29T03:30:00+0530", "%Y-%m-%dT%H:%M:%S%z", "2026-03-28T22:00:00Z"),
        ("1774747800", "seconds", "2026-03-29T01:30:00Z"),
        ("20541", "days", "2026-03-29T10:00:00Z"),
        ("1774747800000", "local_millis", "2026-03-29T00:30:00Z"),
    ],
)
def test_times_are_read_by_their_form(given: str, form: str, utc: str) -> None:
    page = MOVES.replace('occurred_at = "at"', f'occurred_at = {{ from = "at", time = "{form}" }}', 1)
    noon = 12 * 3600 * 1_000_000
    assert read_csv(HEAD + f"1,in,SKU-1,2,{given}\n", context(page, time_of_day=noon)).bodies()[0]["occurred_at"] == utc


def test_a_date_without_time_or_zone_is_refused_where_the_source_says_nothing() -> None:
    row = HEAD + "1,in,SKU-1,2,2026-07-01\n"
    assert read_csv(row, context(MOVES)).refused() == {"missing_field": 1}
    assert read_csv(row.replace("\n1", "\n1"), context(MOVES, time_zone=None)).refused() == {"missing_field": 1}


NETSUITE = (
    "Type,Document Number,Line ID,Item,Location,Quantity,Quantity Picked,Quantity Shipped,Status,Version,Last Modified,"
    "Date Created\n"
)


def sales(
    version: int, picked: str, shipped: str, status: str = "Pending Fulfillment", ordered: str = '"-1,200"'
) -> str:
    times = f"07/0{version}/2026 10:00 AM,07/01/2026 10:00 AM"
    return f"Sales Order,SO7,1,Lamp : Red,Berlin,{ordered},{picked},{shipped},{status},2026070{version},{times}\n"


def test_netsuites_cumulative_quantities_become_differences() -> None:
    known, memory = built_in("netsuite"), Dictionary()

    def says(row: str) -> list[tuple[Any, ...]]:
        bodies = read_csv(NETSUITE + row, known, memory).bodies()
        return [(b["type"], (b["lines"][0] if "lines" in b else b).get("quantity"), "reversal" in b) for b in bodies]

    assert says(sales(1, "", "")) == [("order_placed", 1200, False)]
    assert says(sales(2, "5", "")) == [("pick_confirmed", 5, False)]
    assert says(sales(2, "5", "")) == []  # the same search again
    assert says(sales(4, "9", "8")) == [("pick_confirmed", 4, False), ("shipment_confirmed", 8, False)]
    assert says(sales(3, "7", "5")) == []  # an older one
    assert says(sales(5, "9", "6")) == [("shipment_confirmed", 2, True)]
    assert says(sales(6, "9", "9", "Closed")) == [("order_cancelled", None, False), ("shipment_confirmed", 3, False)]


def test_netsuites_other_lines_are_known_by_their_document() -> None:
    times = "1,07/01/2026 10:00 AM,07/01/2026 10:00 AM\n"
    rows = f"Item Receipt,IR1,1,Lamp : Red,Berlin,10,,,Received,{times}"
    rows += f"Inventory Adjustment,IA1,1,Lamp : Red,Berlin,-2,,,,{times}"
    rows += f"Invoice,IN1,1,Lamp : Red,Berlin,-2,,,,{times}"
    translation = read_csv(NETSUITE + rows, built_in("netsuite"))
    assert [(body["type"], body["quantity"], body["event_id"]) for body in translation.bodies()] == [
        ("stock_received", 10, "stock_received.0:IR1:1"),
        ("stock_adjusted", -2, "stock_adjusted.0:IA1:1"),
    ]
    assert translation.ignored() == {"said_by_the_order": 1}


@pytest.mark.parametrize(
    "page", sorted((ROOT / "flows" / "adapters" / "mappings").glob("*.toml")), ids=lambda page: page.stem
)
def test_mappings_that_come_with_the_program_are_whole(page: Path) -> None:
    kind, mapping = read_mapping(page.read_text("utf-8"), page.name)
    assert kind.mapping is not None and isinstance(mapping, kind.mapping)


def test_a_marketplaces_report_is_a_statement_by_status() -> None:
    damaged = ["customer_damaged_quantity", "warehouse_damaged_quantity", "distributor_damaged_quantity"]
    damaged += ["carrier_damaged_quantity", "defective_quantity", "expired_quantity", "total_researching_quantity"]
    names = ["seller_sku", "fulfillable_quantity", "pending_customer_order_quantity", "pending_transshipment_quantity"]
    names += ["fc_processing_quantity", *damaged]
    rows = ["\t".join(names), "\t".join(["SKU-1", "211", "6", "3", "4", *"1234567"]), "\t".join(["SKU-2", *"0" * 11])]
    known = built_in("fba", headers={"as_of": "2026-03-02T10:00:00Z"})
    start, lamp, shade, end = read_csv("\n".join(rows), known).bodies()
    assert (start["rows"], end["rows"], start.get("items", "stated")) == (2, 2, "stated")
    assert (lamp["available"], lamp["on_hand"], lamp["quarantined"]) == (211, 252, 28)
    assert (shade["on_hand"], shade["location"], shade["occurred_at"]) == (0, "berlin", "2026-03-02T10:00:00Z")
    assert read_csv("\n".join(rows), built_in("fba")).refused() == {"missing_field": 2}  # nobody says when


def levels(**quantities: Any) -> dict[str, Any]:
    named = [{"name": name, "quantity": quantity} for name, quantity in quantities.items()]
    level = {"location": {"id": "Berlin"}, "quantities": named}
    return {"data": {"inventoryItems": {"nodes": [{"sku": "SKU-1", "inventoryLevels": {"nodes": [level]}}]}}}


def test_a_shops_quantities_by_name_are_one_row_and_a_new_name_is_refused() -> None:
    known = built_in("shopify-levels", headers={"as_of": "2026-03-02T10:00:00Z"})
    translation = read_json(
        levels(available=5, on_hand=9, damaged=1, quality_control=2, committed=1, incoming=8), known
    )
    start, row, end = translation.bodies()
    assert (row["available"], row["on_hand"], row["quarantined"], row["location"]) == (5, 9, 3, "berlin")
    assert (start["rows"], end["rows"], translation.ignored()) == (1, 1, {"said_elsewhere": 2})
    assert read_json(levels(on_hand=-1, quarantine=1), known).refused() == {"bad_value": 1}
    assert read_json(levels(on_hand=-1, damaged=-1), known).refused() == {"bad_value": 1}


STATEMENT = """
kind = "csv"
document = ["no"]
[statement]
as_of = "at"
is_all = true
locations = ["berlin"]
[[rules]]
becomes = "stock_stated"
fields = { item = "sku", on_hand = "qty" }
"""


def test_all_items_are_said_to_be_there_only_if_no_line_was_refused() -> None:
    rows = HEAD + "S1,,SKU-1,4,2026-03-02T10:00:00Z\nS1,,SKU-2,,2026-03-02T10:00:00Z\n"
    translation = read_csv(rows, context(STATEMENT))
    assert translation.refused() == {"missing_field": 1} and "items" not in translation.bodies()[0]
    start, *_ = read_csv(rows.replace(",,20", ",2,20"), context(STATEMENT)).bodies()
    assert (start["items"], start["locations"], start["statement_id"]) == ("all", ["berlin"], "S1")


def test_a_file_that_was_cut_off_or_names_two_units_never_has_all_items() -> None:
    whole = HEAD + "S1,,SKU-1,4,2026-03-02T10:00:00Z\nS1,,SKU-2,2,2026-03-02T10:00:00Z\n"
    cut_off = read_csv(whole[:-22], context(STATEMENT))
    assert cut_off.refused() == {"bad_value": 1}
    assert [body.get("items") for body in cut_off.bodies()] == [None] * 3
    units = STATEMENT.replace("on_hand =", "uom = 'note', on_hand =")
    rows = whole.replace("S1,,SKU-1", "S1,EA,SKU-1").replace("S1,,SKU-2", "S1,BOX,SKU-1")
    two_units = read_csv(rows.replace("kind", "note"), context(units))
    assert two_units.refused() == {"bad_value": 1}
    assert [body.get("items") for body in two_units.bodies()] == [None] * 3


def test_equal_rows_of_two_parts_of_a_file_are_two() -> None:
    rows = HEAD + "1,in,SKU-1,4,2026-03-02T10:00:00Z\n"
    parts = [{"document": "ab" * 32, "part": part, "parts": "2", "heading": "22"} for part in ("1", "2")]
    moves = [read_csv(rows, context(MOVES, headers=headers)) for headers in parts]
    assert len({translation.bodies()[0]["event_id"] for translation in moves}) == 2
    assert moves[0].documents == moves[1].documents == ["ab" * 32]
    assert moves[0].bodies() == read_csv(rows, context(MOVES, headers={**parts[0], "name": "renamed.csv"})).bodies()


def parts_of_file(*texts: str, identity: str = "ab" * 32) -> list[list[dict[str, Any]]]:
    """Read the parts of a file that was cut; gives what each of them became."""
    memory = Dictionary()
    found = []
    for number, text in enumerate(texts, 1):
        headers = {"document": identity, "part": str(number), "parts": str(len(texts)), "heading": "22"}
        whole = read_csv(text, context(STATEMENT, headers=headers), memory)
        assert all(line.fate for line in whole.lines)
        found.append(whole.bodies())
    return found


def test_the_parts_of_a_file_are_one_statement_that_the_last_one_ends() -> None:
    first, last = parts_of_file(*(HEAD + f"S1,,SKU-{number},{number},2026-03-02T10:00:00Z\n" for number in (1, 2)))
    assert [body["type"] for body in first] == ["stock_stated"]
    assert [body["type"] for body in last] == ["stock_stated", "statement_started", "statement_ended"]
    assert {body["statement_id"] for body in first + last} == {"S1"}
    assert (last[1]["rows"], last[2]["rows"], last[1]["items"], last[1]["locations"]) == (2, 2, "all", ["berlin"])


def test_a_part_with_a_refused_row_keeps_the_whole_file_from_having_all_items() -> None:
    good = HEAD + "S1,,SKU-1,4,2026-03-02T10:00:00Z\n"
    for bad in (HEAD + "S1,,SKU-2,,2026-03-02T10:00:00Z\n", HEAD + "S1,,SK", HEAD + "S1,,SKU-2,2,\n"):
        for texts in ((bad, good), (good, bad)):
            start = next(body for said in parts_of_file(*texts) for body in said if body["type"] == "statement_started")
            assert (start["rows"], start.get("items")) == (1, None)


def test_a_part_that_comes_twice_counts_once_and_one_that_never_comes_leaves_no_end() -> None:
    memory = Dictionary()
    said = []
    for part in ("1", "1", "3", "2", "3"):
        headers = {"document": "ab" * 32, "part": part, "parts": "3"}
        text = HEAD + f"S1,,SKU-{part},4,2026-03-02T10:00:00Z\n"
        bodies = read_csv(text, context(STATEMENT, headers=headers), memory).bodies()
        said.append([body["type"] for body in bodies if body["type"] != "stock_stated"])
    assert said == [[], [], [], ["statement_started", "statement_ended"], []]


@pytest.mark.parametrize("headers", [{"part": "x"}, {"part": "0"}, {"part": "3"}, {"part": "1", "parts": "9" * 30}])
def test_a_part_that_is_none_is_a_file(headers: dict[str, str]) -> None:
    given = {"document": "ab" * 32, "parts": "2", **headers}
    said = read_csv(HEAD + "S1,,SKU-1,4,2026-03-02T10:00:00Z\n", context(STATEMENT, headers=given)).bodies()
    assert [body["type"] for body in said] == ["statement_started", "stock_stated", "statement_ended"]


def test_rows_of_one_place_add_up() -> None:
    rows = HEAD + "S1,bin1,SKU-1,4,2026-03-02T10:00:00Z\nS1,bin2,SKU-1,5,2026-03-02T10:00:00Z\n"
    translation = read_csv(rows, context(STATEMENT))
    assert translation.bodies()[1]["on_hand"] == 9 and len(translation.bodies()) == 3


API = """
kind = "json"
rows = "orders[].lines[]"
[[rules]]
when = { "^.state" = "confirmed" }
becomes = "order_placed"
id = ["^.number", "position", "^.changed"]
[rules.fields]
order_id = "^.number"
line_id = "position"
item = "product.sku"
quantity = "amount"
occurred_at = "^.changed"
[[rules]]
when = { "^.state" = "void" }
becomes = "order_cancelled"
id = ["^.number", "position"]
fields = { order_id = "^.number", line_id = "position", item = "product.sku", occurred_at = "^.changed" }
"""


def api(state: str = "confirmed", **line: Any) -> dict[str, Any]:
    first = {"position": 1, "product": {"sku": "SKU-1"}, "amount": 2, **line}
    other = {"position": 2, "product": {"sku": "SKU-2"}, "amount": 1}
    order = {
        "number": 9007199254740993,
        "state": state,
        "changed": "2026-03-02T10:00:00+01:00",
        "lines": [first, other],
    }
    return {"tenant": "t1", "orders": [order]}


def test_values_are_found_around_their_row_with_every_digit() -> None:
    first, other = read_json(api(), context(API)).bodies()
    assert first["event_id"] == "order_placed.0:9007199254740993:1:2026-03-02T10%3A00%3A00+01%3A00"
    assert (first["order_id"], first["channel"]) == ("9007199254740993", "web")
    assert first["lines"] == [{"line_id": "1", "item": "lamp-red", "quantity": 2}]
    assert other["lines"][0]["item"] == "shade"
    assert [body["type"] for body in read_json(api("void"), context(API)).bodies()] == ["order_cancelled"] * 2


@pytest.mark.parametrize(
    ("amount", "said"),
    [("2.50", "2.5"), (1e3, 1000), ("0.5e1", None), (2**53, None), (None, None), ({}, None)],
)
def test_numbers_are_exact_or_refused(amount: Any, said: object) -> None:
    translation = read_json(api(amount=amount), context(API))
    assert len(translation.bodies()) == (1 if said is None else 2)
    if said is not None:
        assert translation.bodies()[0]["lines"][0]["quantity"] == said


def test_what_is_no_array_where_rows_should_be_is_refused_in_its_place() -> None:
    translation = read_json({"orders": [{"lines": {}}, {"number": 1}, api()["orders"][0]]}, context(API))
    places = [(each["line_id"], each["code"]) for each in refusals_of(translation)]
    assert places == [("orders[0].lines", "bad_value"), ("orders[1].lines", "missing_field")]
    assert len(translation.bodies()) == 2
    assert read_json({"orders": []}, context(API)).ignored() == {"no_rows": 1}
    assert read_json([], context(API)).refused() == {"missing_field": 1}
    assert checked(json_rows.translate(b'{"orders": [', context(API)), ERP).refused() == {"not_json": 1}


def test_a_document_may_be_one_row_or_an_array_of_them() -> None:
    page = 'kind = "json"\nrows = "ROWS"\n[[rules]]\nbecomes = "stock_counted"\nid = ["id"]\n'
    page += 'fields = { item = "sku", quantity = "n", occurred_at = "@received_at", reason = "tags.0" }'
    known = {"headers": {"received_at": "2026-03-02T10:00:00Z"}}
    row = {"id": 5, "sku": "SKU-1", "n": 0, "tags": ["spot"]}
    (one,) = read_json(row, context(page.replace("ROWS", ""), **known)).bodies()
    (same,) = read_json([row], context(page.replace("ROWS", "[]"), **known)).bodies()
    assert one == same and (one["quantity"], one["reason"], one["occurred_at"]) == (0, "spot", "2026-03-02T10:00:00Z")


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ('rules = [{ becomes = "stock_stated", fields = { item = "a", on_hand = "b" } }]', "as_of"),
        ('rules = [{ becomes = "stock_stated", fields = { item = "a" } }]', "one of on_hand"),
        ('rules = [{ becomes = "stock_counted", fields = { item = "a", quantity = "b" } }]', "occurred_at"),
        ('rules = [{ ignore = "x", cumulative = true }]', "cumulative"),
        (
            'rules = [{ becomes = "stock_adjusted", cumulative = true, id = ["a"], order = "b" }]',
            "a reversal takes back",
        ),
        ('decimal = ","\nthousands = ","\nrules = [{ ignore = "x" }]', "another mark"),
        ('rows = "a..b"\nrules = [{ ignore = "x" }]', "rows"),
        (
            'rules = [{ becomes = "lot_dated", fields = { item = { from = "a", value = "b" } } }]',
            "one of from, value and sum",
        ),
        (
            'rules = [{ becomes = "lot_dated", fields = { item = { from = "a", time = "hours" } } }]',
            "expected text, seconds",
        ),
    ],
)
def test_a_mapping_that_cannot_work_says_why(page: str, told: str) -> None:
    with pytest.raises(MappingError, match=told):
        read_mapping(f'kind = "json"\n{page}')


def test_any_wrong_value_in_any_place_loses_no_line() -> None:
    known = context(API)
    for changed in wrong_values(api()):
        read_json(changed, known)


def files() -> list[bytes]:
    return [(NETSUITE + sales(1, "1", "") + sales(2, "2", "1")).encode()]


def documents() -> list[bytes]:
    return [written(api()), written(api("void"))]


def test_mutations_neither_crash_nor_lose_a_line() -> None:
    netsuite, document = built_in("netsuite"), context(API)
    survives(lambda raw: csv_rows.translate(raw, netsuite), ERP, files(), 2000, seed=9)
    survives(lambda raw: json_rows.translate(raw, document), ERP, documents(), 2000, seed=10)
