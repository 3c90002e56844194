"""What EPCIS 2.0 events say in JSON: goods that left for another place, came, were made of others, or an error.

Rules of this file:

1. An item is a GTIN, from whatever names it: an URN of an instance, a lot or a class, or a GS1 Digital Link.
   Instances are counted, and a line is all that an event's list says of one item and lot.
2. Goods that leave for a place of ours are a transfer, and so are those that come from one; from elsewhere they are a
   receipt. Where they came from says `sourceList`; without one, a despatch advice names a transfer, an order a receipt.
3. An error declaration comes under the id of what it declares wrong. It says the same with the opposite sign, under
   an id of its own; what corrects it is an event like any other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from operators.adapters.account import Account, Refused, Translation, one_line
from operators.adapters.checking import check
from operators.adapters.context import Context
from operators.adapters.gs1 import Thing, document_number, place_names, thing_of, word_of
from operators.adapters.json_reading import (
    Object,
    array_of,
    count_of,
    instant_of,
    object_of,
    opposite,
    read_json,
    text_of,
)
from operators.adapters.values import digest, id_of, make_id
from schemas.codes import BAD_VALUE, MISSING_FIELD, show

KIND: Final = "epcis"
#: dispositions of goods that are there and not to be sold
_QUARANTINED: Final = frozenset(
    {
        "damaged",
        "disposed",
        "expired",
        "needs_replacement",
        "non_conformant",
        "non_sellable_other",
        "recalled",
        "stolen",
        "unavailable",
        "unknown",
    }
)
_NO_MOVEMENT: Final = {
    "AggregationEvent": "aggregation",
    "AssociationEvent": "association",
    "TransactionEvent": "transaction",
}
#: business transactions that name a despatch, the surest first
_DESPATCHES: Final = ("desadv", "bol")
_BIZ: Final = "bizTransactionList"
Body = dict[str, Any]


class Goods(NamedTuple):
    """A line: what a list says of one item and lot."""

    place: str
    #: what it is known by within its event
    key: tuple[str, ...]
    thing: Thing
    quantity: int | str
    uom: str


class Other(NamedTuple):
    """A line that is no goods: refused, or ignored for a reason."""

    place: str
    refusal: Refused | None
    reason: str = ""


Line = Goods | Other


def recognizes(raw: bytes, headers: Mapping[str, str]) -> bool:
    """Is it an EPCIS document, or an event by itself?"""
    if raw[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
        return False
    return (
        b'"EPCISDocument"' in raw or b'"EPCISQueryDocument"' in raw or (b'"eventTime"' in raw and b'"bizStep"' in raw)
    )


def translate(raw: bytes, context: Context) -> Translation:
    """Account for a document, a query's answer or one event; an event is as many lines as it has items and lots."""
    account = Account(KIND)
    try:
        events, path = _events_of(object_of(read_json(raw), "the document"))
    except Refused as refusal:
        return one_line(KIND, "document", refusal)
    for number, event in enumerate(events):
        _event(account, context, event, f"{path}[{number}]" if path else "event")
    if not events:
        account.ignore(account.line("document"), "no_events")
    return account.finish()


def _events_of(document: Object) -> tuple[list[Any], str]:
    if "eventTime" in document:
        return [document], ""
    body = object_of(document.get("epcisBody"), "epcisBody")
    if "queryResults" in body:
        results = object_of(object_of(body["queryResults"], "queryResults").get("resultsBody"), "resultsBody")
        return array_of(results.get("eventList"), "eventList"), "eventList"
    if "event" in body:
        return [body["event"]], ""
    return array_of(body.get("eventList"), "eventList"), "eventList"


def _event(account: Account, context: Context, value: object, place: str) -> None:
    try:
        event = object_of(value, place)
        kind = text_of(event.get("type") or event.get("isA"), f"{place}.type")
        step = word_of(text_of(event.get("bizStep"), f"{place}.bizStep"))
        if kind in _NO_MOVEMENT:
            account.ignore(account.line(place), _NO_MOVEMENT[kind])
            return
        if kind not in ("ObjectEvent", "TransformationEvent"):
            told = f"type: expected an event of EPCIS 2.0, got {show(kind or None)}"
            raise Refused(BAD_VALUE if kind else MISSING_FIELD, told)
    except Refused as refusal:
        account.refuse(account.line(place), refusal.code, str(refusal))
        return
    if kind == "TransformationEvent":
        gone = _lines(event, place, "inputEPCList", "inputQuantityList")
        made = _lines(event, place, "outputEPCList", "outputQuantityList")
        sides: list[tuple[Line, _Builder | None]] = [(line, _used) for line in gone]
        _say(account, context, event, place, [*sides, *((line, _made) for line in made)])
    else:
        builder = _STEPS.get(step)
        _say(
            account,
            context,
            event,
            place,
            [(line, builder) for line in _lines(event, place, "epcList", "quantityList")],
        )


_Builder = Callable[[Context, Object], Body]


def _say(
    account: Account, context: Context, event: Object, place: str, lines: list[tuple[Line, _Builder | None]]
) -> None:
    """Say each line as its builder begins it; a builder that cannot refuses its lines."""
    if not lines:
        account.ignore(account.line(place), "no_items")
        return
    heads: dict[_Builder, Body | Refused] = {}
    for line, builder in lines:
        number = account.line(line.place)
        try:
            if isinstance(line, Other):
                if line.refusal is not None:
                    raise line.refusal
                account.ignore(number, line.reason)
                continue
            if builder is None:
                account.ignore(number, "no_movement")
                continue
            if line.quantity == 0:
                account.ignore(number, "no_quantity")
                continue
            head = heads.get(builder)
            if head is None:
                try:
                    head = _head(context, event) | builder(context, event)
                except Refused as refusal:
                    head = refusal
                heads[builder] = head
            if isinstance(head, Refused):
                raise head
            body = _body(context, head, line)
            check(body)
        except Refused as refusal:
            account.refuse(number, refusal.code, str(refusal))
            continue
        account.document(make_id(*head["event_id"]))
        account.say(body, number)


def _head(context: Context, event: Object) -> Body:
    is_error = event.get("errorDeclaration") is not None
    # Parts of an id as yet: each line adds its own.
    event_id = ("epcis", _identity(event), *(("error",) if is_error else ()))
    # What never was is taken back at the moment at which it was said to be.
    occurred_at = instant_of(context, event.get("eventTime"), "eventTime")
    head: Body = {"event_id": event_id, "type": "", "source": context.source, "occurred_at": occurred_at}
    return head | ({"reversal": True} if is_error else {})


def _identity(event: Object) -> str:
    """Give the event's own id; of one without, what its content makes, without what the capturing added."""
    text = text_of(event.get("eventID"), "eventID")
    if text:
        return text
    added = ("errorDeclaration", "eventID", "recordTime", "@context")
    content = {name: value for name, value in event.items() if name not in added}
    return digest(json.dumps(content, sort_keys=True, default=lambda value: getattr(value, "text", repr(value))))


def _body(context: Context, head: Body, goods: Goods) -> Body:
    body = {**head, "event_id": make_id(*head["event_id"], *goods.key), "item": _item(context, goods.thing)}
    quantity = goods.quantity
    if body["type"] == "stock_adjusted":
        # An adjustment has no reversal; its sign is its own.
        is_loss, is_taken_back = body.pop("sign") < 0, body.pop("reversal", False)
        quantity = opposite(quantity) if is_loss != is_taken_back else quantity
    body["quantity"] = quantity
    if goods.thing.lot:
        body["lot"] = context.ours("lot", goods.thing.lot, "lot")
    if goods.uom:
        body["uom"] = context.ours("uom", goods.uom, "uom")
    return body


def _shipped(context: Context, event: Object) -> Body:
    sources = _parties(event, "sourceList", "source")
    to = _parties(event, "destinationList", "destination")
    body: Body = {
        "type": "transfer_shipped",
        "transfer_id": _number(event, (*_DESPATCHES, "po"), "a transfer"),
        "location": _place(context, [*sources, *_points(event, "readPoint", "bizLocation")], "readPoint"),
    }
    if not to and context.to_location is None:
        raise Refused(MISSING_FIELD, "destinationList: expected where the goods go, got nothing")
    body["to_location"] = _place(context, to, "destinationList") if to else context.to_location
    return body | _status(event)


def _void(context: Context, event: Object) -> Body:
    body = _shipped(context, event)
    is_error = event.get("errorDeclaration") is not None
    return body | {"reversal": not is_error}


def _received(context: Context, event: Object) -> Body:
    sources = _parties(event, "sourceList", "source")
    numbers = _numbers(event)
    places = [
        *_points(event, "bizLocation"),
        *_parties(event, "destinationList", "destination"),
        *_points(event, "readPoint"),
    ]
    body = {"type": "stock_received", "location": _place(context, places, "bizLocation")} | _status(event)
    is_transfer = any(_is_ours(context, name) for name in sources) if sources else "desadv" in numbers
    if is_transfer:
        return body | {"transfer_id": _number(event, (*_DESPATCHES, "po"), "a transfer")}
    if numbers:
        return body | {"receipt_id": _number(event, (*_DESPATCHES, "po"), "a receipt")}
    return body


def _used(context: Context, event: Object) -> Body:
    return {**_made(context, event), "sign": -1}


def _made(context: Context, event: Object) -> Body:
    places = _points(event, "bizLocation", "readPoint")
    return {"type": "stock_adjusted", "location": _place(context, places, "bizLocation"), "sign": 1}


_STEPS: Final[dict[str, _Builder]] = {"shipping": _shipped, "void_shipping": _void, "receiving": _received}


def _status(event: Object) -> Body:
    disposition = word_of(text_of(event.get("disposition"), "disposition"))
    return {"status": "quarantined"} if disposition in _QUARANTINED else {}


def _points(event: Object, *names: str) -> list[str]:
    found = []
    for name in names:
        if event.get(name) is not None:
            found.append(text_of(object_of(event[name], name).get("id"), f"{name}.id"))
    return [text for text in found if text]


def _parties(event: Object, name: str, side: str) -> list[str]:
    """Give who or where goods come from or go to: places before those who hold them, and those before owners."""
    found: list[tuple[int, str]] = []
    for entry in array_of(event.get(name), name):
        party = object_of(entry, name)
        kind = word_of(text_of(party.get("type"), f"{name}.type"))
        text = text_of(party.get(side), f"{name}.{side}")
        if text:
            found.append(({"location": 0, "possessing_party": 1}.get(kind, 2), text))
    return [text for _, text in sorted(found, key=lambda pair: pair[0])]


def _numbers(event: Object) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in array_of(event.get(_BIZ), _BIZ):
        transaction = object_of(entry, _BIZ)
        kind = word_of(text_of(transaction.get("type"), f"{_BIZ}.type"))
        text = text_of(transaction.get("bizTransaction"), f"{_BIZ}.bizTransaction")
        if text:
            found.setdefault(kind, text)
    return found


def _number(event: Object, kinds: tuple[str, ...], what: str) -> str:
    numbers = _numbers(event)
    kind = next((kind for kind in kinds if kind in numbers), next(iter(sorted(numbers)), None))
    if kind is None:
        raise Refused(MISSING_FIELD, f"{_BIZ}: expected a desadv, bol or po that names {what}, got none")
    return id_of(document_number(numbers[kind]), _BIZ)


def _is_ours(context: Context, name: str) -> bool:
    return any(context.has("location", each) for each in place_names(name))


def _place(context: Context, names: list[str], what: str) -> str:
    """Give the first place that has an alias: as it is written, or by its GLN."""
    spelled = [each for name in names for each in place_names(name)]
    for name in spelled:
        if context.has("location", name):
            return context.ours("location", name, what)
    return context.ours("location", spelled[-1], what) if spelled else context.place("", what)


def _item(context: Context, thing: Thing) -> str:
    known = next((name for name in thing.names if context.has("item", name)), thing.names[0])
    return context.ours("item", known, "epc")


def _lines(event: Object, place: str, instances: str, quantities: str) -> list[Line]:
    """Give the lines of an event's two lists: instances by item and lot, and what is given as a number."""
    lines: list[Line] = []
    counted: dict[Thing, int] = {}
    first: dict[Thing, str] = {}
    for here, entry in _entries(event, place, instances, lines):
        try:
            name = text_of(entry, instances)
            if not name:
                raise Refused(MISSING_FIELD, f"{instances}: expected an EPC, got nothing")
        except Refused as refusal:
            lines.append(Other(here, refusal))
            continue
        thing = thing_of(name)
        if thing is None:
            lines.append(Other(here, None, "logistic_unit"))
            continue
        # Instances of one class differ in their serial alone.
        thing = thing if len(thing.names) == 1 else Thing(thing.names[:-1], thing.lot)
        counted[thing] = counted.get(thing, 0) + 1
        first.setdefault(thing, here)
    for thing, count in counted.items():
        lines.append(Goods(first[thing], (instances, thing.names[0], thing.lot), thing, count, ""))
    before: dict[tuple[str, ...], int] = {}
    for here, entry in _entries(event, place, quantities, lines):
        try:
            element = object_of(entry, quantities)
            name = text_of(element.get("epcClass"), f"{quantities}.epcClass")
            if not name:
                raise Refused(MISSING_FIELD, f"{quantities}.epcClass: expected a class, got nothing")
            quantity = count_of(element.get("quantity"), f"{quantities}.quantity")
            uom = text_of(element.get("uom"), f"{quantities}.uom")
        except Refused as refusal:
            lines.append(Other(here, refusal))
            continue
        thing = thing_of(name)
        if thing is None:
            lines.append(Other(here, None, "logistic_unit"))
            continue
        key = (quantities, thing.names[0], thing.lot, uom)
        before[key] = before.get(key, 0) + 1
        lines.append(Goods(here, key if before[key] == 1 else (*key, str(before[key])), thing, quantity, uom))
    return lines


def _entries(event: Object, place: str, name: str, lines: list[Line]) -> list[tuple[str, Any]]:
    try:
        entries = array_of(event.get(name), name)
    except Refused as refusal:
        lines.append(Other(f"{place}.{name}", refusal))
        return []
    return [(f"{place}.{name}[{number}]", entry) for number, entry in enumerate(entries)]
