"""What Dynamics 365's inventory service is told: changes of what is on hand, settings of it, reservations.

Rules of this file:

1. A change is a difference, and adds up under its `id`. A setting says what is there: a statement, and a count only
   where a mapping says that nobody else counts there.
2. Physical measures are whatever a company has configured: what each does is said by its name, by a mapping where the
   name does not tell, and never guessed.
3. A reservation belongs to no order that anybody names: all of an item and place are one running claim.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from operators.adapters.account import Account, Refused, Row, Translation, one_line
from operators.adapters.checking import check
from operators.adapters.context import Context
from operators.adapters.json_reading import Object, instant_of_text, object_of, quantity_of, read_json, text_of
from operators.adapters.statement import say_statement
from operators.adapters.values import make_id, plain
from schemas.codes import BAD_VALUE, MISSING_FIELD, show

KIND: Final = "d365"
Role = Literal["more", "less", "quarantined", "reserved", "released", "nothing"]


class D365Mapping(BaseModel):
    """What a company has configured. What is not given has the value that is usual."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    measures: dict[str, Role] = Field(default_factory=dict)
    """What a physical measure does to on hand (`more`, `less`; `quarantined`: is there and not to be sold), to
    reservations (`reserved`, `released`), or `nothing`; by its name or `datasource.name`, in any case."""
    settings_are: Literal["statements", "counts"] = "statements"
    """What a setting of on hand becomes; `counts` only where no other source counts there."""
    time_header: str | None = None
    """The header that says when a change happened, for a change itself does not: `received_at`, if sending is quick."""
    location_dimensions: tuple[str, ...] = ("siteid", "locationid")
    """Which dimensions name a place, the widest first; in lower case."""
    lot_dimensions: tuple[str, ...] = ("batchid", "inventbatchid")
    """Which dimensions name a lot; in lower case. All others tell items apart."""

    @field_validator("measures")
    @classmethod
    def _in_any_case(cls, measures: dict[str, Role]) -> dict[str, Role]:
        return {name.lower(): role for name, role in measures.items()}


_USUAL: Final[dict[str, Role]] = {
    "inbound": "more",
    "onhand": "more",
    "on_hand": "more",
    "outbound": "less",
    "softreservordered": "reserved",
    "softreservphysical": "reserved",
    "reservphysical": "reserved",
    "ordered": "nothing",
    "onorder": "nothing",
}


class Entry(NamedTuple):
    """What an entry says: where of what, and how much of each role."""

    identity: str
    goods: dict[str, Any]
    amounts: dict[Role, Decimal]


def recognizes(raw: bytes, headers: Mapping[str, str]) -> bool:
    """Is it one of the service's bodies? By the fields that each entry has."""
    return raw[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") and all(word in raw for word in _WORDS)


_WORDS: Final = (b'"organizationId"', b'"productId"')


def translate(raw: bytes, context: Context) -> Translation:
    """Account for a body: an entry, or an array of them, each a line."""
    try:
        document = read_json(raw)
    except Refused as refusal:
        return one_line(KIND, "document", refusal)
    mapping = context.mapping if isinstance(context.mapping, D365Mapping) else D365Mapping()
    account = Account(KIND)
    entries = document if isinstance(document, list) else [document]
    for number, value in enumerate(entries):
        _entry(account, context, mapping, value, f"[{number}]" if isinstance(document, list) else "document")
    if not entries:
        account.ignore(account.line("document"), "no_entries")
    return account.finish()


def _entry(account: Account, context: Context, mapping: D365Mapping, value: object, place: str) -> None:
    line = account.line(place)
    try:
        fields = object_of(value, place)
        entry = _read(context, mapping, fields)
        modified = text_of(
            fields.get("modifiedDateTimeUTC") or fields.get("modifiedDateTimeUtc"), "modifiedDateTimeUTC"
        )
        account.document(entry.identity)
        if modified:
            _set(account, context, mapping, line, entry, _utc(context, modified))
            return
        header = mapping.time_header
        told = text_of(context.headers.get(header.lower()) if header else None, "time_header")
        if not told:
            raise Refused(MISSING_FIELD, "time_header: expected when it happened, got nothing: a change does not say")
        bodies = _changes(context, entry, instant_of_text(context, told, header or ""))
        for body in bodies:
            check(body)
    except Refused as refusal:
        account.refuse(line, refusal.code, str(refusal))
        return
    for body in bodies:
        account.say(body, line)
    if not bodies:
        account.ignore(line, "no_quantity")


def _read(context: Context, mapping: D365Mapping, fields: Object) -> Entry:
    names = ("organizationId", "id")
    ids = [text_of(fields.get(name), name) for name in names]
    for name, text in zip(names, ids, strict=True):
        if not text:
            raise Refused(MISSING_FIELD, f"{name}: expected an id, got nothing")
    amounts: dict[Role, Decimal] = {}
    for name, value in _measures(fields):
        role = (
            mapping.measures.get(name)
            or mapping.measures.get(name.partition(".")[2])
            or _USUAL.get(name.partition(".")[2])
        )
        if role is None:
            raise Refused(BAD_VALUE, f"quantities.{name}: expected a measure that the mapping names, got {show(name)}")
        amounts[role] = amounts.get(role, Decimal(0)) + Decimal(quantity_of(value, f"quantities.{name}"))
    return Entry(make_id(KIND, *ids), _goods(context, mapping, fields), amounts)


def _measures(fields: Object) -> list[tuple[str, object]]:
    """Give `datasource.measure` and its number: of a change a map of maps, of a reservation one."""
    if "modifier" in fields:
        source = text_of(fields.get("quantityDataSource"), "quantityDataSource")
        return [(f"{source}.{text_of(fields.get('modifier'), 'modifier')}".lower(), fields.get("quantity"))]
    found = []
    for source, measures in object_of(fields.get("quantities"), "quantities").items():
        for name, value in object_of(measures, f"quantities.{source}").items():
            found.append((f"{source}.{name}".lower(), value))
    return found


def _goods(context: Context, mapping: D365Mapping, fields: Object) -> dict[str, Any]:
    product = text_of(fields.get("productId"), "productId")
    given = object_of(fields.get("dimensions") or {}, "dimensions")
    texts = {name: text_of(value, f"dimensions.{name}") for name, value in given.items()}
    places = {name.lower(): text for name, text in texts.items() if name.lower() in mapping.location_dimensions}
    lots = [text for name, text in texts.items() if name.lower() in mapping.lot_dimensions and text]
    apart = {*mapping.location_dimensions, *mapping.lot_dimensions}
    variant = [f"{name}={text}" for name, text in sorted(texts.items()) if name.lower() not in apart and text]
    parts = [places[name] for name in mapping.location_dimensions if places.get(name)]
    # The narrowest place that has an alias: site and warehouse, then the warehouse, then the site.
    choices = ["/".join(parts), *reversed(parts)]
    known = next((choice for choice in choices if choice and context.has("location", choice)), choices[0])
    goods: dict[str, Any] = {
        "item": context.ours("item", "|".join([product, *variant]) if product else "", "productId"),
        "location": context.place(known, "dimensions"),
    }
    if lots:
        goods["lot"] = context.ours("lot", lots[0], "batchId")
    return goods


def _changes(context: Context, entry: Entry, occurred_at: str) -> list[dict[str, Any]]:
    head = {"source": context.source, "occurred_at": occurred_at}
    bodies: list[dict[str, Any]] = []
    sums = (
        ("stock_adjusted", "", entry.amounts.get("more", Decimal(0)) - entry.amounts.get("less", Decimal(0))),
        ("stock_adjusted", "quarantined", entry.amounts.get("quarantined", Decimal(0))),
    )
    for kind, status, amount in sums:
        if amount:
            body = {
                "event_id": make_id(*entry.identity.split(":"), *((status,) if status else ())),
                "type": kind,
                **head,
            }
            bodies.append({**body, **entry.goods, "quantity": plain(amount), **({"status": status} if status else {})})
    reserved = entry.amounts.get("reserved", Decimal(0)) - entry.amounts.get("released", Decimal(0))
    if reserved:
        row = {name: value for name, value in entry.goods.items() if name != "lot"}
        row |= {"line_id": entry.goods["location"], "quantity": plain(abs(reserved))}
        body = {"event_id": make_id(*entry.identity.split(":"), "reserved"), **head, "order_id": f"{KIND}-reservations"}
        bodies.append({**body, "type": "order_allocated" if reserved > 0 else "order_released", "lines": [row]})
    return bodies


def _set(account: Account, context: Context, mapping: D365Mapping, line: int, entry: Entry, as_of: str) -> None:
    """Say what is there: the sum of what adds to on hand; blocked goods are part of it."""
    blocked = entry.amounts.get("quarantined")
    free = [
        entry.amounts[role] if role == "more" else -entry.amounts[role]
        for role in ("more", "less")
        if role in entry.amounts
    ]
    if not free and blocked is None:
        account.ignore(line, "no_quantity")
        return
    if blocked is not None and blocked < 0:
        raise Refused(BAD_VALUE, f"quantities: expected 0 or more of blocked goods, got {blocked}")
    on_hand = sum(free, blocked or Decimal(0))
    measures: dict[str, int | str] = {"on_hand": plain(on_hand)}
    if blocked is not None:
        measures["quarantined"] = plain(blocked)
    if mapping.settings_are == "statements":
        say_statement(account, context.source, entry.identity, as_of, [Row(line, entry.goods, measures)])
        return
    body: dict[str, Any] = {
        "event_id": entry.identity,
        "type": "stock_counted",
        "source": context.source,
        "occurred_at": as_of,
    }
    body |= {**entry.goods, "quantity": measures["on_hand"]}
    body |= {"quarantined": measures["quarantined"]} if blocked is not None else {}
    check(body)
    account.say(body, line)


def _utc(context: Context, text: str) -> str:
    """The field's name says that it is UTC; its text often does not."""
    has_offset = text[-1:] in "zZ" or "+" in text[10:] or "-" in text[10:]
    return instant_of_text(context, text if has_offset else f"{text}Z", "modifiedDateTimeUTC")
