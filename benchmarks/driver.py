"""The open-loop driver, a process of its own: sends what is due when it is due, whatever the engine does.

Reads one line of JSON (`Errand`), makes messages ahead, prints "ready", reads the start (monotonic seconds) and sends.
At the end prints one line of JSON: how many it sent, and how far it was itself behind its own timetable.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as Delivered

from benchmarks import probes
from benchmarks.lab import ROOT, TOPICS_PREFIX, Lab
from flows.embedded.child import die_with_parent
from flows.runtime.run import now
from flows.traffic import day as traffic
from flows.traffic.profile import Message, Profile

TICK_S = 0.002
#: Messages made before the start: 400 MB at most. What goes beyond is made while sending.
AHEAD_MAX = 1_000_000
BURST_MAX = 2_000
SETTINGS = {"linger.ms": 5, "acks": "all", "enable.idempotence": True, "compression.type": "lz4"}


@dataclass(frozen=True, slots=True)
class Errand:
    """`phases`: (messages a second, seconds), one after another; `probe_rate` probes a second beside them all along."""

    bootstrap_servers: str
    profile: dict[str, Any]
    phases: list[tuple[float, float]]
    probe_rate: float = 0.0
    first_probe: int = 0
    #: (seconds after the start, topic without prefix, key, value)
    extra: list[tuple[float, str, str, str]] = field(default_factory=list)

    def seconds(self) -> float:
        """How long it takes."""
        return sum(seconds for _, seconds in self.phases)

    def events(self) -> int:
        """How many messages that makes, without probes."""
        return round(sum(rate * seconds for rate, seconds in self.phases))

    def due(self, elapsed: float) -> int:
        """How many messages should have left by then."""
        total = 0.0
        for rate, seconds in self.phases:
            total += rate * min(elapsed, seconds)
            elapsed -= seconds
            if elapsed <= 0:
                break
        return round(total)


class Driver:
    """Starts the process and talks to it."""

    def __init__(self, lab: Lab, profile: Profile, phases: list[tuple[float, float]], **more: Any) -> None:
        self.errand = Errand(lab.servers.bootstrap_servers, asdict(profile), phases, **more)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.driver"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - it takes no lock: one system call
        )  # fmt: skip
        self._say(json.dumps(asdict(self.errand)))

    def wait_until_ready(self) -> None:
        """Wait until what it will send is made."""
        self._hear("ready")

    def start(self, at: float) -> None:
        """Let it begin at this moment of the monotonic clock."""
        self._say(str(at))

    def finish(self) -> dict[str, float]:
        """Wait for its end and its account."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert self._process.wait() == 0, f"the driver ended with {self._process.returncode}"
        answer: dict[str, float] = json.loads(line)
        return answer

    def stop(self) -> None:
        """Let it send no more; `finish` gives its account."""
        self._process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """End it, wherever it is."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self, wanted: str) -> None:
        assert self._process.stdout is not None
        heard = self._process.stdout.readline().strip()
        assert heard == wanted, f"the driver said {heard!r}, expected {wanted!r} (exit code {self._process.poll()})"


def _stream(errand: Errand) -> Iterator[Message]:
    """Give the load: made ahead as far as memory allows."""
    count = errand.events()
    if count == 0:
        return iter(())
    profile = Profile(**{**errand.profile, "events": count})
    messages = traffic.events(profile, now(), count / errand.seconds())
    ahead = deque(itertools.islice(messages, AHEAD_MAX))

    def given() -> Iterator[Message]:
        while ahead:
            yield ahead.popleft()
        yield from messages

    return given()


def _send(errand: Errand, load: Iterator[Message], start: float) -> dict[str, float]:
    problems: list[str] = []

    def failed(error: KafkaError | None, _: Delivered) -> None:
        if error is not None:
            problems.append(error.str())

    config: dict[str, Any] = {
        "bootstrap.servers": errand.bootstrap_servers,
        "queue.buffering.max.messages": 1_000_000,
        "delivery.report.only.error": True,
        "on_delivery": failed,
        "log_level": 2,
        **SETTINGS,
    }
    producer = Producer(config)
    producer.list_topics(timeout=10)
    names: dict[str, str] = {}

    def send(message: Message) -> None:
        topic, key, value = message
        name = names.get(topic) or names.setdefault(topic, TOPICS_PREFIX + topic)
        while True:
            try:
                return producer.produce(name, value, key)
            except BufferError:
                producer.poll(0.01)

    seconds = errand.seconds()
    extra = sorted(errand.extra, reverse=True)
    sent = probed = 0
    behind_max = 0.0
    is_asked_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: is_asked_to_end.set())
    while True:
        elapsed = time.monotonic() - start
        if elapsed < 0:
            time.sleep(min(-elapsed, TICK_S))
            continue
        while extra and extra[-1][0] <= elapsed:
            _, topic, key, value = extra.pop()
            send((topic, key.encode(), value.encode()))
        # Rounded up: probe 0 is due at once.
        wanted = int(min(elapsed, seconds) * errand.probe_rate) + (1 if errand.probe_rate and elapsed < seconds else 0)
        while probed < wanted:
            behind_max = max(behind_max, time.monotonic() - start - probed / errand.probe_rate)
            send(probes.message(errand.first_probe + probed))
            probed += 1
        due = errand.due(elapsed)
        for message in itertools.islice(load, min(due - sent, BURST_MAX)):
            send(message)
            sent += 1
        producer.poll(0)
        if (elapsed >= seconds and sent >= due) or is_asked_to_end.is_set():
            break
        if sent >= due:
            time.sleep(TICK_S)
    took = time.monotonic() - start
    left = producer.flush(60)
    assert not problems and not left, f"Kafka did not take everything: {problems[:1] or left}"
    return {"sent": sent, "probes": probed, "seconds": took, "probe_behind_ms_max": behind_max * 1000}


def main() -> None:
    """Run one errand."""
    given = json.loads(sys.stdin.readline())
    errand = Errand(**given)
    load = _stream(errand)
    print("ready", flush=True)
    start = float(sys.stdin.readline())
    print(json.dumps(_send(errand, load, start)), flush=True)


if __name__ == "__main__":
    main()
