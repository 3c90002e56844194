"""Translates rows by a mapping: what CSV files and JSON documents share once they are rows.

A line is known by the columns of its rule's `id`; without them by the document, its content, and how many equal rows
stand before it. A file of movements often has rows that are equal and all real, so equal rows are never one by
themselves.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from operators.adapters.account import Account, Fact, Refused, Row
from operators.adapters.context import Context
from operators.adapters.json_reading import instant_of_text
from operators.adapters.mapping import PROMISED, STATED, RowMapping, Rule, Take
from operators.adapters.row_events import answers, body_of, measures_in, time_of, values_of
from operators.adapters.statement import FilePart, say_part, say_statement
from operators.adapters.values import make_id, sub_id
from schemas.codes import BAD_VALUE, MISSING_FIELD

#: digits of an order that is a number, so that its text sorts as it does
_WIDE: Final = 20


class MappedRow(Protocol):
    """A row, and all that stands in it."""

    place: str

    def get(self, name: str) -> object:
        """The value at a column or path, or None."""

    def content(self) -> str:
        """All of it, the same for equal rows only."""


class _Said(NamedTuple):
    bodies: list[dict[str, Any]]
    fact: Fact | None
    stated: list[dict[str, Any]]
    reason: str


def translate_rows(
    account: Account,
    context: Context,
    mapping: RowMapping,
    rows: Sequence[MappedRow],
    raw: bytes,
    is_whole: bool = True,
) -> None:
    """Account for each row; a document without any is one line, ignored.

    `is_whole`: no row was refused before, so that these can be all that there is.
    """
    part = part_of(context)
    if not rows:
        if is_whole:
            account.ignore(account.line("document"), "no_rows")
        if part is not None and mapping.statement is not None:
            _count_part(account, mapping, part)
        return
    identity = _identity(mapping, rows[0], raw, part)
    account.document(identity)
    # Of a file that was cut, each part is read by itself: equal rows of two parts are two.
    own = identity if part is None else sub_id(identity, "part", str(part.part))
    before: Counter[str] = Counter()
    stated: list[Row] = []
    for row in rows:
        number = account.line(row.place)
        content = row.content()
        before[content] += 1
        unlike = make_id(own, hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:16], str(before[content]))
        try:
            said = _said(row, mapping, context, identity, unlike, number)
        except Refused as refusal:
            account.refuse(number, refusal.code, str(refusal))
            is_whole = False
            continue
        for body in said.bodies:
            account.say(body, number)
        if said.fact is not None:
            account.remember(said.fact)
        for body in said.stated:
            measures = measures_in(body)
            stated.append(Row(number, {name: body[name] for name in body if name not in measures}, measures))
        if said.reason:
            account.ignore(number, said.reason)
    if stated:
        _state(account, context, mapping, identity, rows[0], stated, is_whole, part)
    elif part is not None and mapping.statement is not None:
        _count_part(account, mapping, part, is_whole)


def part_of(context: Context) -> FilePart | None:
    """Which part of a file that was cut for its size; None of a whole one."""
    document, part, parts = (context.headers.get(name, "") for name in ("document", "part", "parts"))
    if not document or not all(number.isascii() and number.isdecimal() and len(number) < 9 for number in (part, parts)):
        return None
    found = FilePart(document, int(part), int(parts))
    return found if 1 <= found.part <= found.parts else None


def _count_part(account: Account, mapping: RowMapping, part: FilePart, is_whole: bool = False) -> None:
    """Count a part that states nothing: without it the statement of the others would never end."""
    assert mapping.statement is not None, "asked only where rows can state something"
    is_all = mapping.statement.is_all and is_whole
    say_part(account, part, None, 0, list(mapping.statement.locations) or None, is_all)


def _identity(mapping: RowMapping, first: MappedRow, raw: bytes, part: FilePart | None) -> str:
    """Name the document by its own columns; without such by its bytes (all, of one that was cut)."""
    if mapping.document:
        try:
            values = values_of(first, mapping.document)
        except Refused:
            values = []
        if values and all(values):
            return make_id(*values)
    return hashlib.sha256(raw).hexdigest() if part is None else make_id(part.document)


def _said(row: MappedRow, mapping: RowMapping, context: Context, identity: str, unlike: str, number: int) -> _Said:
    """Give what a row becomes: all that its rules say, in one of three sorts, or why it says nothing."""
    found: list[tuple[Rule, str, dict[str, Any]]] = []
    remembering: Rule | None = None
    reason = ""
    names: Counter[str] = Counter()
    for rule in mapping.rules:
        if rule.becomes is not None:
            names[rule.becomes] += 1
        if not answers(rule, row):
            continue
        if rule.becomes is None:
            reason = reason or str(rule.ignore)
            continue
        if rule.cumulative and remembering is None:
            remembering = rule
        body = body_of(rule, row, context, mapping)
        if body is None:
            reason = reason or "no_quantity"
        else:
            found.append((rule, f"{rule.becomes}.{names[rule.becomes] - 1}", body))
    stated = [body for rule, _, body in found if rule.becomes in (STATED, PROMISED)]
    if stated and (remembering or len(stated) < len(found)):
        raise Refused(BAD_VALUE, "rules: expected events or rows of a statement of one row, got both")
    if remembering is not None:
        return _Said([], _fact(remembering, row, found, identity, number), [], "")
    if stated:
        return _Said([], None, stated, "")
    bodies = [{"event_id": _own_id(rule, row, name) or sub_id(unlike, name), **body} for rule, name, body in found]
    if bodies:
        return _Said(bodies, None, [], "")
    if not reason and mapping.otherwise == "refuse":
        raise Refused(BAD_VALUE, "rules: expected a row that a rule is for, got one that none is for")
    return _Said([], None, [], reason or "no_rule")


def _own_id(rule: Rule, row: MappedRow, name: str) -> str:
    """Give the id that a row's own columns make; nothing where the rule names none."""
    if not rule.id:
        return ""
    values = values_of(row, rule.id)
    if not all(values):
        missing = ", ".join(column for column, value in zip(rule.id, values, strict=True) if not value)
        raise Refused(MISSING_FIELD, f"{missing}: expected what the row is known by, got nothing")
    return make_id(name, *values)


def _fact(
    rule: Rule, row: MappedRow, found: list[tuple[Rule, str, dict[str, Any]]], identity: str, number: int
) -> Fact:
    """Make a row that says how much there has been in all: all that it says is remembered by what it is known by."""
    (order,) = values_of(row, [str(rule.order)])
    if not order:
        raise Refused(MISSING_FIELD, f"{rule.order}: expected which document is newer, got nothing")
    sorts = order.zfill(_WIDE) if order.isascii() and order.isdecimal() else order
    parts = {name: body for _, name, body in found}
    if len(parts) < len(found):
        raise Refused(BAD_VALUE, "rules: expected one part of each rule, got two of one")
    at = max((body["occurred_at"] for body in parts.values()), default="")
    data: dict[str, Any] = {"parts": parts, "at": at, "remembered": []}
    return Fact("row", _own_id(rule, row, "row"), sorts, identity, data, (number,))


def _state(
    account: Account,
    context: Context,
    mapping: RowMapping,
    identity: str,
    first: MappedRow,
    stated: list[Row],
    is_whole: bool,
    part: FilePart | None,
) -> None:
    statement = mapping.statement
    assert statement is not None, "the mapping is checked: rows that are stated have a statement"
    try:
        as_of = _as_of(statement.as_of, first, context)
    except Refused as refusal:
        account.refuse_all((row.line for row in stated), refusal)
        if part is not None:
            _count_part(account, mapping, part)
        return
    locations = list(statement.locations) or None
    is_all = statement.is_all and is_whole
    say_statement(account, context.source, identity, as_of, stated, locations=locations, is_all=is_all, part=part)


def _as_of(take: Take, first: MappedRow, context: Context) -> str:
    for name in take.from_:
        value = first.get(name)
        if value is not None and value != "":
            return time_of(take, value, context, "as_of")
    if take.value is not None:
        return instant_of_text(context, str(take.value), "as_of")
    raise Refused(MISSING_FIELD, f"as_of: expected a time in {', '.join(take.from_)}, got nothing")


def columns_of(mapping: RowMapping) -> Iterable[tuple[str, ...]]:
    """Give what a mapping looks for: of each tuple one has to be there."""
    for rule in mapping.rules:
        yield from ((name,) for name in (*rule.when, *rule.id, *((rule.order,) if rule.order else ())))
        for take in rule.fields.values():
            if take.from_ and take.default is None:
                yield take.from_
            yield from ((name,) for name in take.sum)
    yield from ((name,) for name in mapping.document)
    if mapping.statement is not None and mapping.statement.as_of.from_:
        yield mapping.statement.as_of.from_
