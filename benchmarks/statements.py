"""Statements beside live traffic: rows a second, what a row costs, what traffic feels, memory, how fast a hold is.

    python -m benchmarks.statements [--statements 2] [--rows 20000] [--rate 300] [--before 20] [--most 120]
    python -m benchmarks.statements --statements 20 --rows 1000000 --rate 2000 --before 60 --most 1500    # the mark

The mark: 20 statements of 1,000,000 rows, 95 % agreeing, within 20 minutes on 2 cores beside 2,000 events a second,
whose p99 stays within 1.5 times of what it is without; memory flat; a hold in Redis within 1 s of its verdict.

1. Every cell holds stock; an engine runs, and traffic with probes. That is "before".
2. The statements are sent, each by a source of its own, as of half an hour ago: they are due at once. In their middle
   a small one comes, whose differences are to be held: how long it takes from the verdict's time in Kafka to Redis.
3. What traffic felt is told by windows of some seconds, of those that lie wholly before or within the work.
"""

from __future__ import annotations

import argparse
import json
import math
import threading
import time
from collections.abc import Iterator
from statistics import median
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from benchmarks.driver import Driver
from benchmarks.lab import REDIS_PREFIX, Lab
from benchmarks.sampling import Sampler
from benchmarks.session import Session, Timetable
from flows.kafka.clients import consumer_config
from flows.runtime.run import now
from flows.traffic.profile import Message, Profile, item_code, location_code
from schemas.times import time_text
from schemas.topics import STATEMENTS, STATUSES, WAREHOUSE

RECONCILIATION = "inventory.reconciliation"
MINUTE = 60_000_000
LOCATIONS, ON_HAND = 5, 1_000
#: of 100 rows so many differ; at most as many may, by default
DIFFERING, OF = 5, 100
HELD, HELD_ROWS = "held", 100
PROBE_RATE = 50.0
WINDOW_S = 5.0
#: before the load is even, nothing is looked at
WARM_S = 2.0
WAREHOUSE_KEYS = 4096


def stock(items: int, at: int) -> Iterator[Message]:
    """Give what puts stock in every cell."""
    moment = time_text(at)
    for number in range(items):
        for place in range(LOCATIONS):
            value = (
                f'{{"event_id":"s-{number}-{place}","type":"stock_received","source":"wms","occurred_at":"{moment}",'
                f'"item":"{item_code(number)}","location":"{location_code(place)}","quantity":{ON_HAND}}}'
            )
            yield WAREHOUSE, b"%d" % (number % WAREHOUSE_KEYS), value.encode()


def statement(source: str, rows: int, items: int, as_of: int, first: int = 0) -> Iterator[Message]:
    """Give all of one statement: start, rows, end; `first`: the item that it begins with."""
    moment, key = time_text(as_of), source.encode()
    head = f'"source":"{source}","statement_id":"{source}-{as_of}","occurred_at":"{moment}"'

    def message(name: str, kind: str, more: str) -> Message:
        return STATEMENTS, key, f'{{"event_id":"{name}","type":"{kind}",{head}{more}}}'.encode()

    yield message("start", "statement_started", f',"rows":{rows}')
    for number in range(rows):
        theirs = ON_HAND - (1 + number % 7 if number % OF < DIFFERING else 0)
        item, place = item_code((first + number) % items), location_code(number // items)
        yield message(f"{number}", "stock_stated", f',"item":"{item}","location":"{place}","on_hand":{theirs}')
    yield message("end", "statement_ended", f',"rows":{rows}')


class Verdicts(threading.Thread):
    """Follows what becomes of the statements, and when holds can be read."""

    def __init__(self, lab: Lab, first_held: int) -> None:
        super().__init__(daemon=True)
        self._lab, self._first_held = lab, first_held
        #: source -> (verdict, seen, Kafka's time in seconds)
        self.fell: dict[str, tuple[str, int, float]] = {}
        self.hold_s = math.nan
        self._is_over = threading.Event()

    def run(self) -> None:
        """Read until `end`."""
        settings = self._lab.settings
        consumer = Consumer(consumer_config(settings))
        topic = settings.topic(STATUSES)
        parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in parts])
        while not self._is_over.is_set():
            for message in consumer.consume(100, 0.01):
                if message.error() is not None or message.value() is None:
                    continue
                said = json.loads(message.value())
                if said["verdict"] != "pending" and said["source"] not in self.fell:
                    at = message.timestamp()[1] / 1000
                    self.fell[said["source"]] = (said["verdict"], said["seen"], at)
                    if said["source"] == HELD:
                        self.hold_s = self._until_held() - at
        consumer.close()

    def _until_held(self) -> float:
        """Wait until the last of what is to be held can be read."""
        last = max(number for number in range(HELD_ROWS) if number % OF < DIFFERING)
        key = f"{REDIS_PREFIX}position:{item_code(self._first_held + last)}"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if int(self._lab.redis.hget(key, f"{location_code(0)}:withheld") or 0):
                return time.time()
            time.sleep(0.002)
        return math.nan

    def end(self) -> None:
        """Read no more."""
        self._is_over.set()
        self.join()


class Work:
    """Sends the statements while traffic goes on, and notes when it began and when all was judged."""

    def __init__(self, lab: Lab, told: argparse.Namespace, items: int) -> None:
        self._lab, self._told, self._items = lab, told, items
        # Of those that traffic seldom names: what was counted since as_of is not held.
        self._first_held = max(0, items - HELD_ROWS)
        self.verdicts = Verdicts(lab, self._first_held)
        self.begun_s = self.sent_s = self.done_s = math.nan

    def __call__(self, start: float, driver: Driver, sampler: Sampler) -> None:
        """Do it, from the end of "before" on."""
        time.sleep(max(0.0, start + self._told.before - time.monotonic()))
        self.begun_s = time.monotonic() - start
        self.verdicts.start()
        as_of = now() - 30 * MINUTE
        for number in range(self._told.statements):
            if number == self._told.statements // 2:
                self._lab.send(statement(HELD, HELD_ROWS, self._items, as_of, self._first_held))
            self._lab.send(statement(f"erp-{number}", self._told.rows, self._items, as_of))
        self.sent_s = time.monotonic() - start
        wanted = self._told.statements + 1
        while len(self.verdicts.fell) < wanted and time.monotonic() < start + self._told.before + self._told.most:
            sampler.engine.check()
            time.sleep(0.05)
        if len(self.verdicts.fell) == wanted:
            self.done_s = time.monotonic() - start
        time.sleep(1.0)
        self.verdicts.end()


def at(samples: list[tuple[float, float, float, float]], moment: float) -> tuple[float, float]:
    """Give processor seconds and MB at a moment."""
    one = min(samples, key=lambda sample: abs(sample[0] - moment))
    return one[2], one[3]


def p99s(outcome: Any, begin: float, end: float, windows: list[tuple[str, float, float]]) -> list[float]:
    """Give p99 of each window that lies wholly between."""
    inside = [name for name, first, last in windows if begin <= first and last <= end]
    return [found["p99_ms"] for name in inside if (found := outcome.latency(name)) and found.get("count")]


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--statements", type=int, default=2)
    parser.add_argument("--rows", type=int, default=20_000, help="of each")
    parser.add_argument("--rate", type=float, default=300.0, help="events a second beside them")
    parser.add_argument("--before", type=float, default=20.0, help="seconds of traffic alone")
    parser.add_argument("--most", type=float, default=120.0, help="seconds that traffic goes on behind that")
    told = parser.parse_args()
    items = -(-told.rows // LOCATIONS)
    seconds = told.before + told.most
    windows = [(f"{n}", n * WINDOW_S, (n + 1) * WINDOW_S) for n in range(int(seconds / WINDOW_S))]
    profile = Profile(round(told.rate * seconds), items, LOCATIONS)
    timetable = Timetable(profile, [(told.rate, seconds)], windows, PROBE_RATE, follow_kafka=False)
    with Lab() as lab:
        lab.send([(RECONCILIATION, HELD.encode(), b'{"source":"%s","actions":{"on_hand":"hold"}}' % HELD.encode())])
        with Session(lab, profile, timetable.probe_count()) as session:
            lab.send(stock(items, now() - 60 * MINUTE))
            session.wait_until_caught_up()
            work = Work(lab, told, items)
            outcome = session.drive(timetable, work)
    samples = outcome.sampler.samples
    done = work.done_s if not math.isnan(work.done_s) else samples[-1][0]
    fell = {name: verdict for name, (verdict, _, _) in work.verdicts.fell.items()}
    rows = sum(seen for _, seen, _ in work.verdicts.fell.values())
    (warm, _), (begun, rss_begin), (ended, _) = (at(samples, one) for one in (WARM_S, work.begun_s, done))
    alone = (begun - warm) / (work.begun_s - WARM_S)
    before, during = p99s(outcome, WARM_S, work.begun_s, windows), p99s(outcome, work.begun_s, done, windows)
    result = {
        "statements": len(fell),
        "accepted": sum(verdict == "accepted" for verdict in fell.values()),
        "rows": rows,
        "seconds": round(done - work.begun_s, 1),
        "all_judged": not math.isnan(work.done_s),
        "sent_within_s": round(work.sent_s - work.begun_s, 1),
        "rows_per_s": round(rows / (done - work.begun_s)),
        "cpu_us_a_row": round((ended - begun - alone * (done - work.begun_s)) / max(rows, 1) * 1e6, 1),
        "cores_before": round(alone, 2),
        "cores_during": round((ended - begun) / (done - work.begun_s), 2),
        "p99_ms_before": round(median(before), 1) if before else None,
        "p99_ms_during": round(median(during), 1) if during else None,
        "p99_ms_during_worst": round(max(during), 1) if during else None,
        "rss_mb": [round(rss_begin)]
        + [round(at(samples, work.begun_s + (done - work.begun_s) * n / 4)[1]) for n in range(1, 5)],
        "hold_s": round(work.verdicts.hold_s, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
