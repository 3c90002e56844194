"""Takes the pictures of docs/console.md: `python -m tests.console_pictures [FOLDER]`, with Chromium installed.

A real engine and a real console, with a small world of goods; each page in light, some in dark and at a phone's width.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from flows.embedded.child import free_port
from flows.embedded.servers import Servers
from tests.conftest import ROOT, World
from tests.console import CHAIR, CHROMIUM, LAMP, TOKEN, Console, arrive, chromium, furnish, order, read, state
from tests.running import Engine, until
from tests.shop import event

FOLDER = ROOT / "docs" / "console"
WIDE, PHONE = {"width": 1100, "height": 760}, {"width": 390, "height": 780}
#: name -> address, of what is shown whole
PAGES = {
    "overview": "/",
    "items": "/items?q=",
    "item": f"/item?code={LAMP}",
    "explain": f"/explain?item={LAMP}&channel=web",
    "order": "/order?id=SO-1003",
    "exceptions": "/exceptions",
    "letters": "/letters",
    "letter": "",
    "replay": "",
    "differences": "/variances",
    "difference": "",
    "sources": "/sources",
    "live": "/live",
}
IN_DARK = ("item", "explain")
ON_PHONE = ("overview", "item")
BYTES_MAX = 130_000


def main() -> None:
    """Take them all; exit code 1 where one is larger than it may be."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    assert CHROMIUM, "chromium is not installed: apt-get install chromium"
    with tempfile.TemporaryDirectory() as place, Servers(Path(place) / "servers") as servers:
        world = World(servers, "pictures", Path(place))
        world.topic_prefix = ""  # nobody else is there
        metrics = free_port()
        furnish(world)
        with (
            Engine(world, metrics__port=metrics, reference_grace=0) as engine,
            Console(world, metrics__port=metrics, console__token=TOKEN) as console,
        ):
            until(lambda: read(world, CHAIR, "web") == "0", 60, engine.text)
            _go_on(world)
            _take(folder, console, world)
    large = {path.name: path.stat().st_size for path in folder.glob("*.png") if path.stat().st_size > BYTES_MAX}
    if large:
        sys.exit(f"larger than {BYTES_MAX} bytes: {large}")


def _go_on(world: Any) -> None:
    """An hour's worth of changes in seconds, what is refused, and what another system says."""
    for number in range(6):
        order(world, f"SO-{2001 + number}", LAMP, 1 + number % 3)
        if number == 3:
            arrive(world, LAMP, 15, "BERLIN")
        world.flush()
        time.sleep(0.7)
    arrive(world, "LAMP/OAK-O1", 4, "BERLIN")
    world.send("inventory.orders", event("order_placed", order_id="SO-9", channel="wbe", lines=[], source="shop"))
    world.send("inventory.warehouse", b'{"event_id": "e-77", "type": "stock_receved", "source": "wms"')
    state(world, "night-31", (LAMP, "BERLIN", 52), (CHAIR, "LYON", 9))
    world.flush()
    until(lambda: len(world.read("inventory.dead_letters")) >= 3, 60, "dead letters")
    until(lambda: world.read("inventory.exceptions"), 60, "exceptions")
    until(lambda: len(world.read("inventory.variances")) >= 2, 120, "differences")
    time.sleep(4)  # for the rates


def _take(folder: Path, console: Console, world: Any) -> None:
    letter = next(one for one in world.read("inventory.dead_letters") if one.headers["code"] == "unknown_item")
    name = f"{letter.partition}:{letter.offset}"
    found = {**PAGES, "letter": f"/letter?name={name}", "replay": f"/letter/replay?name={name}"}
    with chromium() as browser:
        for suffix, names, view in (
            ("", PAGES, {"viewport": WIDE, "color_scheme": "light"}),
            ("-dark", IN_DARK, {"viewport": WIDE, "color_scheme": "dark"}),
            ("-phone", ON_PHONE, {"viewport": PHONE, "color_scheme": "light", "is_mobile": True, "has_touch": True}),
        ):
            page = browser.new_context(**view).new_page()
            page.set_default_timeout(120_000)
            page.goto(f"{console.url}/enter")
            page.fill("#token", TOKEN)
            page.click("button.do")
            page.wait_for_url(f"{console.url}/")
            for one in names:
                if one == "difference":
                    page.goto(f"{console.url}/variances")
                    page.click("tbody a")
                else:
                    page.goto(f"{console.url}{found[one]}")
                page.wait_for_timeout(2500)
                page.screenshot(path=folder / f"{one}{suffix}.png", full_page=True, scale="css")


if __name__ == "__main__":
    main()
