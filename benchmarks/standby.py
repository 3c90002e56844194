"""How long a take-over by the engine that stands by takes, and what copying the state costs.

    python -m benchmarks.standby [--items 20000] [--rate 500] [--seconds 60] [--takeovers 3]
    python -m benchmarks.standby --items 200000    # the mark: 1,000,000 item/locations, at most 5 s; copying 5 % of CPU

Two engines with `--standby`, each with a disk of its own, and a folder that both see as `state.remote`.

1. All cells hold stock; traffic goes on, and one event of a known item every 20 ms.
2. What copying costs: the supervisor's processor time beside the workers' while traffic goes on. It does little else,
   so this says at most how much copying is.
3. Once the other stands by with the newest copy at hand, all processes of the one that runs are killed with SIGKILL.
   The take-over ends when Redis has a number of that item which was not there when the first died. Then the killed one
   is started again, stands by, and it is the other one's turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import threading
import time
import urllib.error
import urllib.request
from statistics import median

import psutil

from benchmarks.engine import Engine
from benchmarks.lab import REDIS_PREFIX, Lab
from benchmarks.statements import LOCATIONS, MINUTE, stock
from flows.kafka.sending import Sender
from flows.processes.addresses import free_ports
from flows.runtime.run import now
from flows.traffic.day import events
from flows.traffic.profile import Profile, location_code, reference
from schemas.times import time_text
from schemas.topics import WAREHOUSE

PROBE, PROBE_EVERY_S = "PROBE-OF-STANDBY", 0.02
PATIENCE_S = 600.0
#: what was on its way in the killed engine has arrived, or never will
SETTLED_S = 0.3


class Machine:
    """One of the two: an engine with a disk and a port of its own."""

    def __init__(self, lab: Lab, name: str) -> None:
        self._lab = lab
        self.port = free_ports(1)[0]
        self._settings: dict[str, object] = {
            "state.dir": str(lab.folder / name),
            "metrics.port": self.port,
            "state.remote": str(lab.folder / "remote"),
            "state.remote_every": "10s",
        }
        self.engine = self._started()

    def start_again(self) -> None:
        """Start it where it was killed."""
        self.engine = self._started()

    def says(self, what: str) -> bool:
        """Does its endpoint say yes to that?"""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{what}", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def wait_until(self, what: str) -> None:
        """Wait until it says yes."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.says(what):
            self.engine.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} was not answered with yes:\n{self.engine.text()}")
            time.sleep(0.05)

    def _started(self) -> Engine:
        return Engine(self._lab, "--standby", **self._settings)


class Traffic(threading.Thread):
    """Events at a steady rate, and one of a known item every 20 ms."""

    def __init__(self, lab: Lab, profile: Profile, rate: float) -> None:
        super().__init__(daemon=True)
        self._sender, self._rate = Sender(lab.settings), rate
        self._events = events(profile, now())
        self._is_over = threading.Event()

    def run(self) -> None:
        """Send until `end`."""
        begun = time.monotonic()
        for number in itertools.count():
            self._is_over.wait(max(0.0, begun + number * PROBE_EVERY_S - time.monotonic()))
            if self._is_over.is_set():
                break
            for topic, key, value in itertools.islice(self._events, round(self._rate * PROBE_EVERY_S)):
                self._sender.send(topic, key, value)
            value = (
                f'{{"event_id":"probe-{number}","type":"stock_received","source":"wms","occurred_at":'
                f'"{time_text(now())}","item":"{PROBE}","location":"{location_code(0)}","quantity":1}}'
            )
            self._sender.send(WAREHOUSE, PROBE.encode(), value.encode())
            self._sender.poll()
        self._sender.flush()

    def end(self) -> None:
        """Send no more."""
        self._is_over.set()
        self.join()


def number_in_redis(lab: Lab) -> int:
    """Give what Redis has of the known item."""
    return int(lab.redis.hget(f"{REDIS_PREFIX}position:{PROBE}", f"{location_code(0)}:on_hand") or 0)


def takeover_s(lab: Lab, running: Machine, waiting: Machine) -> float:
    """Kill the one, give the seconds until the other has published something new."""
    waiting.wait_until("readyz?standby")
    begun = time.monotonic()
    running.engine.kill()
    time.sleep(SETTLED_S)
    known = number_in_redis(lab)
    while number_in_redis(lab) <= known:
        waiting.engine.check()
        if time.monotonic() > begun + PATIENCE_S:
            raise TimeoutError(f"nobody took over:\n{waiting.engine.text()}")
        time.sleep(0.005)
    return time.monotonic() - begun


def copying(machine: Machine, seconds: float) -> tuple[float, float]:
    """Give processor seconds of the supervisor and of all its processes, over a span."""
    supervisor = psutil.Process(machine.engine.pid)

    def spent() -> tuple[float, float]:
        own = supervisor.cpu_times()
        return own.user + own.system, machine.engine.cpu_s()

    before = spent()
    time.sleep(seconds)
    after = spent()
    return after[0] - before[0], after[1] - before[1]


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000, help="each at five locations")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=60.0, help="over which copying is looked at")
    parser.add_argument("--takeovers", type=int, default=3)
    told = parser.parse_args()
    profile = Profile(1 << 30, told.items, LOCATIONS)
    with Lab() as lab:
        lab.send(reference(profile))
        lab.send([("inventory.items", PROBE.encode(), f'{{"item":"{PROBE}"}}'.encode())])
        lab.send(stock(told.items, now() - 60 * MINUTE))
        running = Machine(lab, "one")
        try:
            running.wait_until("readyz")
            deadline = time.monotonic() + PATIENCE_S
            while lab.lag() and time.monotonic() < deadline:
                running.engine.check()
                time.sleep(0.2)
            waiting = Machine(lab, "two")
            traffic = Traffic(lab, profile, told.rate)
            traffic.start()
            own_s, all_s = copying(running, told.seconds)
            took = []
            for _ in range(told.takeovers):
                took.append(takeover_s(lab, running, waiting))
                running.start_again()
                running, waiting = waiting, running
                running.wait_until("readyz")
            traffic.end()
        finally:
            for machine in (running, waiting):
                if machine.engine.runs():
                    machine.engine.kill()
    print(
        json.dumps(
            {
                "item_locations": told.items * LOCATIONS,
                "rate": told.rate,
                "takeover_s": [round(one, 2) for one in took],
                "takeover_s_median": round(median(took), 2),
                "supervisor_cpu_percent_of_all": round(100 * own_s / all_s, 1),
                "supervisor_percent_of_a_core": round(100 * own_s / told.seconds, 1),
                "all_percent_of_a_core": round(100 * all_s / told.seconds, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
