"""What is read beside a running engine: a series of samples, and the stalls that a reader of Redis would see."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

import redis

from benchmarks.engine import APPLIED, Engine, EngineFailed
from benchmarks.lab import REDIS_PREFIX, Lab

SAMPLE_EVERY_S = 0.2
LAG_EVERY_S = 0.5
#: One in twenty is sent twice, one in a thousand cannot be used.
APPLIED_MIN = 0.85
STALL_POLL_S = 0.002
#: Shorter gaps are the rhythm of slices, not stalls.
STALL_FROM_MS = 5.0
FENCE = f"{REDIS_PREFIX}engine:fence"


class Sampler:
    """A thread that notes, several times a second, what the engine has done and used; a context manager."""

    def __init__(self, lab: Lab, engine: Engine, with_lag: bool = False) -> None:
        self._lab, self.engine, self._with_lag = lab, engine, with_lag
        self.started = time.monotonic()
        #: [seconds, units judged, processor seconds, MB]
        self.samples: list[tuple[float, float, float, float]] = []
        #: the engine's own counters, when it last answered
        self.counters: dict[str, float] = {}
        #: [seconds, messages behind]
        self.lags: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._sample, daemon=True)]
        if with_lag:
            self._threads.append(threading.Thread(target=self._measure_lag, daemon=True))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def lag_slope(self, begin: float, end: float) -> float:
        """Give by how many messages a second the lag grew between two moments (least squares); NaN: too few looks."""
        points = [(at, lag) for at, lag in self.lags if begin <= at < end]
        if len(points) < 3:
            return float("nan")
        at_mean = sum(at for at, _ in points) / len(points)
        lag_mean = sum(lag for _, lag in points) / len(points)
        spread = sum((at - at_mean) ** 2 for at, _ in points)
        return sum((at - at_mean) * (lag - lag_mean) for at, lag in points) / spread

    def epoch_commit_ms(self) -> float:
        """Give how long an epoch took to be safe, on average, as the engine counts it: no input is read meanwhile."""
        count = self.counters.get("atp_epoch_commit_seconds_count", 0.0)
        return self.counters["atp_epoch_commit_seconds_sum"] / count * 1000 if count else float("nan")

    def applied_share(self) -> float:
        """Give the share of units that were applied. Refusals are cheap: a figure made of them would say nothing."""
        share = self.counters[APPLIED] / max(1.0, self.counters["atp_units_total"])
        if share < APPLIED_MIN:
            raise EngineFailed(f"only {share:.0%} of the units were applied: this measured something else")
        return share

    def rss_mb_max(self) -> float:
        """The most memory of any sample."""
        return max((sample[3] for sample in self.samples), default=0.0)

    def busy(self) -> tuple[float, float]:
        """Give the moments around the work: the last sample before the first unit, the first that holds all."""
        if not self.samples:
            return 0.0, 0.0
        first, total = self.samples[0][1], self.samples[-1][1]
        begun = max((s[0] for s in self.samples if s[1] <= first), default=0.0)
        done = next(s[0] for s in self.samples if s[1] >= total)
        return begun, max(done, begun)

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_S):
            engine = self.engine  # another one after a kill
            counters = engine.counters()
            units = counters["atp_units_total"]
            self.counters = {name: max(value, self.counters.get(name, 0.0)) for name, value in counters.items()}
            if units or not self.samples:  # an engine that is starting or ending does not answer
                row = (time.monotonic() - self.started, units, engine.cpu_s(), engine.rss_mb())
                self.samples.append(row)

    def _measure_lag(self) -> None:
        while not self._ended.wait(LAG_EVERY_S):
            behind = self._lab.unpublished()
            self.lags.append((time.monotonic() - self.started, float(behind)))


class Stalls:
    """Watches the number of Redis' last flush and notes how long it stood still; a context manager.

    Measured from outside, as a reader would feel it, while there is always something to write. What the observer missed
    because it was not running itself does not count: a gap is the time between two looks that saw the same number.
    """

    def __init__(self, lab: Lab) -> None:
        self._client = redis.Redis.from_url(lab.servers.redis_url)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.gaps_ms: list[float] = []
        self.polls = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def bytes_sent(self) -> int:
        """What the looks themselves cost in bytes to Redis: `*2 $7 HGETALL $n key`."""
        return self.polls * (len("*2\r\n$7\r\nHGETALL\r\n$17\r\n\r\n") + len(FENCE))

    def figures(self) -> dict[str, float]:
        """The longest gap, the 99th percentile of those that are stalls, and how many those were."""
        stalls = sorted(gap for gap in self.gaps_ms if gap >= STALL_FROM_MS)
        if not stalls:
            return {"stall_ms_max": 0.0, "stall_ms_p50": 0.0, "stalls": 0}
        return {"stall_ms_max": stalls[-1], "stall_ms_p50": stalls[len(stalls) // 2], "stalls": len(stalls)}

    def _watch(self) -> None:
        seen: object = None
        first = last = time.monotonic()
        begun = False
        while not self._ended.wait(STALL_POLL_S):
            flushes = {k: v for k, v in self._client.hgetall(FENCE).items() if k.startswith(b"flush:")}
            self.polls += 1
            at = time.monotonic()
            if flushes != seen:
                if begun:
                    self.gaps_ms.append((last - first) * 1000)
                begun = seen is not None and bool(flushes)
                seen, first = flushes, at
            last = at
