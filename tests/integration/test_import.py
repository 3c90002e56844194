"""The first load: what is wrong is found before anything is sent, and what was sent once changes nothing again."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tests.conftest import ROOT
from tests.running import Engine, ends

EXAMPLES = ROOT / "docs" / "examples" / "import"
FILES = sorted(str(file) for file in EXAMPLES.iterdir())
CATCH_UP_SECONDS_MAX = 90


def moment(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")


class Done(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def load(world: Any, *arguments: str, waits: bool = False, **overrides: object) -> Done:
    """`atp import` in this process: starting Python each time would take most of the time."""
    pairs = {name: value for name, value in world.overrides(**overrides).items() if not name.startswith("redis")}
    settings = [word for name, value in pairs.items() for word in ("--set", f"{name}={value}")]
    patience = [] if waits else ["--no-wait"]
    result = CliRunner().invoke(app, ["import", *arguments, "--config", str(world.config), *settings, *patience])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def make_topics(world: Any) -> None:
    world.create_topics()
    ends(world.settings())  # waits until every broker's client sees them


def catch_up(world: Any, **overrides: object) -> None:
    with Engine(world, "--until-caught-up", **overrides) as engine:
        assert engine.wait(CATCH_UP_SECONDS_MAX) == 0, engine.text()


def numbers(world: Any) -> dict[str, dict[str, str]]:
    """All that a channel could read, without what tells one writing from another."""
    prefix = world.redis_prefix
    return {
        key.removeprefix(prefix): {name: value for name, value in world.redis.hgetall(key).items() if name[0] != "_"}
        for key in world.redis.scan_iter(f"{prefix}*")
        if "engine:" not in key
    }


def refused(world: Any) -> Counter[str]:
    return Counter(record.headers["code"] for record in world.read("inventory.dead_letters"))


def test_the_examples_become_numbers_and_a_second_run_changes_nothing(world: Any) -> None:
    make_topics(world)
    at = moment(30)
    first = load(world, *FILES, "--at", at)
    assert first.code == 0, first.out + first.err
    assert "22 lines checked, nothing wrong" in first.out and "24 messages sent" in first.out
    events = {record.json()["event_id"]: record.json() for record in world.read("inventory.orders")}
    noon = datetime.fromisoformat(at).replace(tzinfo=None).isoformat() + "Z"
    assert events[f"orders:SO-9002:1:SHOVEL@{noon}"]["lines"] == [
        {"line_id": "1", "item": "SHOVEL", "quantity": 10, "location": "DC1"}
    ]
    assert events["allocated:SO-9002:1:SHOVEL"] == {
        "event_id": "allocated:SO-9002:1:SHOVEL",
        "type": "order_allocated",
        "source": "import",
        "occurred_at": at,
        "correlation_id": "orders.csv:4",
        "order_id": "SO-9002",
        "channel": "marketplace",
        "lines": [{"line_id": "1", "item": "SHOVEL", "location": "DC1", "quantity": 4}],
    }
    catch_up(world)
    there = numbers(world)
    assert there["atp:SHOVEL"]["web"] == "50" and there["atp:SHOVEL"]["marketplace"] == "113"
    assert there["atp:RETRO-CLOCK"]["web"] == "39", "a lot is on hold"
    assert there["position:CABLE"]["DC1:on_hand"] == "2005", "scale 1"
    assert there["position:SHOVEL"]["DC1:hard_reserved"] == "4"
    # From another folder, and one file says something else by now.
    for file in FILES:
        (world.folder / Path(file).name).write_bytes(Path(file).read_bytes())
    stock = world.folder / "stock.csv"
    stock.write_text(stock.read_text().replace("SHOVEL,DC1,120", "SHOVEL,DC1,999"))
    again = load(world, *(str(world.folder / Path(file).name) for file in FILES), "--at", at)
    assert again.code == 0, again.out + again.err
    catch_up(world)
    assert numbers(world) == there
    assert refused(world) == {"conflict": 1}, "the first stands, and duplicates are no refusals"
    # Next day: the engine has forgotten the ids, and finds the lines too old (here with a day of ten minutes).
    assert load(world, *FILES, "--at", at).code == 0
    catch_up(world, dedup_window="10m")
    assert numbers(world) == there
    assert refused(world) == {"conflict": 1, "late": 13}


def test_with_one_wrong_line_nothing_is_sent(world: Any) -> None:
    make_topics(world)
    assert load(world, *[file for file in FILES if "channels" in file or "locations" in file]).code == 0
    (world.folder / "items.csv").write_text("item;scale;conversions\nSHOVEL;0;case=12\nBAD CODE;;\nCABLE;9;\n")
    (world.folder / "stock.csv").write_text(
        "item,location,quantity,quarantined,lot,uom\n"
        "SHOVEL,DC1,5,,,\n"
        "SHOVEL,DC1,6,,,\n"  # twice
        "SPADE,DC1,5,,,\n"
        "SHOVEL,MOON,5,,,\n"
        "SHOVEL,STORE,2.5,,,\n"
        "SHOVEL,STORE,5,9,L2,\n"
        "SHOVEL,EU,1,,,barrel\n"
        "SHOVEL,EU,-1,,L1,\n"
        "SHOVEL,EU,1\n"
        "SHOVEL,REPAIR,many,,,\n"
    )
    (world.folder / "orders.jsonl").write_text(
        '{"order_id": "SO 1", "line_id": "1", "channel": "web", "item": "SHOVEL", "quantity": 1}\n'
        '{"order_id": "SO-2", "line_id": "1", "channel": "shop", "item": "SHOVEL", "quantity": 1}\n'
        '{"order_id": "SO-3", "line_id": "1", "channel": "web", "item": "SHOVEL", "quantity": 1, "allocated": 2}\n'
        '{"order_id": "SO-4", "line_id": "1", "channel": "web", "item": "SHOVEL", "quantity": 2, "alocated": 2}\n'
        '{"order_id": "SO-5", "line_id": "1", "channel": "web", "item": "SHOVEL", "quantity": 9, "allocated": 0.5,'
        ' "location": "DC1"}\n'
        "[1]\n{\n"
    )
    names = [str(world.folder / name) for name in ("stock.csv", "orders.jsonl", "items.csv")]
    done = load(world, *names, "--at", moment(1))
    assert done.code == 1
    said = done.out.splitlines()
    for where, code in (
        ("items.csv, line 3, item", "bad_value"),
        ("items.csv, line 4, scale", "bad_value"),
        ("stock.csv, line 3, item", "bad_value"),
        ("stock.csv, line 4, item", "unknown_item"),
        ("stock.csv, line 5, location", "unknown_location"),
        ("stock.csv, line 6, quantity", "quantity_not_exact"),
        ("stock.csv, line 7, quarantined", "bad_value"),
        ("stock.csv, line 8, uom", "unknown_uom"),
        ("stock.csv, line 9, quantity", "bad_value"),
        ("stock.csv, line 10", "bad_value"),
        ("stock.csv, line 11, quantity", "bad_value"),
        ("orders.jsonl, line 1, order_id", "bad_value"),
        ("orders.jsonl, line 2, channel", "unknown_channel"),
        ("orders.jsonl, line 3, location", "missing_field"),
        ("orders.jsonl, line 3, allocated", "bad_value"),
        ("orders.jsonl, line 4, alocated", "bad_value"),
        ("orders.jsonl, line 5, allocated", "quantity_not_exact"),
        ("orders.jsonl, line 6", "not_an_object"),
        ("orders.jsonl, line 7", "not_json"),
    ):
        found = [line for line in said if line.startswith(f"{where}: ") and line.endswith(f"[{code}]")]
        assert len(found) == 1, (where, code, done.out)
    assert said[-1].startswith("20 lines checked: 19 problems") and said[-1].endswith("nothing was sent")
    assert not world.read("inventory.items") and not world.read("inventory.warehouse")
    few = load(world, *names, "--at", moment(1), "--problems", "2").out.splitlines()
    assert len([line for line in few if line.endswith("]")]) == 2 and few[-2].startswith("... and 17 more")


def test_a_dry_run_works_without_kafka_and_finds_what_the_source_may_not_say(world: Any) -> None:
    world.config.write_text('[sources.import]\nmay_send = ["lot_held"]\n')
    done = load(world, *FILES, "--at", moment(1), "--dry-run", kafka__bootstrap_servers="127.0.0.1:9")
    assert done.code == 1
    assert done.out.count("[not_allowed]") == 12
    assert "nothing was sent" in done.out
    assert "only codes of these files are known" in done.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["numbers.csv"], "begins with one of"),
        (["stock.xlsx"], "ends in .csv"),
        (["stock-of-yesterday.csv"], "found none"),
        (["stock=nothing.csv"], "found none"),
        ([FILES[-1], FILES[-1]], "different names"),
        ([FILES[-1], "--at", "yesterday"], "--at: expected an RFC 3339 time"),
        ([FILES[-1], "--at", moment(60 * 24)], "late"),
        ([FILES[-1], "--at", moment(-60)], "has come"),
        ([FILES[-1], "--source", "a b"], "--source"),
        (["--dry-run"], "FILE"),
    ],
)
def test_a_command_that_cannot_be_right_is_misuse(world: Any, arguments: list[str], told: str) -> None:
    (world.folder / "stock.xlsx").touch()
    done = load(world, *arguments)
    assert done.code == 2
    assert told in done.err
