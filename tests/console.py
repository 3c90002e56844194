"""A console on a real engine, and a real browser that looks at it: what its tests and its pictures begin with."""

from __future__ import annotations

import contextlib
import shutil
import urllib.request
from collections.abc import Iterator
from typing import Any

from flows.embedded.child import free_port
from tests.running import Engine, until
from tests.shop import ago, event

#: Debian's.
CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TOKEN = "a token of the operator"
PATIENCE_MS = 60_000
LAMP, CHAIR, TABLE = "LAMP/OAK-01", "CHAIR.RED", "TABLE-4"
#: What nobody may name an item, and what somebody will.
HOSTILE = "<script>document.title='owned'</script>\"' onload=x&amp;"


class Console(Engine):
    """`atp console` in a world, as a process of its own; listens when this is made."""

    def __init__(self, world: Any, **overrides: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(world, command="console", console__port=self.port, **overrides)
        until(self._answers, 60, lambda: f"a console\n{self.text()}")

    def _answers(self) -> bool:
        self.still_runs()
        with contextlib.suppress(OSError):
            return bool(urllib.request.urlopen(f"{self.url}/healthz", timeout=10).read() == b"ok\n")
        return False


def furnish(world: Any) -> None:
    """Fill a world: three items in two locations and two channels, one by day; orders; what is wrong with some."""
    world.config.write_text(
        '[sources.shop]\nstale_after = "1s"\n[sources.erp]\nsettle = "0s"\n[trail]\nenabled = true\n'
    )
    world.create_topics()
    lenient = {"source": "erp", "max_rows_in_variance_percent": 100}
    world.send("inventory.reconciliation", lenient, key="erp")
    for location in ("BERLIN", "LYON"):
        world.send("inventory.locations", {"location": location}, key=location)
    for channel, more in {
        "web": {"horizon_days": 5},
        "store": {"buffer_quantity": 2, "low_stock_threshold": 5},
    }.items():
        world.send("inventory.channels", {"channel": channel, "locations": ["BERLIN", "LYON"], **more}, key=channel)
    for item, more in {LAMP: {"safety_stock": {"LYON": 3}}, CHAIR: {}, TABLE: {"scale": 1}}.items():
        world.send("inventory.items", {"item": item, **more}, key=item)
    world.flush()
    arrive(world, LAMP, 40, "BERLIN")
    arrive(world, LAMP, 12, "LYON")
    arrive(world, CHAIR, 7, "LYON")
    arrive(world, TABLE, 2.5, "BERLIN")
    for number, (item, quantity, location) in enumerate([(LAMP, 6, None), (LAMP, 2, "LYON"), (CHAIR, 9, "LYON")]):
        order(world, f"SO-{1001 + number}", item, quantity, location)
    world.flush()


def arrive(world: Any, item: str, quantity: float, location: str, **more: Any) -> None:
    """Goods come in."""
    world.send("inventory.warehouse", event("stock_received", item=item, location=location, quantity=quantity, **more))


def order(world: Any, order_id: str, item: str, quantity: int, location: str | None = None) -> None:
    """An order is placed on the web."""
    line = {"line_id": "1", "item": item, "quantity": quantity} | ({"location": location} if location else {})
    world.send("inventory.orders", event("order_placed", order_id=order_id, channel="web", lines=[line], source="shop"))


def state(world: Any, statement_id: str, *rows: tuple[str, str, int]) -> None:
    """Another system says what it has: item, location, quantity each."""

    def say(kind: str, **more: Any) -> None:
        told = event(kind, source="erp", statement_id=statement_id, occurred_at=as_of, **more)
        world.send("inventory.statements", told, key="erp")

    as_of = ago(1)
    say("statement_started", rows=len(rows))
    for item, location, quantity in rows:
        say("stock_stated", item=item, location=location, on_hand=quantity)
    say("statement_ended", rows=len(rows))
    world.flush()


def read(world: Any, item: str, channel: str) -> str | None:
    """Read a number as the channel would."""
    found: str | None = world.redis.hget(f"{world.redis_prefix}atp:{item}", channel)
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Give Debian's Chromium without a window, driven by Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
