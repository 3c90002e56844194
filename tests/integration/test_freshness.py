"""What a channel is told of how fresh its numbers are, and the set of all items, whatever the engine goes through."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest

from flows.readmodel.item_walk import SLICE_KEYS, WHOLE, ItemWalk
from flows.readmodel.port import Behind, Fenced
from flows.readmodel.store import Store
from tests.integration.test_read_model import bring_back, copy_of
from tests.judging import hashes, unlisted_items
from tests.running import START_SECONDS_MAX, Engine, frozen, until
from tests.shop import clock, open_shop, promised, received, take_in, wait_for

#: Engines are started, killed and started again.
pytestmark = pytest.mark.timeout(300)

#: Contract section 7.
LAPSES_S = 10.0
BEAT_MAX_MS = 1000


def alive(world: Any) -> dict[str, str]:
    found: dict[str, str] = world.redis.hgetall(f"{world.redis_prefix}engine:alive")
    return found


def is_ready(world: Any) -> bool:
    return alive(world).get("ready") == "1"


def wait_until_ready(world: Any, engine: Engine) -> dict[str, str]:
    until(lambda: is_ready(world), START_SECONDS_MAX, lambda: f"ready: {alive(world)}\n{engine.text()}")
    return alive(world)


def items(world: Any) -> list[str]:
    found: list[str] = world.redis.zrange(f"{world.redis_prefix}engine:items", 0, -1)
    return found


def word_of(world: Any) -> str | None:
    found: str | None = world.redis.hget(f"{world.redis_prefix}engine:fence", "items")
    return found


@pytest.fixture
def store(world: Any) -> Iterator[Store]:
    one = Store(world.servers.redis_url, world.redis_prefix, writer="0")
    one.claim(0)
    yield one
    one.close()


# --- is my number fresh ----------------------------------------------------------------------------------------------


def test_a_ready_engine_says_so_every_second_also_where_nothing_comes_in_and_nobody_may_ask_it(world: Any) -> None:
    open_shop(world)
    with Engine(world) as engine:  # with metrics.port 0
        said = wait_until_ready(world, engine)
        token = world.redis.hget(f"{world.redis_prefix}engine:fence", "token")
        assert said == {
            "at": said["at"],
            "behind_ms": "0",
            "ready": "1",
            "version": version("atp-engine"),
            "run": token,
        }
        assert abs(int(said["at"]) - time.time() * 1000) < LAPSES_S * 1000
        assert 0 < world.redis.pttl(f"{world.redis_prefix}engine:alive") <= LAPSES_S * 1000
        seen = []
        for _ in range(4):
            before = int(alive(world)["at"])
            until(lambda before=before: int(alive(world)["at"]) > before, 10, lambda: f"again\n{engine.text()}")
            seen.append(int(alive(world)["at"]) - before)
        assert min(seen) <= BEAT_MAX_MS, seen
        assert engine.stop() == 0, engine.text()
    assert alive(world).get("ready", "0") == "0", "nobody keeps the numbers fresh"


def test_it_lapses_by_itself_within_ten_seconds_of_a_kill(world: Any) -> None:
    open_shop(world)
    with Engine(world) as engine:
        wait_until_ready(world, engine)
        engine.kill_everything()
        killed_at = time.monotonic()
        until(lambda: not alive(world), LAPSES_S + 2, lambda: f"{alive(world)}")
        assert time.monotonic() - killed_at <= LAPSES_S + 1


def test_a_restart_of_the_workers_is_not_ready_until_it_is_over(world: Any) -> None:
    open_shop(world)
    with Engine(world) as engine:
        wait_until_ready(world, engine)
        run = alive(world)["run"]
        engine.kill_worker()
        until(lambda: alive(world).get("ready") == "0", 10, lambda: f"not ready: {alive(world)}\n{engine.text()}")
        said = wait_until_ready(world, engine)
        assert int(said["run"]) > int(run)
        assert engine.stop() == 0, engine.text()


def test_a_worker_that_hangs_makes_it_not_ready_and_behind_and_the_word_goes_on(world: Any) -> None:
    open_shop(world)
    with Engine(world) as engine:
        wait_until_ready(world, engine)
        [worker] = engine.wait_for_workers()
        with frozen(worker):
            take_in(world, 0, 5)
            until(lambda: not is_ready(world), 15, lambda: f"not ready: {alive(world)}")
            until(lambda: int(alive(world)["behind_ms"]) > 3000, 20, lambda: f"behind: {alive(world)}")
            before = int(alive(world)["at"])
            until(lambda: int(alive(world)["at"]) > before, 5, "and it is written")
        wait_for(world, 5)
        wait_until_ready(world, engine)
        until(lambda: alive(world)["behind_ms"] == "0", 10, lambda: f"at the end: {alive(world)}")
        assert engine.stop() == 0, engine.text()


def test_an_older_run_that_wakes_up_does_not_overwrite_a_newer_ones_word(world: Any, store: Store) -> None:
    newer = Store(world.servers.redis_url, world.redis_prefix, writer="0")
    newer.claim(0)
    newer.beat(2000, 7, True, "2.0", 10_000)
    with pytest.raises(Fenced):
        store.beat(3000, 9, False, "1.0", 10_000)
    world.redis.delete(f"{world.redis_prefix}engine:fence")  # Redis lost who is the newest, not what it said
    with pytest.raises(Fenced):
        store.beat(3000, 9, False, "1.0", 10_000)
    assert alive(world) == {"at": "2000", "behind_ms": "7", "ready": "1", "version": "2.0", "run": str(newer.token)}
    newer.close()


def test_a_redis_that_is_away_is_said_once_and_the_word_comes_back(world: Any) -> None:
    open_shop(world)
    with Engine(world) as engine:
        wait_until_ready(world, engine)
        world.servers.kill_redis()
        until(lambda: "engine:alive cannot be written" in engine.text(), 20, engine.text)
        time.sleep(2)
        world.servers.restart_redis(empty=True)
        wait_until_ready(world, engine)
        assert engine.text().count("engine:alive cannot be written") == 1
        assert "Traceback" not in engine.text()
        assert engine.stop() == 0, engine.text()


# --- the set of all items --------------------------------------------------------------------------------------------


def test_the_set_names_what_comes_and_strikes_what_leaves_in_the_same_step(world: Any, store: Store) -> None:
    prefix = world.redis_prefix
    key, other = f"{prefix}atp:A", f"{prefix}atp:B/1.x_9"
    store.write([key, f"{prefix}position:A"], [2, "web", 1, "_version", 1, 0, 1, "EAST:on_hand", 1, 0])
    store.write([other], [-2, "web", 1, "_version", 1, 0])
    assert items(world) == ["A", "B/1.x_9"]
    store.write([key], [1, "_version", 2, 1, "web"])
    assert items(world) == ["A", "B/1.x_9"], "a hash without a channel is one"
    store.write([f"{prefix}position:A"], [0, 1, "EAST:on_hand"])
    store.write([key], [0, 2, "web", "_version"])
    assert items(world) == ["B/1.x_9"]
    assert world.redis.zscore(f"{prefix}engine:items", "B/1.x_9") == 0


def test_a_set_that_cannot_be_kept_holds_no_number_up_and_is_completed_when_it_can_be(world: Any, store: Store) -> None:
    prefix = world.redis_prefix
    walk = ItemWalk(store)
    assert walk.slice("") == WHOLE == word_of(world)
    world.redis.set(f"{prefix}engine:items", "somebody else's")
    store.write([f"{prefix}atp:A"], [1, "web", 1, 0])
    assert world.redis.hget(f"{prefix}atp:A", "web") == "1"
    assert word_of(world) is None, "something is missing there"
    assert walk.goes_on("") and walk.slice("") == "" and not walk.goes_on(""), "refused: it rests a while"
    world.redis.delete(f"{prefix}engine:items")
    assert ItemWalk(store).slice("") == WHOLE
    assert items(world) == ["A"]


def test_without_the_right_to_look_what_leaves_is_struck_all_the_same(world: Any, store: Store) -> None:
    prefix = world.redis_prefix
    assert ItemWalk(store).slice("") == WHOLE
    user = f"blind-{prefix.strip(':')}"
    world.redis.execute_command("ACL", "SETUSER", user, "on", ">secret", "~*", "&*", "+@all", "-exists")
    blind = Store(world.servers.redis_url.replace("://", f"://{user}:secret@", 1), prefix, store.token, "0")
    try:
        blind.join()
        blind.write([f"{prefix}atp:A", f"{prefix}atp:B"], [1, "web", 1, 0, 1, "web", 1, 0])
        blind.write([f"{prefix}atp:A"], [0, 1, "web"])
        assert (items(world), word_of(world)) == (["B"], WHOLE)
    finally:
        blind.close()
        world.redis.execute_command("ACL", "DELUSER", user)
    assert not unlisted_items(world)


def test_a_walk_through_what_an_older_engine_wrote_is_right_while_writes_go_on(world: Any, store: Store) -> None:
    prefix = world.redis_prefix
    count = 6 * SLICE_KEYS
    pipeline = world.redis.pipeline(transaction=False)
    for number in range(count):
        pipeline.hset(f"{prefix}atp:I-{number}", mapping={"web": 1, "_version": 1})
    pipeline.execute()
    walker = Store(world.servers.redis_url, prefix, store.token, "alive")
    walk, word, slices = ItemWalk(walker), "", 0
    while walk.goes_on(word):
        number = slices % count
        store.write([f"{prefix}atp:I-{number}"], [0, 2, "web", "_version"])  # what goes stays out
        store.write([f"{prefix}atp:NEW-{number}"], [2, "web", 1, "_version", 2, 0])
        word, slices = walk.slice(word), slices + 1
    assert slices > 3, "it is done in slices"
    assert not unlisted_items(world)
    assert word_of(world) == WHOLE
    store.claim(0)
    assert word_of(world) == WHOLE, "the next run need not walk again"
    walker.close()


def test_a_walk_whose_redis_went_back_begins_again(world: Any, store: Store) -> None:
    prefix = world.redis_prefix
    for number in range(4 * SLICE_KEYS):
        world.redis.hset(f"{prefix}atp:I-{number}", "web", 1)
    walk = ItemWalk(store)
    word = walk.slice("")
    older = copy_of(world)
    for _ in range(2):
        word = walk.slice(word)
    bring_back(world, older)
    with pytest.raises(Behind):
        walk.slice(word)
    word = word_of(world) or ""
    while walk.goes_on(word):
        word = walk.slice(word)
    assert not unlisted_items(world)


def test_the_set_is_that_of_the_hashes_through_an_upgrade_a_loss_and_a_deletion(world: Any) -> None:
    count = 20
    open_shop(world, items=count)
    for number in range(count):
        world.send("inventory.warehouse", received(number, 10))
    world.flush()
    everything = sorted(clock(number) for number in range(count))
    with Engine(world) as engine:
        until(lambda: items(world) == everything, START_SECONDS_MAX, lambda: f"{items(world)}\n{engine.text()}")
        world.send("inventory.items", None, key=clock(3))
        world.flush()
        left = [item for item in everything if item != clock(3)]
        until(lambda: items(world) == left, 20, lambda: f"without what was deleted: {items(world)}")
        assert engine.stop() == 0, engine.text()
    # As an engine left it that did not keep the set.
    world.redis.delete(f"{world.redis_prefix}engine:items")
    world.redis.hdel(f"{world.redis_prefix}engine:fence", "items")
    with Engine(world) as engine:
        until(lambda: items(world) == left, START_SECONDS_MAX, lambda: f"walked: {items(world)}\n{engine.text()}")
        until(lambda: word_of(world) == WHOLE, 10, lambda: f"{word_of(world)}")
        world.redis.delete(*world.redis.keys(f"{world.redis_prefix}*"))
        until(lambda: items(world) == left, 20, lambda: f"filled again: {items(world)}\n{engine.text()}")
        assert engine.stop() == 0, engine.text()
    assert not unlisted_items(world)


# --- up to when ------------------------------------------------------------------------------------------------------


def test_as_of_is_there_after_the_first_event_also_where_no_number_changed(world: Any) -> None:
    open_shop(world, items=3)
    nothing = {"quantity": 0, "type": "stock_counted"}
    with Engine(world) as engine:
        until(lambda: promised(world, 2) == 0, START_SECONDS_MAX, engine.text)
        before = hashes(world, "atp")
        assert all("_as_of" not in fields for fields in before.values())
        world.send("inventory.warehouse", {**received(0, 1), **nothing})
        world.send("inventory.warehouse", {**received(1, 5), "location": "WEST", "status": "quarantined"})
        world.flush()
        for kind in ("atp", "position"):
            until(
                lambda kind=kind: all("_as_of" in hashes(world, kind).get(clock(n), {}) for n in range(2)),
                20,
                lambda kind=kind: f"{hashes(world, kind)}\n{engine.text()}",
            )
        after = hashes(world, "atp")
        assert [after[clock(n)]["web"] for n in range(3)] == ["0"] * 3
        assert after[clock(2)] == before[clock(2)], "nothing was applied to it"
        assert engine.stop() == 0, engine.text()
    with Engine(world) as engine:
        wait_until_ready(world, engine)
        world.redis.delete(*world.redis.keys(f"{world.redis_prefix}atp:*"))
        engine.kill_everything()
    with Engine(world) as engine:
        wait_until_ready(world, engine)
        command = world.command("republish", "--all")
        subprocess.run(command, env=world.env(), check=True, capture_output=True, timeout=60)
        until(lambda: len(hashes(world, "atp")) == 3, 20, engine.text)
        found = hashes(world, "atp")
        assert ["_as_of" in found[clock(n)] for n in range(3)] == [True, True, False]
        assert engine.stop() == 0, engine.text()


def test_a_reader_never_sees_an_item_without_its_name_in_the_set(world: Any) -> None:
    open_shop(world, items=1)
    wrong: list[str] = []
    ended = threading.Event()
    with Engine(world) as engine:
        wait_for(world, 0, seconds=START_SECONDS_MAX)

        def look() -> None:
            script = (
                "local wrong = {} for _, key in ipairs(redis.call('KEYS', ARGV[1] .. 'atp:*')) do "
                "if not redis.call('ZSCORE', ARGV[1] .. 'engine:items', string.sub(key, #ARGV[1] + 5)) "
                "then table.insert(wrong, key) end end return wrong"
            )
            while not ended.is_set():
                wrong.extend(world.redis.eval(script, 0, world.redis_prefix))

        thread = threading.Thread(target=look)
        thread.start()
        try:
            for number in range(1, 200):
                world.send("inventory.items", {"item": clock(number)}, key=clock(number))
            world.flush()
            until(lambda: len(items(world)) == 200, 30, engine.text)
        finally:
            ended.set()
            thread.join()
        assert engine.stop() == 0, engine.text()
    assert not wrong
