"""What a changed row of a database says: Debezium's envelopes, by a mapping of tables to events.

Rules of this file:

1. A row is remembered by its key, and says what changed (row_memory.py). So it does not matter whether a change comes
   as one, in a snapshot, twice, or after the row that followed it.
2. What is newer is told by the commit's time first, then by the place in the log: the place alone begins anew when a
   database is restored elsewhere, and every change after that would be older. A row that a snapshot read has no commit
   time; row_memory.py says what it is older than.
3. Of a deletion nothing but the key is needed, whatever `before` holds.
4. A value that was not sent (a large column that did not change) is no value: what needs it is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic import Field, model_validator

from operators.adapters.account import Account, Fact, Refused, Translation, one_line
from operators.adapters.account import Row as StatedRow
from operators.adapters.context import Context
from operators.adapters.json_reading import Object, object_of, read_json, shortest, text_of
from operators.adapters.mapping import STATED, Form, Rule, model_of
from operators.adapters.row_events import answers, body_of, measures_in
from operators.adapters.row_memory import ADDS_UP
from operators.adapters.statement import say_statement
from operators.adapters.values import make_id
from schemas.codes import BAD_VALUE, MISSING_FIELD, JsonNumber, parse_integer, parse_time, show

KIND: Final = "debezium"
#: what Debezium sends in place of a large value that did not change
UNAVAILABLE: Final = "__debezium_unavailable_value"
#: base64 of the same text, in place of bytes
UNAVAILABLE_BYTES: Final = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="
_CHANGES: Final = frozenset({"c", "u", "d", "r"})
_NO_ROW: Final = {"m": "message"}
#: how Debezium's names of types are read where a mapping says nothing else; without a zone they are a local clock
_TIME_TYPES: Final = {
    "io.debezium.time.Date": "days",
    "org.apache.kafka.connect.data.Date": "days",
    "io.debezium.time.Timestamp": "local_millis",
    "org.apache.kafka.connect.data.Timestamp": "local_millis",
    "io.debezium.time.MicroTimestamp": "local_micros",
    "io.debezium.time.NanoTimestamp": "local_nanos",
    "io.debezium.time.ZonedTimestamp": "text",
}
_DECIMAL: Final = "org.apache.kafka.connect.data.Decimal"
#: digits of a place in a log and of a time, so that their text sorts as they do
_WIDE: Final = 20


class Table(Form):
    """A table: what its rows are known by, and what they say. Every rule that a row answers to says its part."""

    key: tuple[str, ...] = Field(min_length=1)
    rules: tuple[Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Table:
        for number, rule in enumerate(self.rules):
            if rule.id or rule.cumulative:
                raise ValueError(f"rules.{number}: id and cumulative: a row is known by its table's key")
            if rule.becomes not in (None, STATED) and "occurred_at" not in rule.fields:
                raise ValueError(f"rules.{number}: fields: {rule.becomes} also needs occurred_at")
        return self


class DebeziumMapping(Form):
    """Tables by name, with or without their schema in front (`public.stock_move`)."""

    tables: dict[str, Table] = Field(min_length=1)
    #: of numbers that come as text
    decimal: str = "."
    thousands: str = ""


def recognizes(raw: bytes, headers: Mapping[str, str]) -> bool:
    """Is it an envelope? By the fields that each has."""
    return raw[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{" and all(word in raw for word in _WORDS)


_WORDS: Final = (b'"op"', b'"after"', b'"source"', b'"before"')


def translate(raw: bytes, context: Context) -> Translation:
    """Account for one envelope: it is one line."""
    try:
        if not raw.strip() or raw.strip() == b"null":
            return _ignored("tombstone")
        document = object_of(read_json(raw), "the envelope")
        schema = document.get("schema")
        payload = document.get("payload") if "payload" in document and schema is not None else document
        if payload is None:
            return _ignored("tombstone")
        change = _change_of(object_of(payload, "payload"), schema)
    except Refused as refusal:
        return one_line(KIND, "payload", refusal)
    if change is None:
        return _ignored("no_row")
    mapping: DebeziumMapping = model_of(context.mapping, DebeziumMapping)
    table = mapping.tables.get(f"{change.schema}.{change.table}") or mapping.tables.get(change.table)
    if table is None:
        return _ignored("table_not_mapped", change.table)
    try:
        return _told(change, table, mapping, context)
    except Refused as refusal:
        return one_line(KIND, change.table, refusal)


def _ignored(reason: str, place: str = "payload") -> Translation:
    account = Account(KIND)
    account.ignore(account.line(place), reason)
    return account.finish()


class Change(NamedTuple):
    """A row that was changed, and when."""

    table: str
    schema: str
    op: str
    is_snapshot: bool
    #: RFC 3339
    at: str
    order: str
    #: when Debezium handed it on, by its own clock, as the order has times
    handed_on: str
    row: Columns


class Columns:
    """The columns of a row after the change, of a deletion before it."""

    __slots__ = ("_extra", "_types", "_values")

    def __init__(self, values: Object, types: Mapping[str, tuple[str, int | None]], extra: Mapping[str, Any]) -> None:
        self._values, self._types, self._extra = values, types, extra

    def get(self, name: str) -> object:
        """Give a column, or what the envelope says (`$op`, `$table`, `$committed_at`)."""
        if name.startswith("$"):
            return self._extra.get(name)
        value = self._values.get(name)
        if value is None:
            return None
        if value in (UNAVAILABLE, UNAVAILABLE_BYTES):
            raise Refused(
                MISSING_FIELD,
                f"{name}: expected a value, got none: the database leaves out what had not changed (REPLICA "
                "IDENTITY FULL has it sent)",
            )
        kind, scale = self._types.get(name, ("", None))
        if kind == _DECIMAL and scale is not None and isinstance(value, str):
            return {"scale": scale, "value": value}
        form = _TIME_TYPES.get(kind)
        if form is not None and form != "text":
            return Typed(value, form)
        return value


class Typed(JsonNumber):
    """A number that its schema says is a time of this form."""

    __slots__ = ("form",)

    def __init__(self, value: object, form: str) -> None:
        super().__init__(text_of(value, "a time"))
        self.form = form


def _change_of(payload: Object, schema: object) -> Change | None:
    op = text_of(payload.get("op"), "op")
    if op in _NO_ROW or "op" not in payload:
        return None
    source = object_of(payload.get("source"), "source")
    table = text_of(source.get("table"), "source.table") or text_of(source.get("collection"), "source.collection")
    if op == "t":
        raise Refused(
            BAD_VALUE, f"op: expected a change of a row, got a truncation of {show(table)}: nothing is taken back"
        )
    if op not in _CHANGES:
        raise Refused(BAD_VALUE, f"op: expected c, u, d or r, got {show(op or None)}")
    if not table:
        raise Refused(MISSING_FIELD, "source.table: expected a name, got nothing")
    side = "before" if op == "d" else "after"
    values = object_of(payload.get(side), side)
    micros = _micros(source, payload)
    snapshot = source.get("snapshot")
    is_snapshot = op == "r" or snapshot is True or (isinstance(snapshot, str) and snapshot not in ("", "false"))
    at = shortest(micros)
    extra = {"$op": op, "$table": table, "$committed_at": at}
    namespace = text_of(source.get("schema"), "source.schema") or text_of(source.get("db"), "source.db")
    row = Columns(values, _types_of(schema, side), extra)
    order = f"{micros:0{_WIDE}d}.{_log_place(source)}"
    handed_on = f"{_micros(payload, source):0{_WIDE}d}"
    return Change(table, namespace, op, is_snapshot, at, order, handed_on, row)


def _micros(first: Object, second: Object) -> int:
    """Give the time that the first says, else the second: of source the commit's, of payload the reader's own."""
    units = (("ts_us", 1), ("ts_ms", 1000))
    for holder, (name, unit) in itertools.product((first, second), units):
        value = holder.get(name)
        if value is None:
            continue
        try:
            micros = parse_integer(value) * unit
        except ValueError as error:
            raise Refused(BAD_VALUE, f"source.{name}: {error}") from None
        if not 0 <= micros < 10**17:
            raise Refused(BAD_VALUE, f"source.{name}: expected a time since 1970, got {show(value)}")
        return micros
    raise Refused(MISSING_FIELD, "source.ts_ms: expected the time of the change, got nothing")


def _log_place(source: Object) -> str:
    """Give the place in the database's log, so that it sorts as text: PostgreSQL's, MySQL's, SQL Server's."""
    parts = [
        text_of(source.get(name), f"source.{name}")
        for name in ("file", "commit_lsn", "lsn", "change_lsn", "pos", "row")
    ]
    return ".".join(part.zfill(_WIDE) if part.isdecimal() else part for part in parts if part)


def _types_of(schema: object, side: str) -> dict[str, tuple[str, int | None]]:
    """Give each column's type by name, and a decimal's scale, where the envelope has its schema in front."""
    found: dict[str, tuple[str, int | None]] = {}
    for part in _fields(schema):
        if part.get("field") == side:
            for column in _fields(part):
                name, kind = column.get("field"), column.get("name")
                if isinstance(name, str) and isinstance(kind, str):
                    found[name] = (kind, _scale(column.get("parameters")))
    return found


def _fields(schema: object) -> list[Object]:
    fields = schema.get("fields") if isinstance(schema, dict) else None
    return [field for field in fields if isinstance(field, dict)] if isinstance(fields, list) else []


def _scale(parameters: object) -> int | None:
    scale = parameters.get("scale") if isinstance(parameters, dict) else None
    text = str(scale) if isinstance(scale, (int, str)) else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 2 else None


def _told(change: Change, table: Table, mapping: DebeziumMapping, context: Context) -> Translation:
    account = Account(KIND)
    names = [text_of(change.row.get(name), name) for name in table.key]
    if not all(names):
        raise Refused(MISSING_FIELD, f"{', '.join(table.key)}: expected the row's key, got nothing")
    key = make_id(change.table, *names)
    identity = make_id(change.table, *names, change.order)
    parts: dict[str, dict[str, Any]] = {}
    silent: list[str] = []
    stated: list[dict[str, Any]] = []
    reasons: list[str] = []
    for number, rule in enumerate(table.rules):
        if change.op == "d" or not answers(rule, change.row):
            continue
        if rule.ignore is not None:
            reasons.append(rule.ignore)
            continue
        body = body_of(rule, change.row, context, mapping)
        if body is None:
            reasons.append("no_quantity")
        elif rule.becomes == STATED:
            stated.append(body)
        else:
            name = f"{rule.becomes}.{sum(other.becomes == rule.becomes for other in table.rules[:number])}"
            parts[name] = body
            if change.is_snapshot and (rule.snapshot or _snapshot_of(body, context)) == "remembered":
                silent.append(name)
    line = account.line(make_id(change.table, *names))
    account.document(identity)
    if stated:
        if parts or len(stated) > 1:
            raise Refused(BAD_VALUE, f"{change.table}: expected one statement of a row and nothing beside it, got more")
        body = stated[0]
        measures = measures_in(body)
        row = StatedRow(line, {name: value for name, value in body.items() if name not in measures}, measures)
        say_statement(account, context.source, identity, change.at, [row])
        return account.finish()
    if any(rule.becomes not in (None, STATED) for rule in table.rules):
        data: dict[str, Any] = {"parts": parts, "at": change.at, "remembered": silent}
        data |= {"handed_on": change.handed_on, "is_read": change.is_snapshot}
        account.remember(Fact("row", key, change.order, identity, data, (line,)))
    else:
        account.ignore(line, reasons[0] if reasons else "no_rule")
    return account.finish()


def _snapshot_of(body: Mapping[str, Any], context: Context) -> str:
    """What adds up and moved before the count is in it; a word has to be said, for nobody else says it."""
    if body["type"] not in ADDS_UP:
        return "said"
    is_counted = context.counted_at is None or parse_time(body["occurred_at"]) <= context.counted_at
    return "remembered" if is_counted else "said"
