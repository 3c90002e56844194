"""Shows positions, orders, exceptions and sources to people, and as one JSON object a line to scripts."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from flows.cli.options import complain
from flows.cli.status_view import span
from flows.errors import PlainError
from flows.inspection.lookup import FIGURES
from flows.inspection.open_exceptions import Following, OpenException, Wanted, open_exceptions
from flows.inspection.positions import Positions, positions
from flows.inspection.sources import Lag, Source, Sources, sources
from flows.inspection.standing import Standing, standing
from schemas.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

EXCEPTION_HEADS = ("open for", "code", "item", "location", "about", "figures", "first seen")
SOURCE_HEADS = ("source", "last word", "silent for", "may be silent", "applied", "repeats", "refused", "statements")
#: Between two looks at an endpoint that others ask too.
SOURCES_EVERY_S = 2.0
#: Between two looks into Kafka for why nothing is published.
WHY_EVERY_S = 10.0


# --- positions -------------------------------------------------------------------------------------------------------


def show_positions(settings: Settings, item: str, is_watched: bool, as_json: bool) -> int:
    """Show an item's position; 1 where nothing is published of it."""
    if is_watched:
        from flows.cli.watching import watch

        return watch(_Asking(settings, item), _position_or_why, _line if as_json else None)
    found = positions(settings, item)
    if found is None:
        return say_standing(settings, item, as_json)
    if as_json:
        print(_line(found))
    else:
        _print(lambda console: _positions(console, found))
    return 0


class _Asking:
    """Asks for an item's position again and again; where there is none, now and then why, which reads Kafka."""

    def __init__(self, settings: Settings, item: str) -> None:
        self._settings, self._item = settings, item
        self._why: Standing | None = None
        self._asked_at = 0.0

    def __call__(self) -> Positions | Standing:
        found = positions(self._settings, self._item)
        if found is not None:
            self._why = None
            return found
        if self._why is None or time.monotonic() - self._asked_at > WHY_EVERY_S:
            self._why = standing(self._settings, self._item)
            self._asked_at = time.monotonic()
        return self._why


def say_standing(settings: Settings, item: str, as_json: bool) -> int:
    """Say why nothing is published of an item, and what its code may have been meant to be; 1."""
    try:
        found = standing(settings, item)
    except PlainError as error:  # what Redis says is known; what Kafka would say is not
        complain(f"nothing is published of {item!r}; why is not known: {error}")
        return 1
    if as_json:
        print(_line(found))
    complain(found.sentence)
    if found.near:
        complain(f"published are: {', '.join(found.near)}")
    return 1


def _position_or_why(console: Console, found: Positions | Standing) -> RenderableType:
    from rich.text import Text

    return Text(found.sentence) if isinstance(found, Standing) else _positions(console, found)


def _positions(console: Console, found: Positions) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from flows.tables import table

    heads = ("location", *(figure.replace("_", " ") for figure in FIGURES))
    rows = [(location, *(str(figures[figure]) for figure in FIGURES)) for location, figures in found.locations.items()]
    note = f" (quantities x 10^{found.scale})" if found.scale else ""
    total = ("all", *(str(sum(at[figure] for at in found.locations.values())) for figure in FIGURES))
    if len(rows) > 1:
        rows.append(total)
    facts = [f"version {found.version}"]
    facts += [f"as of {found.as_of}"] if found.as_of else []
    facts += [f"{found.unlocated} claimed from no location yet"] if found.unlocated else []
    return Group(
        table(console, heads, rows, f"{found.item}{note}", keeps=(1, len(FIGURES))), Text(", ".join(facts), style="dim")
    )


# --- exceptions ------------------------------------------------------------------------------------------------------


def show_exceptions(settings: Settings, wanted: Wanted, limit: int | None, is_watched: bool, as_json: bool) -> int:
    """List what is open; 0 whatever that is."""
    if is_watched:
        from flows.cli.watching import watch

        with Following(settings, wanted) as following:
            return watch(
                following.look,
                lambda console, found: _exceptions(console, found, limit),
                (lambda found: _list(found, limit)) if as_json else None,
                news=lambda found: (found[:limit], len(found)),
            )
    found = open_exceptions(settings, wanted)
    if as_json:
        for one in found[:limit]:
            print(json.dumps(_exception_facts(one)))
    else:
        _print(lambda console: _exceptions(console, found, limit))
    return 0


def _exceptions(console: Console, found: list[OpenException], limit: int | None) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from flows.tables import table

    now_s = time.time()
    codes = Counter(one.code for one in found)
    told = ", ".join(f"{code} {count:,}" for code, count in codes.most_common())
    shown = found[:limit]
    more = f" (the {len(shown)} longest open are shown)" if len(shown) < len(found) else ""
    summary = f"{len(found):,} open{more}{f': {told}' if told else ''}"
    if not shown:
        return Text("nothing is open")
    rows = [
        (
            *(span(one.age_s(now_s)), one.code, one.item or "", one.location or ""),
            " ".join(filter(None, (one.source, one.reference))),
            ", ".join([*(f"{name} {figure}" for name, figure in one.quantities.items()), *one.reasons]),
            _short(one.first_seen),
        )
        for one in shown
    ]
    return Group(table(console, EXCEPTION_HEADS, rows, keeps=(1,)), Text(summary))


def _exception_facts(one: OpenException) -> dict[str, Any]:
    said: dict[str, Any] = {name: value for name, value in msgspec.to_builtins(one).items() if value not in (None, [])}
    return said | {"age_s": round(one.age_s(time.time()), 1)}


def _list(found: list[OpenException], limit: int | None) -> str:
    return json.dumps({"open": [_exception_facts(one) for one in found[:limit]], "of": len(found)})


# --- sources ---------------------------------------------------------------------------------------------------------


def show_sources(settings: Settings, is_watched: bool, as_json: bool) -> int:
    """Show how each source is heard; 0 whatever that is."""
    if is_watched:
        from flows.cli.watching import watch

        line = _line if as_json else None
        return watch(lambda: sources(settings), _sources, line, every_s=SOURCES_EVERY_S, news=_without_ages)
    found = sources(settings)
    if as_json:
        lag = msgspec.to_builtins(found.lag)
        for one in found.sources:
            print(json.dumps({"where": found.where, "lag": lag, **msgspec.to_builtins(one)}))
        for note in found.notes:
            complain(note)
    else:
        _print(lambda console: _sources(console, found))
    return 0


def _without_ages(found: Sources) -> Sources:
    """Give it without what grows by itself: a script is told what was heard, refused or stated."""
    still = tuple(msgspec.structs.replace(one, silent_s=None) for one in found.sources)
    return msgspec.structs.replace(found, seen_at="", sources=still, lag=None)


def _sources(console: Console, found: Sources) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from flows.tables import table

    rows = [_source_cells(one) for one in found.sources]
    notes = [Text(_lag(found.lag), style="dim")] if found.lag is not None else []
    notes += [Text(f"note: {note}", style="dim") for note in found.notes]
    if not rows:
        return Group(Text("no source was heard of yet"), *notes)
    return Group(table(console, SOURCE_HEADS, rows, keeps=(1,)), *notes)


def _lag(lag: Lag) -> str:
    if not lag.messages:
        return "the engine is at the end of what was sent"
    where = f", {lag.slowest} most: {span(lag.seconds)}" if lag.slowest and lag.seconds else ""
    return f"the engine is {lag.messages:,} messages behind{where}; a last word may be among them"


def _source_cells(one: Source) -> tuple[str, ...]:
    silent = "" if one.silent_s is None else span(one.silent_s)
    refused = ", ".join(f"{code} {count:,}" for code, count in one.refused.items())
    return (
        one.name,
        _short(one.last_word or ""),
        f"{silent} STALE".strip() if one.is_stale else silent,
        "" if one.stale_after_s is None else span(one.stale_after_s),
        "" if one.applied is None else str(one.applied),
        "" if one.duplicates is None else str(one.duplicates),
        refused,
        ", ".join(f"{stated.statement_id} {stated.verdict}" for stated in one.statements),
    )


# --- in common -------------------------------------------------------------------------------------------------------


def _line(answer: msgspec.Struct) -> str:
    return json.dumps(msgspec.to_builtins(answer))


def _print(picture: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(picture(console))


def _short(moment: str) -> str:
    """Give a moment to the second."""
    return f"{moment[:19].replace('T', ' ')}Z" if moment else ""
