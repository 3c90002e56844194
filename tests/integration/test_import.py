"""The first load: what is wrong is found before anything is sent, and what was sent once changes nothing again."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

EXAMPLES = ROOT / "docs" / "examples" / "import"
FILES = sorted(str(file) for file in EXAMPLES.iterdir())
CATCH_UP_SECONDS_MAX = 90


def moment(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")


def atp(world: Any, *arguments: str, **overrides: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        world.command(*arguments),
        env=world.env(**overrides),
        cwd=world.folder,
        capture_output=True,
        text=True,
        timeout=CATCH_UP_SECONDS_MAX,
        check=False,
    )


def catch_up(world: Any, **overrides: object) -> None:
    done = atp(world, "run", "--until-caught-up", **overrides)
    assert done.returncode == 0, done.stderr


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
    world.create_topics()
    at = moment(30)
    first = atp(world, "import", *FILES, "--at", at)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "22 lines checked, nothing wrong" in first.stdout and "24 messages sent" in first.stdout
    catch_up(world)
    there = numbers(world)
    assert there["atp:SHOVEL"]["web"] == "50" and there["atp:SHOVEL"]["marketplace"] == "113"
    assert there["atp:RETRO-CLOCK"]["web"] == "39", "a lot is on hold"
    assert there["position:CABLE"]["DC1:on_hand"] == "2005", "scale 1"
    assert there["position:SHOVEL"]["DC1:hard_reserved"] == "4"
    # Nothing in common with the machine or the folder of the first run but names and content.
    for file in FILES:
        (world.folder / Path(file).name).write_bytes(Path(file).read_bytes())
    again = atp(world, "import", *(Path(file).name for file in FILES), "--at", at)
    assert again.returncode == 0, again.stdout + again.stderr
    catch_up(world)
    assert numbers(world) == there
    assert not refused(world), "duplicates are no refusals"
    # Next day: the engine has forgotten the ids, and finds the lines too old (here with a day of ten minutes).
    assert atp(world, "import", *FILES, "--at", at).returncode == 0
    catch_up(world, dedup_window="10m")
    assert numbers(world) == there
    assert refused(world) == {"late": 13}


def test_a_file_that_says_something_else_the_second_time_is_a_conflict_and_the_first_stands(world: Any) -> None:
    world.create_topics()
    at = moment(5)
    assert atp(world, "import", *FILES, "--at", at).returncode == 0
    changed = world.folder / "stock.csv"
    changed.write_text((EXAMPLES / "stock.csv").read_text().replace("SHOVEL,DC1,120", "SHOVEL,DC1,999"))
    assert atp(world, "import", str(changed), "--at", at).returncode == 0
    catch_up(world)
    assert refused(world) == {"conflict": 1}
    assert world.redis.hget(f"{world.redis_prefix}position:SHOVEL", "DC1:on_hand") == "120"


def test_with_one_wrong_line_nothing_is_sent(world: Any) -> None:
    world.create_topics()
    assert atp(world, "import", *[file for file in FILES if "channels" in file or "locations" in file]).returncode == 0
    (world.folder / "items.csv").write_text("item;scale;conversions\nSHOVEL;0;case=12\nBAD CODE;;\nCABLE;9;\n")
    (world.folder / "stock.csv").write_text(
        "item,location,quantity,quarantined,lot,uom\n"
        "SHOVEL,DC1,5,,,\n"
        "SHOVEL,DC1,6,,,\n"  # twice
        "SPADE,DC1,5,,,\n"
        "SHOVEL,MOON,5,,,\n"
        "SHOVEL,STORE,2.5,,,\n"
        "SHOVEL,STORE,5,9,,\n"
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
    names = ["stock.csv", "orders.jsonl", "items.csv"]
    done = atp(world, "import", *names, "--at", moment(1))
    assert done.returncode == 1
    said = done.stdout.splitlines()
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
        assert len(found) == 1, (where, code, done.stdout)
    assert said[-1].startswith("20 lines checked: 19 problems") and said[-1].endswith("nothing was sent")
    assert not world.read("inventory.items") and not world.read("inventory.warehouse")
    few = atp(world, "import", *names, "--at", moment(1), "--problems", "2").stdout.splitlines()
    assert len(few) == 4 and few[2].startswith("... and 17 more")


def test_a_dry_run_sends_nothing_and_works_without_kafka(world: Any) -> None:
    done = atp(world, "import", *FILES, "--at", moment(1), "--dry-run", kafka__bootstrap_servers="127.0.0.1:9")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing was sent" in done.stdout
    assert "only codes of these files are known" in done.stderr


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
    done = atp(world, "import", *arguments)
    assert done.returncode == 2
    assert told in done.stderr


def test_what_the_source_may_not_say_is_found_too(world: Any) -> None:
    world.config.write_text('[sources.import]\nmay_send = ["lot_held"]\n')
    done = atp(world, "import", *FILES, "--at", moment(1), "--dry-run", kafka__bootstrap_servers="127.0.0.1:9")
    assert done.returncode == 1
    assert done.stdout.count("[not_allowed]") == 11


def test_events_are_what_a_source_would_send(world: Any) -> None:
    world.create_topics()
    at = moment(1)
    assert atp(world, "import", *FILES, "--at", at, "--source", "legacy-erp").returncode == 0
    orders = {record.json()["event_id"]: record.json() for record in world.read("inventory.orders")}
    assert orders["orders.csv:4:allocated"] == {
        "event_id": "orders.csv:4:allocated",
        "type": "order_allocated",
        "source": "legacy-erp",
        "occurred_at": at,
        "order_id": "SO-9002",
        "channel": "marketplace",
        "lines": [{"line_id": "1", "item": "SHOVEL", "location": "DC1", "quantity": 4}],
    }
    assert json.loads(json.dumps(orders["orders.csv:4"]["lines"])) == [
        {"line_id": "1", "item": "SHOVEL", "quantity": 10, "location": "DC1"}
    ]
