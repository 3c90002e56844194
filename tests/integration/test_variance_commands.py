"""`atp variances`: what differs is listed and shown with its cause, and what a person decides reaches the engine."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.variances import Decision
from tests.shop import open_shop, received
from tests.statements import AS_OF, answering, atp, key_of, table, variance

NOW = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


@pytest.fixture
def estate(world: Any) -> Any:
    open_shop(world, items=2)
    return world


def tell(world: Any, *said: dict[str, Any]) -> list[str]:
    for one in said:
        world.send("inventory.variances", one, key=key_of(one))
    world.flush()
    return [key_of(one) for one in said]


def test_variances_are_listed_by_size_and_by_what_is_asked_for(estate: Any) -> None:
    small = variance()
    large = variance(item="RETRO-CLOCK-1", theirs=112, cause="unknown", state="held", action="hold")
    lot = variance(lot="L1", measure="quarantined", ours=0, theirs=4, cause="statuses")
    shown = variance(location=None, channel="web", measure="atp", ours=3, theirs=30, cause="stale", source="shop")
    over = variance(item="RETRO-CLOCK-1", location="WEST", state="resolved")
    tell(estate, {**small, "theirs": 99, "difference": 87}, large, lot, shown, over, small)
    gone = variance(item="GONE")
    tell(estate, gone)
    estate.send("inventory.variances", None, key=key_of(gone))
    estate.flush()

    def listed(*arguments: str) -> list[str]:
        done = atp(estate, "variances", "list", *arguments, "--json")
        assert done.code == 0, done.err
        return [one["key"] for one in done.objects]

    keys = {name: key_of(one) for name, one in {"small": small, "large": large, "lot": lot, "shown": shown}.items()}
    assert listed() == [keys["large"], keys["shown"], keys["lot"], keys["small"]]
    assert listed("--state", "resolved") == [key_of(over)]
    assert len(listed("--state", "all")) == 5
    assert listed("--state", "held", "--state", "resolved") == [keys["large"], key_of(over)]
    assert listed("--source", "shop") == listed("--measure", "atp") == listed("--location", "web") == [keys["shown"]]
    assert listed("--cause", "statuses") == [keys["lot"]]
    assert listed("--item", "RETRO-CLOCK-1") == [keys["large"]]
    assert listed("--id", small["id"]) == [keys["small"]], "a lot's row is another row"
    assert listed("--statement", "another") == []
    assert listed("--limit", "1") == [keys["large"]]
    seen = atp(estate, "variances", "list", "--limit", "2")
    assert "4 variances open or held (the largest 2 are shown): " in seen.out
    for word in (keys["large"], "+100", "held", "unknown 1", "missing_there 1", "stale 1", "statuses 1"):
        assert word in seen.out, seen.out
    assert "0 variances open or held" in atp(estate, "variances", "list", "--statement", "another").out
    for option, wrong, meant in (
        ("--cause", "stael", "stale"),
        ("--state", "opne", "open"),
        ("--measure", "onhand", "on_hand"),
    ):
        told = atp(estate, "variances", "list", option, wrong)
        assert told.code == 2 and f"did you mean {meant}?" in told.err.replace("\n", " ")


def test_one_is_shown_with_its_cause_the_event_behind_it_and_what_can_be_done(estate: Any) -> None:
    event = received(0, 2)
    estate.send("inventory.warehouse", event, key="x", partition=1)
    estate.flush()
    (record,) = estate.read("inventory.warehouse")
    place = {"topic": estate.topic("inventory.warehouse"), "partition": record.partition, "offset": record.offset}
    evidence = {**place, "source": "wms", "event_id": event["event_id"]}
    said = variance(evidence=[evidence, {**evidence, "offset": 10**6, "line_id": "7"}], state="held", action="ask")
    (key,) = tell(estate, said)
    shown = atp(estate, "variances", "show", key)
    assert shown.code == 0
    for told in (
        "12 on_hand",
        "10 (-2)",
        "missing_there: the difference is one event that the engine has and the source lacks",
        "held: what may not be there is not promised until somebody decides",
        f"@{record.offset}: {event['event_id']} of wms",
        f"{event['event_id']} line 7 of wms",
        '"type": "stock_received"',
        "look at the evidence: have the source book it",
        f"atp variances correct '{key}' --id {said['id']}",
        f"atp variances accept '{key}'",
    ):
        assert told in shown.out, shown.out
    assert "undo" not in shown.out
    (found,) = atp(estate, "variances", "show", key, "--json").objects
    assert found["evidence"][0]["event"] == event and found["evidence"][1]["event"] is None
    missing = atp(estate, "variances", "show", "erp:NOBODY:EAST::on_hand")
    assert missing.code == 1 and "there is no variance erp:NOBODY:EAST::on_hand" in missing.err
    tell(estate, {**said, "state": "corrected", "decided_by": "rule"})
    assert f"atp variances undo '{key}'" in atp(estate, "variances", "show", key).out


def deciding(said: dict[str, Any], state: str) -> Any:
    """Play an engine that takes a decision; others' words on the same key come between."""

    def answer(came: dict[str, Any], _: Any) -> list[Any]:
        taken = {**said, "state": state, "decided_by": came["decided_by"], "reason": came.get("reason")}
        key = came["key"]
        words = ({**said, "ours": said["ours"] + 1, "difference": said["difference"] - 1}, taken)
        return [("inventory.variances", key, one, {}) for one in words]

    return answer


@pytest.mark.parametrize(
    ("decision", "before", "after"),
    [
        ("accept", "open", "accepted"),
        ("correct", "held", "corrected"),
        ("reject", "held", "rejected"),
        ("undo", "corrected", "rejected"),
    ],
)
def test_what_a_person_decides_reaches_the_engine_with_who_and_why(
    estate: Any, decision: str, before: str, after: str
) -> None:
    said = variance(as_of=NOW, state=before)
    (key,) = tell(estate, said)
    with answering(estate, "inventory.decisions", deciding(said, after)) as came:
        done = atp(
            *(estate, "variances", decision, key, "--id", said["id"]),
            *("--reason", "looked on the shelf", "--by", "Ada Lovelace"),
        )
    assert done.code == 0, done.out + done.err
    assert f"{key} is {after}: " in done.out and "decided by Ada Lovelace" in done.out
    (sent,) = came
    Decision.model_validate(sent)
    assert {name: sent[name] for name in ("key", "id", "decision", "decided_by", "reason")} == {
        "key": key,
        "id": said["id"],
        "decision": decision,
        "decided_by": "Ada Lovelace",
        "reason": "looked on the shelf",
    }
    (record,) = estate.read("inventory.decisions")
    assert record.key == key.encode()


def test_what_cannot_be_decided_is_told_before_anything_is_sent(estate: Any) -> None:
    old = variance()
    over = variance(item="RETRO-CLOCK-1", as_of=NOW, state="resolved")
    claimed = variance(item="RETRO-CLOCK-1", location="WEST", as_of=NOW, measure="hard_reserved", cause="unknown")
    below = variance(location="WEST", as_of=NOW, theirs=-3)
    keys = tell(estate, old, over, claimed, below)
    wrong = [
        ("accept", "erp:RETRO-CLOCK-0:EAST", old["id"], 2, "KEY: expected the key of a variance"),
        ("accept", "erp:NOBODY:EAST::on_hand", old["id"], 1, "there is no variance erp:NOBODY:EAST::on_hand"),
        ("accept", keys[0], "0" * 32, 1, f"--id: expected {old['id']}, for {keys[0]} is of statement night-31 by now"),
        ("accept", keys[1], over["id"], 1, f"{keys[1]} is resolved: there is nothing to accept"),
        ("undo", keys[0], old["id"], 1, f"{keys[0]} is open: there is nothing to undo (that is for what is corrected)"),
        ("correct", keys[0], old["id"], 1, f"a count as of {AS_OF} would be late"),
        ("correct", keys[2], claimed["id"], 1, "only on_hand and quarantined can be corrected"),
        ("correct", keys[3], below["id"], 1, "nothing can be counted below 0, and theirs is -3"),
    ]
    for decision, key, identity, code, told in wrong:
        done = atp(estate, "variances", decision, key, "--id", identity, "--reason", "x", "--by", "Ada")
        assert done.code == code and told in done.err, done.out + done.err
    nameless = atp(estate, "variances", "accept", keys[0], "--id", old["id"], "--by", " ")
    assert nameless.code == 2 and "--by" in nameless.err
    assert atp(estate, "variances", "accept", keys[0]).code == 2, "without --id nobody knows what was looked at"
    assert not estate.read("inventory.decisions")


def test_what_the_engine_refuses_is_told_in_its_words(estate: Any) -> None:
    said = variance(as_of=NOW)
    (key,) = tell(estate, said)

    def refuse(_: dict[str, Any], message: Any) -> list[Any]:
        place = {"topic": message.topic(), "partition": str(message.partition())}
        letter = {"code": "conflict", "message": "id: expected another", "timestamp": "0", "attempts": "1"}
        other = {**letter, **place, "offset": str(message.offset() + 1)}
        ours = {**letter, **place, "offset": str(message.offset())}
        return [("inventory.dead_letters", "k", message.value(), one) for one in (other, ours)]

    with answering(estate, "inventory.decisions", refuse):
        done = atp(estate, "variances", "accept", key, "--id", said["id"], "--by", "Ada")
    assert done.code == 1 and "the engine refused it: id: expected another [conflict]" in done.err


def test_a_decision_that_nobody_answers_stays_in_its_topic(estate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.reconciling.deciding.WAIT_S", 0.5)
    said = variance(as_of=NOW)
    (key,) = tell(estate, said)
    done = atp(estate, "variances", "reject", key, "--id", said["id"], "--by", "Ada", "--json")
    assert done.code == 1 and "an engine that runs takes it (atp status)" in done.err
    (record,) = estate.read("inventory.decisions")
    assert json.loads(record.value or b"")["decision"] == "reject"


def test_a_table_that_names_nothing_known_is_no_statement(estate: Any) -> None:
    assert atp(estate, "variances", "list", "--json").objects == []
    file = table(estate.folder, "sku;bin;pieces", "A;B;1")
    done = atp(estate, "reconcile", file, "--source", "erp", "--as-of", NOW)
    assert done.code == 1 and "item: missing_field" in done.out
