"""What an adapter adds from received to readable: `python -m benchmarks.adapter [--rate N] [--seconds N]`.

The same receipt of goods goes two ways by turns, in one run on one engine: as a shop's document by HTTP to
`atp receive`, through the raw topic and `atp translate`; and as an event straight into `inventory.warehouse`. Each has
an item of its own. Its time runs from when it was due to when Redis tells that the item's `position:` was written: all
of both ways is compared, the HTTP request and its acknowledgment included. Webhooks come from several connections, so
that a slow answer keeps nothing else waiting. A real Kafka, a real Valkey, three processes of `atp`.

It ends with figures, or with a sentence that says what did not come and the ends of the logs: each wait has an end.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import redis
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from benchmarks.intake import wait_until_ready
from flows.embedded import Servers
from flows.embedded.child import HOST, free_port

SECRET: Final = "shop-secret"
WARM_UP_S: Final = 5.0
PATIENCE_S: Final = 60.0
#: A process that does not end by itself in so long is ended by force.
END_SECONDS_MAX: Final = 15.0
CONNECTIONS: Final = 8
#: What an adapter may add to the 99th percentile.
ADDED_MS_MAX: Final = 20.0
#: Of what did not come so many are named.
NAMED_MAX: Final = 10
DIRECT, ADAPTED = "D", "A"
WAYS: Final = (DIRECT, ADAPTED)
RAW, EVENTS = "inventory.raw.shop", "inventory.warehouse"
CONFIG = """
[sources.shop]
mapping = "shop.toml"
aliases = "first"

[sources.shop.receive]
signature = "shopify"
secret_variables = ["SHOP_SECRET"]
"""
MAPPING = """
kind = "json"

[[rules]]
becomes = "stock_received"
id = ["number"]
[rules.fields]
item = "sku"
location = "site"
quantity = "pieces"
occurred_at = "at"
"""


def item_of(way: str, number: int) -> str:
    """Name the item of one message."""
    return f"{way}-{number:06d}"


def tell(sentence: str) -> None:
    """Say what is being done: a run takes minutes."""
    print(sentence, file=sys.stderr, flush=True)


class Running:
    """The processes of `atp`, each with a log of its name."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start one."""
        with (self._folder / f"{command[0]}.log").open("wb") as log:
            whole = [sys.executable, "-m", "flows.cli", *command]
            process = subprocess.Popen(whole, cwd=self._folder, env=self._environment, stdout=log, stderr=log)
        self.processes[command[0]] = process
        return process

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait; SystemExit with the ends of the logs where it takes too long, or a process has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            if ended:
                raise SystemExit(f"atp {', '.join(ended)} ended while {what} was waited for\n{self.logs()}")
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {PATIENCE_S:g} s: {what}\n{self.logs()}")
            time.sleep(0.05)

    def wait_until_ended(self) -> None:
        """Wait until each has ended well; SystemExit with the ends of the logs where one has not."""
        for name, process in self.processes.items():
            with suppress(subprocess.TimeoutExpired):
                if process.wait(PATIENCE_S) == 0:
                    continue
            raise SystemExit(f"atp {name} did not end well within {PATIENCE_S:g} s\n{self.logs()}")

    def logs(self) -> str:
        """Give the end of each log."""
        found = (self._folder / f"{name}.log" for name in self.processes)
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in found)

    def end(self) -> None:
        """End all, by force if need be."""
        for process in self.processes.values():
            process.terminate()
        for name, process in self.processes.items():
            try:
                process.wait(END_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                tell(f"atp {name} did not end within {END_SECONDS_MAX:g} s: it is killed")
                process.kill()
                process.wait()


class Arrivals:
    """Hears from Redis when an item's position is written: every write of a hash is told, and only its first counts."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url)
        self._redis.config_set("notify-keyspace-events", "Kh")
        self.at: dict[str, float] = {}
        self._ended = threading.Event()
        self._heard = self._redis.pubsub(ignore_subscribe_messages=True)
        self._heard.psubscribe("__keyspace@*__:position:*")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._ended.is_set():
            message = self._heard.get_message(timeout=0.2)
            if message is not None:
                now = time.perf_counter()
                self.at.setdefault(message["channel"].rpartition(b":")[2].decode(), now)

    def items(self) -> int:
        """How many items Redis has."""
        return int(self._redis.zcard("engine:items"))

    def close(self) -> None:
        """Hear no more."""
        self._ended.set()
        self._thread.join(END_SECONDS_MAX)
        self._redis.close()


class Ways:
    """Sends a message by one way or the other; no message waits for another's answer."""

    def __init__(self, servers: Servers, port: int) -> None:
        self._port = port
        self._producer = Producer({"bootstrap.servers": servers.bootstrap_servers, "linger.ms": 0, "log_level": 0})
        self._senders = ThreadPoolExecutor(CONNECTIONS)
        self._own = threading.local()
        self._posts: list[Future[float]] = []

    def send(self, way: str, number: int) -> None:
        """Send one receipt of its item, occurring now."""
        item, at = item_of(way, number), datetime.now(UTC).isoformat().replace("+00:00", "Z")
        if way == ADAPTED:
            body = json.dumps({"number": str(number), "sku": item, "site": "DC1", "pieces": 1, "at": at}).encode()
            self._posts.append(self._senders.submit(self._post, body))
            return
        event = {"event_id": f"direct-{number}", "type": "stock_received", "source": "bench", "occurred_at": at}
        event |= {"item": item, "location": "DC1", "quantity": 1}
        self._producer.produce(EVENTS, json.dumps(event).encode(), item)
        self._producer.poll(0)

    def _post(self, body: bytes) -> float:
        """Send a webhook on a connection of this thread's own; gives the seconds until it was acknowledged."""
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = http.client.HTTPConnection(HOST, self._port, timeout=PATIENCE_S / 2)
        signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
        begun = time.perf_counter()
        connection.request("POST", "/shop", body, {"X-Shopify-Hmac-Sha256": signature})
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise ConnectionError(f"atp receive answered {answer.status}")
        return time.perf_counter() - begun

    def acknowledged(self) -> list[float]:
        """Give the seconds of each webhook since the last call; SystemExit where one was not acknowledged."""
        posts, self._posts = self._posts, []
        try:
            return [post.result(PATIENCE_S) for post in posts]
        except (OSError, http.client.HTTPException) as error:
            raise SystemExit(f"a webhook was not acknowledged: {type(error).__name__}: {error}") from None

    def close(self) -> None:
        """Send no more."""
        self._senders.shutdown(wait=False, cancel_futures=True)
        self._producer.flush(END_SECONDS_MAX)

    def reference(self, count: int) -> None:
        """Make known what the messages are about."""
        place, channel = {"location": "DC1"}, {"channel": "web", "locations": ["DC1"]}
        self._producer.produce("inventory.locations", json.dumps(place).encode(), "DC1")
        self._producer.produce("inventory.channels", json.dumps(channel).encode(), "web")
        for number in range(count):
            for way in WAYS:
                item = item_of(way, number)
                self._producer.produce("inventory.items", json.dumps({"item": item}).encode(), item)
            self._producer.poll(0)
        if left := self._producer.flush(PATIENCE_S):
            raise SystemExit(f"Kafka did not take {left} records of items within {PATIENCE_S:g} s")


def send_all(ways: Ways, rate: float, count: int) -> tuple[dict[str, float], float]:
    """Send by turns, at the rate in all; gives when each was due, and by how much it was late at most."""
    due: dict[str, float] = {}
    late_s = 0.0
    begin = time.perf_counter() + 0.1
    for turn in range(2 * count):
        way, number = WAYS[turn % 2], turn // 2
        moment = begin + turn / rate
        time.sleep(max(0.0, moment - time.perf_counter()))
        late_s = max(late_s, time.perf_counter() - moment)
        due[item_of(way, number)] = moment
        ways.send(way, number)
    return due, late_s


def logged(servers: Servers) -> tuple[dict[str, float], dict[str, float]]:
    """Give when Kafka logged what came, and the event that it became: by item, in seconds of the wall's clock."""
    found: dict[str, dict[str, float]] = {RAW: {}, EVENTS: {}}
    with ExitStack() as stack:
        consumer = Consumer(
            {"bootstrap.servers": servers.bootstrap_servers, "group.id": "bench", "enable.partition.eof": True}
        )
        stack.callback(consumer.close)
        topics = consumer.list_topics(timeout=PATIENCE_S).topics
        parts = [TopicPartition(name, part, 0) for name in found for part in topics[name].partitions]
        consumer.assign(parts)
        ended, deadline = 0, time.monotonic() + PATIENCE_S
        while ended < len(parts) and time.monotonic() < deadline:
            for message in consumer.consume(1000, timeout=0.2):
                error = message.error()
                if error is None:
                    body = json.loads(message.value() or b"{}")
                    name = message.topic() or ""
                    found[name].setdefault(body["sku" if name == RAW else "item"], message.timestamp()[1] / 1000)
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended += 1
    return found[RAW], found[EVENTS]


def said(ordered: list[float]) -> str:
    """Say the percentiles of sorted seconds."""
    return ", ".join(f"p{percent:g} {ms_at(ordered, percent):.1f} ms" for percent in (50, 95, 99))


def ms_at(ordered: list[float], percent: float) -> float:
    """A percentile of sorted seconds, in ms."""
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def measure(
    servers: Servers, running: Running, ways: Ways, arrivals: Arrivals, rate: float, seconds: float
) -> tuple[dict[str, list[float]], list[str]]:
    """Send and wait until all is readable; gives the sorted seconds by way, and sentences about the stages."""
    # One more than is measured: it says that all stand.
    count = int(rate * (seconds + WARM_UP_S) / 2)
    tell(f"making {2 * (count + 1):,} items known")
    ways.reference(count + 1)
    ways.send(ADAPTED, count)
    ways.acknowledged()
    running.wait_until(lambda: item_of(ADAPTED, count) in arrivals.at, "the first document is readable")
    running.wait_until(lambda: arrivals.items() >= 2 * (count + 1), "all items are in Redis")
    arrivals.at.clear()
    tell(f"sending for {seconds + WARM_UP_S:g} s")
    wall = time.time() - time.perf_counter()
    due, late_s = send_all(ways, rate, count)
    acknowledged = sorted(ways.acknowledged()[int(count * WARM_UP_S / (seconds + WARM_UP_S)) :])
    with suppress(SystemExit):
        running.wait_until(lambda: not due.keys() - arrivals.at.keys(), "all is readable")
    missing = sorted(due.keys() - arrivals.at.keys())
    if missing:
        named = ", ".join(missing[:NAMED_MAX])
        raise SystemExit(f"{len(missing)} of {len(due)} not readable, such as {named}\n{running.logs()}")
    begin = min(due.values())
    counted = [item for item, moment in due.items() if moment - begin > WARM_UP_S]
    took = {way: sorted(arrivals.at[item] - due[item] for item in counted if item[0] == way) for way in WAYS}
    raw, events = logged(servers)
    adapted = [item for item in counted if item[0] == ADAPTED and item in raw and item in events]
    stages = {
        "until the webhook is acknowledged": acknowledged,
        "until Kafka has logged it": sorted(raw[item] - wall - due[item] for item in adapted),
        "from there until its event is logged": sorted(events[item] - raw[item] for item in adapted),
        "from there until it is readable": sorted(arrivals.at[item] - events[item] + wall for item in adapted),
    }
    told = [f"  {name}: {said(each)}" for name, each in stages.items() if each]
    return took, [*told, f"sent late by {1000 * late_s:.0f} ms at most; load of the machine {os.getloadavg()[0]:.1f}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second, of both ways together")
    parser.add_argument("--seconds", type=float, default=60.0)
    wishes = parser.parse_args()
    tell("starting Kafka and Valkey")
    with tempfile.TemporaryDirectory() as name, Servers(Path(name, "servers")) as servers, ExitStack() as stack:
        folder, port = Path(name), free_port()
        (folder / "atp.toml").write_text(CONFIG)
        (folder / "shop.toml").write_text(MAPPING)
        others = {name: text for name, text in os.environ.items() if not name.startswith("ATP_")}
        ours = {
            "ATP_KAFKA__BOOTSTRAP_SERVERS": servers.bootstrap_servers,
            "ATP_REDIS__URL": servers.redis_url,
            "ATP_STATE__DIR": str(folder / "state"),
            "ATP_METRICS__PORT": "0",
            "ATP_TRANSLATOR__METRICS_PORT": "0",
            "ATP_RECEIVE__METRICS_PORT": "0",
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
            "SHOP_SECRET": SECRET,
        }
        making = Running(folder, {**others, **ours})
        stack.callback(making.end)
        tell("making topics")
        making.start("topics", "create")
        making.wait_until_ended()
        running = Running(folder, {**others, **ours})
        stack.callback(running.end)
        tell("starting atp run, translate and receive")
        running.start("run")
        running.start("translate")
        wait_until_ready(port, running.start("receive", "--port", str(port)))
        arrivals = Arrivals(servers.redis_url)
        stack.callback(arrivals.close)
        ways = Ways(servers, port)
        stack.callback(ways.close)
        took, stages = measure(servers, running, ways, arrivals, wishes.rate, wishes.seconds)
    for way, title in ((DIRECT, "sent as events"), (ADAPTED, "received, translated")):
        print(f"{len(took[way]):,} {title}: {said(took[way])}, slowest {1000 * took[way][-1]:.1f} ms")
    print("\n".join(stages))
    added = ms_at(took[ADAPTED], 99) - ms_at(took[DIRECT], 99)
    print(f"added to p99: {added:.1f} ms (at most {ADDED_MS_MAX:g})")
    raise SystemExit(added > ADDED_MS_MAX)


if __name__ == "__main__":
    main()
