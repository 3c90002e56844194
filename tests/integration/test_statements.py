"""Statements against real servers: judged when due, held and corrected, and the same after any number of kills."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.running import Engine, until
from tests.shop import ago, clock, event, open_shop, received, wait_for
from tests.statements import atp

SETTLE = '[sources.erp]\nsettle = "1s"\n'
KEY = "erp:{}:EAST::on_hand"
PATIENCE_S = 60


class Ledger:
    """What an ERP says of the shop, and what the engine makes of it."""

    def __init__(self, world: Any, items: int) -> None:
        self.world, self.items = world, items
        self.as_of = ago(30)
        self.said = ""
        world.config.write_text(SETTLE)
        open_shop(world, items=items)
        for number in range(items):
            world.send("inventory.warehouse", received(number, 10, occurred_at=ago(60)))
        world.flush()

    def rules(self, **fields: Any) -> None:
        self.world.send("inventory.reconciliation", {"source": "erp", **fields}, key="erp")
        self.world.flush()

    def say(self, kind: str, statement: str = "night-1", as_of: str | None = None, **fields: Any) -> None:
        name = ":".join(str(value) for value in fields.values())
        head = {"event_id": f"{statement}:{kind}:{name}", "type": kind, "source": "erp", "statement_id": statement}
        self.world.send("inventory.statements", head | {"occurred_at": as_of or self.as_of} | fields)

    def state(self, theirs: dict[int, int], statement: str = "night-1", as_of: str | None = None, **start: Any) -> None:
        self.say("statement_started", statement, as_of, **start)
        for number, on_hand in theirs.items():
            self.say("stock_stated", statement, as_of, item=clock(number), location="EAST", on_hand=on_hand)
        self.say("statement_ended", statement, as_of, rows=len(theirs))
        self.world.flush()

    def catch_up(self, **overrides: object) -> None:
        with Engine(self.world, "--until-caught-up", **overrides) as engine:
            assert engine.wait(60) == 0, engine.text()
            self.said = engine.text()

    def newest(self, topic: str) -> dict[str, dict[str, Any]]:
        return {(record.key or b"").decode(): record.json() for record in self.world.read(topic)}

    def variance(self, number: int) -> dict[str, Any]:
        return self.newest("inventory.variances")[KEY.format(clock(number))]

    def status(self, statement: str = "night-1") -> dict[str, Any]:
        return self.newest("inventory.statements.status").get(f"erp:{statement}", {})

    def position(self, number: int, name: str) -> int:
        text = self.world.redis.hget(f"{self.world.redis_prefix}position:{clock(number)}", f"EAST:{name}")
        return int(text or 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_nightly_statement_is_judged_held_and_said(world: Any, workers: int) -> None:
    ledger = Ledger(world, 40)
    ledger.rules(actions={"on_hand": "hold"})
    theirs = dict.fromkeys(range(40), 10) | {3: 7}
    ledger.state(theirs)
    time_of_rows = time.monotonic()
    until(lambda: time.monotonic() > time_of_rows + 1.1, 5, "the rows to settle")
    ledger.catch_up(workers=workers)
    status = ledger.status()
    assert (status["verdict"], status["seen"], status["agreed"], status["in_variance"]) == ("accepted", 40, 39, 1)
    assert (ledger.variance(3)["state"], ledger.variance(3)["difference"]) == ("held", -3)
    assert ledger.position(3, "withheld") == 3, f"what is written because of a verdict is caught up with: {ledger.said}"
    ledger.state(dict.fromkeys(range(40), 10), "night-2", ago(5))
    time_of_rows = time.monotonic()
    until(lambda: time.monotonic() > time_of_rows + 1.1, 5, "the rows to settle")
    ledger.catch_up(workers=workers)
    assert ledger.variance(3)["state"] == "resolved"
    assert ledger.position(3, "withheld") == 0, ledger.said


def test_a_running_engine_says_its_verdict_by_itself(world: Any) -> None:
    ledger = Ledger(world, 3)
    ledger.rules(actions={"on_hand": "correct"})
    with Engine(world) as engine:
        ledger.state({0: 7, 1: 10, 2: 10}, max_rows=None)
        until(lambda: ledger.status().get("verdict") == "accepted", 30, engine.text)
        until(lambda: ledger.position(0, "on_hand") == 7, 30, engine.text)
        assert ledger.variance(0)["state"] == "corrected"
        assert engine.stop() == 0


def test_killed_in_the_middle_the_same_variances_and_no_second_correction(world: Any) -> None:
    ledger = Ledger(world, 30)
    dice = random.Random(7)
    ledger.rules(actions={"on_hand": "correct"}, max_rows_in_variance_percent=50)
    wrong = {number: 10 - 1 - number % 3 for number in range(0, 30, 3)}
    theirs = dict.fromkeys(range(30), 10) | wrong
    with Engine(world) as engine:
        engine.wait_for_workers()
        ledger.state(theirs)
        for _ in range(2):
            engine.wait_until_it_reads(world, world.settings())
            time.sleep(dice.uniform(0.0, 1.5))  # anywhere: before it is due, while it is judged, behind its verdict
            dead = engine.kill_worker()
            engine.wait_for_workers(besides=(dead,))
        engine.kill_everything()
    ledger.catch_up()
    assert ledger.status()["verdict"] == "accepted", ledger.status()
    assert (ledger.status()["seen"], ledger.status()["in_variance"]) == (30, 10), ledger.status()
    for number, quantity in theirs.items():
        assert ledger.position(number, "on_hand") == quantity
    found = ledger.newest("inventory.variances")
    assert {key for key, one in found.items() if one["state"] == "corrected"} == {
        KEY.format(clock(number)) for number in wrong
    }
    counts = [
        record.json() for record in world.read("inventory.warehouse") if b"stock_counted" in (record.value or b"")
    ]
    assert len({one["event_id"] for one in counts}) == len(wrong)
    assert world.read("inventory.dead_letters") == [], "a repeated correction is the same to the letter"


def test_a_refused_row_counts_once_it_is_replayed_and_what_it_names_is_there(world: Any) -> None:
    world.config.write_text('[sources.erp]\nsettle = "1s"\n')
    open_shop(world, items=1)
    own = {"source": "erp", "statement_id": "night-1", "occurred_at": ago(30)}

    def say(kind: str, name: str, **fields: Any) -> None:
        world.send("inventory.statements", {**own, "event_id": name, "type": kind, **fields})
        world.flush()

    def letters() -> list[dict[str, str]]:
        return [record.headers for record in world.read("inventory.dead_letters")]

    def status() -> dict[str, Any]:
        found = {record.key: record.json() for record in world.read("inventory.statements.status")}
        return found.get(b"erp:night-1", {})

    with Engine(world, reference_grace=0) as engine:
        world.send("inventory.warehouse", received(0, 10, occurred_at=ago(60)))
        world.flush()
        wait_for(world, 10)
        say("statement_started", "start")
        say("stock_stated", "row-0", item=clock(0), location="EAST", on_hand=10)
        say("stock_stated", "row-7", item=clock(7), location="EAST", on_hand=0)
        until(lambda: [one["code"] for one in letters()] == ["unknown_item"], PATIENCE_S, engine.text)
        until(lambda: status().get("refused") == 1, PATIENCE_S, engine.text)
        early = atp(world, "dead-letters", "replay", "--code", "unknown_item")  # nothing was mended
        assert early.code == 0, early.err
        until(lambda: len(letters()) == 2, PATIENCE_S, engine.text)
        assert sorted(one["attempts"] for one in letters()) == ["1", "2"]
        world.send("inventory.items", {"item": clock(7)}, key=clock(7))
        world.flush()
        for _ in range(2):  # the same row twice is one row
            done = atp(world, "dead-letters", "replay", "--code", "unknown_item")
            assert done.code == 0, done.err
            until(lambda: status().get("refused") == 0, PATIENCE_S, engine.text)
        until(lambda: status().get("duplicates", 0) >= 1, PATIENCE_S, engine.text)
        say("statement_ended", "end", rows=2)
        until(lambda: status().get("verdict") == "accepted", PATIENCE_S, engine.text)
        counts = {name: status()[name] for name in ("seen", "agreed", "refused", "conflicts")}
        assert counts == {"seen": 2, "agreed": 2, "refused": 0, "conflicts": 0}, json.dumps(status())
        assert len(letters()) == 2
        assert engine.stop() == 0


def test_a_state_of_before_knows_nothing_of_statements_and_goes_on(world: Any, tmp_path: Path) -> None:
    ledger = Ledger(world, 2)
    ledger.catch_up()
    ledger.state({0: 10, 1: 10})
    began = time.monotonic()
    until(lambda: time.monotonic() > began + 1.1, 5, "the rows to settle")
    ledger.catch_up()
    assert ledger.status()["verdict"] == "accepted"


def test_what_a_channel_shows_is_compared_with_what_was_sent_and_when(world: Any) -> None:
    world.config.write_text('[sources.shop]\nsettle = "2s"\n')
    open_shop(world, items=5)

    def sent() -> dict[str, int]:
        lanes = ("critical", "high", "normal", "bulk")
        said = [one.json() for lane in lanes for one in world.read(f"atp.updates.{lane}")]
        return {one["item"]: one["atp"] for one in sorted(said, key=lambda one: int(one["version"]))}

    def are(*expected: int) -> bool:
        return sent() == {clock(number): atp for number, atp in enumerate(expected)}

    with Engine(world) as engine:
        for number in range(5):
            world.send("inventory.warehouse", received(number, 10))
        world.flush()
        until(lambda: are(10, 10, 10, 10, 10), 60, engine.text)
        world.send("inventory.warehouse", event("stock_adjusted", item=clock(0), location="EAST", quantity=-3))
        world.flush()
        until(lambda: are(7, 10, 10, 10, 10), 60, engine.text)
        quiet_since = time.monotonic()
        until(lambda: time.monotonic() > quiet_since + 2.5, 10, "what was sent to be older than it takes to settle")
        as_of = ago(0)
        for number in (2, 3):
            world.send("inventory.warehouse", event("stock_adjusted", item=clock(number), location="EAST", quantity=-1))
        world.flush()
        until(lambda: are(7, 10, 9, 9, 10), 60, engine.text)
        own = {"source": "shop", "statement_id": "shown-1", "occurred_at": as_of}
        shown = {0: 10, 1: 10, 2: 9, 3: 4, 4: 6}
        messages = [{"type": "statement_started"}, {"type": "statement_ended", "rows": len(shown)}]
        messages += [
            {"type": "promise_stated", "item": clock(number), "channel": "web", "atp": atp}
            for number, atp in shown.items()
        ]
        for number, message in enumerate(messages):
            world.send("inventory.statements", {**own, "event_id": f"s{number}", **message})
        world.send("inventory.reconciliation", {"source": "shop", "max_rows_in_variance_percent": 100}, key="shop")
        world.flush()

        def status() -> dict[str, Any]:
            found = {record.key: record.json() for record in world.read("inventory.statements.status")}
            return found.get(b"shop:shown-1", {})

        until(lambda: status().get("verdict") == "accepted", 60, engine.text)
        counts = {name: status()[name] for name in ("seen", "agreed", "in_variance", "not_compared")}
        assert counts == {"seen": 5, "agreed": 1, "in_variance": 2, "not_compared": 2}
        assert status()["causes"] == {"atp": {"stale": 1, "unknown": 1}}
        found = {record.json()["item"]: record.json() for record in world.read("inventory.variances")}
        assert {item: (one["theirs"], one["ours"], one["cause"]) for item, one in found.items()} == {
            clock(0): (10, 7, "stale"),
            clock(4): (6, 10, "unknown"),
        }
        assert engine.stop() == 0
