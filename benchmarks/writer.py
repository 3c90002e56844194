"""What the writer costs, from what shards say to Redis and Kafka: processor time an event, by thread and by part.

    python -m benchmarks.writer [--events 200000] [--items 100000] [--poll 1000] [--parts]
    python -m benchmarks.writer --dry

The peers' job goes through real shards first; what they said is then fed, poll by poll, to the real publisher with a
real Valkey and Kafka. `--parts` says where the writer's time goes, and costs some itself: the totals are those of a
run without it. `--dry` leaves servers, their clients and threads out, lets lingers end as at 100,000 events a second,
and gives what a poll takes when the machine does little else: the lowest tenth of all.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import wraps
from itertools import islice
from operator import methodcaller
from pathlib import Path
from typing import Any

import psutil

from benchmarks.hot_path import reference_loop
from benchmarks.peers import contestants, workload
from flows.dataflow.steps import PublishPart
from flows.embedded import Servers
from flows.kafka import topics
from flows.monitoring.metrics import Metrics
from flows.processes.worker import SWITCH_INTERVAL_S
from flows.publishing import kafka_writer
from flows.publishing.kafka_writer import OutgoingKafka
from flows.publishing.lanes import Lanes
from flows.publishing.publisher import Publisher
from flows.publishing.writer import Writer
from flows.readmodel.redis_model import RedisModel
from flows.readmodel.store import Store
from flows.runtime.clock import Clock as WallClock
from flows.runtime.run import Run, Shared, now
from flows.settings import load_settings, redis_address
from operators import decode
from operators.lane_queue import LaneQueue
from operators.outbox import Outbox
from operators.reference import ReferenceTables, unpack_topology
from operators.route import shard_of
from operators.shard import Shard, ShardConfig
from schemas.messages import Inbound, Outcome, TopologyRecord, UnitBatch
from schemas.units import Origin, Refusal, Unit

SHARDS = 64
EPOCH_S = 1.0
#: How fast events come by the clock of `--dry`: microseconds an event.
PACE_US = 10
#: By way of a function in C, which valgrind can be told to count in:
#: valgrind --tool=callgrind --toggle-collect=methodcaller_call python -m benchmarks.writer --dry --items 2000
WORK = methodcaller("work")

#: What the writer's time is divided into, where there is such a function: each without what is called within it.
PARTS: tuple[tuple[str, Any, str], ...] = (
    ("take", Publisher, "_take_inbox"),
    ("outbox", Outbox, "add"),
    ("outbox", Outbox, "slice"),
    ("encode for Redis", RedisModel, "pack"),
    ("Redis, with the wait", Store, "write"),
    ("Redis, with the wait", Store, "write_slices"),
    ("metrics", Metrics, "count"),
    ("metrics", Metrics, "wrote"),
    ("metrics", Metrics, "sent"),
    ("slice, and on to the lanes", Writer, "write_slices"),
    ("on to the lanes", Lanes, "forward"),
    ("lanes: due", LaneQueue, "due"),
    ("encode and produce updates", OutgoingKafka, "send_update"),
    ("encode and produce updates", OutgoingKafka, "send_updates"),
    ("encode and produce positions", OutgoingKafka, "send_position"),
    ("encode and produce positions", OutgoingKafka, "send_positions"),
    ("Kafka: poll", OutgoingKafka, "poll"),
    ("Kafka: flush", OutgoingKafka, "flush"),
    ("send what is due", Lanes, "send_updates"),
    ("send what is due", Lanes, "send_positions"),
    ("barrier", Publisher, "barrier"),
    ("work", Publisher, "work"),
)


class Clock:
    """Lets nothing be forgotten."""

    def recorded(self) -> int | None:
        """Nothing has passed."""
        return None

    def has_passed(self, part: str, offset: int) -> bool:
        """Nothing has passed."""
        return False


class PacedClock(WallClock):
    """The wall clock of `--dry`: moved by hand."""

    def __init__(self) -> None:
        self.moment = now()

    def now(self) -> int:
        """Give where it was moved to."""
        return self.moment


class DryStore(Store):
    """Packs all there is to write, and is told that it was taken."""

    def reached(self, shard: int) -> tuple[bytes | None, bool]:
        """Nothing is published, and Redis is whole."""
        return None, True

    def join(self) -> None:
        """This run's."""

    def rejected(self) -> int:
        """None."""
        return 0

    def all_of(self, key: str) -> dict[bytes, bytes]:
        """Nothing."""
        return {}

    def _exchange(self, packed: Sequence[bytes]) -> list[Any]:
        return [b"OK" for _ in packed if len(b"".join(packed))]


class DryProducer:
    """Takes what is to go to Kafka, and drops it."""

    def __init__(self, _: object) -> None:
        self.taken = 0

    def produce(self, topic: str, value: object, key: object, headers: object = None) -> None:
        """Count it."""
        self.taken += 1

    def poll(self, _: float) -> None:
        """Nothing failed."""

    def flush(self, _: float) -> int:
        """All is delivered."""
        return 0

    def __len__(self) -> int:
        return 0


class Parts:
    """Charges the writer's thread for each part what passes in it and in nothing that it calls."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._open: list[str] = []
        self._since = 0.0

    def watch(self) -> None:
        """Wrap what there is of PARTS."""
        for name, owner, attribute in PARTS:
            if hasattr(owner, attribute):
                with suppress(TypeError):  # of a class that Cython has compiled: charged to who calls it
                    setattr(owner, attribute, self._wrapped(name, getattr(owner, attribute)))

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def charged(*arguments: Any, **named: Any) -> Any:
            self._charge()
            self._open.append(name)
            try:
                return call(*arguments, **named)
            finally:
                self._charge()
                self._open.pop()

        return charged

    def _charge(self) -> None:
        moment = time.thread_time()
        if self._open:
            about = self._open[-1]
            self.spent[about] = self.spent.get(about, 0.0) + moment - self._since
        self._since = moment


class Shards:
    """Decodes the job's events and says what follows, poll by poll, as the dataflow does."""

    def __init__(self, shape: workload.Shape, poll: int) -> None:
        self._shape, self._poll = shape, poll
        tables = ReferenceTables()
        records = [
            (topic.removeprefix("inventory."), Origin(topic, 0, offset, 0, key, value))
            for offset, (topic, key, value) in enumerate(workload.reference(shape))
        ]
        accepted, _, _ = tables.accept(records, now(), 0)
        config = ShardConfig(SHARDS, 86_400_000_000)
        self._shards = [Shard(n, config, None, now, Clock()) for n in range(SHARDS)]  # type: ignore[arg-type]
        self._inbound: list[list[Inbound]] = [[TopologyRecord(tables.pack(), n)] for n in range(SHARDS)]
        for record in accepted:
            self._inbound[shard_of(record.item, SHARDS)].append(record)
        self.topology = unpack_topology(tables.pack())
        #: items, channels and figures that changed in what was said of events
        self.changed = [0, 0, 0]

    def first(self) -> Iterator[list[Outcome]]:
        """Give what they say of the reference data."""
        for number, some in enumerate(self._inbound):
            for start in range(0, len(some), 512):
                yield self._heard(number, some[start : start + 512])

    def polls(self) -> Iterator[list[Outcome]]:
        """Give what they say of the events."""
        known = decode.CodeSets(frozenset(self.topology.locations), frozenset(self.topology.channels))
        decoder = decode.Decoder(decode.DecoderConfig({workload.WAREHOUSE: "warehouse"}), known)
        messages = workload.events(self._shape, now())
        offset = 0
        while chunk := list(islice(messages, self._poll)):
            batches: dict[int, UnitBatch] = {}
            units: list[Unit] = []
            refusals: list[Refusal] = []
            moment = now()
            for topic, key, value in chunk:
                decoder.decode(Origin(topic, 0, offset, moment // 1000, key, value), moment, units, refusals, True)
                offset += 1
            assert not refusals, refusals[0]
            for unit in units:
                batch = batches.setdefault(shard_of(unit.item, SHARDS), UnitBatch("warehouse/0", offset, []))
                batch.units.append(unit)
            outcomes = [outcome for number, batch in batches.items() for outcome in self._heard(number, [batch])]
            for outcome in outcomes:
                self.changed[0] += len(outcome.updates)
                for update in outcome.updates:
                    self.changed[1] += len(update.channels)
                    self.changed[2] += len(update.fields)
            yield outcomes

    def _heard(self, number: int, messages: Sequence[Inbound]) -> list[Outcome]:
        outcome = self._shards[number].process(messages)
        return [] if outcome is None else [outcome]


def feed(publisher: Publisher, parts: list[PublishPart], polls: Iterator[list[Outcome]]) -> float:
    """Hand polls over as the dataflow does, each when the one before is being written; an epoch a second."""
    spent = 0.0
    epoch_at = time.monotonic() + EPOCH_S
    for outcomes in polls:
        while len(publisher.handover) or len(publisher.writer.outbox) > 100:
            time.sleep(0.0002)
        began = time.thread_time()
        for outcome in outcomes:
            parts[outcome.shard].write_batch([outcome])
        spent += time.thread_time() - began
        if time.monotonic() >= epoch_at:
            epoch(parts)
            epoch_at = time.monotonic() + EPOCH_S
    return spent


def epoch(parts: list[PublishPart]) -> None:
    """End an epoch as the dataflow does."""
    for part in parts:
        part.snapshot()


def thread_s() -> float:
    """Give the processor time of the writer's thread."""
    (ident,) = (thread.ident for thread in threading.enumerate() if thread.name == "publisher")
    assert ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(ident))


def servers_s() -> float:
    """Give the processor time of Kafka and Valkey."""
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children())


def reference_s_now() -> float:
    """Give what the fixed loop of the hot path's guard takes: how slow this machine is, with all that else it does."""
    began = time.thread_time()
    reference_loop()
    return time.thread_time() - began


def measure(told: argparse.Namespace, servers: Servers, folder: Path) -> dict[str, Any]:
    """Feed it all and give what it took."""
    shape = workload.Shape(told.events, told.items)
    shards = Shards(shape, told.poll)
    settings = load_settings(None, contestants.engine_settings(servers.bootstrap_servers, servers.redis_url, folder))
    topics.create(settings)
    store = Store(redis_address(settings.redis), settings.redis.prefix)
    run = Run(settings, store.claim(0), until_caught_up=True)
    store.close()
    shared, metrics = Shared(run), Metrics()
    shared.known.update(shards.topology)
    parts_of = Parts()
    if told.parts:
        parts_of.watch()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.disable()
    publisher = Publisher(shared, metrics)
    parts = [PublishPart(publisher, number, None) for number in range(SHARDS)]
    feed(publisher, parts, shards.first())
    epoch(parts)
    parts_of.spent = {}
    reference_s = reference_s_now()
    cpu_s, writer_s, own_s, began = time.process_time(), thread_s(), time.thread_time(), time.monotonic()
    theirs_s, sent = servers_s(), sum(map(sum, metrics._by_channel.values()))
    handing_s = feed(publisher, parts, shards.polls())
    epoch(parts)
    epoch(parts)
    seconds = time.monotonic() - began
    reference_s = (reference_s + reference_s_now()) / 2
    cpu_s, writer_s = time.process_time() - cpu_s, thread_s() - writer_s
    own_s, theirs_s = time.thread_time() - own_s, servers_s() - theirs_s
    items, channels, figures = shards.changed
    sent = sum(map(sum, metrics._by_channel.values())) - sent
    publisher.close()

    def an_event(spent: float) -> float:
        return round(spent / shape.events * 1e6, 2)

    return {
        "events": shape.events,
        "items written an event": round(items / shape.events, 2),
        "channels changed an event": round(channels / shape.events, 2),
        "figures changed an event": round(figures / shape.events, 2),
        "updates sent an event": round(sent / shape.events, 2),
        "events a second": round(shape.events / seconds),
        "µs an event: writer's thread": an_event(writer_s),
        "µs an event: handing over": an_event(handing_s),
        "µs an event: Kafka's client, other threads": an_event(cpu_s - writer_s - own_s),
        "µs an event: all of these": an_event(cpu_s - own_s + handing_s),
        "µs an event: servers": an_event(theirs_s),
        "ms the reference loop takes here and now": round(reference_s * 1e3, 1),
        "rss MB": psutil.Process().memory_info().rss >> 20,
        "parts": {name: an_event(spent) for name, spent in sorted(parts_of.spent.items(), key=lambda one: -one[1])},
    }


def measure_dry(told: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Let one thread do it all, and only clock what it writes; of windows of equal size the least counts."""
    shape = workload.Shape(told.events, told.items)
    shards = Shards(shape, told.poll)
    settings = load_settings(None, contestants.engine_settings("127.0.0.1:1", "redis://127.0.0.1:1", folder))
    kafka_writer.Producer = DryProducer  # type: ignore[assignment,misc]
    gc.disable()
    shared = Shared(Run(settings, 1, until_caught_up=True))
    shared.known.update(shards.topology)
    clock, metrics = PacedClock(), Metrics()
    kafka = OutgoingKafka(settings, shared.stop, metrics)
    publisher = Publisher(shared, metrics, connect=DryStore, kafka=lambda *_: kafka, clock=clock, has_thread=False)
    publisher.join()
    parts = [PublishPart(publisher, number, None) for number in range(SHARDS)]
    for outcomes in shards.first():
        for outcome in outcomes:
            parts[outcome.shard].write_batch([outcome])
    publisher.work()
    publisher.barrier()
    producer: Any = kafka._producer
    producer.taken = 0
    writing, handing, reference = [], [], []
    clock.moment = now()
    for outcomes in shards.polls():
        clock.moment += told.poll * PACE_US
        began = time.thread_time()
        for outcome in outcomes:
            parts[outcome.shard].write_batch([outcome])
        handed = time.thread_time()
        WORK(publisher)
        writing.append(time.thread_time() - handed)
        handing.append(handed - began)
        if len(writing) % 10 == 1:
            reference.append(reference_s_now())

    def an_event(spent: list[float], part: int) -> float:
        return round(sorted(spent)[len(spent) // part] / told.poll * 1e6, 2)

    items, channels, _ = shards.changed
    return {
        "events": shape.events,
        "items written an event": round(items / shape.events, 2),
        "channels changed an event": round(channels / shape.events, 2),
        "messages to Kafka an event": round(producer.taken / shape.events, 2),
        "µs an event: writing": an_event(writing, 10),
        "µs an event: writing, median": an_event(writing, 2),
        "µs an event: handing over": an_event(handing, 10),
        "ms the reference loop takes": round(sorted(reference)[len(reference) // 10] * 1e3, 1),
        "ms the reference loop takes, median": round(sorted(reference)[len(reference) // 2] * 1e3, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--poll", type=int, default=1000, help="events a poll")
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--dry", action="store_true", help="without servers")
    told = parser.parse_args()
    if told.dry:
        with tempfile.TemporaryDirectory() as name:
            print(json.dumps(measure_dry(told, Path(name)), indent=1, ensure_ascii=False))
        return
    with tempfile.TemporaryDirectory() as name, Servers(Path(name)) as servers:
        print(json.dumps(measure(told, servers, Path(name) / "engine"), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
