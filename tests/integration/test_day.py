"""A day of a shop (webhooks), a warehouse (files of X12) and an ERP (rows by CDC); every process is killed on the way.

Documents come shuffled, repeated and renamed. At its end Redis holds what the books say (tests/day.py) and what the
naive model makes of the events, the warehouse's own statement agrees, and each line of each document is accounted for.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mockedi.testing import Mock

from flows.audit.compare import audit
from flows.embedded.child import free_port
from flows.runtime.run import now
from tests.day import ITEMS, PLACE, SETTINGS, SUPPLIER, Day
from tests.documents import x12
from tests.integration.test_intake import Command, ask, send
from tests.running import Engine, until

pytestmark = pytest.mark.timeout(600)
PATIENCE_S = 300
#: A hundred deaths and starts of four processes: a quarter of an hour, and several times that on a busy machine.
LONG_SECONDS_MAX = 4 * 3600
SIZES = pytest.mark.parametrize(
    ("orders", "kills"),
    [(24, 1), pytest.param(1000, 100, marks=[pytest.mark.long, pytest.mark.timeout(LONG_SECONDS_MAX)])],
)
#: What a supplier sells, and how much of it is ordered.
BOUGHT, ORDERED = "WIDGET-001", 100


class Office:
    """The four processes that stand between senders and numbers."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.folder: Path = world.folder / "in"
        self.folder.mkdir()
        world.port = free_port()
        self.open()

    def open(self) -> None:
        """Start all of them."""
        pick_up = ("pick-up", str(self.folder), "--source", "edi", "--set", "pick_up.settle=0s")
        self.receive = Command(self.world, "receive", "--port", str(self.world.port))
        self.pick_up = Command(self.world, *pick_up)
        self.translate = Engine(self.world, command="translate")
        self.engine = Engine(self.world)
        until(lambda: ask(self.world.port, "GET", "/readyz")[0] == 200, PATIENCE_S, self.receive.text)

    def kill(self, draw: random.Random) -> None:
        """SIGKILL each, in any order."""
        ends = [self.receive.kill, self.pick_up.kill, self.translate.kill_everything, self.engine.kill_everything]
        draw.shuffle(ends)
        for end in ends:
            end()

    def done(self) -> int:
        """How many files were picked up."""
        folder = self.folder / "done"
        return len(list(folder.iterdir())) if folder.exists() else 0


@SIZES
def test_a_day_ends_in_the_numbers_of_the_books_whatever_died_on_the_way(world: Any, orders: int, kills: int) -> None:
    day, draw = Day(seed=orders, orders=orders), random.Random(kills)
    open_place(world, day)
    webhooks = shuffled(day.webhooks, draw)
    files = shuffled([(name, raw) for name, raw in day.files.items()], draw)
    office = Office(world)
    dropped = 0
    try:
        for turn in range(kills + 1):
            sender = threading.Thread(target=post, args=(world, part(webhooks, turn, kills + 1)))
            sender.start()
            for name, raw in part(files, turn, kills + 1):
                drop(office.folder, f"{dropped}-{name}", raw)
                dropped += 1
            send_rows(world, day, turn, kills + 1, draw)
            before = office.done()
            more = draw.randrange(1, 4)
            until(lambda: office.done() >= min(before + more, dropped), PATIENCE_S, office.pick_up.text)  # noqa: B023
            if turn < kills:
                office.kill(draw)
                office.open()
            sender.join()
        until(lambda: office.done() == dropped, PATIENCE_S, office.pick_up.text)
        told = lambda: f"{day.figures()}, got {found(world)}\n{office.engine.text()[-3000:]}"  # noqa: E731
        until(lambda: found(world) == day.figures(), PATIENCE_S, told)
        assert (office.receive.stop(), office.pick_up.stop()) == (0, 0)
        assert (office.translate.stop(), office.engine.stop()) == (0, 0)
    finally:
        office.kill(draw)
    buy(world)
    # The warehouse's own word comes last: it is compared with what is known then.
    drop(office.folder, "levels.edi", day.levels())
    with Command(world, "pick-up", str(office.folder), "--source", "edi", "--once") as command:
        assert command.ends() == 0, command.text()
    caught_up(world)
    agrees(world, day)


def open_place(world: Any, day: Day) -> None:
    world.config.write_text(SETTINGS)
    (world.folder / "supplier.toml").write_text(SUPPLIER)
    world.create_topics()
    for item, theirs in ITEMS.items():
        world.send("inventory.items", {"item": item, "base_uom": "EA"}, key=item)
        alias = {"source": "edi", "kind": "item", "theirs": theirs, "ours": item}
        world.send("inventory.aliases", alias, key=f"edi:item:{theirs}")
    world.send("inventory.items", {"item": BOUGHT, "base_uom": "EA"}, key=BOUGHT)
    world.send("inventory.locations", {"location": PLACE}, key=PLACE)
    world.send("inventory.channels", {"channel": "web", "locations": [PLACE]}, key="web")
    for count in day.counts:
        world.send("inventory.warehouse", count)
    world.flush()


def shuffled(documents: list[Any], draw: random.Random) -> list[Any]:
    """Give them in any order, a third of them twice."""
    found = documents + draw.sample(documents, len(documents) // 3)
    draw.shuffle(found)
    return found


def part(documents: list[Any], turn: int, turns: int) -> list[Any]:
    """Give what comes in this turn."""
    return documents[turn * len(documents) // turns : (turn + 1) * len(documents) // turns]


def post(world: Any, webhooks: list[bytes]) -> None:
    """Send each until it is acknowledged, as shops do."""
    for webhook in webhooks:
        until(lambda: send(world.port, webhook) == 200, PATIENCE_S, "atp receive is away")  # noqa: B023


def drop(folder: Path, name: str, raw: bytes) -> None:
    """Leave a file as a gateway does: whole at once."""
    (folder / f"{name}.part").write_bytes(raw)
    (folder / f"{name}.part").rename(folder / name)


def send_rows(world: Any, day: Day, turn: int, turns: int, draw: random.Random) -> None:
    """As Debezium does after it was killed: from somewhere before where it was, each row in its order."""
    end = (turn + 1) * len(day.rows) // turns
    for row in day.rows[max(0, turn * len(day.rows) // turns - draw.randrange(6)) : end]:
        world.send("inventory.raw.erp", row.value, key=row.key)
    world.flush()


def buy(world: Any) -> None:
    """Order from a supplier; what it says that it ships comes from its own hands, twice."""
    folder = world.folder / "supplier"
    folder.mkdir()
    order = f"850\nBEG*00*SA*BUY-1**20240110\nPO1*1*{ORDERED}*EA*12.50**VP*{BOUGHT}\nCTT*1"
    with Mock.start() as partner:
        partner.behaviour("ACME", "short-ship")
        raw = x12(order).decode().replace("*ZZ*US             *", "*ZZ*MOCKEDI        *").replace("*US*", "*MOCKEDI*")
        assert partner.send(raw)["accepted"]
        partner.settle()
        listed = [one for one in partner.documents() if one["direction"] == "out" and one["code"] == "856"]
        for number, one in enumerate([*listed, *listed]):
            payload = partner.get(f"/_mock/documents/{one['id']}").body["payload"]
            drop(folder, f"{number}.edi", payload.encode())
    assert listed
    with Command(
        world, "pick-up", str(folder), "--source", "supplier", "--once", "--set", "pick_up.settle=0s"
    ) as command:
        assert command.ends() == 0, command.text()


def caught_up(world: Any) -> None:
    for command in ("translate", "run"):
        with Engine(world, "--until-caught-up", command=command) as engine:
            assert engine.wait(PATIENCE_S) == 0, engine.text()


def found(world: Any) -> dict[str, dict[str, int]]:
    names = list(Day(0, 0).figures()["LAMP"])
    rows = {item: world.redis.hgetall(f"{world.redis_prefix}position:{item}") for item in ITEMS}
    return {item: {name: int(row.get(name, 0)) for name in names} for item, row in rows.items()}


def agrees(world: Any, day: Day) -> None:
    assert found(world) == day.figures()
    # A supplier that ships short: what it shipped is on its way, and the order is not forgotten.
    position = world.redis.hgetall(f"{world.redis_prefix}position:{BOUGHT}")
    assert 0 < int(position[f"{PLACE}:expected"]) < ORDERED
    report = audit(world.settings(), {}, now())
    assert report.promises.total and report.positions.total
    assert not report.promises.differences + report.positions.differences + report.dead_letters.differences
    assert not report.dropped and not world.read("inventory.dead_letters")
    [status] = {one.key: one.json() for one in world.read("inventory.statements.status")}.values()
    assert (status["verdict"], status["in_variance"], status["agreed"]) == ("accepted", 0, len(ITEMS))
    accounts = {one.key: one.json() for one in world.read("inventory.documents")}
    assert len(accounts) >= len(set(day.webhooks)) + len(day.files) + len({row.value for row in day.rows})
    refused: Counter[str] = Counter()
    for account in accounts.values():
        refused.update(account["refused"])
        ended = account["event_lines"] + account["statement_lines"] + sum(account["ignored"].values())
        assert account["lines"] == ended + sum(account["refused"].values()), account
    assert not refused
