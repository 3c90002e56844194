"""`atp reconcile` and `atp statements`: a file becomes a statement, and its verdict is told with its causes."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from operators.decode import CodeSets, DecoderConfig
from operators.statement_decode import StatementDecoder
from schemas.codes import is_id
from schemas.stated import Stated
from schemas.units import Origin
from tests.shop import open_shop
from tests.statements import Done, answering, atp, status, table

ROWS = (
    "item,location,lot,on_hand,quarantined",
    "RETRO-CLOCK-0,EAST,,12,",
    "RETRO-CLOCK-1,EAST,L1,3,1",
    "RETRO-CLOCK-1,WEST,,0,",
)


def ago(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds").replace("+00:00", "Z")


@pytest.fixture
def estate(world: Any) -> Any:
    """Topics, two items at two locations, one channel; nobody runs but who is played."""
    open_shop(world, items=2)
    return world


def reconcile(world: Any, file: str, *more: str, as_of: str = "", waits: bool = False) -> Done:
    patience = () if waits else ("--no-wait",)
    return atp(world, "reconcile", file, "--source", "erp", "--as-of", as_of or ago(30), *more, *patience)


def sent(world: Any) -> list[dict[str, Any]]:
    return [record.json() for record in world.read("inventory.statements")]


def test_a_file_becomes_a_statement_that_the_engine_can_read(estate: Any) -> None:
    as_of = ago(30)
    done = reconcile(estate, table(estate.folder, *ROWS), as_of=as_of)
    assert done.code == 0, done.out + done.err
    assert "3 rows of what there is of each item at each location" in done.out
    messages = sent(estate)
    assert sorted(one["type"] for one in messages) == [
        "statement_ended",
        "statement_started",
        *["stock_stated"] * 3,
    ]
    (identity,) = {one["statement_id"] for one in messages}
    assert f"atp statements erp:{identity}" in done.out
    decoder = StatementDecoder(DecoderConfig({}), CodeSets({"EAST", "WEST"}, {"web"}))
    read = []
    for record in estate.read("inventory.statements"):
        said = decoder.decode(Origin("t", 0, 0, 0, None, record.value), int(datetime.now().timestamp() * 1e6), True)
        assert isinstance(said, Stated), said
        read.append(said)
    rows = {(said.item, said.place, said.lot): said.figures[:2] for said in read if said.is_row}
    assert rows == {
        ("RETRO-CLOCK-0", "EAST", ""): (12, None),
        ("RETRO-CLOCK-1", "EAST", "L1"): (3, 1),
        ("RETRO-CLOCK-1", "WEST", ""): (0, None),
    }
    assert {said.rows for said in read if not said.is_row} == {3}
    assert all(said["occurred_at"] == as_of for said in messages)


def test_the_same_file_of_the_same_moment_is_the_same_statement_and_another_is_another(estate: Any) -> None:
    as_of, other = ago(30), ago(20)
    file = table(estate.folder, *ROWS)
    renamed = table(estate.folder, *ROWS, name="copy of night.csv")
    changed = table(estate.folder, *ROWS[:-1], name="changed.csv")
    identities = []
    for path, moment, more in (
        (file, as_of, ()),
        (renamed, as_of, ()),
        (changed, as_of, ()),
        (file, other, ()),
        (file, as_of, ("--all-items", "--location", "EAST")),
        (file, as_of, ("--statement-id", "mine")),
    ):
        before = len(sent(estate))
        assert reconcile(estate, path, *more, as_of=moment).code == 0
        identities.append(next(one["statement_id"] for one in sent(estate)[before:] if "statement_id" in one))
    by_count = {one["statement_id"]: one for one in sent(estate) if one["type"] == "statement_started"}
    assert len(by_count) == 5, "the copy is the same"
    assert by_count["mine"]["rows"] == 3
    (scoped,) = [one for one in by_count.values() if one.get("items") == "all"]
    assert scoped["locations"] == ["EAST"]


@pytest.mark.parametrize(
    "name", [b"Best\xc3\xa4nde nacht.csv", b"caf\xe9.csv", b"a\tb.csv", b"%.csv", b"n" * 200 + b".csv"]
)
def test_a_file_may_be_called_whatever_it_likes(estate: Any, name: bytes) -> None:
    file = table(estate.folder, *ROWS, name=os.fsdecode(name))
    done = reconcile(estate, file)
    assert done.code == 0 and "3 rows" in done.out, done
    rows = [one for one in sent(estate) if one["type"] == "stock_stated"]
    assert [one["correlation_id"].rpartition(":")[2] for one in rows] == ["2", "3", "4"]
    assert all(is_id(one["correlation_id"]) for one in rows)


def test_what_a_channel_shows_is_stated_too(estate: Any) -> None:
    done = reconcile(estate, table(estate.folder, "item;channel;atp", "RETRO-CLOCK-0;web;7", "RETRO-CLOCK-1;web;0"))
    assert done.code == 0, done.out + done.err
    rows = [one for one in sent(estate) if one["type"] == "promise_stated"]
    assert sorted((one["item"], one["channel"], one["atp"]) for one in rows) == [
        ("RETRO-CLOCK-0", "web", 7),
        ("RETRO-CLOCK-1", "web", 0),
    ]


def test_json_lines_are_stated_as_they_are(estate: Any) -> None:
    lines = [json.dumps({"item": "RETRO-CLOCK-0", "location": "EAST", "on_hand": 12, "available": -2})]
    done = reconcile(estate, table(estate.folder, *lines, name="night.jsonl"))
    assert done.code == 0, done.out + done.err
    (row,) = [one for one in sent(estate) if one["type"] == "stock_stated"]
    assert (row["on_hand"], row["available"]) == (12, -2)
    channel = [json.dumps({"item": "RETRO-CLOCK-0", "channel": "web", "atp": 5})]
    assert reconcile(estate, table(estate.folder, *channel, name="shown.jsonl")).code == 0
    assert sum(one["type"] == "promise_stated" for one in sent(estate)) == 1


UNUSABLE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("item,location,on_hand",), "an empty file never means that there is nothing; nothing was sent"),
    ((), "expected a column of this name, got none"),
    (("item,location,onhand", "A,EAST,1"), "did you mean on_hand?"),
    (("item,location,on_hand", "RETRO-CLOCK-0,EAST,many"), "on_hand: bad_value"),
    (("item,location,on_hand", "RETRO-CLOCK-0,EAST,"), "on_hand: missing_field"),
    (("item,location,on_hand", "RETRO-CLOCK-0,EAST"), "expected 3 cells, as the first line has, got 2"),
    (("item,location,expected", "RETRO-CLOCK-0,EAST,-1"), "expected a quantity of 0 or more, got -1"),
    (
        ("item,location,on_hand", "RETRO-CLOCK-0,EAST,1", "RETRO-CLOCK-0,EAST,2"),
        "expected one line for each item, location, got other figures than in line 2",
    ),
    (("item;location;on_hand", "RETRO-CLOCK-0;EAST;1.000"), "which is 1000 or 1.000: say --decimal"),
)


def test_a_file_of_which_nobody_can_know_what_it_means_is_not_sent(estate: Any) -> None:
    for lines, told in UNUSABLE:
        done = reconcile(estate, table(estate.folder, *lines))
        assert done.code == 1 and told in done.out, done.out + done.err
        assert "nothing was sent" in done.out
    assert not sent(estate)


def test_a_row_that_will_be_refused_is_named_and_sent_all_the_same(estate: Any) -> None:
    lines = (*ROWS, "NOBODY,EAST,,5,", "RETRO-CLOCK-0,MARS,,5,", "RETRO-CLOCK-0,WEST,,0.5,")
    done = reconcile(estate, table(estate.folder, *lines))
    assert done.code == 0, done.out + done.err
    for told in ("unknown_item", "unknown_location", "quantity_not_exact", "6 rows", "3 of them will be refused"):
        assert told in done.out, done.out
    assert sum(one["type"] == "stock_stated" for one in sent(estate)) == 6
    assert {one["rows"] for one in sent(estate) if "rows" in one} == {6}


def test_a_line_that_is_said_twice_is_sent_once_and_a_dry_run_sends_nothing(estate: Any) -> None:
    file = table(estate.folder, *ROWS, ROWS[1])
    done = reconcile(estate, file, "--dry-run")
    assert done.code == 0 and "dry run: nothing was sent" in done.out and not sent(estate)
    done = reconcile(estate, file)
    assert done.code == 0 and "1 said twice with the same figures" in done.out
    assert {one["rows"] for one in sent(estate) if "rows" in one} == {3}


MISUSES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("--as-of", "yesterday"), "--as-of: expected an RFC 3339 time with an offset"),
    (("--as-of", ago(-60)), "--as-of: expected a moment that has come"),
    (("--as-of", ago(60 * 48)), "--as-of: expected a moment within the window of source erp, 1d"),
    (("--source", "two words"), "--source: expected a source's code"),
    (("--statement-id", "two words"), "--statement-id: expected an id of 1 to 128"),
    (("--location", "MARS"), "--location: locations[0]: expected a location of inventory.locations, got MARS"),
    (("--decimal", "!"), "--decimal: expected one of"),
)


def test_a_wrong_command_says_what_would_do(estate: Any) -> None:
    for arguments, told in MISUSES:
        done = reconcile(estate, table(estate.folder, *ROWS), *arguments)
        assert done.code == 2 and told in done.err, done.out + done.err
    assert not sent(estate)


def test_a_file_that_is_none_is_refused(estate: Any, tmp_path: Path) -> None:
    assert "expected a file that can be read" in reconcile(estate, str(tmp_path / "none.csv")).err
    assert "ends in .csv (CSV) or .jsonl" in reconcile(estate, table(tmp_path, "x", name="night.xlsx")).err


def test_a_source_that_may_not_state_is_told_before_anything_is_sent(estate: Any) -> None:
    estate.config.write_text('[sources.erp]\nmay_send = ["stock_counted"]\n')
    done = reconcile(estate, table(estate.folder, *ROWS))
    assert done.code == 2 and "source erp may send (stock_counted), got statement_started" in done.err
    estate.config.write_text('[sources.erp]\nlocations = ["WEST"]\n')
    done = reconcile(estate, table(estate.folder, *ROWS), "--all-items")
    assert (
        done.code == 2 and "expected those that source erp may speak for, where items is all, got nothing" in done.err
    )
    done = reconcile(estate, table(estate.folder, *ROWS))
    assert done.code == 0 and "2 of them will be refused" in done.out
    assert "expected a location of source erp, got EAST" in done.out


def judging(**verdict: Any) -> Any:
    """Play an engine that judges a statement when its end is there, with a word before on how far it is."""

    def answer(said: dict[str, Any], _: Any) -> list[Any]:
        if said["type"] != "statement_ended":
            return []
        key = f"erp:{said['statement_id']}"
        pending = status(said["statement_id"], verdict="pending", seen=1, agreed=1)
        done = status(said["statement_id"], **verdict)
        return [("inventory.statements.status", key, one, {}) for one in (pending, done)]

    return answer


def test_the_verdict_is_waited_for_and_told_with_its_causes(estate: Any) -> None:
    verdict = {
        "agreed": 1,
        "in_variance": 2,
        "absent": 1,
        "causes": {"on_hand": {"missing_there": 2, "absent": 1}, "quarantined": {"statuses": 1}},
        "units": "7.5",
        "explained_percent": 93.3,
    }
    with answering(estate, "inventory.statements", judging(**verdict)):
        done = reconcile(estate, table(estate.folder, *ROWS), as_of=ago(30), waits=True)
    assert done.code == 0, done.out + done.err
    assert "accepted: 3 of 3 rows seen: 1 agree, 2 differ" in done.out
    assert (
        "2 x on_hand: missing_there: the difference is one event that the engine has and the source lacks" in done.out
    )
    assert "7.5 units differ, 93.3 % of them explained" in done.out
    assert "1 that it does not state differ" in done.out


def test_the_same_again_says_what_became_of_it_and_sends_nothing(estate: Any) -> None:
    as_of, file = ago(30), table(estate.folder, *ROWS)
    with answering(estate, "inventory.statements", judging()):
        assert reconcile(estate, file, as_of=as_of, waits=True).code == 0
    count = len(sent(estate))
    again = reconcile(estate, file, as_of=as_of, waits=True)
    assert again.code == 0 and "this statement was sent before" in again.out and "accepted: 3 of 3" in again.out
    assert len(sent(estate)) == count


def test_a_rejected_statement_says_why_and_what_would_do_and_fails(estate: Any) -> None:
    verdict = {"verdict": "rejected", "reasons": ["rows_missing", "fewer_than_last"], "seen": 1, "agreed": 1}
    with answering(estate, "inventory.statements", judging(**verdict)):
        done = reconcile(estate, table(estate.folder, *ROWS), "--json", waits=True)
    assert done.code == 1
    judged = done.objects[-1]
    assert (judged["what"], judged["verdict"], judged["reasons"]) == (
        "judged",
        "rejected",
        ["rows_missing", "fewer_than_last"],
    )
    shown = atp(estate, "statements", f"erp:{judged['statement_id']}")
    assert shown.code == 0 and "rows_missing: fewer rows came than it says it has" in shown.out
    assert "-> see where rows get lost between the export and Kafka" in shown.out


def test_without_an_engine_it_says_so_after_a_while(estate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.reconciling.run.PATIENCE_S", 0.5)
    done = reconcile(estate, table(estate.folder, *ROWS), waits=True)
    assert done.code == 1 and "no verdict yet" in done.out and "does an engine run (atp status)?" in done.out
    assert len(sent(estate)) == 5


def test_rows_are_not_judged_before_they_have_settled(estate: Any) -> None:
    estate.config.write_text('[sources.erp]\nsettle = "30m"\n')
    as_of = ago(1)
    with answering(estate, "inventory.statements", judging()):
        done = reconcile(estate, table(estate.folder, *ROWS), as_of=as_of, waits=True)
    due = (datetime.fromisoformat(as_of) + timedelta(minutes=30)).strftime("%H:%M:%SZ")
    assert done.code == 0 and f"rows are judged from {due} on, when events of before have settled" in done.err


def test_statements_are_listed_newest_first(estate: Any) -> None:
    for number, verdict in enumerate(("accepted", "pending", "rejected")):
        said = status(f"night-{number}", verdict=verdict, as_of=f"2025-01-3{number}T02:00:00.000000Z")
        said["reasons"] = ["not_ended"] if verdict == "rejected" else []
        estate.send("inventory.statements.status", said, key=f"erp:night-{number}")
    other = status("weekly", source="3pl")
    estate.send("inventory.statements.status", {**status("night-0"), "verdict": "pending"}, key="3pl:gone")
    estate.send("inventory.statements.status", None, key="3pl:gone")
    estate.send("inventory.statements.status", other, key="3pl:weekly")
    estate.send("inventory.statements.status", b"not ours", key="x")
    estate.flush()
    found = atp(estate, "statements", "--json")
    assert [one["statement_id"] for one in found.objects] == ["night-2", "weekly", "night-1", "night-0"]
    assert "1 message is none of the engine's and was left out" in found.err
    shown = atp(estate, "statements")
    assert "4 statements: 2 accepted, " in shown.out
    assert "rejected: not_ended" in shown.out
    assert [one["statement_id"] for one in atp(estate, "statements", "--source", "3pl", "--json").objects] == ["weekly"]
    assert len(atp(estate, "statements", "--verdict", "accepted", "--json").objects) == 2
    assert len(atp(estate, "statements", "--limit", "1", "--json").objects) == 1
    missing = atp(estate, "statements", "erp:none")
    assert missing.code == 1 and "there is no statement erp:none" in missing.err
    wrong = atp(estate, "statements", "--verdict", "acepted")
    assert wrong.code == 2 and "did you mean accepted?" in wrong.err
