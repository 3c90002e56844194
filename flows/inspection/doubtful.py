"""Finds out what else is doubtful about a number: open exceptions of its item, silent sources, an update that waits.

The engine's endpoint is asked, and of Kafka the newest records of those partitions in which an answer would stand: what
is read has a bound, however much there is. Where that was not all, it says so.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec

from flows.errors import PlainError
from flows.inspection.lookup import FIGURES, hashes
from flows.inspection.open_exceptions import MEANINGS, OpenNow, Wanted
from flows.inspection.status import OF_LANES, Samples, lanes_in, parsed
from flows.kafka.clients import Directory
from flows.kafka.reading import Part, Span, TopicReader
from flows.monitoring.health_client import ask
from operators.rules import exceptions as rules
from schemas.settings import Settings
from schemas.topics import EXCEPTIONS, UPDATES

#: Records of a partition that are read, the newest: of the item's exceptions, of a source's, of its numbers in a lane.
#: What an explanation reads of the trail is what they leave (flows/inspection/trail.py).
OF_ITEM, OF_SOURCE, OF_LANE = 16, 2, 1
#: Partitions in which it is looked for silent sources, where the engine's endpoint does not say which they are.
SOURCE_PARTS_MAX = 4
#: What a partition gives in one go: of nine partitions 288 KiB.
FETCH_BYTES = 32_768
ENDPOINT_S = 0.5
#: What is asked of the engine's endpoint.
ASKED = ("atp_run_token", "atp_exceptions_open", "atp_source_stale", *OF_LANES)
SILENCE_S = 5.0
#: The clocks of Redis' writer and of who asks here may differ.
SLACK_MS = 500
#: These follow from the figures that are published with the numbers: nothing of Kafka knows them better.
FIGURED = frozenset({"negative_on_hand", "oversold", "allocated_without_stock"})
#: What is open of others says nothing of an item.
OF_OTHERS = frozenset({"stale_source", "statement_rejected", "held_too_long"})


def reads_at_most(settings: Settings) -> tuple[int, int]:
    """Give how many records of Kafka are read, and how many bytes, at the most."""
    sources = min(SOURCE_PARTS_MAX, sum(1 for told in settings.sources.values() if told.stale_after))
    records = OF_ITEM + OF_SOURCE * sources + OF_LANE * len(UPDATES)
    return records, FETCH_BYTES * (1 + sources + len(UPDATES))


@dataclass(frozen=True, slots=True)
class OpenHere:
    """An exception of the item that is open."""

    code: str
    location: str
    reference: str
    #: when it began, RFC 3339; empty: not known from here
    since: str


@dataclass(frozen=True, slots=True)
class Doubts:
    """What is doubtful, in plain sentences and each by itself."""

    sentences: tuple[str, ...] = ()
    exceptions: tuple[OpenHere, ...] = ()
    stale_sources: tuple[str, ...] = ()
    #: Redis has the number, and Kafka perhaps not yet
    waits: bool = False


class _Update(msgspec.Struct):
    atp: int = 0
    version: int = 0


_read_update = msgspec.json.Decoder(_Update).decode


class Newest:
    """The newest records of what is asked."""

    def __init__(self) -> None:
        self.known = OpenNow()
        #: the newest update of the number in Kafka; None: none of those looked at is
        self.update: _Update | None = None
        #: are there older records of the item's part of the exceptions?
        self.is_cut = False
        self.records_read = self.bytes_read = 0

    def read(self, settings: Settings, item: str, channel: str, find_sources: Callable[[], list[str]]) -> None:
        """Read them; KafkaProblem where that is not possible. `find_sources`: those that may be silent."""
        directory = Directory(settings)
        counts = directory.partitions([EXCEPTIONS, *UPDATES])

        def part_of(name: str, key: str) -> Part:
            topic = settings.topic(name)
            return topic, zlib.crc32(key.encode()) % counts[topic]  # as Kafka's client places what has a key

        own, number = part_of(EXCEPTIONS, item), f"{item}:{channel}"
        of_sources = sorted({part_of(EXCEPTIONS, name) for name in find_sources()})
        wanted = dict.fromkeys(of_sources[:SOURCE_PARTS_MAX], OF_SOURCE)
        wanted |= {own: OF_ITEM} | {part_of(name, number): OF_LANE for name in UPDATES}
        more = {"fetch.message.max.bytes": FETCH_BYTES, "fetch.wait.max.ms": 10, "queued.min.messages": 100}
        with TopicReader(settings, "-doubts", SILENCE_S, **more) as reader:
            spans: dict[Part, Span] = {}
            for part, (low, end) in directory.spans(wanted).items():
                spans[part] = (max(low, end - wanted[part]), end)
                self.is_cut |= part == own and spans[part][0] > low
            for message in reader.read(spans):
                self.records_read += 1
                self.bytes_read += len(message.value() or b"")
                if message.topic() == own[0]:
                    self.known.tell(message.value())
                elif message.key() == number.encode():
                    self._take_update(message.value())

    def _take_update(self, value: Any) -> None:
        try:
            update = _read_update(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if self.update is None or update.version >= self.update.version:
            self.update = update

    def stale(self) -> list[str]:
        """Give the silent sources among those looked for."""
        found = self.known.those(Wanted(code="stale_source"), time.time())
        return sorted({one.source for one in found if one.source})


@dataclass(frozen=True, slots=True)
class Gathered:
    """What doubts follow from, as it was at one moment."""

    promises: dict[str, str]
    position: dict[str, str]
    #: what the engine's endpoint counts; None: it does not answer here
    samples: Samples | None
    newest: Newest
    #: why nothing is known of Kafka; empty: it was read
    unread: str


def gather(settings: Settings, item: str, channel: str) -> Gathered:
    """Ask Redis, the engine's endpoint and Kafka; LookupProblem where Redis does not answer.

    Where Kafka does not answer that is one of the doubts: a number is explained without it.
    """
    promises, position, alive = hashes(settings, [f"atp:{item}", f"position:{item}", "engine:alive"])
    newest, unread = Newest(), ""
    with ThreadPoolExecutor(1) as beside:
        scraped = beside.submit(_scrape, settings, alive.get("run", ""))

        def sources() -> list[str]:
            may_be = [name for name, told in settings.sources.items() if told.stale_after]
            return may_be if may_be and scraped.result() is None else []

        try:
            newest.read(settings, item, channel, sources)
        except PlainError as problem:
            unread = str(problem)
        return Gathered(promises, position, scraped.result(), newest, unread)


def doubts_about(settings: Settings, item: str, now: Gathered, published: int | None) -> Doubts:
    """Say what is doubtful about a channel's number."""
    samples, newest = now.samples, now.newest
    sentences = [f"what is open or waits is not known: {now.unread}"] if now.unread else []
    found = _open(newest, item, now.position)
    sentences += [_said(one) for one in found if one.code != "negative_on_hand"]  # the figures are told already
    if newest.is_cut and (samples is None or _has_others(samples)):
        sentences.append(
            f"the newest {OF_ITEM} records of the item's part of {settings.topic(EXCEPTIONS)} were looked through: "
            f"atp exceptions --item {item} looks through all"
        )
    stale = _stale(samples) if samples is not None else newest.stale()
    sentences += [f"{name} is silent for longer than its stale_after: what it says now is not known" for name in stale]
    waits = _waiting(newest, now.promises, published, samples)
    sentences += [waits] if waits else []
    return Doubts(tuple(sentences), tuple(found), tuple(stale), bool(waits))


def _open(newest: Newest, item: str, position: dict[str, str]) -> list[OpenHere]:
    """Give what is open of the item: by its figures as they are now, and by what the engine said of all else."""
    figured = _figured(position)
    found = []
    for one in newest.known.those(Wanted(item=item), time.time()):
        key = (one.code, one.location or "", one.reference or "")
        if one.code in FIGURED and one.location != "*" and key not in figured:
            continue  # it is over, which is told behind all numbers
        figured.pop(key, None)
        found.append(OpenHere(*key, one.first_seen))
    return found + [OpenHere(*key, "") for key in figured]


def _figured(position: dict[str, str]) -> dict[rules.Key, dict[str, int]]:
    places: dict[str, dict[str, int]] = {}
    for name, value in position.items():
        location, _, figure = name.rpartition(":")
        if location not in ("", "*") and figure in FIGURES:
            places.setdefault(location, {})[figure] = int(value)
    found: dict[rules.Key, dict[str, int]] = {}
    names = ("on_hand", "quarantined", "hard_reserved", "soft_allocated")
    for location, said in sorted(places.items()):
        rules.at_location(found, location, *(said.get(name, 0) for name in names))
    return found


def _said(one: OpenHere) -> str:
    of = f" of {one.reference}" if one.reference else ""
    where = " over all locations" if one.location == "*" else f" at {one.location}" if one.location else ""
    since = f" since {one.since}" if one.since else ""
    return f"{one.code}{of}{where} is open{since}: {MEANINGS.get(one.code, 'see atp exceptions')}"


def _scrape(settings: Settings, run: str) -> Samples | None:
    """Ask the endpoint of the engine that writes these numbers; None where another one answers or none does."""
    if not settings.metrics.port:
        return None
    samples = parsed(ask(settings, f"/metrics?{urlencode([('name[]', name) for name in ASKED])}", ENDPOINT_S)[1])
    runs = {str(int(value)) for _, value in samples.get("atp_run_token", ())}
    return samples if runs == {run} else None


def _has_others(samples: Samples) -> bool:
    """Is there anything open that does not follow from figures, of whichever item?"""
    found: Iterable[str] = (labels["code"] for labels, value in samples.get("atp_exceptions_open", ()) if value)
    return not set(found) <= FIGURED | OF_OTHERS


def _stale(samples: Samples) -> list[str]:
    return sorted({labels["source"] for labels, value in samples.get("atp_source_stale", ()) if value})


def _waiting(newest: Newest, promises: dict[str, str], published: int | None, samples: Samples | None) -> str:
    """Say why Kafka may not have the number that Redis has; empty where it has it, or nothing speaks against it."""
    if published is None or "_version" not in promises:
        return ""
    update = newest.update
    if update is not None and update.version >= int(promises["_version"]):
        return ""
    if update is not None and update.atp != published:
        return (
            f"its update waits in a lane: Redis has {published}, and Kafka's newest word is {update.atp} (max_updates_"
            "per_second of the channel, or a linger)"
        )
    age_ms = time.time() * 1000 - int(promises.get("_published_at", "0"))
    lanes = {
        lane: told
        for lane, told in (lanes_in(samples) if samples is not None else {}).items()
        if told["waiting"] and told["oldest_s"] * 1000 + SLACK_MS >= age_ms
    }
    if not lanes:
        return ""
    told = ", ".join(
        f"{told['waiting']} in {lane}, the oldest for {told['oldest_s']} s" for lane, told in lanes.items()
    )
    return f"its update may be among those that wait for Kafka: {told}"
