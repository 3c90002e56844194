"""`atp push shopify` as a process, against a mock shop in a process of its own, with a real Kafka."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from confluent_kafka import Producer

from tests.mock_shop import ITEM, TOKEN, MockShop, stamp
from tests.running import PATIENCE_S, Engine, until
from tests.shop import clock, open_shop, take_in, wait_for

#: Starts of several processes each.
pytestmark = pytest.mark.timeout(600)

WAIT_S = 120.0
#: A few in each run of the tests, a hundred in the long one: minutes, and several times that on a busy machine.
LONG_SECONDS_MAX = 4 * 3600
KILLS = pytest.mark.parametrize(
    "kills", [3, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(LONG_SECONDS_MAX)])]
)


class Pushing:
    """`atp push shopify` in a world."""

    count = 0

    def __init__(self, world: Any, *arguments: str) -> None:
        Pushing.count += 1
        self.log = Path(world.folder, f"push-{Pushing.count}.log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                world.command("push", "shopify", *arguments),
                env={**world.env(log__format="json", push__metrics_port=0), "SHOP_TOKEN": TOKEN},
                cwd=world.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait(30)
        if error is not None:
            error.add_note(f"it said:\n{self.text()[-4000:]}")

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def mock() -> Iterator[MockShop]:
    with MockShop() as shop:
        yield shop


def prepare(world: Any, mock: MockShop, items: range, version: str = "2026-04", more: str = "") -> None:
    """A shop that has 0 of each item, and their aliases; each test has items of its own."""
    world.config.write_text(
        f'[sources.shop]\nkind = "shopify"\nchannel = "web"\naliases = {{ item = "first" }}\n[sources.shop.push]\n'
        f'url = "{mock.url(version)}"\ntoken_variable = "SHOP_TOKEN"\nlocations = {{ web = "1" }}\n'
        f'every = "50ms"\n{more}'
    )
    world.create_topics()
    mock.tell(available={str(number): 0 for number in items}, refused=[])
    for number in items:
        send_alias(world, number)
    world.flush()


def send_alias(world: Any, number: int) -> None:
    theirs = f"{ITEM}{number}"
    told = {"source": "shop", "kind": "item", "theirs": theirs, "ours": clock(number)}
    world.send("inventory.aliases", told, key=f"shop:item:{theirs}")


def update(world: Any, number: int, atp: int, version: int, lane: str = "normal") -> None:
    told = {"item": clock(number), "channel": "web", "atp": atp, "version": version, "lane": lane}
    world.send(f"atp.updates.{lane}", told, key=f"{clock(number)}:web")


def wait_until(mock: MockShop, wanted: dict[int, int], said: Pushing) -> None:
    def has_all() -> bool:
        available = mock.available
        return all(available[str(number)] == quantity for number, quantity in wanted.items())

    until(has_all, WAIT_S, lambda: f"expected {wanted}, got {mock.available}\n{said.text()[-3000:]}")


@pytest.mark.parametrize("version", ["2025-10", "2026-04"])
def test_the_newest_number_of_all_lanes_is_set(world: Any, mock: MockShop, version: str) -> None:
    items = range(1000, 1003)
    prepare(world, mock, items, version)
    update(world, 1000, 5, version=1, lane="bulk")
    update(world, 1001, 7, version=9, lane="critical")
    update(world, 1001, 99, version=3, lane="bulk")
    update(world, 1002, 1, version=4)
    world.send("inventory.items", {"item": clock(1002), "scale": 1}, key=clock(1002))
    world.flush()
    with Pushing(world) as pushing:
        # 0.1 of a unit is none that a shop could sell.
        wait_until(mock, {1000: 5, 1001: 7, 1002: 0}, pushing)
        update(world, 1000, 2, version=10, lane="high")
        update(world, 1002, 25, version=11)
        world.flush()
        wait_until(mock, {1000: 2, 1001: 7, 1002: 2}, pushing)
        assert pushing.stop() == 0
        assert TOKEN not in pushing.text()
    assert 99 not in [after for _, _, after in mock.tell()["history"]]


@KILLS
def test_killed_anywhere_it_goes_on_and_ends_with_the_newest_numbers(world: Any, mock: MockShop, kills: int) -> None:
    items = range(2000, 2030)
    draw = random.Random(7)
    prepare(world, mock, items)
    newest: dict[int, int] = {}
    version = 0
    for _ in range(kills):
        for _ in range(60):
            version += 1
            number = draw.choice(items)
            newest[number] = draw.randrange(100)
            update(world, number, newest[number], version, draw.choice(["critical", "high", "normal", "bulk"]))
        world.flush()
        begun = len(mock.tell()["requests"])
        with Pushing(world) as pushing:
            # As soon as it has begun to tell the shop something, or a little later.
            most = begun + draw.randrange(1, 4)
            until(lambda most=most: len(mock.tell()["requests"]) >= most, WAIT_S, pushing.text)
    with Pushing(world, "--once") as pushing:
        assert pushing.process.wait(WAIT_S) == 0, pushing.text()
    assert {number: mock.available[str(number)] for number in newest} == newest
    before = len([one for one in mock.tell()["requests"] if one[0] == "levels"])
    with Pushing(world, "--once") as pushing:
        assert pushing.process.wait(WAIT_S) == 0, pushing.text()
    after = len([one for one in mock.tell()["requests"] if one[0] == "levels"])
    assert after == before, "what was committed is not looked at again"


def test_one_bad_item_stands_alone_and_others_are_set(world: Any, mock: MockShop) -> None:
    items = range(3000, 3040)
    prepare(world, mock, items)
    mock.tell(refused=["3017"])
    for number in items:
        update(world, number, number - 2990, version=number)
    update(world, 3999, 1, version=1)  # no alias: it waits for one, and holds up nobody
    world.flush()
    with Pushing(world) as pushing:
        wait_until(mock, {number: number - 2990 for number in items if number != 3017}, pushing)
        until(lambda: "push_refused" in pushing.text(), WAIT_S, pushing.text)
        assert f"{ITEM}3017" in pushing.text()
        mock.tell(refused=[], available={"3017": 0, "3999": 0})
        send_alias(world, 3999)
        world.flush()
        wait_until(mock, {3017: 27, 3999: 1}, pushing)
        assert pushing.stop() == 0


def test_throttling_errors_and_silence_are_waited_for(world: Any, mock: MockShop) -> None:
    items = range(4000, 4020)
    prepare(world, mock, items, more='batch = 5\ntimeout = "2s"\n')
    faults = [{"status": 429, "retry_after": 1}, {"status": 503}, {}, {"silence": 6}, {}, {}, {"silence": 6}]
    mock.tell(faults=faults, budget={"budget": 30.0, "most": 60.0, "rate": 40.0})
    for number in items:
        update(world, number, 3, version=number)
    world.flush()
    try:
        with Pushing(world) as pushing:
            wait_until(mock, dict.fromkeys(items, 3), pushing)
            assert "push_failed" in pushing.text()
            assert pushing.stop() == 0
    finally:
        mock.tell(budget={"budget": 2000.0, "most": 2000.0, "rate": 1000.0})


def webhook(world: Any, order_id: str, item: int, quantity: int, moment: str) -> None:
    """Deliver what the shop says of an order."""
    line = {"id": 1, "sku": clock(item), "quantity": quantity, "current_quantity": quantity}
    order = {
        "id": int(order_id),
        "order_number": 1,
        "financial_status": "paid",
        "updated_at": moment,
        "source_name": "web",
    }
    order |= {"cancelled_at": None, "fulfillments": [], "line_items": [{**line, "fulfillable_quantity": quantity}]}
    producer = Producer({"bootstrap.servers": world.servers.bootstrap_servers, "log_level": 0})
    headers = [("x-shopify-topic", b"orders/create"), ("received_at", stamp().encode())]
    producer.produce(world.topic("inventory.raw.shop"), json.dumps(order).encode(), b"shop", headers=headers)
    assert not producer.flush(PATIENCE_S)


def test_no_number_rises_while_an_order_of_the_shop_is_unread(world: Any, mock: MockShop) -> None:
    item = 5
    prepare(world, mock, range(item, item + 1), more='order_wait = "0s"\n')
    open_shop(world, items=6)
    with (
        Engine(world) as engine,
        Engine(world, command="translate", log__format="json") as translator,
        Pushing(world) as pushing,
    ):
        take_in(world, item, 10)
        wait_for(world, 10, item)
        wait_until(mock, {item: 10}, pushing)
        # Somebody buys 4 at the shop, and the webhook is late; then goods come in.
        mock.tell(orders={"7001": [str(item), 4]})
        moment = mock.tell()["orders"]["7001"]
        take_in(world, item, 5)
        wait_for(world, 15, item)
        asked = len([one for one in mock.tell()["requests"] if one[0] == "orders"])
        until(lambda: len([one for one in mock.tell()["requests"] if one[0] == "orders"]) > asked, WAIT_S, pushing.text)
        assert mock.available[str(item)] == 6, "15 would sell the four once more"
        webhook(world, "7001", item, 4, moment)
        wait_for(world, 11, item, WAIT_S)
        wait_until(mock, {item: 11}, pushing)
        # What falls does not wait for anything.
        mock.tell(orders={"7002": [str(item), 1]})
        world.send("inventory.warehouse", {**lost(item, -8)})
        world.flush()
        wait_until(mock, {item: 3}, pushing)
        mine = [tuple(one) for one in mock.tell()["history"] if one[0] == str(item)]
        assert mine == [("5", 0, 10), ("5", 6, 11), ("5", 10, 3)]
        assert (pushing.stop(), translator.stop(), engine.stop()) == (0, 0, 0)


def lost(item: int, quantity: int) -> dict[str, Any]:
    return {
        "event_id": f"lost-{item}",
        "type": "stock_adjusted",
        "source": "wms",
        "occurred_at": stamp(),
        "item": clock(item),
        "location": "EAST",
        "quantity": quantity,
    }


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", "expected at least one source with [sources.<name>.push]"),
        ('[sources.s.push]\nurl = "http://h/"\n', "expected token_file or token_variable"),
        ('[sources.s.push]\nurl = "http://h/"\ntoken_variable = "NO"\n', "expected locations"),
        (
            '[sources.s.push]\nurl = "http://h/"\ntoken_variable = "NO"\nlocations = {web = "1"}\n',
            "expected NO with a token, got none",
        ),
        (
            '[sources.s.push]\nurl = "http://h/"\ntoken_variable = "NO"\nlocations = {web = "1", b2b = "1"}\n',
            "expected another location for each channel",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(world: Any, config: str, expected: str) -> None:
    world.config.write_text(config)
    with Pushing(world) as pushing:
        assert pushing.process.wait(WAIT_S) == 2
        assert expected in pushing.text()
