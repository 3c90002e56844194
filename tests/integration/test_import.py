"""The first load: what is wrong is found before anything is sent, and what was sent once changes nothing again."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from typer.testing import CliRunner

from flows.adapters.files import verdicts
from flows.cli.app import app
from flows.embedded.child import free_port
from tests.conftest import ROOT
from tests.running import Engine, committed, ends, until

EXAMPLES = ROOT / "docs" / "examples" / "import"
FILES = sorted(str(file) for file in EXAMPLES.iterdir())
CATCH_UP_SECONDS_MAX = 90
NOBODY = "127.0.0.1:9"


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


def test_an_engine_that_runs_is_asked_what_became_of_it(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "QUIET_S", 60.0)
    monkeypatch.setattr(verdicts, "COUNTERS_S_MAX", 60.0)
    make_topics(world)
    at = moment(30)
    port = free_port()
    with Engine(world, metrics__port=port) as engine:
        engine.wait_for_workers()
        settings = world.settings()
        until(lambda: committed(settings).keys() == ends(settings).keys(), 60, engine.text)
        first = load(world, *FILES, "--at", at, waits=True, metrics__port=port)
        assert first.code == 0, first.out + first.err + engine.text()
        assert "11 reference records read, 13 applied, 0 known already (duplicates), 0 refused" in first.out, first.out
        only_reference = load(world, str(EXAMPLES / "items.csv"), waits=True, metrics__port=port)
        assert only_reference.code == 0 and "reference records read, 0 refused" in only_reference.out, (
            only_reference.out
        )
        assert not refused(world), "the engine had the items before the counts"
        assert numbers(world)["atp:SHOVEL"]["marketplace"] == "113"
        again = load(world, *FILES, "--at", at, waits=True, metrics__port=port)
        assert again.code == 0 and "0 applied, 13 known already (duplicates), 0 refused" in again.out, again.out
        # Corrected, under the same name: with a later moment it is a new count, with the same one a contradiction.
        stock = world.folder / "stock.csv"
        text = (EXAMPLES / "stock.csv").read_text()
        stock.write_text(text.replace("SHOVEL,DC1,120", "SHOVEL,DC1,119"))
        contradicts = load(world, str(stock), "--at", at, waits=True)
        assert contradicts.code == 1, contradicts.out
        assert "1 refused" in contradicts.out and "1 x conflict, such as stock.csv, line 2: " in contradicts.out
        assert "later --at" in contradicts.out
        lines = text.count("\n") - 1
        corrected = load(world, str(stock), "--at", moment(29), waits=True, metrics__port=port)
        assert corrected.code == 0 and f"{lines} applied, 0 known already" in corrected.out, corrected.out
        assert numbers(world)["atp:SHOVEL"]["marketplace"] == "112"
        # For a script; and an order line's allocation is taken once, whatever the moment.
        told = load(world, str(EXAMPLES / "orders.csv"), "--at", moment(28), "--json", waits=True)
        facts = [json.loads(line) for line in told.out.splitlines()]
        assert [fact["what"] for fact in facts] == ["checked", "sent", "judged", "refused"]
        assert told.code == 1 and facts[2]["refused"] == {"conflict": 2} and facts[2]["not_yet_judged"] == 0
        assert numbers(world)["position:SHOVEL"]["DC1:hard_reserved"] == "4"


def test_where_no_engine_runs_that_is_said(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make_topics(world)
    monkeypatch.setattr(verdicts, "QUIET_S", 1.0)
    done = load(world, *FILES, "--at", moment(1), waits=True, state__epoch_interval="50ms")
    assert done.code == 0, done.out + done.err
    assert re.search(r"sent, not yet judged: no engine read it within \d+ s", done.out), done.out
    catch_up(world)
    later = load(world, *FILES, "--at", moment(1), "--json", waits=True, metrics__port=0)
    assert json.loads(later.out.splitlines()[-1])["not_yet_judged"] == 24


def process(world: Any, *arguments: str, **settings: Any) -> subprocess.Popen[bytes]:
    """`atp import` in a process of its own."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = world.command("import", *arguments)
    return subprocess.Popen(command, cwd=world.folder, **{"env": world.env(), **pipes, **settings})


def test_a_run_that_is_cut_short_says_how_far_it_came_and_the_same_command_completes_it(world: Any) -> None:
    make_topics(world)
    lines = 3000
    (world.folder / "locations.csv").write_text("location\nDC1\n")
    (world.folder / "items.csv").write_text("item\n" + "".join(f"ITEM-{number}\n" for number in range(lines)))
    (world.folder / "stock.csv").write_text(
        "item,location,quantity\n" + "".join(f"ITEM-{number},DC1,{number % 9}\n" for number in range(lines))
    )
    command = ["locations.csv", "items.csv", "stock.csv", "--at", moment(1), "--no-wait"]
    # One message after the other, so that the signal finds it at work.
    first = process(world, *command, "--set", "kafka.options.queue.buffering.max.kbytes=1")
    topic = TopicPartition(world.topic("inventory.items"), 0)
    reader = Consumer({"bootstrap.servers": world.servers.bootstrap_servers, "group.id": "x", "log_level": 0})

    def has_begun() -> bool:
        with contextlib.suppress(KafkaException):  # made this moment: it may have no leader yet
            end: int = reader.get_watermark_offsets(topic, timeout=5)[1]
            return end > 0
        return False

    until(has_begun, 60, "the first message")
    first.send_signal(signal.SIGINT)
    out, err = first.communicate(timeout=60)
    reader.close()
    assert first.returncode == 1, out + err
    said = re.search(
        r"interrupted: ([\d,]+) of 6,001 messages went to Kafka; the same command again is safe", err.decode()
    )
    assert said is not None and 0 < int(said[1].replace(",", "")) < 6001, err
    assert b"Traceback" not in err
    again = process(world, *command)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0 and b"6,001 messages sent" in out, out + err
    ids = [record.json()["event_id"] for record in world.read("inventory.warehouse")]
    assert len(ids) >= lines and len(set(ids)) == lines, "what went twice has the same id"


def test_progress_is_there_at_once_and_an_interrupted_check_sent_nothing(world: Any) -> None:
    (world.folder / "items.csv").write_text("item\nSHOVEL\n")
    ours, theirs = pty.openpty()
    # Kafka does not answer: that takes its time, and somebody watches.
    with closed_port() as nobody:
        env = world.env(kafka__bootstrap_servers=nobody)
        running = process(world, "items.csv", "--dry-run", env=env, stderr=theirs)
        os.close(theirs)
        seen = b""
        while b"reading reference data" not in seen:
            seen += os.read(ours, 1000)
        assert running.poll() is None, "before the work is done"
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 1
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
            while more := os.read(ours, 1000):
                seen += more
    os.close(ours)
    assert b"interrupted while the files were checked: nothing was sent" in seen, seen


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_reader_that_goes_away_does_not_make_a_failure_a_success(world: Any) -> None:
    (world.folder / "items.csv").write_text("item,scale\n" + "BAD CODE,9\n" * 3000)
    failing = process(
        world, "items.csv", "--dry-run", "--problems", "0", env=world.env(kafka__bootstrap_servers=NOBODY)
    )
    assert failing.stdout is not None
    failing.stdout.read(1)
    failing.stdout.close()
    assert failing.wait(60) == 1
    make_topics(world)
    (world.folder / "items.csv").write_text("item\nSHOVEL\n")
    well = process(world, "items.csv", "--no-wait")
    assert well.stdout is not None
    well.stdout.close()
    assert well.wait(60) == 0
    assert len(world.read("inventory.items")) == 1, "the work is done to its end"


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
        ([str(EXAMPLES / "stock.csv")], "--at: expected the moment"),
        ([FILES[-1], "--decimal", ";"], "--decimal: expected one of"),
        ([FILES[-1], "--decimal", ",", "--thousands", ","], "--thousands: expected another mark"),
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
