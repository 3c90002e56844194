"""The translator as it runs: real Kafka, every line accounted for, killed anywhere, tried again, taken back."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its list of exports
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from operators.adapters.account import record_of, refusals_of
from operators.adapters.memory import Dictionary
from schemas.documents import DocumentRecord
from tests.documents import become, context, x12
from tests.running import PATIENCE_S, Engine, until
from tests.translator_child import POINTS

#: A start of the translator is that of Python and of Bytewax; some tests have many.
pytestmark = pytest.mark.timeout(900)

#: One that is starved by its neighbors ends all the same.
PROCESS_SECONDS_MAX = 400
#: A hundred deaths and starts: a quarter of an hour, and several times that on a machine that others use too.
LONG_SECONDS_MAX = 4 * 3600

SETTINGS = """
[sources.acme]
kind = "x12"
time_zone = "UTC"
time_of_day = "12:00"
location = "DC1"
aliases = {item = "only"}
"""
ALIASES = {"SHOVEL": "SPADE", "RAKE": "RAKE-1"}
ORDER = """850
BEG*00*SA*PO-1**20240110
PO1*1*5*EA***VN*SHOVEL
PO1*2*7*EA***VN*RAKE
"""
CHANGE = """860
BCH*04*SA*PO-1**1*20240111
POC*1*QI*2*2*EA***VN*SHOVEL
"""
RECEIVED = """944
W17*F*20240115*WR-5*TR-1*SHIP-1
N1*WH*North*92*DC1
W07*40*EA**VN*SHOVEL
W07*6*EA**VN*RAKE
"""
LEVELS = """846
BIA*08*SI*INV-1*20240110
DTM*007*20240110*0600*UT
N1*WH*North*92*DC1
LIN*1*VN*SHOVEL
QTY*17*100*EA
LIN*2*VN*RAKE
QTY*17*7*EA
"""
EVENT_TOPICS = ("inventory.warehouse", "inventory.orders", "inventory.supply", "inventory.statements")


def open_office(world: Any, aliases: Mapping[str, str] = ALIASES, settings: str = SETTINGS) -> None:
    world.config.write_text(settings)
    world.create_topics()
    for theirs, ours in aliases.items():
        send_alias(world, theirs, ours)
    world.flush()


def send_alias(world: Any, theirs: str, ours: str | None) -> None:
    value = None if ours is None else {"source": "acme", "kind": "item", "theirs": theirs, "ours": ours}
    world.send("inventory.aliases", value, key=f"acme:item:{theirs}")


def send_raw(world: Any, *documents: bytes, source: str = "acme", headers: Mapping[str, str] | None = None) -> None:
    producer = Producer({"bootstrap.servers": world.servers.bootstrap_servers, "log_level": 0})
    for document in documents:
        given = [(name, value.encode()) for name, value in (headers or {}).items()]
        # One partition, so that documents of an order come in their order; what comes otherwise is told otherwise.
        producer.produce(world.topic(f"inventory.raw.{source}"), document, partition=0, headers=given)
    assert not producer.flush(PATIENCE_S)


def translate(world: Any, *arguments: str, **overrides: object) -> str:
    said = atp(world, "translate", "--until-caught-up", *arguments, **overrides)
    assert said.returncode == 0, said.stderr
    return said.stderr


def atp(world: Any, *arguments: str, **overrides: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        world.command(*arguments),
        env=world.env(**overrides),
        cwd=world.folder,
        capture_output=True,
        text=True,
        timeout=PROCESS_SECONDS_MAX,
        check=False,
    )


def said(world: Any) -> list[dict[str, Any]]:
    """What was said: each message once, however often it was sent; the same id never says two things."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for topic in EVENT_TOPICS:
        for record in world.read(topic):
            body = record.json()
            lines = json.dumps(body.get("lines", ""))
            name = (topic, body["source"], body["type"], body["event_id"], lines)
            assert found.setdefault(name, body) == body
    return list(found.values())


def accounts(world: Any) -> dict[str, dict[str, Any]]:
    """The newest account of each raw message by key; all of them as the schema has them."""
    found = {}
    for record in world.read("inventory.documents"):
        DocumentRecord.model_validate(record.json())
        found[record.key.decode()] = record.json()
    return found


def key_of(document: bytes, source: str = "acme") -> str:
    return f"{source}:{hashlib.sha256(document).hexdigest()[:32]}"


def letters(world: Any) -> list[tuple[str, str]]:
    """(line_id, code) of each dead letter, oldest first within its partition."""
    return [(one.headers.get("line_id", ""), one.headers["code"]) for one in world.read("inventory.dead_letters")]


def expected(*documents: bytes, aliases: Mapping[str, str] = ALIASES) -> tuple[list[Any], dict[str, dict[str, Any]]]:
    """What documents become, by the adapters alone, one after the other with one memory."""
    known = context({("item", theirs): ours for theirs, ours in aliases.items()}, alias_modes={"item": "only"})
    memory = Dictionary()
    bodies, records = [], {}
    for document in documents:
        result = become(document, known, memory)
        bodies += result.bodies()
        records[key_of(document)] = {**record_of(result, None), "refusals": refusals_of(result)}
    return bodies, records


def units(bodies: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One for each line of an event."""
    return [{**body, "lines": [line]} if line else body for body in bodies for line in body.get("lines", [None])]


def in_order(bodies: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(body, sort_keys=True) for body in bodies)


def assert_as_expected(world: Any, *documents: bytes, aliases: Mapping[str, str] = ALIASES) -> None:
    bodies, records = expected(*documents, aliases=aliases)
    # The same document in another envelope says the same under the same ids.
    assert in_order(said(world)) == sorted(set(in_order(bodies)))
    found = accounts(world)
    assert found.keys() == records.keys()
    for key, record in found.items():
        assert {**record, "received_at": None} == {
            "source": "acme",
            **{name: value for name, value in records[key].items() if name != "refusals"},
        }


DOCUMENTS = tuple(x12(text, control=f"{number:09d}") for number, text in enumerate((ORDER, CHANGE, RECEIVED, LEVELS)))


def test_documents_become_events_and_statements_and_each_line_is_accounted_for(world: Any) -> None:
    open_office(world)
    send_raw(world, *DOCUMENTS, headers={"received_at": "2024-01-10T12:34:56Z", "name": "a.edi"})
    translate(world)
    assert_as_expected(world, *DOCUMENTS)
    order = accounts(world)[key_of(DOCUMENTS[0])]
    assert order == {
        "source": "acme",
        "kind": "x12",
        "documents": ["850:PO-1:00"],
        "received_at": "2024-01-10T12:34:56Z",
        "lines": 2,
        "event_lines": 2,
        "statement_lines": 0,
        "ignored": {},
        "refused": {},
        "events": 1,
        "statements": 0,
    }
    assert letters(world) == []


def test_the_next_run_remembers_what_the_last_one_read(world: Any) -> None:
    open_office(world)
    send_raw(world, DOCUMENTS[0])
    translate(world)
    send_raw(world, x12(ORDER, control="000000099"), DOCUMENTS[1])
    translate(world)
    changed = [body for body in said(world) if body["event_id"] != "850:PO-1:00"]
    assert [line["quantity"] for body in changed for line in body["lines"]] == [7]  # 5, and 2 more
    assert accounts(world)[key_of(x12(ORDER, control="000000099"))]["ignored"] == {"repeated": 2}


def test_what_cannot_be_used_is_a_dead_letter_of_its_line(world: Any) -> None:
    open_office(world, aliases={"SHOVEL": "SPADE"})
    send_raw(world, DOCUMENTS[2], b"nobody reads this")
    translate(world)
    found = world.read("inventory.dead_letters")
    assert sorted((one.headers["line_id"], one.headers["code"]) for one in found) == [
        ("0001:7:W07", "unknown_alias"),
        ("segment:1", "bad_value"),
    ]
    for letter in found:
        raw = DOCUMENTS[2] if letter.headers["code"] == "unknown_alias" else b"nobody reads this"
        assert letter.value == raw
        assert letter.headers["topic"] == world.topic("inventory.raw.acme")
        assert letter.headers["partition"] == "0" and letter.headers["offset"] in ("0", "1")
    assert accounts(world)[key_of(DOCUMENTS[2])]["refused"] == {"unknown_alias": 1}
    replayed = atp(world, "dead-letters", "replay", "--code", "unknown_alias")
    assert "atp translate --replay tries it again" in replayed.stdout + replayed.stderr
    assert len(world.read("inventory.raw.acme")) == 2


def test_an_alias_that_comes_later_has_the_line_tried_again_and_no_other(world: Any) -> None:
    open_office(world, aliases={"SHOVEL": "SPADE"})
    send_raw(world, DOCUMENTS[2])
    translate(world)
    before = len(world.read("inventory.warehouse"))
    [letter] = atp(world, "dead-letters", "list", "--open", "--json").stdout.splitlines()
    assert json.loads(letter)["code"] == "unknown_alias"
    send_alias(world, "RAKE", "RAKE-1")
    world.flush()
    translate(world)
    assert len(world.read("inventory.warehouse")) == before + 1
    assert atp(world, "dead-letters", "list", "--open", "--json").stdout == ""
    assert_as_expected(world, DOCUMENTS[2])
    assert letters(world) == [("0001:7:W07", "unknown_alias")]


def test_a_raw_topic_that_takes_no_larger_message_stops_nothing(world: Any) -> None:
    open_office(world, aliases={"SHOVEL": "SPADE"})
    topic = ConfigResource(ResourceType.TOPIC, world.topic("inventory.raw.acme"))
    topic.add_incremental_config(
        ConfigEntry("max.message.bytes", str(len(DOCUMENTS[2]) + 100), incremental_operation=AlterConfigOpType.SET)
    )
    admin = AdminClient({"bootstrap.servers": world.servers.bootstrap_servers})
    for done in admin.incremental_alter_configs([topic]).values():
        done.result(PATIENCE_S)
    send_raw(world, DOCUMENTS[2])
    translate(world)
    send_alias(world, "RAKE", "RAKE-1")
    world.flush()
    assert "max.message.bytes" in translate(world)
    assert accounts(world)[key_of(DOCUMENTS[2])]["refused"] == {"unknown_alias": 1}


def test_a_running_translator_takes_aliases_and_new_sources_as_they_come_and_ends_on_sigterm(world: Any) -> None:
    open_office(world, aliases={"SHOVEL": "SPADE"})
    with Engine(world, "--state-dir", str(world.state_dir), command="translate") as translator:
        send_raw(world, DOCUMENTS[2])
        until(lambda: accounts(world), 30, "an account")
        send_alias(world, "RAKE", "RAKE-1")
        world.flush()
        until(lambda: len(said(world)) == 2, 30, translator.text)
        assert translator.stop() == 0, translator.text()
    assert_as_expected(world, DOCUMENTS[2])


def test_a_raw_topic_ends_where_kafka_says_so_whatever_stands_there(world: Any) -> None:
    """Behind the last message: the mark of a transaction, as Kafka Connect writes them; or nothing is left at all."""
    open_office(world)
    topic = world.topic("inventory.raw.acme")
    servers = {"bootstrap.servers": world.servers.bootstrap_servers}
    producer = Producer({**servers, "log_level": 0, "transactional.id": topic})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(topic, DOCUMENTS[2], partition=0)
    producer.commit_transaction(PATIENCE_S)
    translate(world)
    assert_as_expected(world, DOCUMENTS[2])
    admin = AdminClient(servers)
    for done in admin.delete_records([TopicPartition(topic, 0, OFFSET_END)]).values():
        assert done.result(PATIENCE_S).low_watermark == 2
    translate(world, translator__dir=world.folder / "anew")
    assert_as_expected(world, DOCUMENTS[2])


def test_wrong_aliases_go_to_the_dead_letters_and_the_older_ones_stay_in_force(world: Any) -> None:
    open_office(world)
    world.send("inventory.aliases", {"ours": "not a code"}, key="acme:item:SHOVEL")
    world.send("inventory.aliases", {"ours": "X"}, key="acme:colour:RED")
    world.send("inventory.aliases", {"ours": "X", "theirs": "HOE"}, key="acme:item:RAKE")
    world.send("inventory.aliases", b"{", key="acme:item:RAKE")
    world.send("inventory.aliases", {"ours": "X"}, key="no source at all")
    world.flush()
    send_raw(world, DOCUMENTS[2])
    translate(world)
    assert_as_expected(world, DOCUMENTS[2])
    assert sorted(code for _, code in letters(world)) == ["bad_value"] * 4 + ["not_json"]
    # They are read once: compaction may take the older ones away, and they stand.
    send_raw(world, x12(RECEIVED.replace("WR-5", "WR-6")))
    translate(world)
    assert {body["item"] for body in said(world)} == {"SPADE", "RAKE-1"}


def test_a_deleted_alias_is_none(world: Any) -> None:
    open_office(world)
    send_raw(world, DOCUMENTS[2])
    translate(world)
    send_alias(world, "SHOVEL", None)
    world.flush()
    send_raw(world, x12(RECEIVED.replace("WR-5", "WR-6")))
    translate(world)
    assert [code for _, code in letters(world)] == ["unknown_alias"]


@pytest.mark.parametrize("where", POINTS)
def test_killed_anywhere_nothing_is_lost_and_nothing_is_said_twice(world: Any, where: str) -> None:
    waits = where == "what waited is sent again"
    open_office(world, aliases={"SHOVEL": "SPADE"} if waits else ALIASES)
    if waits:
        send_raw(world, *DOCUMENTS)
        translate(world)
        send_alias(world, "RAKE", "RAKE-1")
        world.flush()
    else:
        send_raw(world, *DOCUMENTS)
    for times in (1, 2, 3) if not waits else (1, 2):
        is_killed = dies(world, where, times)
        if times == 1:
            assert is_killed, "it did not come there"
    translate(world)
    if waits:
        bodies, _ = expected(*DOCUMENTS)
        # The statement that was sent without a row stands as it was: the next one has it.
        moved = [body for body in bodies if "statement_id" not in body]
        assert in_order(units(body for body in said(world) if "statement_id" not in body)) == in_order(units(moved))
        open_lines = {key: record["refused"] for key, record in accounts(world).items() if record["refused"]}
        assert open_lines == {key_of(DOCUMENTS[3]): {"unknown_alias": 1}}
    else:
        assert_as_expected(world, *DOCUMENTS)


def dies(world: Any, where: str, times: int) -> bool:
    """Translate what there is, and die there when it comes there for that time. Did it?"""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.translator_child", where, str(times)],
        env=world.env(),
        cwd=world.folder,
        capture_output=True,
        timeout=PROCESS_SECONDS_MAX,
        check=False,
    )
    assert ended.returncode in (-signal.SIGKILL, 0), ended.stderr.decode()
    return ended.returncode == -signal.SIGKILL


@pytest.mark.long
@pytest.mark.timeout(LONG_SECONDS_MAX)
def test_killed_a_hundred_times_at_all_points_while_documents_and_aliases_come(world: Any) -> None:
    draw = random.Random(18)
    aliases = {"SHOVEL": "SPADE"}
    open_office(world, aliases=aliases)
    texts: list[str] = []
    documents: list[bytes] = []
    late: list[str] = []
    killed: Counter[str] = Counter()
    for turn in itertools.count():
        if killed.total() == 100:
            break
        assert turn < 300, f"killed only {killed}"
        tool = f"TOOL-{turn}"
        fresh = [
            ORDER.replace("PO-1", f"PO-{turn}").replace("RAKE", "SHOVEL"),
            CHANGE.replace("PO-1", f"PO-{turn}"),
            RECEIVED.replace("WR-5", f"WR-{turn}").replace("RAKE", tool),
            LEVELS.replace("INV-1", f"INV-{turn}").replace("LIN*2*VN*RAKE\nQTY*17*7*EA\n", ""),
        ]
        # What came before comes again, in an envelope of its own.
        again = draw.sample(texts, min(2, len(texts)))
        sent = [x12(text, control=f"{turn * 10 + place:09d}") for place, text in enumerate(fresh + again)]
        if documents and draw.random() < 0.5:
            sent.append(draw.choice(documents))
        send_raw(world, *sent)
        texts, documents, late = texts + fresh, documents + sent, [*late, tool]
        # Aliases come when they come, after what needs them.
        while len(late) > 3:
            theirs = late.pop(draw.randrange(len(late)))
            aliases[theirs] = f"T-{theirs}"
            send_alias(world, theirs, aliases[theirs])
        world.flush()
        where = draw.choice(list(POINTS))
        killed[where] += dies(world, where, draw.choice([1, 1, 2]))
    assert all(killed[where] for where in POINTS), killed
    for theirs in late:
        aliases[theirs] = f"T-{theirs}"
        send_alias(world, theirs, aliases[theirs])
    world.flush()
    translate(world)
    assert_as_expected(world, *documents, aliases=aliases)


# --- what the engine makes of it ------------------------------------------------------------------------------------


def test_the_engine_counts_a_document_once_however_often_and_in_whatever_envelope_it_comes(world: Any) -> None:
    open_office(world)
    world.send("inventory.locations", {"location": "DC1"}, key="DC1")
    for item in ALIASES.values():
        record = {"item": item, "base_uom": "EA"}
        world.send("inventory.items", record, key=item)
    world.flush()
    today = RECEIVED.replace("20240115", datetime.now(UTC).strftime("%Y%m%d"))
    settings = SETTINGS.replace('"12:00"', '"00:00"') + 'dedup_window = "48h"\n'
    world.config.write_text(settings)
    for number in range(3):
        send_raw(world, x12(today, control=f"{number:09d}"), x12(today, control=f"{number:09d}"))
        translate(world)
    with Engine(world, "--until-caught-up") as engine:
        assert engine.wait(PROCESS_SECONDS_MAX) == 0, engine.text()
    on_hand = {
        item: world.redis.hget(f"{world.redis_prefix}position:{item}", "DC1:on_hand") for item in ALIASES.values()
    }
    assert on_hand == {"SPADE": "40", "RAKE-1": "6"}
    assert letters(world) == []


# --- tried again, taken back -----------------------------------------------------------------------------------------


def test_a_replay_tries_what_was_refused_or_ignored_and_only_that(world: Any) -> None:
    open_office(world, settings=SETTINGS.replace('location = "DC1"\n', ""))
    order = x12(LEVELS.replace("N1*WH*North*92*DC1\n", ""))
    send_raw(world, DOCUMENTS[2], order)
    translate(world)
    assert accounts(world)[key_of(order)]["refused"] == {"missing_field": 2}
    before = len(world.read("inventory.warehouse"))
    world.config.write_text(SETTINGS)
    said_by_it = atp(world, "translate", "--replay", "--source", "acme", "--code", "missing_field")
    assert said_by_it.returncode == 0 and "1 raw messages with 2 lines" in said_by_it.stdout, said_by_it
    translate(world)
    assert accounts(world)[key_of(order)]["statement_lines"] == 2
    assert len(world.read("inventory.warehouse")) == before
    assert len(accounts(world)) == 2


@pytest.mark.parametrize("option", [("--source", "other"), ("--code", "late")])
def test_a_replay_of_something_else_sends_nothing(world: Any, option: tuple[str, str]) -> None:
    open_office(world, aliases={"SHOVEL": "SPADE"})
    send_raw(world, DOCUMENTS[2])
    translate(world)
    assert "0 raw messages" in atp(world, "translate", "--replay", *option).stdout


def test_a_redo_takes_back_and_tells_anew(world: Any) -> None:
    open_office(world)
    send_raw(world, DOCUMENTS[2])
    translate(world)
    send_alias(world, "SHOVEL", "SPADE-2")
    world.flush()
    translate(world)
    assert atp(world, "translate", "--redo").returncode == 0
    translate(world)
    moved: dict[str, int] = {}
    for body in said(world):
        sign = -1 if body.get("reversal") else 1
        moved[body["item"]] = moved.get(body["item"], 0) + sign * body["quantity"]
    assert moved == {"SPADE": 0, "SPADE-2": 40, "RAKE-1": 6}
    assert accounts(world)[key_of(DOCUMENTS[2])]["event_lines"] == 2
    assert letters(world) == []


# --- starting and refusing to start ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ('kind = "x13"', "sources.acme.kind: expected one of "),
        ('mapping = "nowhere"', "sources.acme.mapping: expected one of "),
        ('aliases = "never"', "aliases"),
    ],
)
def test_settings_that_cannot_be_used_end_it_with_a_sentence(world: Any, setting: str, sentence: str) -> None:
    world.config.write_text(f"[sources.acme]\n{setting}\n")
    ended = atp(world, "translate", "--until-caught-up")
    assert ended.returncode == 2 and sentence in ended.stderr, ended
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--dry-run",),
        ("a.edi",),
        ("--kind", "x12"),
        ("--replay", "--redo"),
        ("--code", "late"),
        ("--replay", "--until-caught-up"),
    ],
)
def test_options_that_do_not_go_together_are_misuse(world: Any, arguments: tuple[str, ...]) -> None:
    assert atp(world, "translate", *arguments).returncode == 2


def test_without_its_topics_it_says_what_would_do(world: Any) -> None:
    ended = atp(world, "translate")
    assert ended.returncode == 1 and "atp topics create" in ended.stderr, ended


def test_two_on_one_folder_are_one_too_many(world: Any) -> None:
    open_office(world)
    with Engine(world, command="translate") as translator:
        send_raw(world, DOCUMENTS[2])
        until(lambda: accounts(world), 30, translator.text)
        ended = atp(world, "translate", "--until-caught-up")
        assert ended.returncode == 1 and "is in use by another atp translate" in ended.stderr, ended
        assert translator.stop() == 0


def test_a_folder_that_was_lost_loses_nothing_but_time(world: Any) -> None:
    open_office(world)
    send_raw(world, *DOCUMENTS)
    translate(world)
    translate(world, translator__dir=str(world.folder / "another"))
    assert_as_expected(world, *DOCUMENTS)


def test_topics_create_makes_those_of_the_sources_and_check_looks_at_them(world: Any) -> None:
    open_office(world)
    said_by_it = atp(world, "check", "--json")
    findings = {one["subject"]: one for one in json.loads(said_by_it.stdout)["findings"]}
    assert findings["topics"]["ok"], findings
    for name in ("inventory.raw.acme", "inventory.aliases"):
        assert findings[world.topic(name)]["ok"], findings
