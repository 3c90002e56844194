"""What stands in Redis when Redis is not what the engine left there: older, half filled, or touched by others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from flows.readmodel.port import Behind, Fenced, Outage
from flows.readmodel.slices import Slice, bulk_bytes
from flows.readmodel.store import Store
from tests.judging import hashes
from tests.running import Engine, until
from tests.shop import clock, open_shop, promised, received, take_in, wait_for

Copy = dict[bytes, bytes]


def copy_of(world: Any) -> Copy:
    """Everything under the world's prefix, as a backup or a replica would hold it."""
    raw = raw_redis(world)
    return {key: raw.dump(key) for key in raw.scan_iter(f"{world.redis_prefix}*", count=1000)}


def bring_back(world: Any, copy: Copy) -> None:
    """Put an older copy in the place of what is there, in one step, as a failover does."""
    raw = raw_redis(world)
    with raw.pipeline(transaction=True) as pipeline:
        for key in raw.scan_iter(f"{world.redis_prefix}*", count=1000):
            pipeline.delete(key)
        for key, value in copy.items():
            pipeline.restore(key, 0, value)
        pipeline.execute()


def raw_redis(world: Any) -> Any:
    import redis

    return redis.Redis.from_url(world.servers.redis_url)


@pytest.fixture
def store(world: Any) -> Iterator[Store]:
    one = Store(world.servers.redis_url, world.redis_prefix, writer="0")
    one.claim(0)
    yield one
    one.close()


# --- another server --------------------------------------------------------------------------------------------------


def test_a_connection_to_a_primary_that_became_a_replica_is_let_go(world: Any, store: Store) -> None:
    """The name in redis.url may lead to the new primary by now; the old one would refuse for ever."""
    store.join()
    raw = raw_redis(world)
    before = store.ask("CLIENT", "ID")
    raw.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(Outage, match="read only replica"):
            store.write([f"{world.redis_prefix}a"], [1, "on_hand", 5, 0])
    finally:
        raw.execute_command("REPLICAOF", "NO", "ONE")
    assert store.ask("CLIENT", "ID") != before
    store.write([f"{world.redis_prefix}a"], [1, "on_hand", 5, 0])


# --- the fence -------------------------------------------------------------------------------------------------------


def test_an_older_copy_is_noticed_and_the_same_run_can_go_on_in_it(world: Any, store: Store) -> None:
    key = f"{world.redis_prefix}atp:A"
    for number in range(5):
        store.write([key], [1, "web", number, 0])
    older = copy_of(world)
    for number in range(5, 8):
        store.write([key], [1, "web", number, 0])
    bring_back(world, older)
    with pytest.raises(Behind):
        store.write([key], [1, "web", 8, 0])
    assert store.all_of(key) == {b"web": b"4"}
    store.reclaim()
    store.write([key], [1, "web", 8, 0])
    assert store.all_of(key) == {b"web": b"8"}


def test_a_number_that_came_back_with_an_older_copy_is_not_taken_for_this_flush(world: Any, store: Store) -> None:
    key = f"{world.redis_prefix}atp:A"
    for number in range(3):
        store.write([key], [1, "web", number, 0])
    ahead = copy_of(world)  # holds flush 3
    world.redis.delete(*world.redis.keys(f"{world.redis_prefix}*"))
    with pytest.raises(Behind):
        store.write([key], [1, "web", 3, 0])
    store.reclaim()
    for number in range(2):
        store.write([key], [1, "web", number, 0])
        bring_back(world, ahead)
        with pytest.raises(Behind):
            store.write([key], [1, "web", 99, 0])
        store.reclaim()
    store.write([key], [1, "web", 100, 0])
    assert store.all_of(key) == {b"web": b"100"}


def test_a_slice_that_fails_half_way_is_not_taken_for_written(world: Any, store: Store) -> None:
    good, bad = f"{world.redis_prefix}atp:A", f"{world.redis_prefix}atp:B"
    world.redis.set(bad, "somebody else's")
    for _ in range(2):
        with pytest.raises(Outage, match="WRONGTYPE"):
            store.write([good, bad], [1, "web", 1, 0, 1, "web", 2, 0])
    world.redis.delete(bad)
    store.write([good, bad], [1, "web", 1, 0, 1, "web", 2, 0])
    assert store.all_of(bad) == {b"web": b"2"}


@pytest.mark.parametrize("fields", [0, 1, 1999, 2000, 2001, 20_000])
def test_an_item_at_thousands_of_locations_is_written_in_one_slice(world: Any, store: Store, fields: int) -> None:
    # Lua passes no more than 8,000 arguments on: an item at 1,200 locations could not be written, again and again.
    big, small = f"{world.redis_prefix}position:A", f"{world.redis_prefix}position:B"
    values = [part for number in range(fields) for part in (f"S{number}:on_hand", number)]
    store.write([big, small], [fields, *values, 0, 1, "DC1:on_hand", 7, 0])
    assert store.all_of(big) == {f"S{number}:on_hand".encode(): str(number).encode() for number in range(fields)}
    assert store.all_of(small) == {b"DC1:on_hand": b"7"}
    gone = [f"S{number}:on_hand" for number in range(fields)]
    store.write([big, small], [1, "DC1:on_hand", 1, fields, *gone, 1, "DC1:on_hand", 8, 0])
    assert store.all_of(big) == {b"DC1:on_hand": b"1"}
    assert store.all_of(small) == {b"DC1:on_hand": b"8"}


def slice_of(key: str, number: int) -> Slice:
    words = [bulk_bytes(word) for word in (1, "web", number, 0)]
    return Slice(1, bulk_bytes(key), len(words), b"".join(words))


def test_slices_on_their_way_together_end_with_the_first_that_fails(world: Any, store: Store) -> None:
    keys = [f"{world.redis_prefix}atp:{name}" for name in "ABCD"]
    world.redis.set(keys[2], "somebody else's")
    slices = [slice_of(key, number) for number, key in enumerate(keys)]
    left = list(slices)
    for _ in range(2):
        with pytest.raises(Outage, match="WRONGTYPE"):
            store.write_slices(left)
        assert left == slices[2:]
        assert store.all_of(keys[1]) == {b"web": b"1"}
        assert store.all_of(keys[3]) == {}
    world.redis.delete(keys[2])
    store.write_slices(left)
    assert left == []
    assert [store.all_of(key) for key in keys] == [{b"web": str(number).encode()} for number in range(4)]


@pytest.mark.parametrize("arrived", range(4))
def test_slices_whose_answers_were_lost_are_written_once(world: Any, store: Store, arrived: int) -> None:
    keys = [f"{world.redis_prefix}atp:{name}" for name in "ABC"]
    slices = [slice_of(key, number) for number, key in enumerate(keys)]
    store.write([keys[0]], [1, "web", 77, 0])
    exchange = store._exchange

    def torn(packed: Sequence[bytes]) -> list[Any]:
        exchange(packed[:arrived])
        world.redis.hset(keys[0], "written", "once")
        raise Outage("the line is cut")

    store._exchange = torn  # type: ignore[method-assign]
    with pytest.raises(Outage):
        store.write_slices(slices)
    assert len(slices) == 3, "nobody knows"
    store._exchange = exchange  # type: ignore[method-assign]
    store.write_slices(slices)
    assert slices == []
    assert store.all_of(keys[0]) == {b"web": b"0", b"written": b"once"}
    assert [store.all_of(key)[b"web"] for key in keys] == [b"0", b"1", b"2"]
    store.write([keys[1]], [1, "web", 5, 0])
    assert store.all_of(keys[1]) == {b"web": b"5"}


def test_what_a_broken_connection_still_brings_after_a_loss_follows_from_nothing(world: Any, store: Store) -> None:
    """The server reads the old connection's slices when the run has gone on with new numbers already."""
    key = f"{world.redis_prefix}atp:A"
    store.write([key], [1, "web", 1, 0])
    exchange = store._exchange
    late: list[bytes] = []

    def lost(packed: Sequence[bytes]) -> list[Any]:
        late.extend(packed)
        raise Outage("the line is cut")

    store._exchange = lost  # type: ignore[method-assign]
    slices = [slice_of(key, 2), slice_of(key, 3)]
    with pytest.raises(Outage):
        store.write_slices(slices)
    store._exchange = exchange  # type: ignore[method-assign]
    world.redis.delete(*world.redis.keys(f"{world.redis_prefix}*"))
    with pytest.raises(Behind):
        store.write_slices(slices)
    store.reclaim()
    assert all(isinstance(answer, Exception) for answer in exchange(late))
    store.write_slices(slices)
    assert store.all_of(key) == {b"web": b"3"}


def test_an_older_token_writes_nothing(world: Any, store: Store) -> None:
    key = f"{world.redis_prefix}atp:A"
    store.write([key], [1, "web", 1, 0])
    newer = Store(world.servers.redis_url, world.redis_prefix, writer="0")
    assert newer.claim(0) == store.token + 1
    newer.write([key], [1, "web", 2, 0])
    for step in (lambda: store.write([key], [1, "web", 3, 0]), store.reclaim, store.join):
        with pytest.raises(Fenced):
            step()
    assert newer.all_of(key) == {b"web": b"2"}
    newer.close()


# --- with the engine -------------------------------------------------------------------------------------------------


def test_a_redis_replaced_by_an_older_copy_is_filled_again_without_a_restart(world: Any) -> None:
    open_shop(world, items=20)
    for number in range(20):
        world.send("inventory.warehouse", received(number, 10))
    world.flush()
    with Engine(world) as engine:
        wait_for(world, 10, 19)
        until(lambda: all(promised(world, n) == 10 for n in range(20)), 20, "all numbers")
        older = copy_of(world)
        for number in range(10):
            world.send("inventory.warehouse", received(number, 5))
        world.flush()
        until(lambda: all(promised(world, n) == 15 for n in range(10)), 20, "newer numbers")
        bring_back(world, older)
        assert promised(world, 0) == 10
        until(lambda: all(promised(world, n) == 15 for n in range(10)), 10, lambda: f"numbers again\n{engine.text()}")
        until(lambda: not unfilled(world), 10, lambda: f"all filled: {unfilled(world)}\n{engine.text()}")
        take_in(world, 0, 1)
        wait_for(world, 16, seconds=10)
        assert engine.stop() == 0, engine.text()
    assert "a worker died" not in engine.text()


def test_an_older_copy_brought_back_while_the_engine_is_down_is_noticed_at_its_start(world: Any) -> None:
    open_shop(world, items=20)
    for number in range(20):
        world.send("inventory.warehouse", received(number, 10))
    world.flush()
    with Engine(world) as engine:
        until(lambda: all(promised(world, n) == 10 for n in range(20)), 40, "all numbers")
        older = copy_of(world)
        for number in range(10):
            world.send("inventory.warehouse", received(number, 5))
        world.flush()
        until(lambda: all(promised(world, n) == 15 for n in range(10)), 20, "newer numbers")
        assert engine.stop() == 0, engine.text()
    bring_back(world, older)
    with Engine(world) as engine:
        until(lambda: all(promised(world, n) == 15 for n in range(10)), 40, lambda: f"numbers again\n{engine.text()}")
        assert engine.stop() == 0, engine.text()


def test_a_refill_that_a_crash_cut_off_is_begun_again(world: Any) -> None:
    items = 2000
    open_shop(world, items=items)
    for number in range(items):
        world.send("inventory.warehouse", received(number, 1 + number))
    world.flush()
    # One shard says eight items at a time: slow enough to be cut off in the middle.
    with Engine(world, shards=1) as engine:
        until(lambda: len(hashes(world, "position")) == items, 60, lambda: f"all positions\n{engine.text()}")
        world.redis.delete(*world.redis.keys(f"{world.redis_prefix}*"))
        until(lambda: world.redis.exists(*some(world, items)) > 0, 10, lambda: f"a refill\n{engine.text()}")
        time.sleep(0.1)  # so that an epoch ends meanwhile
        engine.kill_everything()
    half = len(hashes(world, "position"))
    assert 0 < half < items, "the crash came too late to cut anything off"
    with Engine(world, shards=1) as engine:
        until(lambda: len(hashes(world, "position")) == items, 60, lambda: f"all of them again\n{engine.text()}")
        until(lambda: not unfilled(world), 20, lambda: f"all filled: {unfilled(world)}\n{engine.text()}")
        assert engine.stop() == 0, engine.text()
    found = {item: fields["web"] for item, fields in hashes(world, "atp").items()}
    assert found == {clock(number): str(1 + number) for number in range(items)}


def some(world: Any, items: int) -> list[str]:
    return [f"{world.redis_prefix}position:{clock(number)}" for number in range(0, items, 5)]


def unfilled(world: Any) -> list[bytes]:
    """Shards that are not whole in the life that Redis lives now."""
    raw = raw_redis(world)
    life = raw.hget(f"{world.redis_prefix}engine:fence", "life")
    reached = raw.hgetall(f"{world.redis_prefix}engine:reached")
    return [name for name in reached if b":" not in name and reached.get(name + b":life", b"0") != life]
