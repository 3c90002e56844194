"""`atp state --as-of TIME`: what the engine had at a moment, added up again from Kafka by the engine's own rules.

The events that Kafka holds are judged and applied as the engine does it, without those that occurred later. So the
figures are those that a statement of that moment is compared with, and every moment since the topics begin can be
asked for; nothing is asked of a running engine, and nothing is kept.

Rule 1: what was refused stays refused: a dead letter says that a message, or one line of it, is in no number.
Rule 2: the clock stands at the moment that is asked for: days and expiries are as of then.
Rule 3: what the engine keeps back because of a variance is left out, as in the comparison: it is no fact of anybody's.
Rule 4: a figure that cannot be had is none: where topics do not begin at their beginning, this says so, and ends.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple, cast

from flows.adapters.files.known import read_reference
from flows.errors import PlainError
from flows.kafka.reading import Part, Place, Span, TopicReader, bounds
from flows.progress_bar import progress
from flows.recovery.accepting import accepted_at_ms
from flows.runtime.configs import decoder_config, shard_config
from flows.runtime.run import now
from operators.decode import CodeSets, Decoder
from operators.evaluate import measure_of
from operators.reference import ReferenceTables
from operators.rules.days import days_in
from operators.rules.lots import dated, is_held, past, physical
from operators.rules.reconciliation import is_within
from operators.shard import Segments, Shard
from schemas.codes import parse_time
from schemas.messages import TopologyRecord, UnitBatch
from schemas.replay import note_replay
from schemas.setting_values import duration_text
from schemas.settings import Settings, SettingsError
from schemas.state import Item
from schemas.statements import MEASURES
from schemas.topics import DEAD_LETTERS, INPUTS
from schemas.units import EventType, Origin, Refusal, Unit
from schemas.variances import OWN_SOURCE

#: Messages that are applied in one go.
CHUNK = 2000
COLUMNS = ("item", "location", "lot", *MEASURES)
#: When nothing recorded is forgotten: everything is read once, in whatever order Kafka gives its partitions.
WITHHELD = int(EventType.STOCK_WITHHELD)


class StateProblem(PlainError):
    """What was there at that moment cannot be told; the text says why and what would do."""


class Figures(NamedTuple):
    """What there was of an item at a location, or of one lot there; in base UoM x 10^scale."""

    item: str
    location: str
    lot: str
    scale: int
    #: in the order of MEASURES; None: not of a lot
    figures: tuple[int | None, ...]


class Refusals:
    """What dead letters say was refused: messages, and lines of messages, by place and the moment they were logged."""

    def __init__(self) -> None:
        self._whole: set[tuple[Place, int]] = set()
        self._lines: set[tuple[Place, int, str]] = set()

    def read(self, settings: Settings, reader: TopicReader) -> None:
        """Read them all."""
        for message in reader.read(bounds(settings, [DEAD_LETTERS])):
            said = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or ()}
            try:
                place = (said["topic"], int(said["partition"]), int(said["offset"]))
                logged_ms = int(said["timestamp"])
            except (KeyError, ValueError):
                continue  # somebody else's
            if "line_id" in said:
                self._lines.add((place, logged_ms, said["line_id"]))
            else:
                self._whole.add((place, logged_ms))

    def has(self, origin: Origin, line_id: str = "") -> bool:
        """Was it, or all of its message, refused?"""
        if (origin.place, origin.timestamp_ms) in self._whole:
            return True
        return bool(line_id) and (origin.place, origin.timestamp_ms, line_id) in self._lines


class _Clock:
    """What a shard asks: how far the slowest partition is. Unknown: nothing is forgotten while all is read once."""

    def recorded(self) -> int | None:
        return None

    def has_passed(self, part: str, offset: int) -> bool:
        return True


class Fold:
    """All items as of a moment, from the messages that are handed to it in any order."""

    def __init__(self, settings: Settings, as_of: int) -> None:
        self._as_of = as_of
        self._known = CodeSets(frozenset(), frozenset())
        self._decoder = Decoder(decoder_config(settings), self._known)
        config = replace(
            shard_config(settings), shards=1, reference_grace=0, has_claims=False, has_trail=False, breakdown=False
        )
        # What is never written to disk has no segments.
        self._shard = Shard(0, config, cast(Segments, None), lambda: as_of, _Clock())
        self._days = days_in(settings.time_zone)
        self.tables = ReferenceTables()
        #: by part: the largest timestamp so far, which `late` goes by
        self._recorded: dict[Part, int] = {}

    def know(self, records: Iterable[tuple[str, list[tuple[bytes | None, bytes | None]]]]) -> None:
        """Take reference data, as Kafka holds it now."""
        accepted = []
        for kind, found in records:
            origins = [(kind, Origin("", 0, number, 0, *record)) for number, record in enumerate(found)]
            if kind != "channel_items":  # of promises, which nobody asks for here
                accepted += self.tables.accept(origins, 0, 0)[0]
        self._known.locations, self._known.channels = self.tables.locations, self.tables.channels
        places = ReferenceTables()
        places.locations = self.tables.locations
        self._shard.process([TopologyRecord(places.pack(), 0), *accepted])

    def take(self, messages: Iterable[Any], refused: Refusals) -> None:
        """Apply what occurred until then and was not refused."""
        units: list[Unit] = []
        for message in messages:
            part = (message.topic(), message.partition())
            logged_ms = message.timestamp()[1]
            recorded_at = self._recorded[part] = max(self._recorded.get(part, 0), logged_ms * 1000)
            origin = Origin(*part, message.offset(), logged_ms, message.key(), message.value())
            if refused.has(origin):
                continue
            headers = message.headers()
            if headers:
                note_replay(origin, headers)
            found: list[Unit] = []
            refusals: list[Refusal] = []
            self._decoder.decode(origin, recorded_at, found, refusals, True)
            units += [
                unit
                for unit in found
                if unit.occurred_at <= self._as_of
                and not (unit.type == WITHHELD and unit.source == OWN_SOURCE)
                and not refused.has(origin, unit.line_id)
            ]
        self._shard.process([UnitBatch("", -1, units)])

    def figures(self, locations: tuple[str, ...], lots: bool) -> Iterator[Figures]:
        """Give what there was, by item and location; where nothing was, nothing is said."""
        scope = locations or None
        today = self._days.day_of(self._as_of)
        for code in sorted(self._shard.items):
            item = self._shard.items[code]
            assert isinstance(item, Item), f"{code}: an item that was never stored is whole"
            if item.policy is None:
                continue
            scale = measure_of(item).scale
            late = dated(item)
            for location in sorted({*item.places, *(item.rare.withheld if item.rare else ())}):
                if is_within(location, scope, self.tables.locations):
                    yield from self._at(item, location, scale, past(late.get(location, []), today), lots)

    def _at(self, item: Item, location: str, scale: int, expired: int, lots: bool) -> Iterator[Figures]:
        withheld = item.rare.withheld[location].total if item.rare and location in item.rare.withheld else 0
        place = item.places.get(location)
        if place is None:
            if withheld:
                yield Figures(item.code, location, "", scale, (0, 0, 0, 0, 0, 0, withheld, -withheld))
            return
        on_hand, quarantined, _ = physical(item, location, place)
        hard, soft = place.hard_reserved, place.soft_allocated
        available = on_hand - quarantined - expired - soft - hard - withheld
        found = (on_hand, quarantined, hard, soft, place.in_transit, place.expected, withheld, available)
        if any(found):
            yield Figures(item.code, location, "", scale, found)
        for lot, cell in sorted((place.lots or {}).items()) if lots else ():
            unsold = cell.on_hand if is_held(item, lot, location) else cell.quarantined
            if cell.on_hand or unsold:
                yield Figures(item.code, location, lot, scale, (cell.on_hand, unsold, *(None,) * (len(MEASURES) - 2)))


def print_state(settings: Settings, as_of: str, locations: tuple[str, ...], lots: bool) -> None:
    """Print what there was as CSV, with the columns that `atp reconcile` reads; quantities in base units."""
    moment = _moment(settings, as_of)
    spans = bounds(settings, list(INPUTS))
    _check_beginning(settings, spans)
    fold = Fold(settings, moment)
    with progress(None, "reading reference data"):
        fold.know(read_reference(settings))
    for code in locations:
        if code not in fold.tables.locations:
            raise SettingsError(f"--location: expected a location of inventory.locations, got {code}")
    read(settings, fold, spans)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = 0
    for one in fold.figures(locations, lots):
        writer.writerow((one.item, one.location, one.lot, *(_plain(figure, one.scale) for figure in one.figures)))
        rows += 1
    sys.stdout.flush()
    print(f"atp: {rows:,} rows as of {as_of}{_doubt(settings, moment)}", file=sys.stderr)


def read(settings: Settings, fold: Fold, spans: dict[Part, Span]) -> None:
    """Hand every message of the spans to the fold, with what dead letters say of them."""
    refused = Refusals()
    with TopicReader(settings, group="-state", silence_s=60.0) as reader:
        refused.read(settings, reader)
        total = sum(end - low for low, end in spans.values())
        chunk: list[Any] = []
        with progress(total, "reading events") as advance:
            for message in reader.read(spans, advance):
                chunk.append(message)
                if len(chunk) == CHUNK:
                    fold.take(chunk, refused)
                    chunk = []
            fold.take(chunk, refused)


def _moment(settings: Settings, as_of: str) -> int:
    try:
        moment = parse_time(as_of)
    except ValueError as error:
        raise SettingsError(f"--as-of: {error}") from None
    if moment > now() + settings.max_clock_skew:
        raise SettingsError(f"--as-of: expected a moment that has come, got {as_of}: nothing has happened there yet")
    return moment


def _check_beginning(settings: Settings, spans: dict[Part, Span]) -> None:
    gone = sorted(f"{topic}/{partition} begins at {low}" for (topic, partition), (low, _) in spans.items() if low)
    again = sorted(accepted_at_ms(settings))
    if not gone and not again:
        return
    told = f"Kafka has deleted events ({', '.join(gone[:3])}{' ...' if len(gone) > 3 else ''})"
    if not gone:
        told = f"events of before {', '.join(again)} was made again are not in Kafka any more"
    raise StateProblem(
        f"what there was cannot be added up: {told}, and what they did cannot be known without them. Figures as of now "
        "are in inventory.positions; a statement of the other system is compared all the same (atp reconcile), as far "
        "back as its source's dedup_window; for older moments keep the inputs for ever (retention.ms=-1)"
    )


def _doubt(settings: Settings, moment: int) -> str:
    settle = max([settings.settle_of(""), *(source.settle for source in settings.sources.values())])
    if now() - moment >= settle:
        return ""
    return f"; events of before may still come: ask again when {duration_text(settle)} have passed"


def _plain(figure: int | None, scale: int) -> str:
    """Give a figure in base units, exactly; empty where there is none."""
    if figure is None:
        return ""
    return f"{Decimal(figure).scaleb(-scale):f}" if scale else str(figure)
