"""What stood at any moment, and what moved a number: by the trail, against a recording of what was published."""

from __future__ import annotations

import itertools
import random
import time
import urllib.request
from typing import Any

import msgspec
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from flows.embedded.child import free_port
from flows.inspection.explained_view import lines_of
from flows.inspection.explaining import explain
from flows.inspection.status import parsed
from flows.inspection.trail import NOW_BYTES_MAX, NOW_RECORDS_MAX
from flows.inspection.trailed import NoTrail, difference
from flows.kafka import topics
from flows.kafka.reading import bounds, read_topics
from schemas.codes import parse_time
from schemas.settings import Settings
from schemas.topics import TRAIL, UPDATES
from tests.running import Engine, until
from tests.shop import clock, event, open_shop, placed, received, send_channel, take_in, wait_for

ON = {"trail__enabled": True}


def moments() -> int:
    return time.time_ns() // 1000


def test_any_moment_is_explained_and_the_shares_of_what_moved_a_number_add_up_also_over_a_kill(world: Any) -> None:
    open_shop(world, items=2)
    topics.create(world.settings(**ON))
    dice = random.Random(7)
    #: the number, and a moment at which it stood
    recorded: list[tuple[int, int]] = []

    def change(number: int) -> int:
        quantity = dice.randint(1, 5)
        if dice.random() < 0.5:
            world.send("inventory.warehouse", received(0, quantity))
            return number + quantity
        world.send("inventory.orders", placed(0, quantity, order_id=f"SO-{len(recorded)}"))
        return number - quantity

    def record(number: int) -> None:
        wait_for(world, number)
        time.sleep(0.05)
        recorded.append((number, moments()))
        time.sleep(0.05)

    take_in(world, 0, 100)
    number = 100
    with Engine(world, **ON) as engine:
        wait_for(world, 100)
        record(number)
        for step in range(24):
            number = change(number)
            record(number)
            if step == 11:
                engine.kill_worker()
        world.send("inventory.channel_items", {"channel": "web", "item": clock(0), "buffer_quantity": 3},
                   key=f"web:{clock(0)}")  # fmt: skip
        number -= 3
        record(number)
        settings = world.settings(**ON)
        for expected, at in recorded:
            said = explain(settings, clock(0), "web", at=at)
            assert said.published == expected and said.agrees, (expected, said)
            assert said.tree is not None and said.tree.value == expected and said.tree.adds_up()
        for _ in range(6):
            (first, since), (last, to) = sorted(dice.sample(recorded, 2), key=lambda entry: entry[1])
            found = difference(settings, clock(0), "web", since, to)
            assert (found.before, found.after) == (first, last), found
            assert sum(move.share for move in found.moves) == last - first, found
            assert not found.doubts
        found = difference(settings, clock(0), "web", recorded[-2][1], recorded[-1][1])
        [move] = found.moves
        assert move.share == -3 and move.touches[0]["type"] == "record", found
        assert move.touches[0]["topic"] == settings.topic("inventory.channel_items")
        own = f"web:{clock(0)}"
        assert move.touches[0]["key"] == own
        came, changed = (one.text for one in move.policy)
        assert came == f"inventory.channel_items {own} came" and changed.endswith(f"{own}: buffer_quantity none -> 3")
        send_channel(world, cap=number - 1)
        number -= 1
        record(number)
        found = difference(settings, clock(0), "web", recorded[-2][1], recorded[-1][1])
        [move] = found.moves
        assert move.share == -1 and not move.touches, found
        assert [one.text for one in move.policy] == [f"inventory.channels web: cap none -> {number}"]

        now = explain(settings, clock(0), "web")
        assert now.agrees and now.published == number and now.reach, now
        assert now.moved and now.moved[0].after == number and now.moved[0].policy == move.policy
        assert 0 < now.records_read <= NOW_RECORDS_MAX and 0 < now.bytes_read <= NOW_BYTES_MAX
        assert now.tree is not None
        said_by = {term.name: term.said_by for term in now.tree.children}
        assert said_by["cap"] == "inventory.channels web", said_by
        text = "\n".join(lines_of(now))
        assert f"inventory.channels web: cap none -> {number}" in text and "records of Kafka" in text, text

        again = received(0, 1, event_id="TWICE")
        for _ in range(2):
            world.send("inventory.warehouse", again)
        world.send("inventory.warehouse", {**again, "quantity": 2})
        world.flush()
        until(
            lambda: (
                {touch["outcome"] for move in explain(settings, clock(0), "web").moved for touch in move.touches}
                >= {"applied", "duplicate", "conflict"}
            ),
            60,
            lambda: str(explain(settings, clock(0), "web").moved),
        )
        with pytest.raises(NoTrail, match="cannot be told: nothing touched the item before"):
            explain(settings, clock(0), "web", at=recorded[0][1] - 3_600_000_000)
        with pytest.raises(ValueError, match="to: expected a moment after"):
            difference(settings, clock(0), "web", recorded[1][1], recorded[0][1])


def test_every_update_of_a_busy_item_is_found_again_at_its_moment(world: Any) -> None:
    open_shop(world)
    topics.create(world.settings(**ON))
    take_in(world, 0, 1000)
    began, port = time.time(), free_port()
    with Engine(world, metrics__port=port, **ON) as engine:
        wait_for(world, 1000)
        for step in range(300):
            world.send("inventory.warehouse", event("stock_adjusted", item=clock(0), location="EAST", quantity=-1,
                       source="wms", reason="damaged"))  # fmt: skip
            if step % 3 == 0:
                world.flush()
                time.sleep(0.01)
        wait_for(world, 700)
        oldest = "atp_trail_oldest_timestamp_seconds"
        counted = until(lambda: oldest in (now := counts(port)) and now, 60, engine.text)
        assert began - 60 < counted[oldest] <= time.time()
        assert counted["atp_trail_bytes_total"] > counted["atp_trail_records_total"] > 100
        assert "atp_reports_waiting" in counted
        assert engine.stop() == 0
    settings = world.settings(**ON)
    updates: dict[int, tuple[int, int]] = {}
    for message in read_topics(settings, list(UPDATES)):
        said = msgspec.json.decode(message.value())
        if said["channel"] == "web" and said["item"] == clock(0):
            updates[said["version"]] = (parse_time(said["processed_at"]), said["atp"])
    last = explain(settings, clock(0), "web", at=moments())
    assert last.published == 700 and last.agrees
    whole = difference(settings, clock(0), "web", updates[max(updates)][0] - 3_600_000_000, moments())
    assert sum(len(move.touches) for move in whole.moves) >= 300, len(whole.moves)
    moves = [(parse_time(move.at), move.after) for move in whole.moves]
    stood = dict((number, at) for at, number in moves)
    for published_at, number in updates.values():
        assert stood[number] <= published_at, number
    # A number stands from when it was evaluated until the next one is; it only falls here, so each is there once.
    for (at, number), (following, _) in random.Random(3).sample(list(itertools.pairwise(moves)), 20):
        if following - at > 1:
            assert explain(settings, clock(0), "web", at=following - 1).published == number
    forget(settings, share=0.5)
    said = difference(settings, clock(0), "web", moves[0][0], moves[-1][0])
    assert "the trail reaches back no further than" in said.doubts[0] and said.after == 700, said.doubts
    assert said.moves and said.moves[-1].after == 700
    with pytest.raises(NoTrail, match="the topic no longer has what was before"):
        explain(settings, clock(0), "web", at=moves[0][0])
    forget(settings, share=1)
    said = explain(settings, clock(0), "web")
    assert said.published == 700 and said.agrees, "what stands now needs no trail"
    assert "cannot be told by its trail" in said.doubts[-1] and "reference topics" in said.doubts[-1], said.doubts
    with pytest.raises(NoTrail, match="the topic no longer has what was before"):
        explain(settings, clock(0), "web", at=moments())


def counts(port: int) -> dict[str, float]:
    """Give what the engine counts: of each name the sum over all labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return {name: sum(value for _, value in told) for name, told in parsed(answer.read().decode()).items()}


def forget(settings: Settings, share: float) -> None:
    """Delete the oldest of the trail, as its retention does."""
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    spans = bounds(settings, [TRAIL])
    gone = [TopicPartition(*part, low + int((end - low) * share)) for part, (low, end) in spans.items() if low < end]
    for answer in client.delete_records(gone).values():
        answer.result(30)


def test_without_a_trail_now_is_explained_all_the_same_and_a_moment_is_not(world: Any) -> None:
    open_shop(world)
    take_in(world, 0, 5)
    with Engine(world):
        wait_for(world, 5)
        assert explain(world.settings(), clock(0), "web").agrees
        with pytest.raises(NoTrail, match=r"set trail\.enabled"):
            explain(world.settings(), clock(0), "web", at=moments())
