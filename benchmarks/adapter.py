"""What an adapter adds from received to readable: `python -m benchmarks.adapter [--rate N] [--seconds N]`.

The same receipt of goods goes two ways by turns, in one run on one engine: as a shop's document by HTTP to
`atp receive`, through the raw topic and `atp translate`; and as an event straight into `inventory.warehouse`. Each has
an item of its own. Its time runs from when it was due to when Redis tells that the item's `position:` was written: all
of both ways is compared, the HTTP request and its acknowledgment included. A real Kafka, a real Valkey, three processes
of `atp`.
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
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import redis
from confluent_kafka import Producer

from benchmarks.intake import wait_until_ready
from flows.embedded import Servers
from flows.embedded.child import HOST, free_port

SECRET: Final = "shop-secret"
WARM_UP_S: Final = 5.0
PATIENCE_S: Final = 60.0
#: What an adapter may add to the 99th percentile.
ADDED_MS_MAX: Final = 20.0
DIRECT, ADAPTED = "D", "A"
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


class Arrivals:
    """Hears from Redis when an item's position is written: every write of a hash is told, and only its first counts."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url)
        self._redis.config_set("notify-keyspace-events", "Kh")
        self.at: dict[str, float] = {}
        self._ended = threading.Event()
        self._heard = self._redis.pubsub(ignore_subscribe_messages=True)
        self._heard.psubscribe("__keyspace@*__:position:*")
        self._thread = threading.Thread(target=self._listen)
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
        self._thread.join()
        self._redis.close()


class Ways:
    """Sends a message by one way or the other."""

    def __init__(self, servers: Servers, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=30)
        self._producer = Producer({"bootstrap.servers": servers.bootstrap_servers, "linger.ms": 0, "log_level": 0})
        self.acknowledged_s: list[float] = []

    def send(self, way: str, number: int) -> None:
        """Send one receipt of its item, occurring now."""
        item, at = item_of(way, number), datetime.now(UTC).isoformat().replace("+00:00", "Z")
        if way == DIRECT:
            event = {"event_id": f"direct-{number}", "type": "stock_received", "source": "bench", "occurred_at": at}
            event |= {"item": item, "location": "DC1", "quantity": 1}
            self._producer.produce("inventory.warehouse", json.dumps(event).encode(), item)
            self._producer.poll(0)
            return
        body = json.dumps({"number": str(number), "sku": item, "site": "DC1", "pieces": 1, "at": at}).encode()
        signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
        begun = time.perf_counter()
        self._connection.request("POST", "/shop", body, {"X-Shopify-Hmac-Sha256": signature})
        answer = self._connection.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise SystemExit(f"atp receive answered {answer.status}")
        self.acknowledged_s.append(time.perf_counter() - begun)

    def close(self) -> None:
        """Let what is on its way arrive."""
        self._producer.flush(PATIENCE_S)
        self._connection.close()

    def reference(self, count: int) -> None:
        """Make known what the messages are about."""
        place, channel = {"location": "DC1"}, {"channel": "web", "locations": ["DC1"]}
        self._producer.produce("inventory.locations", json.dumps(place).encode(), "DC1")
        self._producer.produce("inventory.channels", json.dumps(channel).encode(), "web")
        for number in range(count):
            for way in (DIRECT, ADAPTED):
                item = item_of(way, number)
                self._producer.produce("inventory.items", json.dumps({"item": item}).encode(), item)
            self._producer.poll(0)
        self._producer.flush(PATIENCE_S)


def measure(ways: Ways, arrivals: Arrivals, rate: float, seconds: float) -> dict[str, list[float]]:
    """Send by turns, at the rate in all; gives seconds until readable by way. What does not come ends it."""
    count = int(rate * (seconds + WARM_UP_S) / 2)
    due: dict[str, float] = {}
    begin = time.perf_counter() + 0.1
    for turn in range(2 * count):
        way, number = (DIRECT, ADAPTED)[turn % 2], turn // 2
        moment = begin + turn / rate
        time.sleep(max(0.0, moment - time.perf_counter()))
        due[item_of(way, number)] = moment
        ways.send(way, number)
    deadline = time.monotonic() + PATIENCE_S
    while len(due.keys() - arrivals.at.keys()):
        if time.monotonic() > deadline:
            raise SystemExit(f"not readable: {sorted(due.keys() - arrivals.at.keys())[:10]}")
        time.sleep(0.05)
    counted = [item for item, moment in due.items() if moment - begin > WARM_UP_S]
    return {
        way: sorted(arrivals.at[item] - due[item] for item in counted if item[0] == way) for way in (DIRECT, ADAPTED)
    }


def ms_at(ordered: list[float], percent: float) -> float:
    """A percentile of sorted seconds, in ms."""
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def start(folder: Path, environment: dict[str, str], *command: str) -> subprocess.Popen[bytes]:
    """Start one of the commands; what it says is in a log of its name."""
    with (folder / f"{command[0]}.log").open("wb") as log:
        whole = [sys.executable, "-m", "flows.cli", *command]
        return subprocess.Popen(whole, cwd=folder, env=environment, stdout=log, stderr=log)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="messages a second, of both ways together")
    parser.add_argument("--seconds", type=float, default=60.0)
    wishes = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Servers(Path(name, "servers")) as servers:
        folder, port = Path(name), free_port()
        (folder / "atp.toml").write_text(CONFIG)
        (folder / "shop.toml").write_text(MAPPING)
        others = {name: said for name, said in os.environ.items() if not name.startswith("ATP_")}
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
        environment = {**others, **ours}
        if start(folder, environment, "topics", "create").wait(PATIENCE_S):
            raise SystemExit((folder / "topics.log").read_text())
        commands = (("run",), ("translate",), ("receive", "--port", str(port)))
        running = [start(folder, environment, *command) for command in commands]
        arrivals = Arrivals(servers.redis_url)
        try:
            wait_until_ready(port, running[-1])
            ways = Ways(servers, port)
            # One more than is measured: it says that all stand.
            count = int(wishes.rate * (wishes.seconds + WARM_UP_S) / 2)
            ways.reference(count + 1)
            ways.send(ADAPTED, count)
            deadline = time.monotonic() + PATIENCE_S
            items = 2 * (count + 1)
            while item_of(ADAPTED, count) not in arrivals.at or arrivals.items() < items:
                if time.monotonic() > deadline or any(process.poll() is not None for process in running):
                    raise SystemExit("\n".join((folder / f"{name}.log").read_text()[-2000:] for name, *_ in commands))
                time.sleep(0.05)
            arrivals.at.clear()
            ways.acknowledged_s.clear()
            took = measure(ways, arrivals, wishes.rate, wishes.seconds)
            ways.close()
        finally:
            arrivals.close()
            for process in running:
                process.terminate()
            for process in running:
                process.wait(PATIENCE_S)
    for way, title in ((DIRECT, "sent as events"), (ADAPTED, "received, translated")):
        said = ", ".join(f"p{percent:g} {ms_at(took[way], percent):.1f} ms" for percent in (50, 95, 99))
        print(f"{len(took[way]):,} {title}: {said}, slowest {1000 * took[way][-1]:.1f} ms")
    ways.acknowledged_s.sort()
    said = ", ".join(f"p{percent:g} {ms_at(ways.acknowledged_s, percent):.1f} ms" for percent in (50, 95, 99))
    print(f"of that until the webhook is acknowledged: {said}")
    added = ms_at(took[ADAPTED], 99) - ms_at(took[DIRECT], 99)
    print(f"added to p99: {added:.1f} ms (at most {ADDED_MS_MAX:g}); load of the machine {os.getloadavg()[0]:.1f}")
    raise SystemExit(added > ADDED_MS_MAX)


if __name__ == "__main__":
    main()
