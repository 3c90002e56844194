"""Decides whether engine and naive model read messages of statements alike: what is taken, and why the rest is not."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from flows.audit.model import Model
from flows.audit.stated import Misstated, Stated, understand
from operators.decode import CodeSets, DecoderConfig
from operators.statement_decode import StatementDecoder
from schemas.statements import MEASURES
from schemas.units import Origin, Refusal
from tests.desk import HOUR, MINUTE
from tests.desk import NOW as NOON
from tests.histories import text_of
from tests.reconciling.story import SOURCES, world

#: what only an item's record can tell: the decoder hands it on
BY_ITEM = {"unknown_item", "unknown_uom", "quantity_not_exact"}
ODD: tuple[Any, ...] = (
    *(None, "", " ", "x y", 0, -1, 1, 2.5, "2.5", "1e400", "-0", "0.00", True, [], {}, ["DC1"], ["DC1", "GHOST"], [1]),
    *("DC1", "EAST", "GHOST", "all", "stated", "each", "case", "third", "web", "9007199254740992", -9007199254740992),
    *("é", "A" * 65, "e1", "e 1", "e" * 129, text_of(NOON), "2026-11-23", "2026-11-23T12:00:00"),
)
GOOD: dict[str, tuple[Any, ...]] = {
    "source": ("erp", "brief", "bound"),
    "statement_id": ("S1", "2026/11/23#4"),
    "event_id": ("e1",),
    "item": ("SHOVEL", "ROPE", "SAND"),
    "location": ("DC1", "DC2", "EAST-1"),
    "channel": ("web",),
    "lot": ("L1", None),
    "uom": (None, "each", "case", "m", "kg"),
    "locations": (None, ["DC1"], ["EAST", "DC1"]),
    "items": (None, "all", "stated"),
    "rows": (0, 3, None),
    "atp": (0, 7, "3"),
    "schema_version": (None, 1),
    "reversal": (None, False),
    "correlation_id": (None, "c1"),
    **{measure: (None, 0, 5, "4", 12) for measure in MEASURES},
}
KINDS = {
    "statement_started": ("locations", "items", "rows"),
    "stock_stated": ("item", "location", "lot", "uom", *MEASURES),
    "promise_stated": ("item", "channel", "uom", "atp"),
    "statement_ended": ("rows",),
    "stock_received": ("item", "location", "on_hand"),
}
COMMON = ("source", "statement_id", "event_id", "schema_version", "reversal", "correlation_id")


def any_message(pick: random.Random) -> tuple[bytes, bool]:
    """A message that is good, or has a few fields that may not be; and whether that is one at most."""
    kind, is_plain = pick.choice(list(KINDS)), pick.random() < 0.5
    message: dict[str, Any] = {"type": kind}
    for name in (*COMMON, *KINDS[kind]):
        message[name] = pick.choice(GOOD[name])
    moments = (NOON, NOON - 90 * MINUTE, NOON - 3 * HOUR, NOON - 25 * HOUR, NOON + 5 * MINUTE, NOON + 6 * MINUTE)
    message["occurred_at"] = text_of(pick.choice(moments))
    if is_plain:
        message |= {"source": "erp", "occurred_at": text_of(NOON), "uom": None}
    spoiled = pick.randrange(2 if is_plain else 4)
    for name in pick.sample(list(message), spoiled):
        if pick.random() < 0.3:
            del message[name]
        else:
            message[name] = pick.choice(ODD)
    return json.dumps(message).encode(), is_plain


@pytest.fixture(scope="module")
def model() -> Model:
    told = Model(24 * HOUR, 5 * MINUTE, SOURCES)
    for _, what in world():
        assert told.reference(*what) == []
    return told


@pytest.fixture(scope="module")
def decoder(model: Model) -> StatementDecoder:
    config = DecoderConfig(
        topic_kinds={},
        max_clock_skew=5 * MINUTE,
        dedup_window=24 * HOUR,
        source_windows={name: told["dedup_window_us"] for name, told in SOURCES.items() if "dedup_window_us" in told},
        may_send={name: told["may_send"] for name, told in SOURCES.items() if "may_send" in told},
        source_locations={name: told["locations"] for name, told in SOURCES.items() if "locations" in told},
    )
    return StatementDecoder(config, CodeSets(frozenset(model.locations), frozenset(model.channels)))


@pytest.mark.parametrize("seed", range(20))
def test_a_message_is_taken_or_refused_alike(seed: int, model: Model, decoder: StatementDecoder) -> None:
    pick = random.Random(seed)
    for number in range(300):
        value, is_wrong_once = any_message(pick)
        right = understand(value, NOON, model)
        read = decoder.decode(Origin("inventory.statements", 0, number, NOON // 1000, None, value), NOON, True)
        code = right.refusal[0] if isinstance(right, Misstated) else None
        if isinstance(read, Refusal):
            # What is wrong twice over may be refused for either reason.
            assert read.code == code or (code and not is_wrong_once), (value, read.message)
        else:
            assert read is not None
            verdict = None if read.verdict is None else read.verdict[0]
            # What is too much for the item's scale is only found when its record is looked at.
            assert code in BY_ITEM | {verdict} or (code == "bad_value" and read.is_row), value
            if isinstance(right, Stated):
                assert (read.source, read.statement_id, read.as_of) == (right.source, right.statement_id, right.as_of)
                assert (read.item, read.place, read.lot or None) == right.key
                assert (read.rows, read.is_all_items) == (right.rows, right.items == "all")
                assert (None if read.locations is None else tuple(sorted(read.locations))) == right.locations
