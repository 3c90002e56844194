"""Finds out how each source is heard: its last word, what of it was applied and refused, whether it is too quiet.

Counts are the engine's own since it started, from its endpoint. Where that does not answer, what is refused is counted
from the dead letters that Kafka holds, and `where` says so: what cannot be known is absent, not 0.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from flows.inspection.open_exceptions import Wanted, open_exceptions
from flows.inspection.status import Samples, lag_in, parsed
from flows.kafka.reading import read_topics
from flows.monitoring.health_client import ask
from flows.progress_line import ProgressLine
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, STATUSES

MICROS = 1_000_000
#: What the engine calls messages that it could not read far enough to know whose they are.
UNKNOWN = "unknown"
ENDPOINT, KAFKA = "endpoint", "kafka"
STATEMENTS_MAX = 3


class Stated(msgspec.Struct, frozen=True):
    """A statement of a source, as its status topic has it."""

    source: str
    statement_id: str
    as_of: str | None
    verdict: str
    seen: int
    in_variance: int
    refused: int


class Source(msgspec.Struct, frozen=True):
    """What is known of one source; None: not known from here."""

    name: str
    #: Kafka's time of its newest event that was judged
    last_word: str | None
    silent_s: float | None
    #: has it been quiet for longer than it may? None: it may for ever
    is_stale: bool | None
    stale_after_s: float | None
    applied: int | None
    duplicates: int | None
    refused: dict[str, int]
    #: its newest statements, the newest first
    statements: tuple[Stated, ...] = ()


class Lag(msgspec.Struct, frozen=True):
    """What was sent and is not in the state yet: a last word may be among it."""

    messages: int
    seconds: float | None = None
    #: the partition that is furthest behind, as `topic/partition`
    slowest: str | None = None


class Sources(msgspec.Struct, frozen=True):
    """All that were heard of or are named in the settings. `where`: `endpoint` or `kafka`, what the counts are from."""

    seen_at: str
    where: str
    sources: tuple[Source, ...]
    notes: tuple[str, ...] = ()
    #: how far the engine is behind what was sent, of all sources together; None: not known from here
    lag: Lag | None = None


def sources(settings: Settings) -> Sources:
    """Say how each source is heard; KafkaProblem where Kafka does not answer."""
    now_s = time.time()
    samples, note = _scrape(settings)
    stated = _statements(settings)
    stale = {one.source for one in open_exceptions(settings, Wanted(code="stale_source"))}
    counts = _counted(samples) if samples is not None else _of_letters(settings)
    words = _last_words(samples or {})
    names = {name for name in (*settings.sources, *stated, *stale, *counts, *words) if name}
    found = []
    for name in sorted(names):
        own = settings.sources.get(name)
        limit_s = own.stale_after / MICROS if own is not None and own.stale_after else None
        heard_s = words.get(name)
        outcomes = counts.get(name, Counter())
        found.append(
            Source(
                name,
                _text(heard_s) if heard_s else None,
                round(max(0.0, now_s - heard_s), 1) if heard_s else None,
                None if limit_s is None else name in stale,
                limit_s,
                outcomes.pop("applied", 0) if samples is not None else None,
                outcomes.pop("duplicate", 0) if samples is not None else None,
                dict(outcomes.most_common()),
                tuple(stated.get(name, ())[:STATEMENTS_MAX]),
            )
        )
    lag = None if samples is None else Lag(**lag_in(samples))
    return Sources(_text(now_s), KAFKA if samples is None else ENDPOINT, tuple(found), (note,) if note else (), lag)


def _scrape(settings: Settings) -> tuple[Samples | None, str]:
    where = f"{settings.metrics.host}:{settings.metrics.port}"
    said = "metrics.port is 0 in these settings"
    if settings.metrics.port:
        samples = parsed(ask(settings, "/metrics")[1])
        if "atp_build_info" in samples:
            return samples, ""
        said = f"no engine answers at {where}"
    return None, f"{said}: refusals are counted from the dead letters, and what was applied is not known"


def _counted(samples: Samples) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for labels, value in samples.get("atp_units_total", ()):
        if value:
            found[labels["source"]][labels["outcome"]] += int(value)
    return found


def _last_words(samples: Samples) -> dict[str, float]:
    found: dict[str, float] = {}
    for labels, value in samples.get("atp_source_last_seen_timestamp_seconds", ()):
        found[labels["source"]] = max(value, found.get(labels["source"], 0.0))
    return found


class _Head(msgspec.Struct):
    source: Any = None


_read_head = msgspec.json.Decoder(_Head).decode
_read_stated = msgspec.json.Decoder(Stated).decode


def _of_letters(settings: Settings) -> dict[str, Counter[str]]:
    """Count the dead letters that Kafka holds by whose messages they are; each place once."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    owners: dict[tuple[str, str, str], str] = {}
    told: set[tuple[str, str, str, str]] = set()
    without: list[tuple[tuple[str, str, str], str]] = []
    line = ProgressLine(f"reading {settings.topic(DEAD_LETTERS)}")
    try:
        for message in read_topics(settings, [DEAD_LETTERS], line.add):
            headers = _headers(message)
            place = (headers.get("topic", ""), headers.get("partition", ""), headers.get("offset", ""))
            letter = (*place, headers.get("line_id", ""))
            if letter in told:
                continue
            told.add(letter)
            without.append((place, headers.get("code", UNKNOWN)))
            if message.value():  # of an event of several lines one letter has it
                owners[place] = _owner(message.value())
    finally:
        line.end()
    for place, code in without:
        found[owners.get(place, UNKNOWN)][code] += 1
    return found


def _owner(value: bytes) -> str:
    try:
        name = _read_head(value).source
    except (msgspec.DecodeError, UnicodeDecodeError):
        return UNKNOWN
    return name if isinstance(name, str) and 0 < len(name) <= 64 and name.isprintable() else UNKNOWN


def _headers(message: Any) -> Mapping[str, str]:
    return {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or ()}


def _statements(settings: Settings) -> dict[str, list[Stated]]:
    """Give the statements of each source, the newest first."""
    newest: dict[bytes, Stated] = {}
    for message in read_topics(settings, [STATUSES]):
        key = message.key() or b""
        newest.pop(key, None)
        try:
            newest[key] = _read_stated(message.value() or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # none of the engine's, or deleted
    found: dict[str, list[Stated]] = defaultdict(list)
    for one in sorted(newest.values(), key=lambda one: (one.as_of or "", one.statement_id), reverse=True):
        found[one.source].append(one)
    return found


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
