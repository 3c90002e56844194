"""What the console takes: `python -m benchmarks.console [--items N] [--pages N] [--rate N] [--seconds N]`.

The marks: a page at most 200 ms; 50 open pages at most 2 % of a core from the engine and 20 % from the console.

A real engine with many items and a trail, a real console. Printed: how long each page takes, and what share of a core
engine and console use under a load of events, first without open pages, then with so many that are told of each change.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from flows.embedded.child import free_port
from flows.embedded.servers import Servers
from tests.conftest import World
from tests.console import Console
from tests.running import Engine, until
from tests.shop import event

CHANNELS = ("web", "store")
ROUNDS = 50


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--rate", type=int, default=200, help="events a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    wishes = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Servers(Path(folder) / "servers") as servers:
        world = World(servers, "benchmark", Path(folder))
        metrics = free_port()
        _fill(world, wishes.items)
        with (
            Engine(world, metrics__port=metrics, state__epoch_interval="1s") as engine,
            Console(world, metrics__port=metrics) as console,
        ):
            last = f"{world.redis_prefix}atp:{_item(wishes.items - 1)}"
            until(lambda: world.redis.hget(last, "web") == "10", 3600, engine.text)
            _pages(console)
            with _load(world, wishes):
                _shares(engine, console, wishes, 0)
                with _watched(console, wishes):
                    _shares(engine, console, wishes, wishes.pages)


def _item(number: int) -> str:
    return f"ITEM-{number:07d}"


def _fill(world: World, items: int) -> None:
    world.config.write_text("[trail]\nenabled = true\n")
    world.create_topics()
    world.send("inventory.locations", {"location": "DC"}, key="DC")
    for channel in CHANNELS:
        world.send("inventory.channels", {"channel": channel, "locations": ["DC"]}, key=channel)
    for number in range(items):
        world.send("inventory.items", {"item": _item(number)}, key=_item(number))
    world.flush(600)
    for number in range(items):
        world.send("inventory.warehouse", event("stock_received", item=_item(number), location="DC", quantity=10))
    world.flush(600)


def _pages(console: Console) -> None:
    """Each page, one after another, as one reader asks."""
    item = _item(7)
    paths = ("/", "/items?q=ITEM-00", f"/item?code={item}", f"/explain?item={item}&channel=web", "/exceptions")
    with httpx.Client(base_url=console.url, timeout=60, follow_redirects=True) as client:
        for path in (*paths, "/letters", "/sources", "/live"):
            took = []
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                client.get(path).raise_for_status()
                took.append((time.perf_counter() - begun) * 1000)
            took.sort()
            print(f"{path:<36} median {statistics.median(took):7.1f} ms, 98 % within {took[-2]:7.1f} ms")


@contextmanager
def _load(world: World, wishes: Any) -> Iterator[None]:
    """So many events a second, over the items that pages show and others."""
    ended = threading.Event()

    def send() -> None:
        number = 0
        while not ended.wait(0.1):
            for _ in range(wishes.rate // 10):
                item = _item(number % min(wishes.items, 20 * wishes.pages))
                world.send("inventory.warehouse", event("stock_received", item=item, location="DC", quantity=1))
                number += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _watched(console: Console, wishes: Any) -> Iterator[None]:
    """So many open pages: half of items, half of the first page."""
    ended = threading.Event()
    told: list[int] = []

    def watch(number: int) -> None:
        name = f"item {_item(number)}" if number % 2 else "engine"
        with (
            suppress(httpx.HTTPError),
            httpx.stream("GET", f"{console.url}/stream", params={"watch": name}, timeout=60) as answer,
        ):
            for _ in answer.iter_lines():
                told.append(number)
                if ended.is_set():
                    return

    threads = [threading.Thread(target=watch, args=(number,), daemon=True) for number in range(wishes.pages)]
    for thread in threads:
        thread.start()
    until(lambda: len(set(told)) == wishes.pages, 60, "all pages open")
    try:
        yield
    finally:
        ended.set()
        print(f"{len(told)} lines of news were told to {wishes.pages} pages")


def _shares(engine: Engine, console: Console, wishes: Any, pages: int) -> None:
    """Print what part of a core each used."""
    of_engine = [psutil.Process(engine.process.pid), *engine.workers()]
    of_console = [psutil.Process(console.process.pid)]
    before = _used(of_engine), _used(of_console)
    time.sleep(wishes.seconds)
    engine_s, console_s = _used(of_engine) - before[0], _used(of_console) - before[1]
    print(
        f"{pages:>3} open pages, {wishes.rate} events/s: engine {100 * engine_s / wishes.seconds:.1f} %, console "
        f"{100 * console_s / wishes.seconds:.1f} % of a core"
    )


def _used(processes: list[psutil.Process]) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in processes)


if __name__ == "__main__":
    main()
