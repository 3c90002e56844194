"""Redis stands behind Sentinels: its primary dies under traffic, is followed by a copy that may lag, and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.adapters.push.promised import Promised
from flows.cli.app import app
from flows.console.numbers import Numbers
from flows.inspection.check import examine
from flows.inspection.redis_findings import redis_findings
from flows.readmodel.store import Store
from tests.conftest import World, revived
from tests.running import Engine, until
from tests.sentinels import FAILOVER_SECONDS_MAX, NAME, Copy, Reader, SentinelServer, WithSentinels
from tests.shop import clock, open_shop, promised, take_in, wait_for
from tests.trading import ENDLESS, reads_on, trade

#: A failover takes seconds, and each of these ends with all copies in step.
pytestmark = pytest.mark.timeout(300)

AWAY, BACK, LOST = "waiting, with everything kept", "Redis is back", "filling it again"


@pytest.fixture(scope="module")
def redis(servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithSentinels]:
    with WithSentinels(servers, tmp_path_factory.mktemp("sentinels")) as one:
        yield one


@pytest.fixture
def world(request: pytest.FixtureRequest, redis: Any, tmp_path: Path) -> Iterator[World]:
    yield from revived(redis, lambda: World(redis, request.node.name, tmp_path))


# --- the engine ------------------------------------------------------------------------------------------------------


def test_a_primary_that_dies_is_followed_and_comes_back_as_a_replica(world: Any, redis: WithSentinels) -> None:
    settings = world.settings()
    with Reader(world) as reader, trade(world, 51, ENDLESS, per_second=60) as engine:
        [worker] = engine.wait_for_workers()
        for times in (1, 2):
            old = redis.primary()
            looks = reader.looks
            old.kill()
            redis.wait_for_failover(old)
            until(lambda: engine.text().count(BACK) >= times, FAILOVER_SECONDS_MAX, engine.text)  # noqa: B023
            until(lambda: reader.looks > looks, FAILOVER_SECONDS_MAX, "numbers that can be trusted")  # noqa: B023
            reads_on(engine, settings)
            old.restart()
            redis.wait_until_whole()
            assert old.role() == "slave"
        assert engine.wait_for_workers() == [worker], "it was restarted"
    assert not reader.went_back, reader.went_back[:5]


def test_a_replica_that_lagged_becomes_the_primary_and_is_filled_again(world: Any, redis: WithSentinels) -> None:
    settings = world.settings()
    with Reader(world) as reader, trade(world, 52, ENDLESS, per_second=60) as engine:
        [worker] = engine.wait_for_workers()
        until(lambda: reader.looks, FAILOVER_SECONDS_MAX, "numbers that can be trusted")
        redis.cut_replication()
        before = looked_at(redis, world)
        reads_on(engine, settings)
        assert looked_at(redis, world) == before, "the replica is not cut off"
        old = redis.primary()
        old.kill()
        redis.wait_for_failover(old)
        until(lambda: LOST in engine.text(), FAILOVER_SECONDS_MAX, engine.text)
        looks = reader.looks
        until(lambda: reader.looks > looks, FAILOVER_SECONDS_MAX, "numbers that can be trusted")
        redis.keep_in_step()
        old.restart()
        redis.wait_until_whole()
        reads_on(engine, settings)
        assert engine.wait_for_workers() == [worker], "it was restarted"
    assert not reader.went_back, reader.went_back[:5]
    assert differing(redis, world) == [], "what came back as a replica is not what its primary is"


def test_a_primary_that_is_made_a_replica_while_it_lives_is_let_go(world: Any, redis: WithSentinels) -> None:
    settings = world.settings()
    with trade(world, 53, ENDLESS, per_second=60) as engine:
        [worker] = engine.wait_for_workers()
        old = redis.primary()
        with redis.sentinels[1].client() as client:
            client.execute_command("SENTINEL", "FAILOVER", NAME)
        redis.wait_for_failover(old)
        reads_on(engine, settings)
        redis.wait_until_whole()
        assert old.role() == "slave"
        reads_on(engine, settings)
        assert engine.wait_for_workers() == [worker], "it was restarted"


def test_an_engine_that_starts_while_there_is_no_primary_waits_for_one(world: Any, redis: WithSentinels) -> None:
    open_shop(world, items=1)
    take_in(world, 0, 7)
    old = redis.primary()
    old.kill()
    with Engine(world, "--wait") as engine:
        redis.wait_for_failover(old)
        wait_for(world, 7, seconds=FAILOVER_SECONDS_MAX)
        assert engine.stop() == 0, engine.text()


def looked_at(redis: WithSentinels, world: Any) -> dict[str, Any]:
    """Give what the replica holds of the numbers."""
    with redis.replica().client() as client:
        keys = sorted(client.scan_iter(f"{world.redis_prefix}*:*", count=1000))
        return {key: client.hgetall(key) for key in keys if ":engine:" not in key}


def differing(redis: WithSentinels, world: Any) -> list[bytes]:
    """Name the keys that the two copies have otherwise, once the replica has caught up with a quiet primary."""

    def find() -> list[bytes]:
        with redis.primary().client(is_text=False) as first, redis.replica().client(is_text=False) as second:
            pattern = f"{world.redis_prefix}*"
            keys = {key for one in (first, second) for key in one.scan_iter(pattern) if b"engine:alive" not in key}
            there, here = held(first, keys), held(second, keys)
            return [key for key in sorted(keys) if there[key] != here[key]]

    until(lambda: not find(), FAILOVER_SECONDS_MAX, lambda: f"both copies alike: {find()[:5]}")
    return find()


def held(client: Any, keys: set[bytes]) -> dict[bytes, Any]:
    """Give what stands under these keys: hashes, and the set of all items."""
    return {key: client.zrange(key, 0, -1) if key.endswith(b"engine:items") else client.hgetall(key) for key in keys}


# --- whoever looks ---------------------------------------------------------------------------------------------------


def test_commands_console_and_pusher_find_the_primary_before_and_after_a_failover(
    world: Any, redis: WithSentinels
) -> None:
    settings = world.settings()
    world.config.write_text(
        f'[redis]\nurl = "{redis.redis_url}"\nprefix = "{world.redis_prefix}"\n[metrics]\nport = 0\n'
        f'[kafka]\nbootstrap_servers = "{redis.bootstrap_servers}"\n[topics]\nprefix = "{world.topic_prefix}"\n'
    )
    open_shop(world, items=1)
    take_in(world, 0, 7)
    with closing(Numbers(settings)) as numbers, closing(Promised(settings)) as promise, Engine(world) as engine:
        wait_for(world, 7)
        for quantity in (7, 8):
            for command, said in (
                (("get", clock(0), "web"), f"{quantity}\n"),
                (("items", clock(0)), f"{clock(0)}\n"),
                (("status", "--json"), '"ready": true'),
            ):
                until(lambda: said in run(world, *command), 30, lambda: run(world, *command))  # noqa: B023
            assert numbers.fields(f"atp:{clock(0)}")["web"] == str(quantity)
            assert promise.numbers([(clock(0), "web")]) == {(clock(0), "web"): quantity}
            assert all(one.is_ok for one in redis_findings(settings)), list(redis_findings(settings))
            if quantity == 7:
                old = redis.primary()
                old.kill()
                redis.wait_for_failover(old)
                take_in(world, 0, 1)
                until(lambda: promised(world) == 8, FAILOVER_SECONDS_MAX, engine.text)
                until(lambda: can_ask(numbers), FAILOVER_SECONDS_MAX, "the console is back")
                until(lambda: can_ask(promise), FAILOVER_SECONDS_MAX, "the pusher is back")
        assert engine.stop() == 0, engine.text()


def run(world: Any, *command: str) -> str:
    return CliRunner().invoke(app, [*command, "--config", str(world.config)]).output


def can_ask(one: Numbers | Promised) -> bool:
    try:
        if isinstance(one, Numbers):
            one.alive()
        else:
            one.numbers([("x", "web")])
    except Exception:
        return False
    return True


# --- what keeps one out ----------------------------------------------------------------------------------------------


def test_check_names_what_is_wrong_and_what_would_do(world: Any, redis: WithSentinels, tmp_path: Path) -> None:
    def told(url: str, **more: str) -> str:
        settings = world.settings(redis__url=url, **more)
        [wrong] = [one for one in examine(settings) if not one.is_ok and one.subject == "redis"]
        return f"{wrong.seen}: {wrong.remedy}"

    assert "know no primary called store, but shop" in told(redis.redis_url.replace("/shop/", "/store/"))
    nobody = told("redis+sentinel://127.0.0.1:1,127.0.0.1:2/shop/0")
    assert "no Sentinel answers" in nobody and "redis.url names them" in nobody
    guarded = SentinelServer(tmp_path / "guarded", redis.primary().port, password="open-sesame")
    guarded.start_first()
    try:
        url = f"redis+sentinel://127.0.0.1:{guarded.port}/shop/0"
        assert "redis.sentinel_password_file" in told(url)
        assert "redis.sentinel_password_file" in told(url, redis__sentinel_password="wrong")
        (tmp_path / "secret").write_text("open-sesame\n")
        inside = world.settings(redis__url=url, redis__sentinel_password_file=str(tmp_path / "secret"))
        assert all(one.is_ok for one in redis_findings(inside))
    finally:
        guarded.kill()


def test_a_sentinel_that_was_cut_off_with_the_old_primary_leads_nobody_there(
    world: Any, redis: WithSentinels, tmp_path: Path
) -> None:
    old = redis.primary()
    with redis.sentinels[0].client() as client:
        client.execute_command("SENTINEL", "FAILOVER", NAME)  # what the others say is newer than what it knows
    redis.wait_for_failover(old)
    redis.wait_until_whole()
    with ExitStack() as stack:
        lost = Copy(tmp_path / "lost")
        stack.callback(lost.kill)
        lost.start_first()
        alone = SentinelServer(tmp_path / "alone", lost.port)
        stack.callback(alone.kill)
        alone.start_first()
        places = ",".join(f"127.0.0.1:{one.port}" for one in (alone, *redis.sentinels))
        mark = f"{world.redis_prefix}mark"
        with closing(Store(f"redis+sentinel://{places}/{NAME}/0", world.redis_prefix)) as store:
            store.put(mark, {"a": b"1"})
        with lost.client() as there, redis.primary().client() as here:
            assert here.exists(mark) and not there.exists(mark)
