"""Asks the engine how it is, for all pages at once: its endpoint and `engine:alive`, every 2 s while it is read.

Nobody looks, nothing is asked. Pages take the newest answer and never wait for the next, but for the very first.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from typing import Any, Final, NamedTuple

from flows.inspection.status import Look, Samples, facts, look
from flows.log import get_log
from schemas.settings import Settings
from schemas.topics import LANES

log = get_log(__name__)

EVERY_S: Final = 2.0
#: So long after the last page it is asked no more.
IDLE_S: Final = 15.0
FIRST_S: Final = 2.0
#: What both latencies are told at.
QUANTILES: Final = (0.5, 0.99)


class Seen(NamedTuple):
    """What is known of the engine."""

    #: as `atp status --json` prints it; empty: nothing was asked yet
    facts: dict[str, Any]
    #: by lane: seconds from an event until its number was readable, at each of QUANTILES; None: none came
    latency: dict[str, tuple[float | None, ...]]
    #: sources that are reported as stale, and when each source was last heard of (seconds since 1970)
    stale: tuple[str, ...]
    heard: dict[str, float]


NOTHING: Final = Seen({}, {}, (), {})


class EngineWatch:
    """Asks in a thread of its own, from `start` to `close`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen = NOTHING
        self._wanted_at = 0.0
        self._wanted, self._told, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="console engine", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ended.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def seen(self) -> Seen:
        """Give the newest answer, and have it renewed."""
        is_asleep = time.monotonic() - self._wanted_at > IDLE_S
        if is_asleep:
            self._told.clear()
        self._wanted_at = time.monotonic()
        self._wanted.set()
        if is_asleep and self._thread.is_alive():
            self._told.wait(FIRST_S)
        return self._seen

    def _run(self) -> None:
        before: Look | None = None
        now: Look | None
        is_told = False
        while not self._ended.is_set():
            self._wanted.wait()
            if time.monotonic() - self._wanted_at > IDLE_S:
                self._wanted.clear()
                before = None
                continue
            try:
                now = look(self._settings)
                self._seen = self._told_by(now, before)
            except Exception as strange:  # what answers there is none of ours; it may be the next time
                now, self._seen = None, NOTHING
                if not is_told:
                    is_told = True
                    log.warning(f"what answers cannot be read: {type(strange).__name__}: {strange}", kind="strange")
            self._told.set()
            before = now
            self._ended.wait(EVERY_S)

    def _told_by(self, now: Look, before: Look | None) -> Seen:
        return Seen(
            facts(self._settings, now, before),
            _latencies(now.samples, before.samples if before is not None else {}),
            tuple(sorted(labels["source"] for labels, value in now.samples.get("atp_source_stale", ()) if value)),
            _heard(now.samples),
        )


def _heard(samples: Samples) -> dict[str, float]:
    heard: dict[str, float] = {}
    for labels, value in samples.get("atp_source_last_seen_timestamp_seconds", ()):
        heard[labels["source"]] = max(value, heard.get(labels["source"], 0.0))
    return heard


def _latencies(now: Samples, before: Samples) -> dict[str, tuple[float | None, ...]]:
    """Give them of what came between two looks; where nothing did, since the engine's start."""
    found = {}
    for lane in LANES:
        total = _buckets(now, lane)
        fresh = {le: count - _buckets(before, lane).get(le, 0.0) for le, count in total.items()}
        counts = fresh if max(fresh.values(), default=0.0) > 0 else total
        found[lane] = tuple(_quantile(counts, quantile) for quantile in QUANTILES)
    return found


def _buckets(samples: Samples, lane: str) -> dict[float, float]:
    counts: dict[float, float] = defaultdict(float)
    for labels, value in samples.get("atp_event_to_redis_seconds_bucket", ()):
        if labels.get("lane") == lane:
            counts[float(labels["le"])] += value
    return dict(counts)


def _quantile(counts: dict[float, float], quantile: float) -> float | None:
    """Give the upper bound of the bucket it is in, as Prometheus' histograms can say it."""
    total = max(counts.values(), default=0.0)
    if total <= 0:
        return None
    for bound, count in sorted(counts.items()):
        if count >= quantile * total:
            return bound if not math.isinf(bound) else None
    return None
