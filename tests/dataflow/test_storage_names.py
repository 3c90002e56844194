"""Names that are on somebody's disk, in somebody's Redis or Kafka: changed, state is lost without a word.

Should a test here fail, the change needs a migration, a new format number and a line in the changelog, not a new list.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import hiredis
import msgspec
import pytest

from flows.dataflow.graph import Worker
from flows.kafka.identity import Earlier, Inputs, TopicFacts
from flows.kafka.parts import part_name, place_of
from flows.letters.states import Mark, encode_mark
from flows.readmodel.slices import pack_slice
from flows.readmodel.store import Store
from flows.runtime.run import Run, desk_key, shard_key
from flows.settings import load_settings
from flows.sources.inputs import REFERENCE_PART
from flows.sources.words import LISTENERS_KEY, SOURCES_KEY
from flows.storage.facts import ENGINE, Scratch, write_facts
from flows.storage.folder import StateFolder
from flows.storage.newest_run import scratch_is_through
from flows.storage.recovery_store import recovery_folder
from operators import trail
from operators.ledger import FORMAT, FORMATS
from operators.route import DESKS, shard_of
from schemas import topics
from schemas.codes import REFUSAL_CODES
from schemas.messages import (
    CHANNEL_UPDATE_FIELDS,
    ITEM_UPDATE_FIELDS,
    OUTGOING_FIELDS,
    ChannelUpdate,
    ItemUpdate,
    Outgoing,
    UnitBatch,
    from_values,
    to_values,
)
from schemas.outputs import CAUSES, EXCEPTION_CODES
from schemas.settings import Settings, SettingsError
from schemas.state import POSITION_FIELDS, SHOWN_FIELDS
from schemas.units import UNIT_FIELDS, EventType, Unit


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    config = tmp_path / "atp.toml"
    config.write_text('[kafka.options]\nlog_level = "0"\n')
    return load_settings(config, {"state.dir": str(tmp_path / "state"), "kafka.bootstrap_servers": "127.0.0.1:9"})


def test_the_dataflows_steps(settings: Settings) -> None:
    worker = Worker(Run(settings, ends={"inventory.warehouse/0": 0}))
    try:
        stateful = {"input", "stateful_batch", "output"}
        steps = [step.step_id for step in worker.flow.substeps if type(step).__name__ in stateful]
        assert worker.flow.flow_id == "atp"
        assert steps == ["atp.inputs", "atp.shard", "atp.listener", "atp.sources", "atp.publish"]
    finally:
        worker.close()


def test_the_keys_of_state() -> None:
    assert [shard_key(shard) for shard in (0, 7, 4095)] == ["0000", "0007", "4095"]
    assert ([desk_key(desk) for desk in (0, 15)], DESKS) == (["desk00", "desk15"], 16)
    assert (REFERENCE_PART, LISTENERS_KEY, SOURCES_KEY) == ("reference", "listener", "sources")
    assert [shard_of(item, 64) for item in ("SHOVEL", "RETRO-CLOCK", "a", "A/1.x_9")] == [32, 43, 3, 16]
    assert shard_of("SHOVEL", 4096) == 1248


def test_the_format_of_state() -> None:
    assert (FORMAT, FORMATS) == (4, (1, 2, 3, 4))
    assert POSITION_FIELDS == (
        "on_hand",
        "quarantined",
        "soft_allocated",
        "hard_reserved",
        "in_transit",
        "expected",
        "withheld",
        "available",
    )
    assert tuple(name for name in POSITION_FIELDS if name != "withheld") == SHOWN_FIELDS
    assert {kind.name: kind.value for kind in EventType} == {
        "STOCK_RECEIVED": 1,
        "STOCK_ADJUSTED": 2,
        "STOCK_COUNTED": 3,
        "STOCK_STATUS_CHANGED": 4,
        "LOT_HELD": 5,
        "LOT_RELEASED": 6,
        "TRANSFER_SHIPPED": 7,
        "TRANSFER_CLOSED": 8,
        "PICK_CONFIRMED": 9,
        "SHIPMENT_CONFIRMED": 10,
        "RETURN_RECEIVED": 11,
        "LOT_DATED": 12,
        "STOCK_WITHHELD": 13,
        "ORDER_PLACED": 20,
        "ORDER_ALLOCATED": 21,
        "ORDER_RELEASED": 22,
        "ORDER_CANCELLED": 23,
        "ORDER_REOPENED": 24,
        "RECEIPT_EXPECTED": 30,
        "RECEIPT_CANCELLED": 31,
    }


def test_what_is_kept_by_position_in_a_record() -> None:
    """These are arrays on disk: a field may be added at the end with a default, never moved."""
    kept = {kind: " ".join(field.name for field in msgspec.structs.fields(kind)) for kind in (UnitBatch,)} | {
        Unit: " ".join(UNIT_FIELDS),
        ItemUpdate: " ".join(ITEM_UPDATE_FIELDS),
        ChannelUpdate: " ".join(CHANNEL_UPDATE_FIELDS),
        Outgoing: " ".join(OUTGOING_FIELDS),
    }
    assert kept[Unit].startswith(
        "type item source event_id line_id occurred_at recorded_at origin quantity location lot uom status order_id "
        "transfer_id receipt_id to_location channel quarantined eta expires_at requested_at correlation_id verdict "
        "reversal part_of best_before"
    )
    assert kept[UnitBatch].startswith("partition last_offset units refusals")
    assert kept[ItemUpdate].startswith(
        "item as_of scale day0 correlation_id channels fields places unlocated is_gone recorded_at is_whole is_first "
        "claims has_all_claims"
    )
    assert kept[ChannelUpdate].startswith(
        "channel atp previous by_day lane cause removed breakdown previous_by_day low_stock_threshold forced"
    )
    assert kept[Outgoing] == "shard item change as_of correlation_id version processed_at since"


def test_what_waits_in_a_snapshot() -> None:
    change = ChannelUpdate("web", 3, 5, (3, 4), 0, "republish", False, b"{}", (5, 6), 7, True)
    first = ChannelUpdate("shop", 0, None, None, 2, "reference")
    update = ItemUpdate("SHOVEL", 9, 1, -1, "c", [change, first], {"EAST:on_hand": None}, '"EAST":{}', 2)
    update.claims = {"SO-1 1": "{}"}
    waiting = [Outgoing(3, "SHOVEL", change, 9, "c", 1 << 40, 10, 11)]
    raw = msgspec.msgpack.encode((waiting, [update]), enc_hook=to_values)
    said = ["web", 3, 5, [3, 4], 0, "republish", False, b"{}", [5, 6], 7, True]
    also = ["shop", 0, None, None, 2, "reference", False, None, None, 0, False]
    assert msgspec.msgpack.decode(raw) == [
        [[3, "SHOVEL", said, 9, "c", 1 << 40, 10, 11]],
        [
            [
                *("SHOVEL", 9, 1, -1, "c", [said, also], {"EAST:on_hand": None}, '"EAST":{}', 2, False, 0),
                *(False, False, {"SO-1 1": "{}"}, False),
            ],
        ],
    ]
    kinds = tuple[list[Outgoing], list[ItemUpdate]]
    assert msgspec.msgpack.decode(raw, type=kinds, dec_hook=from_values) == (waiting, [update])
    assert pickle.loads(pickle.dumps(update)) == update
    before = msgspec.msgpack.encode([["SHOVEL", 9, 1, -1, "c", [], {}, [["EAST", [1, 2, 3, 4, 5, 6, 7]]]]])
    (older,) = msgspec.msgpack.decode(before, type=list[ItemUpdate], dec_hook=from_values)
    figures = dict(zip(SHOWN_FIELDS, range(1, 8), strict=True))
    assert msgspec.json.decode(f"{{{older.places}}}") == {"EAST": figures}


def test_the_state_directory(settings: Settings) -> None:
    folder = StateFolder(settings)
    folder.open()
    folder.make_store()
    folder.keep_token(7)
    folder.close()
    assert sorted(path.name for path in settings.state.dir.iterdir()) == ["engine.json", "lock", "recovery"]
    by = b',"engine":"' + ENGINE.encode() + b'"}'
    assert (settings.state.dir / "engine.json").read_bytes() == b'{"format":4,"shards":64,"token":7' + by
    folder.keep_token(8, Inputs("cluster", {"inventory.items": TopicFacts("id", 1)}))
    inputs = b'{"cluster":"cluster","topics":{"inventory.items":{"id":"id","partitions":1}}}'
    expected = b'{"format":4,"shards":64,"token":8,"inputs":' + inputs
    assert (settings.state.dir / "engine.json").read_bytes() == expected + by
    folder.note_first(True)
    assert (settings.state.dir / "engine.json").read_bytes() == expected + b',"is_first":true' + by
    facts = folder.facts()
    facts.scratch = Scratch(9, [0, 63])
    write_facts(settings.state.dir / "engine.json", facts)
    scratch = b',"is_first":true,"scratch":{"token":9,"left":[0,63]}'
    assert (settings.state.dir / "engine.json").read_bytes() == expected + scratch + by
    assert scratch_is_through(settings.state.dir, {0}) == 1 and folder.facts().scratch == Scratch(9, [63])
    assert scratch_is_through(settings.state.dir, {63}) == 0 and folder.facts().scratch is None
    topic = TopicFacts("new", 1, [Earlier("old", 2, 1_700_000_000_000_000)])
    folder.keep_token(9, Inputs("cluster", {"inventory.orders": topic}))
    earlier = b'"earlier":[{"id":"old","partitions":2,"accepted_at":1700000000000000}]'
    assert earlier in (settings.state.dir / "engine.json").read_bytes()
    assert recovery_folder(settings.state.dir).name == "recovery"


def test_a_state_directory_of_the_format_before_is_read_and_is_of_this_one_from_then_on(settings: Settings) -> None:
    settings.state.dir.mkdir(parents=True, exist_ok=True)
    facts = settings.state.dir / "engine.json"
    facts.write_bytes(b'{"format":1,"shards":64,"token":7}')
    folder = StateFolder(settings)
    folder.open()
    assert facts.read_bytes() == b'{"format":1,"shards":64,"token":7}', "nothing is written in it yet"
    folder.keep_token(8)
    assert facts.read_bytes() == b'{"format":4,"shards":64,"token":8,"engine":"%b"}' % ENGINE.encode()
    folder.close()
    facts.write_bytes(b'{"format":5,"shards":64,"token":9}')
    with pytest.raises(SettingsError, match=r"format 5, which another version of atp-engine wrote; .* formats 1 to 4"):
        folder.open()
    folder.close()


def test_the_names_of_input_partitions() -> None:
    assert [part_name("a.inventory.orders", 3, generation) for generation in (0, 1, 12)] == [
        "a.inventory.orders/3",
        "a.inventory.orders#1/3",
        "a.inventory.orders#12/3",
    ]
    assert {place_of(part_name("a.inventory.orders", 3, generation)) for generation in (0, 12)} == {
        ("a.inventory.orders", 3)
    }


def test_the_topics() -> None:
    assert topics.ALL == (
        "inventory.warehouse",
        "inventory.orders",
        "inventory.supply",
        "inventory.statements",
        "inventory.decisions",
        "inventory.items",
        "inventory.locations",
        "inventory.channels",
        "inventory.channel_items",
        "inventory.reconciliation",
        "atp.updates.critical",
        "atp.updates.high",
        "atp.updates.normal",
        "atp.updates.bulk",
        "inventory.positions",
        "inventory.exceptions",
        "inventory.dead_letters",
        "inventory.variances",
        "inventory.statements.status",
        "inventory.statements.tallies",
    )
    assert topics.REPLAYS == "inventory.replays"
    assert (
        topics.TRAIL == "inventory.trail" and trail.HEAD == "_trail" and (trail.FORMAT, trail.FORMATS) == (3, (1, 2, 3))
    )


def test_what_is_kept_of_a_letter_that_was_sent_again() -> None:
    mark = Mark(2, 1_700_000_000_123, "inventory.warehouse", 1, 17)
    expected = b'{"attempts":2,"at_ms":1700000000123,"topic":"inventory.warehouse","partition":1,"offset":17}'
    assert encode_mark(mark) == expected
    assert encode_mark(msgspec.structs.replace(mark, logged_ms=5)) == expected[:-1] + b',"logged_ms":5}'


def test_the_keys_and_fields_in_redis() -> None:
    change = ChannelUpdate("web", 3, None, (3, 4), 0, "republish")
    update = ItemUpdate("SHOVEL", 1_700_000_000_123_456, 1, 20_000, "", [change], {"EAST:on_hand": 3}, None)
    update.claims = {"SO-1 1": "{}", "SO-2 1": None, "SO-3 1": '\n{"run":7}'}
    packed = pack_slice([update], "shop:", 77, 1_700_000_001_000_000)
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(b"*2\r\n*%d\r\n%b*%d\r\n%b" % (packed.key_count, packed.keys, packed.word_count, packed.words))
    keys, words = reader.gets()
    assert keys == ["shop:atp:SHOVEL", "shop:position:SHOVEL", "shop:claims:SHOVEL", "shop:order:SO-3"]
    assert words == [
        *("7", "web", "3", "web:by_day", "[3,4]", "_version", "77", "_published_at", "1700000001000"),
        *("_as_of", "1700000000123", "_day0", "2024-10-04", "_scale", "1", "0"),
        *("3", "EAST:on_hand", "3", "_version", "77", "_as_of", "1700000000123", "0"),
        *("1", "SO-1 1", "{}", "2", "SO-2 1", "SO-3 1"),
        *("1", "1 SHOVEL", '{"run":7}', "0"),
    ]
    store = Store("redis://127.0.0.1:9/0", "shop:")
    assert (store.reached_key(), store.progress_key()) == ("shop:engine:reached", "shop:engine:progress")
    assert (store.alive_key(), store.items_key()) == ("shop:engine:alive", "shop:engine:items")
    assert store._fence == "shop:engine:fence"


def test_the_words_in_messages() -> None:
    assert REFUSAL_CODES == (
        "not_json",
        "not_an_object",
        "unknown_type",
        "unsupported_version",
        "missing_field",
        "bad_value",
        "too_large",
        "unknown_item",
        "unknown_location",
        "unknown_channel",
        "unknown_uom",
        "quantity_not_exact",
        "not_allowed",
        "unknown_alias",
        "late",
        "in_the_future",
        "conflict",
    )
    assert EXCEPTION_CODES == (
        "negative_on_hand",
        "oversold",
        "stale_source",
        "conflict",
        "over_received",
        "allocated_without_stock",
        "claims_above_demand",
        "demand_after_cancellation",
        "lot_below_zero",
        "statement_rejected",
        "held_too_long",
    )
    assert CAUSES[-6:] == ("expiry", "reference", "day_turn", "republish", "refill", "unlisted")
