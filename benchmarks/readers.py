"""The two who wait for probes, each a process of its own: a channel that reads Redis, a system that follows Kafka.

Latency runs from the moment a probe was *due*, not from when it was sent: a driver that was held up does not hide what
it did to those behind it. A probe that never came counts with the time it was waited for.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

import orjson
import redis
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from hdrh.histogram import HdrHistogram

from benchmarks import probes
from benchmarks.lab import REDIS_PREFIX, ROOT, TOPICS_PREFIX, Lab
from flows.embedded.child import die_with_parent
from schemas.topics import UPDATES

#: 1 microsecond to 10 minutes, three digits.
LOWEST, HIGHEST, DIGITS = 1, 600_000_000, 3
SHARES = (50.0, 90.0, 99.0, 99.9)
POLL_S = 0.0005
ASKED_AT_ONCE = 200
#: `consume` waits this long for a full batch: what it adds to a latency at most.
GATHER_S = 0.001
WINDOW_UNNAMED = "outside"


@dataclass(frozen=True, slots=True)
class Errand:
    """`windows`: (name, from, to) in seconds after the start; each has histograms of its own, a lane each."""

    kind: str
    address: str
    probe_rate: float
    count: int
    first_probe: int
    windows: list[tuple[str, float, float]]
    partitions: int
    patience_s: float


class Reader:
    """Starts the process and talks to it. `kind`: redis or updates."""

    def __init__(
        self, lab: Lab, kind: str, probe_rate: float, count: int, windows: list[tuple[str, float, float]],
        first_probe: int = 0, patience_s: float = 60.0,
    ) -> None:  # fmt: skip
        address = lab.servers.redis_url if kind == "redis" else lab.servers.bootstrap_servers
        parts = lab.settings.kafka.partitions
        errand = Errand(kind, address, probe_rate, count, first_probe, windows, parts, patience_s)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.readers"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - it takes no lock: one system call
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(errand)) + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == "ready"

    def start(self, at: float) -> None:
        """Tell when the driver begins, on the monotonic clock that all processes of a machine share."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{at}\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, Any]:
        """Wait for its account: for each window and lane percentiles and a curve, and a timeline by second."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert self._process.wait() == 0, f"the reader ended with {self._process.returncode}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """End it, wherever it is."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Record:
    """What was measured."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._histograms: dict[tuple[str, str], HdrHistogram] = {}
        self._by_second: defaultdict[int, list[float]] = defaultdict(list)
        self.lost = 0
        self._heard_at = 0.0
        self._silence_s_max = 0.0

    def note(self, number: int, latency_s: float) -> None:
        """Take one probe's latency."""
        due = number / self._errand.probe_rate
        heard_at = due + latency_s
        if self._heard_at:
            self._silence_s_max = max(self._silence_s_max, heard_at - self._heard_at)
        self._heard_at = heard_at
        window = next((name for name, begin, end in self._errand.windows if begin <= due < end), WINDOW_UNNAMED)
        for lane in (probes.lane_of(self._errand.first_probe + number), "all"):
            key = (window, lane)
            if key not in self._histograms:
                self._histograms[key] = HdrHistogram(LOWEST, HIGHEST, DIGITS)
            self._histograms[key].record_value(max(LOWEST, min(HIGHEST, round(latency_s * 1e6))))
        self._by_second[int(due)].append(latency_s * 1000)

    def account(self) -> dict[str, Any]:
        """Give all of it."""
        windows: dict[str, dict[str, Any]] = {}
        for (window, lane), histogram in sorted(self._histograms.items()):
            windows.setdefault(window, {})[lane] = _figures(histogram)
        timeline = [
            [second, round(sorted(some)[len(some) // 2], 2), round(max(some), 2)]
            for second, some in sorted(self._by_second.items())
        ]
        silence_ms = round(self._silence_s_max * 1000, 1)
        return {"windows": windows, "timeline": timeline, "lost": self.lost, "silence_ms_max": silence_ms}


def _figures(histogram: Any) -> dict[str, Any]:
    at = {f"p{share:g}_ms": round(histogram.get_value_at_percentile(share) / 1000, 2) for share in SHARES}
    curve = [
        [share, round(histogram.get_value_at_percentile(share) / 1000, 2)]
        for share in (0, 10, 25, 50, 75, 90, 95, 97, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.99, 100)
    ]
    return {
        "count": histogram.get_total_count(), **at,
        "max_ms": round(histogram.get_max_value() / 1000, 2), "curve": curve,
    }  # fmt: skip


class _Waiting:
    """Probes that are due and not yet seen."""

    def __init__(self, errand: Errand, start: float) -> None:
        self._errand, self._start = errand, start
        self._next = 0
        self.open: dict[int, None] = {}

    def refresh(self) -> bool:
        """Take up those that became due; False when all were seen or patience is at its end."""
        moment = time.monotonic() - self._start
        while self._next < self._errand.count and self.due_s(self._next) <= moment:
            self.open[self._next] = None
            self._next += 1
        is_over = self._next == self._errand.count
        return not (is_over and (not self.open or moment > self.due_s(self._next) + self._errand.patience_s))

    def due_s(self, number: int) -> float:
        return number / self._errand.probe_rate

    def latency_s(self, number: int, at: float) -> float:
        return at - self._start - self.due_s(number)

    def close(self, record: Record) -> None:
        """Count those that never came, with the time they were waited for."""
        moment = time.monotonic()
        for number in self.open:
            record.note(number, self.latency_s(number, moment))
            record.lost += 1


def _from_redis(errand: Errand, client: redis.Redis, start: float) -> Record:
    record, waiting = Record(errand), _Waiting(errand, start)
    turn = 0
    while waiting.refresh():
        if not waiting.open:
            time.sleep(POLL_S)
            continue
        numbers = list(waiting.open)
        if len(numbers) > ASKED_AT_ONCE:  # in turns, so that an urgent one is not found behind the oldest
            begin = turn % len(numbers)
            numbers = (numbers[begin:] + numbers[:begin])[:ASKED_AT_ONCE]
            turn += ASKED_AT_ONCE
        pipeline = client.pipeline(transaction=False)
        for number in numbers:
            pipeline.hget(f"{REDIS_PREFIX}atp:{probes.item_of(errand.first_probe + number)}", probes.CHANNEL)
        values = pipeline.execute()
        at = time.monotonic()
        for number, value in zip(numbers, values, strict=True):
            if value is not None and int(value) == probes.expected(errand.first_probe + number):
                record.note(number, waiting.latency_s(number, at))
                del waiting.open[number]
        time.sleep(POLL_S)
    waiting.close(record)
    return record


def _from_updates(errand: Errand, consumer: Consumer, start: float) -> Record:
    record, waiting = Record(errand), _Waiting(errand, start)
    prefix, suffix = probes.PREFIX.encode(), f":{probes.CHANNEL}".encode()
    while waiting.refresh():
        for message in consumer.consume(1000, GATHER_S):
            key = message.key()
            if key is None or not key.startswith(prefix) or not key.endswith(suffix) or message.error():
                continue
            at = time.monotonic()
            number = int(key[len(prefix) : -len(suffix)]) - errand.first_probe
            if number not in waiting.open:
                waiting.refresh()  # it became due a moment ago
            if number in waiting.open and orjson.loads(message.value())["atp"] == probes.expected(
                errand.first_probe + number
            ):
                record.note(number, waiting.latency_s(number, at))
                del waiting.open[number]
    waiting.close(record)
    return record


def main() -> None:
    """Run one errand."""
    errand = Errand(**json.loads(sys.stdin.readline()))
    if errand.kind == "redis":
        client = redis.Redis.from_url(errand.address)
        client.ping()
        print("ready", flush=True)
        record = _from_redis(errand, client, float(sys.stdin.readline()))
    else:
        consumer = Consumer(
            {
                "bootstrap.servers": errand.address,
                "group.id": "bench-reader",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 5,
                "fetch.min.bytes": 100_000,
                "fetch.queue.backoff.ms": 2,
                "log_level": 2,
            }
        )
        names = [TOPICS_PREFIX + name for name in UPDATES]
        consumer.assign([TopicPartition(name, n, OFFSET_END) for name in names for n in range(errand.partitions)])
        consumer.consume(1, 0.5)  # positions are looked up now, not at the first probe
        print("ready", flush=True)
        record = _from_updates(errand, consumer, float(sys.stdin.readline()))
        consumer.close()
    print(json.dumps(record.account()), flush=True)


if __name__ == "__main__":
    main()
