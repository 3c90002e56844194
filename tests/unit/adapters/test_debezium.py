"""What a database's changed rows become: once, whether as a change, a snapshot, again, or after a later one."""

from __future__ import annotations

import base64
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from operators.adapters import debezium
from operators.adapters.account import Translation
from operators.adapters.context import AliasTable, Context
from operators.adapters.kinds import MappingError, read_mapping
from operators.adapters.memory import Dictionary
from tests.adapting import checked, survives, wrong_values
from tests.conftest import ROOT
from tests.writing import written

DB = "erp"
AT = 1_772_442_000_000  # 2026-03-02T09:00:00Z
MAPPINGS = ROOT / "flows" / "adapters" / "mappings"
ALIASES = {
    (DB, "item", "31"): "lamp",
    (DB, "item", "LAMP"): "lamp",
    (DB, "item", "SHADE"): "shade",
    (DB, "location", "8"): "berlin",
    (DB, "location", "Stores - B"): "berlin",
}


def mapping_of(name: str) -> Any:
    return read_mapping((MAPPINGS / f"{name}.toml").read_text("utf-8"), name)[1]


class Database:
    """A database, its log, and the memory of what its rows said."""

    def __init__(self, mapping: str, table: str, **more: Any) -> None:
        self.context = Context(
            source=DB,
            aliases=AliasTable(ALIASES),
            mapping=mapping_of(mapping),
            **{"channel": "shop", "location": "berlin", **more},
        )
        self.table = table
        self.memory = Dictionary()
        self.lsn = 100

    def envelope(self, op: str, after: Any, before: Any = None, at: int = AT, **source: Any) -> dict[str, Any]:
        self.lsn += 1
        head = {"db": "erp", "schema": "public", "table": self.table, "ts_ms": at, "lsn": self.lsn, "snapshot": "false"}
        return {"before": before, "after": after, "op": op, "ts_ms": at + 5, "source": {**head, **source}}

    def read(self, document: Any) -> Translation:
        return checked(debezium.translate(written(document), self.context), DB, self.memory)

    def says(self, op: str, after: Any, before: Any = None, at: int = AT, **source: Any) -> list[tuple[Any, ...]]:
        return [short(body) for body in self.read(self.envelope(op, after, before, at, **source)).bodies()]

    def ignored(self, op: str, after: Any, before: Any = None, at: int = AT, **source: Any) -> dict[str, int]:
        return self.read(self.envelope(op, after, before, at, **source)).ignored()


def short(body: dict[str, Any]) -> tuple[Any, ...]:
    part = body["lines"][0] if "lines" in body else body
    sign = ("reversal",) if body.get("reversal") else ()
    return (body["type"], part.get("quantity"), *sign)


def movement(quantity: Any = 5, **more: Any) -> dict[str, Any]:
    fields = {"id": 1, "kind": "receipt", "sku": "LAMP", "site": "berlin", "reference": "PO1", "lot": None}
    return {**fields, "quantity": quantity, "moved_at": "2026-03-02T08:59:00Z", **more}


def wms() -> Database:
    return Database("wms", "movements")


def test_a_new_row_is_said_by_its_key_and_place_in_the_log() -> None:
    translation = wms().read(wms().envelope("c", movement()))
    assert translation.bodies() == [
        {
            "event_id": "movements:1:00001772442000000000.00000000000000000101:stock_received.0:now",
            "type": "stock_received",
            "source": "erp",
            "occurred_at": "2026-03-02T08:59:00Z",
            "receipt_id": "PO1",
            "item": "lamp",
            "location": "berlin",
            "quantity": 5,
            "status": "available",
        }
    ]
    assert translation.lines[0].place == "movements:1"


def test_the_same_change_again_says_nothing() -> None:
    database = wms()
    change = database.envelope("c", movement())
    assert len(database.read(change).output) == 1
    assert database.read(change).ignored() == {"repeated": 1}
    other = {**change, "after": movement(6)}
    assert database.read(other).refused() == {"conflict": 1}


def test_what_a_row_says_now_is_said_as_a_difference() -> None:
    database = wms()
    assert database.says("c", movement(5)) == [("stock_received", 5)]
    assert database.says("u", movement(8)) == [("stock_received", 3)]
    assert database.says("u", movement(2)) == [("stock_received", 6, "reversal")]
    assert database.ignored("u", movement(2, note="x")) == {"unchanged": 1}


def test_another_item_takes_back_the_first_and_says_the_second() -> None:
    database = wms()
    database.says("c", movement(5))
    bodies = database.read(database.envelope("u", movement(5, sku="SHADE"))).bodies()
    assert [(short(body), body["item"]) for body in bodies] == [
        (("stock_received", 5, "reversal"), "lamp"),
        (("stock_received", 5), "shade"),
    ]


def test_a_deletion_needs_no_more_than_the_key() -> None:
    """`before` of a table without REPLICA IDENTITY FULL holds the key and nulls."""
    database = wms()
    database.says("c", movement(5))
    nulls = {name: None for name in movement()}
    assert database.says("d", None, {**nulls, "id": 1}) == [("stock_received", 5, "reversal")]
    assert database.ignored("d", None, {"id": 1}) == {"says_nothing": 1}


def test_a_deletion_of_what_nobody_knew_says_nothing() -> None:
    assert wms().ignored("d", None, {"id": 9}) == {"says_nothing": 1}


def test_a_snapshot_remembers_what_adds_up_and_says_what_changes_after_it() -> None:
    database = wms()
    assert database.ignored("r", movement(5), snapshot="true") == {"snapshot": 1}
    assert database.says("u", movement(7)) == [("stock_received", 2)]


def test_a_snapshot_says_what_moved_after_the_count_and_nobody_had_said() -> None:
    """Its offsets lost with the log, Debezium shows rows that no change told of."""
    counted = AT * 1000 - 60_000_000  # when `movement()` says that it moved
    for moment, said in ((counted, []), (counted - 1, [("stock_received", 5)])):
        database = Database("wms", "movements", counted_at=moment)
        assert database.says("r", movement(5), snapshot="true") == said
        assert database.says("u", movement(7)) == [("stock_received", 2)]


def test_a_snapshot_in_the_middle_of_the_stream_says_nothing_again() -> None:
    database = wms()
    database.says("c", movement(5))
    assert database.ignored("r", movement(5)) == {"unchanged": 1}
    assert database.ignored("c", movement(5), snapshot="incremental") == {"unchanged": 1}
    # What the stream had not brought yet is in the snapshot, and not again in the stream.
    later = database.envelope("u", movement(9))
    assert database.says("r", movement(9)) == [("stock_received", 4)]
    assert database.read(later).ignored() == {"older": 1}


def test_a_restored_database_begins_its_log_anew_and_is_heard() -> None:
    database = wms()
    database.says("c", movement(5))
    assert database.says("u", movement(6), at=AT + 1000, lsn=3) == [("stock_received", 1)]


def test_a_change_that_was_committed_while_a_snapshot_ran_is_heard() -> None:
    """A row that a snapshot read bears the time at which it was handed on: a change before that comes behind it."""
    for kind in ("true", "incremental"):
        database = wms()
        database.says("c", movement(5))
        minute_later = AT + 60_000
        assert database.ignored("r", movement(5), at=minute_later, snapshot=kind) == {"unchanged": 1}
        assert database.says("u", movement(7), at=AT + 20_000) == [("stock_received", 2)], kind
        assert database.says("u", movement(8), at=AT + 20_000) == [("stock_received", 1)], kind


def test_a_change_during_the_first_snapshot_is_said_as_a_difference() -> None:
    database = wms()
    assert database.ignored("r", movement(5), at=AT + 60_000, snapshot="last") == {"snapshot": 1}
    assert database.says("u", movement(7), at=AT) == [("stock_received", 2)]


def test_what_a_snapshot_read_is_older_than_what_was_handed_on_after_it() -> None:
    """Held back, as a line is that waits for an alias, and tried again when the row has changed since."""
    database = wms()
    database.says("c", movement(5))
    read = database.envelope("r", movement(6), at=AT + 1000, snapshot="incremental")
    change = {**database.envelope("u", movement(7), at=AT + 500), "ts_ms": AT + 1010}
    assert [short(body) for body in database.read(change).bodies()] == [("stock_received", 2)]
    assert database.read(read).ignored() == {"older": 1}


def test_changes_from_before_a_snapshot_are_older_when_they_come_again_behind_it() -> None:
    database = wms()
    changes = [database.envelope("c", movement(5)), database.envelope("u", movement(6))]
    for change in changes:
        database.read(change)
    assert database.says("r", movement(9), at=AT + 1000, snapshot="true") == [("stock_received", 3)]
    for change in changes:
        assert database.read({**change, "ts_ms": AT + 2000}).ignored() == {"older": 1}
    assert database.ignored("r", movement(9), at=AT + 3000, snapshot="true") == {"unchanged": 1}


def test_a_restored_database_is_heard_after_a_snapshot_too() -> None:
    database = wms()
    database.says("c", movement(5))
    assert database.says("r", movement(4), at=AT + 1000, lsn=2, snapshot="true") == [("stock_received", 1, "reversal")]
    assert database.says("u", movement(6), at=AT + 2000, lsn=3) == [("stock_received", 2)]


def test_words_of_one_time_are_told_apart_by_ids_that_sort_as_the_states_came() -> None:
    """An application that does not keep `changed_at`: of two words of one moment the engine takes the greater id."""
    database = Database("wms", "order_lines")
    changes = [
        database.envelope("r", order_line(quantity=1), at=AT + 60_000, snapshot="true"),
        database.envelope("u", order_line(quantity=2), at=AT + 1000),
        database.envelope("r", order_line(quantity=3), at=AT + 90_000, snapshot="incremental"),
        database.envelope("u", order_line(quantity=4), at=AT + 2000),
    ]
    bodies = [body for change in changes for body in database.read(change).bodies()]
    assert [short(body)[1] for body in bodies] == [1, 2, 3, 4]
    assert [body["event_id"] for body in bodies] == sorted(body["event_id"] for body in bodies)


def test_a_word_is_ended_after_it_was_said_also_where_its_own_clock_is_fast() -> None:
    database = Database("wms", "order_lines")
    fast = "2026-03-02T09:30:00Z"
    database.says("c", order_line(changed_at=fast))
    (ended,) = database.read(database.envelope("d", None, {"order_no": "A 7", "line_no": 1}, at=AT + 1000)).bodies()
    assert (ended["type"], ended["occurred_at"]) == ("order_cancelled", fast)


def test_a_line_is_reopened_after_its_end_whatever_its_column_says() -> None:
    database = Database("wms", "order_lines")
    database.says("c", order_line())
    database.says("u", order_line("void"), at=AT + 1000)
    (again, placed) = database.read(database.envelope("u", order_line(), at=AT + 2000)).bodies()
    assert (again["type"], again["occurred_at"]) == ("order_reopened", "2026-03-02T09:00:01Z")
    assert placed["occurred_at"] == "2026-03-02T08:58:00Z"


def test_a_row_that_an_earlier_version_remembers_goes_on() -> None:
    database = wms()
    database.says("c", movement(5))
    [key] = database.memory._known
    for name in ("handed_on", "read"):
        database.memory._known[key].pop(name, None)
    assert database.ignored("r", movement(5), at=AT + 1000, snapshot="true") == {"unchanged": 1}
    assert database.says("u", movement(6), at=AT + 500) == [("stock_received", 1)]


def test_signs_of_a_correction_stay_and_its_end_is_the_opposite() -> None:
    database = wms()
    correction = movement(-4, kind="scrap", note="wet")
    assert database.says("c", correction) == [("stock_adjusted", -4)]
    assert database.says("u", {**correction, "quantity": -1}) == [("stock_adjusted", 3)]
    assert database.says("d", None, {"id": 1}) == [("stock_adjusted", 1)]


def order_line(status: str = "open", quantity: int = 3, **more: Any) -> dict[str, Any]:
    fields = {"order_no": "A 7", "line_no": 1, "sku": "LAMP", "site": "berlin", "status": status}
    return {**fields, "quantity": quantity, "changed_at": "2026-03-02T08:58:00Z", **more}


def test_an_order_line_is_placed_changed_cancelled_and_reopened() -> None:
    database = Database("wms", "order_lines")
    assert database.says("c", order_line()) == [("order_placed", 3)]
    assert database.ignored("u", order_line(changed_at="2026-03-02T09:58:00Z")) == {"unchanged": 1}
    assert database.says("u", order_line(quantity=2)) == [("order_placed", 2)]
    assert database.says("u", order_line("void")) == [("order_cancelled", None)]
    assert database.ignored("u", order_line("void")) == {"says_nothing": 1}
    assert database.says("u", order_line()) == [("order_reopened", None), ("order_placed", 3)]
    assert database.says("d", None, {"order_no": "A 7", "line_no": 1}) == [("order_cancelled", None)]


def test_a_released_line_is_allocated_too_and_lowered_again() -> None:
    database = Database("wms", "order_lines")
    assert database.says("c", order_line("released")) == [("order_allocated", 3), ("order_placed", 3)]
    assert database.says("u", order_line("released", 1)) == [("order_allocated", 2, "reversal"), ("order_placed", 1)]
    assert database.says("u", order_line("open", 1)) == [("order_allocated", 1, "reversal")]


def test_words_of_a_snapshot_are_said_for_nobody_else_says_them() -> None:
    assert Database("wms", "order_lines").says("r", order_line(), snapshot="first") == [("order_placed", 3)]


def test_a_notice_that_is_gone_is_no_longer_expected() -> None:
    database = Database("wms", "notices")
    notice = {"notice_no": "N1", "sku": "LAMP", "site": "berlin", "status": "announced", "quantity": 6}
    notice |= {"purchase_no": "P1", "due_at": "2026-03-09T08:00:00Z", "changed_at": "2026-03-02T08:00:00Z"}
    (body,) = database.read(database.envelope("c", notice)).bodies()
    assert (body["receipt_id"], body["part_of"], body["eta"]) == ("N1", "P1", "2026-03-09T08:00:00Z")
    assert database.says("u", {**notice, "status": "lost"}) == [("receipt_cancelled", None)]
    assert database.says("u", notice) == [("receipt_expected", 6)]


def odoo_move(**more: Any) -> dict[str, Any]:
    fields = {"id": 4, "state": "done", "product_id": 31, "location_id": 8, "location_dest_id": 5, "sale_line_id": 12}
    return {**fields, "purchase_line_id": None, "quantity": 2.0, "date": 1_772_441_000_000_000, **more}


def test_odoo_ships_what_goes_to_customers_in_the_time_that_it_keeps() -> None:
    database = Database("odoo", "stock_move")
    assert database.ignored("c", odoo_move(state="assigned")) == {"says_nothing": 1}
    (body,) = database.read(database.envelope("u", odoo_move())).bodies()
    assert short(body) == ("shipment_confirmed", 2)
    assert (body["order_id"], body["line_id"], body["location"]) == ("sol-12", "12", "berlin")
    assert body["occurred_at"] == "2026-03-02T08:43:20Z"


@pytest.mark.parametrize(
    ("came_from", "went_to", "said"),
    [
        (4, 8, ("stock_received", 2)),
        (8, 4, ("stock_received", 2, "reversal")),
        (5, 8, ("return_received", 2)),
        (14, 8, ("stock_adjusted", 2)),
        (8, 14, ("stock_adjusted", -2)),
    ],
)
def test_odoo_says_by_its_places_what_a_move_is(came_from: int, went_to: int, said: tuple[Any, ...]) -> None:
    database = Database("odoo", "stock_move")
    assert database.says("c", odoo_move(location_id=came_from, location_dest_id=went_to, purchase_line_id=7)) == [said]


def test_odoo_orders_are_lines_of_their_own() -> None:
    database = Database("odoo", "sale_order_line")
    line = {"id": 12, "state": "sale", "display_type": None, "product_id": 31, "product_uom_qty": 2.0}
    (body,) = database.read(database.envelope("c", {**line, "write_date": AT * 1000})).bodies()
    assert (body["order_id"], body["channel"], body["occurred_at"]) == ("sol-12", "shop", "2026-03-02T09:00:00Z")
    assert database.says("u", {**line, "state": "cancel", "write_date": AT * 1000}) == [("order_cancelled", None)]
    bought = Database("odoo", "purchase_order_line")
    row = {"id": 7, "state": "purchase", "product_id": 31, "product_qty": 10, "date_planned": AT * 1000}
    assert bought.says("c", {**row, "write_date": AT * 1000}) == [("receipt_expected", 10)]


def delivery(**more: Any) -> dict[str, Any]:
    fields = {"name": "ab12", "parent": "DN-1", "docstatus": 1, "against_sales_order": "SO-1", "so_detail": "cd34"}
    goods = {"item_code": "LAMP", "warehouse": "Stores - B", "stock_qty": "4.000000000"}
    return {**fields, **goods, "modified": AT * 1000, **more}


def with_schema(payload: dict[str, Any], **types: tuple[str, str | None]) -> dict[str, Any]:
    columns = [
        {"field": name, "name": kind, "type": "int64", **({"parameters": {"scale": scale}} if scale else {})}
        for name, (kind, scale) in types.items()
    ]
    return {"schema": {"type": "struct", "fields": [{"field": "after", "fields": columns}]}, "payload": payload}


def test_erpnext_ships_by_delivery_notes_on_the_sites_clock_and_takes_cancelled_ones_back() -> None:
    database = Database("erpnext", "tabDelivery Note Item", time_zone=ZoneInfo("Asia/Kolkata"))
    types = {"modified": ("io.debezium.time.MicroTimestamp", None)}
    (body,) = database.read(with_schema(database.envelope("c", delivery()), **types)).bodies()
    assert short(body) == ("shipment_confirmed", 4)
    assert body["occurred_at"] == "2026-03-02T03:30:00Z"
    cancelled = with_schema(database.envelope("u", delivery(docstatus=2, modified=(AT + 9) * 1000)), **types)
    (back,) = database.read(cancelled).bodies()
    assert short(back) == ("shipment_confirmed", 4, "reversal")
    assert back["occurred_at"] == body["occurred_at"]


def test_a_clock_without_its_zone_is_refused() -> None:
    database = Database("erpnext", "tabDelivery Note Item")
    change = with_schema(database.envelope("c", delivery()), modified=("io.debezium.time.MicroTimestamp", None))
    assert database.read(change).refused() == {"missing_field": 1}


def test_erpnext_says_once_what_a_document_says() -> None:
    database = Database("erpnext", "tabStock Ledger Entry", time_zone=ZoneInfo("UTC"))
    entry = {"name": "e1", "item_code": "LAMP", "warehouse": "Stores - B", "actual_qty": "-2.5", "is_cancelled": 0}
    entry |= {"creation": "2026-03-02 10:00:00.5"}
    assert database.ignored("c", {**entry, "voucher_type": "Delivery Note"}) == {"says_nothing": 1}
    assert database.says("c", {**entry, "name": "e2", "voucher_type": "Stock Entry"}) == [("stock_adjusted", "-2.5")]


@pytest.mark.parametrize(
    ("unscaled", "scale", "quantity"),
    [(1234, 2, "12.34"), (500, 2, 5), (2**64 + 0, 19, "1.8446744073709551616"), (1, 0, 1)],
)
def test_decimals_are_read_from_their_bytes(unscaled: int, scale: int, quantity: object) -> None:
    sent = base64.b64encode(unscaled.to_bytes((unscaled.bit_length() + 8) // 8, "big", signed=True)).decode()
    database = wms()
    decimal = ("org.apache.kafka.connect.data.Decimal", str(scale))
    typed = with_schema(database.envelope("c", movement(sent)), quantity=decimal)
    assert [short(body) for body in database.read(typed).bodies()] == [("stock_received", quantity)]
    assert database.says("c", movement({"scale": scale, "value": sent}, id=2)) == [("stock_received", quantity)]


def test_negative_decimals_are_read_from_their_bytes() -> None:
    sent = base64.b64encode((-250).to_bytes(2, "big", signed=True)).decode()
    change = movement({"scale": 2, "value": sent}, kind="scrap")
    assert wms().says("c", change) == [("stock_adjusted", "-2.5")]


def test_a_value_that_was_not_sent_is_no_value() -> None:
    database = wms()
    unchanged = "__debezium_unavailable_value"
    assert database.says("u", movement(note=unchanged)) == [("stock_received", 5)]  # nobody needs it
    assert database.read(database.envelope("u", movement(unchanged))).refused() == {"missing_field": 1}


def test_what_is_no_row_of_a_mapped_table_is_ignored_by_name() -> None:
    database = wms()
    for raw, reason in ((b"", "tombstone"), (b"null", "tombstone"), (b'{"schema":{},"payload":null}', "tombstone")):
        assert debezium.translate(raw, database.context).ignored() == {reason: 1}
    assert database.read({"ts_ms": AT}).ignored() == {"no_row": 1}  # a heartbeat
    assert database.ignored("c", movement(), table="users") == {"table_not_mapped": 1}
    assert database.ignored("m", None) == {"no_row": 1}


def test_a_truncation_is_refused_aloud() -> None:
    database = wms()
    assert database.read(database.envelope("t", None)).refused() == {"bad_value": 1}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"after": None}, "missing_field"),
        ({"op": "x"}, "bad_value"),
        ({"source": None}, "missing_field"),
        ({"source": {"table": "movements"}, "ts_ms": None}, "missing_field"),
        ({"after": {"id": None}}, "missing_field"),
        ({"after": movement(0, kind="receipt", sku="NEW")}, "unknown_alias"),
    ],
)
def test_what_cannot_be_a_change_is_refused(changed: dict[str, Any], code: str) -> None:
    database = wms()
    assert database.read({**database.envelope("c", movement()), **changed}).refused() == {code: 1}


def test_an_envelope_is_known_by_its_words() -> None:
    assert debezium.recognizes(written(wms().envelope("c", movement())), {})
    assert not debezium.recognizes(b'{"op": "c", "after": {}}', {})


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        ("[]", "tables.t.rules"),
        ("[{ becomes = 'stock_recieved' }]", "did you mean stock_received?"),
        ("[{ becomes = 'stock_adjusted', fields = { itm = 'x' } }]", "did you mean item?"),
        ("[{ becomes = 'stock_adjusted', fields = { item = 'x' } }]", "also needs occurred_at, quantity"),
        ("[{ ignore = 'x', when = { a = 1 }, id = ['a'] }]", "known by its table's key"),
        ("[{ ignore = 'No Reason' }]", "ignore"),
        ("[{ ignore = 'x', unless = { a = 1 } }]", "unless: no such field"),
    ],
)
def test_a_mapping_that_cannot_work_says_where(rules: str, told: str) -> None:
    with pytest.raises(MappingError, match=told.replace("?", r"\?")):
        read_mapping(f"kind = 'debezium'\n[tables.t]\nkey = ['id']\nrules = {rules}")


def test_any_wrong_value_in_any_place_loses_no_line() -> None:
    database = wms()
    for changed in wrong_values(database.envelope("c", movement())):
        checked(debezium.translate(written(changed), database.context), DB)


def samples() -> list[bytes]:
    database = wms()
    typed = with_schema(database.envelope("u", movement("AQ==")))
    lines = Database("wms", "order_lines").envelope("c", order_line("released"))
    return [written(database.envelope("c", movement())), written(typed), written(lines)]


def test_mutations_neither_crash_nor_lose_a_line() -> None:
    database = wms()
    survives(lambda raw: debezium.translate(raw, database.context), DB, samples(), 3000, seed=8)
