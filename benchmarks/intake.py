"""How soon webhooks are acknowledged: `python -m benchmarks.intake [--rate N] [--seconds N]`.

Open loop: each webhook is due at a moment of its own, and its time runs from then, not from when a connection was
free. A real Kafka of one node, `atp receive` as a process, signed webhooks of 2 kB from 32 connections of this process.
At the end every acknowledged one is looked for in the topic.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer, KafkaError, TopicPartition

from flows.embedded import Servers
from flows.embedded.child import HOST, free_port

SECRET = "shop-secret"
CONNECTIONS = 32
BODY_BYTES = 2_000
WARM_UP_S = 3.0
START_SECONDS_MAX = 60.0
LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *([0-9]+)").search
CONFIG = '[sources.shop.receive]\nsignature = "shopify"\nsecret_variables = ["SHOP_SECRET"]\n'


def request(number: int) -> tuple[bytes, bytes]:
    """Give a webhook's body, and the request as it goes over the wire."""
    head = json.dumps({"id": number, "note": ""}).encode()
    body = head[:-2] + b"x" * (BODY_BYTES - len(head)) + head[-2:]
    signature = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
    lines = (
        "POST /shop HTTP/1.1",
        f"Host: {HOST}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"X-Shopify-Hmac-Sha256: {signature}",
        "X-Shopify-Topic: orders/create",
    )
    return body, "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection(asyncio.Protocol):
    """One connection that is kept: a request at a time, and the moment at which its answer was whole.

    Bare, because whoever measures shares the machine with what is measured.
    """

    def __init__(self, free: Callable[[Connection], None]) -> None:
        self._free = free
        self._got = b""
        self.number = -1
        self.acknowledged = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready for a request."""
        self.transport: Any = transport
        self._free(self)

    def send(self, number: int, whole: bytes) -> None:
        """Send a request."""
        self.number = number
        self.transport.write(whole)

    def data_received(self, data: bytes) -> None:
        """Take the answer; free again when it is whole."""
        self._got += data
        head, mark, body = self._got.partition(b"\r\n\r\n")
        length = LENGTH(head) if mark else None
        if length is None or len(body) < int(length[1]):
            return
        self.acknowledged = head.startswith(b"HTTP/1.1 200")
        self._got = b""
        self._free(self)


async def send_all(port: int, rate: int, seconds: float) -> tuple[list[float], list[bytes], int]:
    """Send at the rate; gives seconds until acknowledged, bodies that were, and how many were not."""
    requests = [request(number) for number in range(int(rate * (seconds + WARM_UP_S)))]
    took: list[float] = []
    acknowledged: list[bytes] = []
    failed = 0
    idle: deque[Connection] = deque()
    wake = asyncio.Event()
    begin = 0.0

    def free(connection: Connection) -> None:
        nonlocal failed
        number = connection.number
        if number >= 0:
            if connection.acknowledged:
                acknowledged.append(requests[number][0])
                if number >= rate * WARM_UP_S:
                    took.append(time.perf_counter() - begin - number / rate)
            else:
                failed += 1
        idle.append(connection)
        wake.set()

    loop = asyncio.get_running_loop()
    made = [(await loop.create_connection(lambda: Connection(free), HOST, port))[0] for _ in range(CONNECTIONS)]
    begin = time.perf_counter() + 0.1
    for number, (_, whole) in enumerate(requests):
        # Open loop: each is due at its own moment, whether a connection is free then or not.
        early = begin + number / rate - time.perf_counter()
        if early > 0:
            await asyncio.sleep(early)
        while not idle:
            wake.clear()
            await wake.wait()
        idle.popleft().send(number, whole)
    while len(idle) < CONNECTIONS:
        wake.clear()
        await asyncio.wait_for(wake.wait(), 30)
    for transport in made:
        transport.close()
    return took, acknowledged, failed


def kept(servers: Servers) -> set[bytes]:
    """Give what the topic has."""
    consumer = Consumer(
        {"bootstrap.servers": servers.bootstrap_servers, "group.id": "bench", "enable.partition.eof": True}
    )
    name = "inventory.raw.shop"
    parts = consumer.list_topics(name, timeout=10).topics[name].partitions
    consumer.assign([TopicPartition(name, part, 0) for part in parts])
    found: set[bytes] = set()
    ended = 0
    while ended < len(parts):
        for message in consumer.consume(1000, timeout=1.0):
            error = message.error()
            if error is None:
                found.add(message.value() or b"")
            elif error.code() == KafkaError._PARTITION_EOF:
                ended += 1
    consumer.close()
    return found


def wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until it answers."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection((HOST, port), timeout=5) as asked:
                asked.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                if asked.recv(100).startswith(b"HTTP/1.1 200"):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit("atp receive does not get ready")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30.0)
    wishes = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Servers(Path(folder, "servers"), redis=False) as servers:
        port = free_port()
        Path(folder, "atp.toml").write_text(CONFIG)
        others = {name: said for name, said in os.environ.items() if not name.startswith("ATP_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "receive", "--port", str(port)],
            cwd=folder,
            env={
                **others,
                "ATP_KAFKA__BOOTSTRAP_SERVERS": servers.bootstrap_servers,
                "ATP_RECEIVE__METRICS_PORT": "0",
                "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
                "SHOP_SECRET": SECRET,
            },
        )
        try:
            wait_until_ready(port, process)
            begun = psutil.Process(process.pid).cpu_times()
            own = time.process_time()
            took, acknowledged, failed = asyncio.run(send_all(port, wishes.rate, wishes.seconds))
            ended = psutil.Process(process.pid).cpu_times()
            own = time.process_time() - own
        finally:
            process.terminate()
            process.wait(30)
        missing = set(acknowledged) - kept(servers)
    took.sort()
    marks = {
        f"p{share:g}": 1000 * took[min(len(took) - 1, int(len(took) * share / 100))] for share in (50, 95, 99, 99.9)
    }
    said = ", ".join(f"{name} {ms:.1f} ms" for name, ms in marks.items())
    print(
        f"{len(took):,} webhooks at {wishes.rate}/s: {said}, slowest {1000 * took[-1]:.1f} ms; "
        f"{failed} not acknowledged"
    )
    spent = ended.user + ended.system - begun.user - begun.system
    load = os.getloadavg()[0]
    print(
        f"{1e6 * spent / len(acknowledged):.0f} us of a processor each, {1e6 * own / len(acknowledged):.0f} us to send "
        f"it; load of the machine {load:.1f}"
    )
    print(f"acknowledged and not in the topic: {len(missing)}")
    raise SystemExit(1 if missing or failed else 0)


if __name__ == "__main__":
    main()
