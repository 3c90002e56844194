"""A warehouse's PostgreSQL, read by Debezium itself: raw topic, translator, engine, Redis, as docs/databases.md says.

What Redis has to hold is worked out from the tables alone, in SQL: it knows neither events nor this project.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.audit.compare import audit
from flows.embedded.child import free_port
from flows.runtime.run import now
from tests.capture import PAGE, Connect, Postgres, connect_jars, database, postgres_bin
from tests.running import Engine, until
from tests.shop import ago
from tests.snippets import blocks

pytestmark = [
    #: Four Java starts, and the fetching of Debezium on a new machine.
    pytest.mark.timeout(900),
    pytest.mark.skipif(postgres_bin() is None, reason="PostgreSQL is not here: see tests/needs.txt"),
]

#: A start of Connect, or all that it and two dataflows do behind it.
PATIENCE_S = 120
ITEMS = ("LAMP", "SHADE")
COUNTED = 100
ROUNDS = pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])

TABLES = """
CREATE TABLE movements (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL, sku text NOT NULL,
  site text NOT NULL DEFAULT 'DC1', lot text, quantity numeric(12, 3) NOT NULL, quality text NOT NULL DEFAULT 'ok',
  reference text, reference_line int, note text, moved_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE order_lines (order_no text, line_no int, sku text NOT NULL, site text NOT NULL DEFAULT 'DC1', status text
  NOT NULL DEFAULT 'open', quantity int NOT NULL, changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (order_no, line_no));
CREATE TABLE notices (notice_no text, sku text, site text NOT NULL DEFAULT 'DC1', purchase_no text, status text NOT NULL
  DEFAULT 'announced', quantity int NOT NULL, due_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '2 days',
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (notice_no, sku));
"""
BEFORE = """
INSERT INTO movements (kind, sku, quantity, moved_at) SELECT 'receipt', sku, 5000, now() - interval '1 year'
  FROM (VALUES ('LAMP'), ('SHADE')) AS items (sku), generate_series(1, 50);
INSERT INTO order_lines VALUES ('A-1', 1, 'LAMP', 'DC1', 'open', 3), ('A-1', 2, 'SHADE', 'DC1', 'open', 4);
INSERT INTO notices (notice_no, sku, quantity) VALUES ('N-1', 'LAMP', 40);
"""
#: What came after the count moves goods; what is open is claimed, what is released is reserved until it is picked.
EXPECTED = """
SELECT sku,
  100 + coalesce((SELECT sum(CASE kind WHEN 'pick' THEN -quantity WHEN 'note' THEN 0 ELSE quantity END) FROM movements m
    WHERE m.sku = items.sku AND moved_at > now() - interval '1 day'), 0)::int,
  coalesce((SELECT sum(quantity) FROM order_lines l WHERE l.sku = items.sku AND status = 'open'), 0),
  coalesce((SELECT sum(quantity) FROM order_lines l WHERE l.sku = items.sku AND status = 'released'), 0)
    - coalesce((SELECT sum(quantity) FROM movements m WHERE m.sku = items.sku AND kind = 'pick'), 0)::int,
  coalesce((SELECT sum(greatest(0, n.quantity - coalesce((SELECT sum(m.quantity) FROM movements m
    WHERE m.kind = 'receipt' AND m.sku = n.sku AND m.reference = n.notice_no), 0))) FROM notices n
    WHERE n.sku = items.sku AND status = 'announced'), 0)::int
FROM (VALUES ('LAMP'), ('SHADE')) AS items (sku)
"""
FIGURES = ("DC1:on_hand", "*:soft_allocated", "DC1:hard_reserved", "DC1:expected")


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with database() as server:
        server.run(TABLES)
        server.run(BEFORE)
        for statement in blocks(PAGE, "sql")[0].text.split(";\n"):
            server.run(statement)
        yield server


def expected(postgres: Postgres) -> dict[str, list[int]]:
    return {sku: [int(figure) for figure in figures] for sku, *figures in postgres.run(EXPECTED)}


def found(world: Any) -> dict[str, list[int]]:
    rows = {item: world.redis.hgetall(f"{world.redis_prefix}position:{item}") for item in ITEMS}
    return {item: [int(row.get(name, 0)) for name in FIGURES] for item, row in rows.items()}


class Clerk:
    """Somebody in the warehouse: does this and that, in transactions, and corrects it."""

    def __init__(self, postgres: Postgres, seed: int) -> None:
        self._postgres = postgres
        self._draw = random.Random(seed)
        self._orders = 0

    def work(self, steps: int, may_delete: bool = True) -> None:
        for _ in range(steps):
            self._postgres.run(self._statement(may_delete))

    def _statement(self, may_delete: bool) -> str:
        draw, item = self._draw, self._draw.choice(ITEMS)
        mine = "id = (SELECT id FROM movements WHERE kind <> 'pick' AND moved_at > now() - interval '1 day' ORDER BY"
        some = f"{mine} random() LIMIT 1)"
        open_line = "(SELECT order_no, line_no FROM order_lines WHERE status = 'open' ORDER BY random() LIMIT 1)"
        self._orders += 1
        order = f"B-{self._orders}-{draw.randrange(10**9)}"
        number = draw.randrange(1, 9)
        columns = "kind, sku, quantity, reference, reference_line"
        said = [
            f"INSERT INTO movements (kind, sku, quantity, reference) VALUES ('receipt', '{item}', {number}, 'N-1')",
            f"INSERT INTO movements (kind, sku, quantity, note) VALUES ('scrap', '{item}', -{number}, 'wet')",
            f"UPDATE movements SET quantity = quantity + 1 WHERE {some} AND kind = 'receipt'",
            f"UPDATE movements SET sku = '{item}' WHERE {some}",
            f"UPDATE movements SET kind = 'note' WHERE {some}",
            f"INSERT INTO order_lines (order_no, line_no, sku, quantity) VALUES ('{order}', 1, '{item}', {number})",
            f"UPDATE order_lines SET quantity = {number} WHERE (order_no, line_no) = {open_line}",
            # Released and picked in one transaction, in part.
            f"INSERT INTO order_lines VALUES ('{order}', 1, '{item}', 'DC1', 'released', {number + 1}); "
            f"INSERT INTO movements ({columns}) VALUES ('pick', '{item}', {number}, '{order}', 1)",
            f"UPDATE notices SET quantity = quantity + {number}, status = 'announced' WHERE sku = 'LAMP'",
            f"UPDATE order_lines SET status = 'void' WHERE (order_no, line_no) = {open_line}",
        ]
        gone = [
            f"DELETE FROM movements WHERE {some}",
            f"DELETE FROM order_lines WHERE (order_no, line_no) = {open_line}",
        ]
        return draw.choice(said + 2 * gone if may_delete else said)


class Warehouse:
    """The database, Connect, and what is behind it."""

    def __init__(self, world: Any, postgres: Postgres, folder: Path, seed: int) -> None:
        self.world, self.postgres = world, postgres
        self.connect = Connect(folder, lambda _: None, world.servers.bootstrap_servers, postgres, world.topic_prefix)
        self.connect.port = free_port()
        self.clerk = Clerk(postgres, seed)
        self.engine = Engine(world)
        self.translator = self._translator()

    def _translator(self) -> Engine:
        return Engine(self.world, command="translate")

    def becomes_right(self) -> None:
        """Wait until Redis holds what the tables say."""

        def told() -> str:
            logs = "\n".join(one.text()[-3000:] for one in (self.engine, self.translator))
            return f"{expected(self.postgres)}, got {found(self.world)}\n{logs}{self.connect.log_tail()}"

        until(lambda: found(self.world) == expected(self.postgres), PATIENCE_S, told)

    def meanwhile(self, steps: int, may_delete: bool = True) -> threading.Thread:
        """Let the clerk go on while something else is done."""
        working = threading.Thread(target=self.clerk.work, args=(steps, may_delete))
        working.start()
        return working

    def kill_translator(self) -> None:
        """And start it again."""
        self.translator.process.kill()
        self.translator.process.wait()
        self.translator = self._translator()

    def forget_the_slot(self) -> None:
        """Drop it as soon as PostgreSQL has seen that nobody reads it any more."""

        def is_gone() -> bool:
            sql = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active"
            self.postgres.run(sql)
            return self.postgres.run("SELECT count(*) FROM pg_replication_slots") == [["0"]]

        until(is_gone, PATIENCE_S, "the slot is in use")

    def close(self) -> None:
        """End all of it."""
        self.connect.kill()
        self.translator.kill_everything()
        self.engine.kill_everything()


@ROUNDS
def test_numbers_are_the_tables_whatever_dies_and_however_often_they_are_shown_again(
    world: Any, postgres: Postgres, tmp_path: Path, rounds: int
) -> None:
    connect_jars(lambda _: None)
    counted_at = ago(1)
    (source,) = [block.text for block in blocks(PAGE, "toml")]
    world.config.write_text(source.replace("2026-11-30T06:00:00Z", counted_at))
    assert counted_at in world.config.read_text()
    open_warehouse(world, counted_at)
    warehouse = Warehouse(world, postgres, tmp_path / "connect", seed=rounds)
    connect, clerk = warehouse.connect, warehouse.clerk
    try:
        connect.restart()
        warehouse.becomes_right()
        assert found(world) == {"LAMP": [COUNTED, 3, 0, 40], "SHADE": [COUNTED, 4, 0, 0]}
        for turn in range(rounds):
            clerk.work(20)
            warehouse.becomes_right()

            # Killed; what is done meanwhile is in the log. A snapshot in the midst of a stream that is behind.
            connect.kill()
            clerk.work(10)
            postgres.run(blocks(PAGE, "sql")[1].text.replace("again-1", f"again-{turn}"))
            working = warehouse.meanwhile(25)
            connect.restart()
            working.join()
            warehouse.becomes_right()

            # Its offsets are lost, and the slot too: what was missed is found in the tables, but for what was deleted.
            connect.kill()
            connect.offsets.unlink()
            if turn % 2 == 0:
                warehouse.forget_the_slot()
            working = warehouse.meanwhile(20, may_delete=False)
            connect.restart()
            warehouse.kill_translator()
            working.join()
            warehouse.becomes_right()
        connect.kill()
        assert (warehouse.translator.stop(), warehouse.engine.stop()) == (0, 0)
    finally:
        warehouse.close()
    nothing_is_left(world, postgres)


def open_warehouse(world: Any, counted_at: str) -> None:
    """Topics, reference data, and a count of what is there before anything is read."""
    world.create_topics()
    for item in ITEMS:
        world.send("inventory.items", {"item": item, "base_uom": "each"}, key=item)
        count = {"event_id": f"count-{item}", "type": "stock_counted", "source": "count", "occurred_at": counted_at}
        world.send("inventory.warehouse", {**count, "item": item, "location": "DC1", "quantity": COUNTED})
    world.send("inventory.locations", {"location": "DC1"}, key="DC1")
    world.send("inventory.channels", {"channel": "web", "locations": ["DC1"]}, key="web")
    world.flush()


def nothing_is_left(world: Any, postgres: Postgres) -> None:
    """Nothing is on its way that would make it wrong again; the naive model agrees; no row was refused."""
    for command in ("translate", "run"):
        with Engine(world, "--until-caught-up", command=command) as engine:
            assert engine.wait(PATIENCE_S) == 0, engine.text()
    assert found(world) == expected(postgres)
    report = audit(world.settings(), {}, now())
    assert report.promises.total and report.positions.total
    assert not report.promises.differences + report.positions.differences + report.dead_letters.differences
    assert not report.dropped and not world.read("inventory.dead_letters")
    accounts = [record.json() for record in world.read("inventory.documents")]
    ignored = {reason for account in accounts for reason in account["ignored"]}
    assert {"snapshot", "unchanged", "tombstone", "says_nothing"} <= ignored
