"""Traffic is the same for the same seed, and holds what its profile says."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from flows.traffic import day as traffic
from flows.traffic.day import HOUR, SECOND
from flows.traffic.profile import CHANNELS, ITEMS, LOCATIONS, ORDERS, SUPPLY, WAREHOUSE, Message, Profile, reference
from schemas.codes import parse_json, parse_time
from schemas.events import ANY_EVENT
from schemas.reference import parse_reference

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW = int(NOON.timestamp()) * SECOND
PROFILE = Profile(events=40_000, items=500)


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return list(traffic.events(PROFILE, NOW, 2000.0))


@pytest.fixture(scope="module")
def readable(messages: list[Message]) -> list[tuple[str, dict[str, object]]]:
    found = []
    for topic, _, value in messages:
        try:
            event = json.loads(value)
        except ValueError:
            continue
        if isinstance(event, dict):
            found.append((topic, event))
    return found


def test_the_same_seed_sends_the_same_bytes(messages: list[Message]) -> None:
    assert list(traffic.events(PROFILE, NOW, 2000.0)) == messages


def test_another_seed_sends_other_traffic(messages: list[Message]) -> None:
    assert list(traffic.events(Profile(events=40_000, items=500, seed=2), NOW, 2000.0)) != messages


def test_sends_exactly_as_many_messages_as_were_asked_for(messages: list[Message]) -> None:
    assert len(messages) == PROFILE.events
    assert len(list(traffic.events(Profile(events=1), NOW))) == 1


def test_every_event_lies_in_the_past_and_none_is_late_by_accident(
    readable: list[tuple[str, dict[str, object]]],
) -> None:
    ages = [NOW - parse_time(event["occurred_at"]) for _, event in readable]
    assert min(ages) >= 0
    late = [age for age in ages if age > 24 * HOUR]
    assert 0 < len(late) <= len(ages) * PROFILE.invalid
    assert sorted(ages)[-len(late) - 1] <= 21 * SECOND


def test_a_slow_rate_does_not_reach_back_into_lateness() -> None:
    events = traffic.events(Profile(events=200, invalid=0), NOW, per_second=0.001)
    assert all(NOW - parse_time(json.loads(value)["occurred_at"]) <= traffic.SPAN_MAX for _, _, value in events)


def test_about_one_and_a_half_percent_are_sent_twice(messages: list[Message]) -> None:
    repeated = len(messages) - len({value for _, _, value in messages})
    assert 0.01 <= repeated / len(messages) <= 0.02


def test_about_one_in_a_thousand_is_unusable(readable: list[tuple[str, dict[str, object]]]) -> None:
    known = {traffic.item_code(number) for number in range(PROFILE.items)}
    unusable = PROFILE.events - len(readable)
    for topic, event in readable:
        try:
            ANY_EVENT.validate_python(parse_json(json.dumps(event).encode()))
        except ValueError:
            unusable += 1
            continue
        is_strange = topic == WAREHOUSE and (event["item"] not in known or str(event["location"]).startswith("NO-"))
        is_late = NOW - parse_time(event["occurred_at"]) > 24 * HOUR
        unusable += is_strange or is_late or event.get("uom") == "barrel" or event.get("quantity") == 7.5
    assert 0.0005 <= unusable / PROFILE.events <= 0.0015


def test_without_flaws_every_message_is_a_valid_event() -> None:
    for _, _, value in traffic.events(Profile(events=5000, invalid=0), NOW):
        ANY_EVENT.validate_python(parse_json(value))


def test_a_share_is_delivered_out_of_order() -> None:
    def places_gone_back(shuffled: float) -> int:
        profile = Profile(events=10_000, duplicates=0, invalid=0, shuffled=shuffled)
        numbers = [int(json.loads(v)["event_id"].split("-")[1]) for _, _, v in traffic.events(profile, NOW)]
        return sum(after < before for before, after in itertools.pairwise(numbers))

    assert places_gone_back(0.0) == 0
    assert 100 <= places_gone_back(0.02) <= 300


def test_orders_have_about_four_lines_and_live_their_lives(readable: list[tuple[str, dict[str, object]]]) -> None:
    placed = [event for _, event in readable if event["type"] == "order_placed"]
    assert 3.3 <= sum(len(event["lines"]) for event in placed) / len(placed) <= 4.3  # type: ignore[arg-type]
    kinds = Counter(str(event["type"]) for _, event in readable)
    assert kinds.keys() >= {
        "order_placed", "order_allocated", "order_cancelled", "pick_confirmed", "shipment_confirmed", "stock_received",
        "transfer_shipped", "stock_counted", "stock_adjusted", "stock_status_changed", "return_received",
        "receipt_expected",
    }  # fmt: skip
    assert 0.04 <= kinds["order_cancelled"] / kinds["order_placed"] <= 0.12
    by_topic = {topic for topic, _ in readable}
    assert by_topic == {WAREHOUSE, ORDERS, SUPPLY}


def test_the_first_items_are_ordered_most() -> None:
    profile = Profile(events=30_000, items=1000, zipf=1.0)
    ordered = Counter(
        line["item"]
        for topic, _, value in traffic.events(profile, NOW)
        if topic == ORDERS and b'"order_placed"' in value
        for line in json.loads(value)["lines"]
    )
    # Zipf 1.0 over 1000 items: the first gets 1/7.5 of all draws, ten times the tenth.
    first, tenth = ordered[traffic.item_code(0)], ordered[traffic.item_code(9)]
    assert 4 <= first / tenth <= 12


@pytest.mark.parametrize("item", ["SKU-000007", "SNEAKER"])
def test_half_of_the_orders_want_the_item_on_flash_sale(item: str) -> None:
    profile = Profile(events=10_000, flash_sale=item)
    assert [key for topic, key, _ in reference(profile) if key == item.encode()] == [item.encode()]
    baskets = [
        [line["item"] for line in json.loads(value)["lines"]]
        for topic, _, value in traffic.events(profile, NOW)
        if topic == ORDERS and b'"order_placed"' in value
    ]
    assert 0.45 <= sum(item in basket for basket in baskets) / len(baskets) <= 0.65


@pytest.mark.parametrize("locations", [1, 2, 7])
def test_reference_data_names_every_code_that_events_use(locations: int) -> None:
    profile = Profile(events=3000, items=50, locations=locations, channels=6, invalid=0)
    known: dict[str, set[str]] = {}
    for topic, key, value in reference(profile):
        parse_reference(topic.removeprefix("inventory."), key, value)  # type: ignore[arg-type]
        known.setdefault(topic, set()).add(key.decode())
    for _, _, value in traffic.events(profile, NOW):
        event = json.loads(value)
        for part in event.get("lines", [event]):
            assert part["item"] in known[ITEMS]
            assert part.get("location", "DC-1") in known[LOCATIONS]
        assert event.get("channel", "web") in known[CHANNELS]


def test_keys_spread_an_items_events_over_partitions(messages: list[Message]) -> None:
    keys = {key for _, key, value in messages if b'"SKU-000000"' in value}
    assert len(keys) > 1000


def test_a_flash_sale_takes_its_share_of_all_order_lines() -> None:
    profile = Profile(events=20_000, items=5000, flash_sale="SNEAKER", flash_share=0.3)
    wanted = [
        line["item"]
        for topic, _, value in traffic.events(profile, NOW)
        if topic == ORDERS and b'"order_placed"' in value
        for line in json.loads(value)["lines"]
    ]
    assert 0.27 <= wanted.count("SNEAKER") / len(wanted) <= 0.33


def test_snapshots_take_their_share_and_say_what_is_known() -> None:
    profile = Profile(events=60_000, items=5000, snapshots=0.8, duplicates=0, shuffled=0, invalid=0)
    on_hand: Counter[tuple[str, str]] = Counter()
    counts = news = 0
    for topic, _, value in traffic.events(profile, NOW):
        event = json.loads(value)
        if topic != WAREHOUSE:
            continue
        at = (event["item"], event["location"])
        kind, quantity = event["type"], event["quantity"]
        if kind == "stock_counted":
            counts += 1
            news += quantity != on_hand[at]
            on_hand[at] = quantity
        elif kind in ("stock_received", "return_received", "stock_adjusted"):
            on_hand[at] += quantity
        elif kind in ("pick_confirmed", "transfer_shipped"):
            on_hand[at] -= quantity
    assert 0.77 <= counts / 60_000 <= 0.83
    assert 0.04 <= news / counts <= 0.07
