"""What is written for Redis and Kafka is the same in C and in Python: any update, any number, any day."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.publishing import native as for_kafka
from flows.publishing.messages import position_json, update_json
from flows.readmodel import native as for_redis
from flows.readmodel.slices import pack_slice
from operators.evaluate import places_json
from operators.rules import native
from operators.rules.lanes import LANES
from schemas.messages import ChannelUpdate, ItemUpdate, Outgoing
from schemas.state import SHOWN_FIELDS, Item, Place, Rare, Withheld

CODES = st.text("AZaz09._-/", min_size=1, max_size=12) | st.just("L" * 64)
NUMBERS = st.one_of(st.integers(-(1 << 60), 1 << 60), st.sampled_from([10**n for n in range(19)])).flatmap(
    lambda number: st.sampled_from([number - 1, number, -number, 0, 9])
)
#: 1970 to 9999, before (there is none), and where years and months end
MOMENTS = st.one_of(
    st.integers(-1, 253_402_300_799_999_999),
    st.sampled_from([0, 951_782_400, 951_868_800, 1_709_164_800, 1_709_251_199, 4_107_542_399, 4_107_542_400]).map(
        lambda seconds: seconds * 1_000_000
    ),
)
DAYS = st.one_of(st.just(-1), st.integers(0, 2_932_896))
BY_DAY = st.one_of(st.none(), st.lists(NUMBERS, max_size=3).map(tuple), st.just((1 << 60,) * 180))
CHANGES = st.builds(
    ChannelUpdate,
    CODES, NUMBERS, st.one_of(st.none(), NUMBERS), BY_DAY, st.integers(0, 3), st.just("order_placed"), st.booleans(),
    previous_by_day=BY_DAY, forced=st.booleans(),
)  # fmt: skip
UPDATES = st.builds(
    ItemUpdate,
    CODES, MOMENTS, st.integers(0, 6), DAYS, st.just("cart-7"), st.lists(CHANGES, max_size=4),
    st.dictionaries(CODES, st.one_of(st.none(), NUMBERS), max_size=8),
    st.one_of(CODES, st.text("{:}", min_size=3000, max_size=3000)), NUMBERS, st.booleans(),
    is_whole=st.booleans(), is_first=st.booleans(),
    claims=st.one_of(st.none(), st.dictionaries(CODES, st.one_of(st.none(), CODES), max_size=4)),
    has_all_claims=st.booleans(),
)  # fmt: skip
PREFIXES = st.sampled_from(["", "shop:", "bücher:"])


@given(st.lists(UPDATES, max_size=3), PREFIXES, st.integers(0, 1 << 62), st.integers(0, 1 << 52))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_slice_has_the_same_bytes(updates: list[ItemUpdate], prefix: str, version: int, moment: int) -> None:
    before = [f"{prefix}{kind}:".encode() for kind in ("atp", "position", "claims")]
    expected: tuple[Any, ...] = for_redis.slice_of(updates, before[0], before[1], before[2], version, moment // 1000)
    packed = pack_slice(updates, prefix, version, moment)
    assert (packed.key_count, packed.keys, packed.word_count, packed.words) == expected
    # what is said of how many there are is true: each word begins with its length
    for count, raw in ((packed.key_count, packed.keys), (packed.word_count, packed.words)):
        found = at = 0
        while at < len(raw):
            size, _, _ = raw[at + 1 :].partition(b"\r\n")
            at += 1 + len(size) + 2 + int(size) + 2
            found += 1
        assert (found, at) == (count, len(raw))


@given(CODES, CHANGES, MOMENTS, NUMBERS, MOMENTS.map(abs), st.sampled_from(["", ',"by_day":[1]', "," + "x" * 3000]))
def test_a_number_for_kafka_has_the_same_text(
    item: str, change: ChannelUpdate, as_of: int, version: int, processed_at: int, more: str
) -> None:
    one = Outgoing(3, item, change, as_of, "", version, processed_at, 0)
    change.by_day, change.breakdown = None, more.encode() if more else None
    more = f',"breakdown":{more}' if more else ""
    assert update_json(one) == for_kafka.update_text(one, LANES[change.lane], more)


@given(UPDATES, NUMBERS, MOMENTS.map(abs))
def test_a_position_for_kafka_has_the_same_text(update: ItemUpdate, version: int, processed_at: int) -> None:
    assert position_json(update, version, processed_at) == for_kafka.position_text(update, version, processed_at)


FIGURES = st.tuples(*[st.one_of(st.just(0), NUMBERS)] * 7)


@given(st.dictionaries(CODES, st.tuples(FIGURES, st.booleans(), st.one_of(st.none(), NUMBERS)), max_size=4))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_places_have_the_same_text(places: dict[str, tuple[tuple[int, ...], bool, int | None]]) -> None:
    item = Item("SHOVEL")
    withheld = {}
    for code, (shown, is_shown, kept) in places.items():
        place = item.places[code] = Place()
        place.shown, place.is_shown = shown, is_shown
        if kept is not None:
            if item.rare is None:
                item.rare = Rare()
            one = item.rare.withheld[code] = Withheld()
            one.shown = withheld[code] = kept
    text = places_json(item)
    assert text == native.places_text(item.places, withheld)
    assert json.loads(f"{{{text}}}") == {
        code: dict(zip(SHOWN_FIELDS, shown, strict=True)) | {"withheld": kept or 0}
        for code, (shown, is_shown, kept) in places.items()
        if is_shown
    }


def test_what_is_no_code_is_refused_and_not_cut() -> None:
    with pytest.raises((ValueError, UnicodeEncodeError)):
        update_json(Outgoing(0, "Schäufele", ChannelUpdate("web", 1, None, None, 2, "x"), -1, "", 1, 0, 0)).encode(
            "ascii"
        )
