"""The pages of items: found by the beginning of their code; one of them, with all that is published of it."""

from __future__ import annotations

import json
import time
from datetime import date, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flows.console import words
from flows.console.desk import Desk, address, asked, desk_of
from flows.console.history import HOUR_MS
from flows.console.live import Picture
from flows.console.numbers import FOUND_MAX, Away, Item
from flows.console.sparkline import sparkline, told
from flows.errors import PlainError
from flows.inspection.lookup import FIGURES, WHOLE
from flows.inspection.standing import standing
from schemas.codes import is_code
from schemas.variances import STATES

LETTERS_SHOWN = 10
#: The oldest; of a flash sale there may be ten thousand.
CLAIMS_SHOWN = 200
EXCEPTIONS_SHOWN = 50


def show_items(request: Request) -> Response:
    """Answer `/items?q=`: the items that begin so; at once an item that alone does, or else an order of that number."""
    desk = desk_of(request)
    query, behind = asked(request, "q", "behind")
    if not query and not behind and "q" not in request.query_params:
        return desk.page(request, "items", title="Items", query="", rows=[], more="", sentence="", near=[])
    try:
        codes = desk.numbers.find(query, behind)
        if query and not behind and len(codes) == 1:
            return RedirectResponse(address("/item", code=codes[0]), 303)
        if query and not codes and desk.numbers.fields(f"order:{query}"):
            return RedirectResponse(address("/order", id=query), 303)
        rows = _rows(desk, codes[:FOUND_MAX])
        near = desk.numbers.near(query) if not codes and query and not behind else []
    except Away:
        sentence = "Redis does not answer: items cannot be looked for."
        return desk.page(
            request, "items", 503, title="Items", query=query, rows=[], more="", sentence=sentence, near=[]
        )
    more = address("/items", q=query, behind=codes[FOUND_MAX - 1]) if len(codes) > FOUND_MAX else ""
    none = f"No item that is published begins with {query}, and no order has that number."
    sentence = "" if codes else none if query else "Nothing is published."
    return desk.page(request, "items", title="Items", query=query, rows=rows, more=more, sentence=sentence, near=near)


def _rows(desk: Desk, codes: list[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Give each item with its numbers by channel."""
    rows = []
    for code, promises in zip(codes, desk.numbers.promises(codes), strict=True):
        item = Item(code, promises, {}, [], 0)
        rows.append((code, [(name, words.quantity(promises[name], item.scale)) for name in item.channels]))
    return rows


def show_item(request: Request) -> Response:
    """Answer `/item?code=`."""
    desk = desk_of(request)
    [code] = asked(request, "code")
    if not code:
        return RedirectResponse("/items", 303)
    try:
        item = desk.numbers.item(code)
    except Away:
        return desk.page(
            request,
            "no_item",
            503,
            title=code,
            code=code,
            sentence="Nothing is known of it yet.",
            near=[],
            may_ask=False,
        )
    if not item.is_known:
        sentence, near = _why_nothing(desk, code)
        return desk.page(
            request, "no_item", 404, title=code, code=code, sentence=sentence, near=near, may_ask=is_code(code)
        )
    return desk.page(
        request,
        "item",
        title=code,
        item=item,
        cells=cells(item),
        channels=_channels(desk, item),
        figures=FIGURES,
        line_of=_line_of(desk),
        orders=[_order(claim, item.scale) for claim in item.claims[:CLAIMS_SHOWN]],
        more_orders=max(0, len(item.claims) - CLAIMS_SHOWN),
        exceptions=desk.tables.exceptions(item=code)[:EXCEPTIONS_SHOWN],
        variances=desk.tables.variances(tuple(state for state in STATES if state != "resolved"), item=code),
        letters=desk.tables.letters(item=code)[:LETTERS_SHOWN],
        facts=_facts(item),
        live=f"item {code}",
        shape=picture(desk, item).shape,
    )


def show_standing(request: Request) -> Response:
    """Answer `/why?item=`: looks into Kafka's records and newest events, which may take seconds."""
    desk = desk_of(request)
    [code] = asked(request, "item")
    try:
        found = standing(desk.settings, code)
    except PlainError as error:
        return desk.page(request, "problem", 503, title=code, sentence=str(error))
    return desk.page(request, "no_item", title=code, code=code, sentence=found.sentence, near=found.near, may_ask=False)


def _line_of(desk: Desk) -> str:
    """Say of which time the lines are."""
    since_ms = desk.tables.history.since_ms
    return "Last hour" if time.time() * 1000 - since_ms >= HOUR_MS else f"Since {words.clock(since_ms)}"


def _why_nothing(desk: Desk, code: str) -> tuple[str, list[str]]:
    if not is_code(code):
        return "That is no code of an item: 1 to 64 characters of A-Z a-z 0-9 . _ - /, a letter or digit first.", []
    try:
        near = desk.numbers.near(code)
    except Away:
        near = []
    return "Nothing is published of it: it was never sent, was deleted, or waits for its record.", near


def _channels(desk: Desk, item: Item) -> list[dict[str, Any]]:
    now_ms = int(time.time() * 1000)
    rows = []
    for name in item.channels:
        past = desk.tables.history.past(item.code, name, item.promise(name), now_ms)
        days = [words.quantity(value, item.scale) for value in item.by_day(name)]
        rows.append(
            {
                "name": name,
                "spark": sparkline(past, now_ms, item.scale),
                "told": told(past, item.scale),
                "days": list(zip(_dates(item, len(days)), days, strict=True)),
            }
        )
    return rows


def _dates(item: Item, count: int) -> list[str]:
    try:
        first = date.fromisoformat(item.promises.get("_day0", ""))
    except ValueError:
        return [f"day {number}" for number in range(count)]
    return [(first + timedelta(days=number)).isoformat() for number in range(count)]


def _order(claim: dict[str, Any], scale: int) -> dict[str, Any]:
    """Give what a line claims: softly from one place, reserved at several."""
    return {
        **{name: claim.get(name, "") for name in ("order_id", "line_id", "channel", "requested_day")},
        "location": claim.get("location", "any"),
        "soft": words.quantity(claim["soft"], scale) if claim["soft"] else "",
        "hard": [(place, words.quantity(much, scale)) for place, much in sorted(claim["hard"].items())],
        "since": words.short(claim["since"]),
        "expires": words.short(claim.get("expires_at")),
    }


def _facts(item: Item) -> list[tuple[str, str]]:
    facts = []
    for name, word in (("_as_of", "as of"), ("_published_at", "published")):
        if name in item.promises:
            facts.append((word, _moment(item.promises[name])))
    facts += [("version", item.promises[name]) for name in ("_version",) if name in item.promises]
    return [*facts, ("read", f"{words.clock(item.read_ms)} UTC")]


def _moment(millis: str) -> str:
    return f"{words.clock(int(millis))} UTC" if WHOLE.fullmatch(millis) else millis


def cells(item: Item) -> dict[str, str]:
    """Give the figures of an item's page, by the name of their cell."""
    told = {}
    for name, text in item.cells().items():
        if name.startswith("days "):
            for number, value in enumerate(json.loads(text)):
                told[f"day {number} {name[5:]}"] = words.quantity(value, item.scale)
        else:
            told[name] = words.quantity(text, item.scale)
    return told


def picture(desk: Desk, item: Item) -> Picture:
    """Give what the live connection of an item's page compares."""
    told = cells(item)
    claims = json.dumps(item.claims, sort_keys=True)
    others = [str(one) for one in desk.tables.exceptions(item=item.code)]
    return Picture(told, str(hash((*told, claims, *others, *desk.troubles()))))
