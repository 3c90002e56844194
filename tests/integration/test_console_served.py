"""The console as it is served, without a browser: on a real engine, with strange things in Redis and Kafka away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from flows.console.guard import HEADERS
from flows.embedded.child import free_port
from schemas.topics import DEAD_LETTERS, EXCEPTIONS, VARIANCES
from tests.conftest import World
from tests.console import CHAIR, HOSTILE, LAMP, TABLE, TOKEN, Console, arrive, furnish, read
from tests.running import Engine, until
from tests.shop import event

pytestmark = pytest.mark.timeout(600)
EXPLAINED = f"/explain?item={LAMP}&channel=web"
PAGES = ("/", "/live", "/items?q=", f"/item?code={LAMP}", EXPLAINED, "/order?id=SO-1002", "/exceptions", "/letters")
ALL_PAGES = (*PAGES, "/variances", "/sources", "/enter", f"/why?item={LAMP}9")
ODD = (HOSTILE, "x" * 64, "é" * 64, "\x00\x1b[31m", "%ff%fe", "../../etc/passwd", "{{7*7}}", "9" * 70, "0:0", "*", "-1")
#: a row of the table, and not the choice of codes above it
BELOW_ZERO = '<td class="act">negative_on_hand'
#: A page waits for a server that is away no longer than this: whoever looks at it has not gone yet.
ANSWERS_WITHIN_S = 15.0


class Scene(NamedTuple):
    world: Any
    engine: Engine
    console: Console
    client: httpx.Client

    def text(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:2000])
        return answer.text


@pytest.fixture(scope="module")
def scene(servers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    world = World(servers, "served", tmp_path_factory.mktemp("served"))
    metrics = free_port()
    furnish(world)
    with (
        Engine(world, metrics__port=metrics, reference_grace=0) as engine,
        Console(world, metrics__port=metrics, console__token=TOKEN) as console,
        httpx.Client(base_url=console.url, timeout=60) as client,
    ):
        until(lambda: all(read(world, item, "store") for item in (LAMP, CHAIR, TABLE)), 60, engine.text)
        yield Scene(world, engine, console, client)
        assert console.stop() == 0, console.text()
        assert "Traceback" not in console.text()
    world.close()


@pytest.mark.parametrize("path", [*ALL_PAGES, "/nothing", "/explain?item=&channel=", f"{EXPLAINED}&at=x"])
def test_every_page_has_the_headers_and_nothing_inline(scene: Scene, path: str) -> None:
    answer = scene.client.get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "style=" not in answer.text and "<style" not in answer.text
    assert answer.text.count("<script") <= 1 and "http://" not in answer.text.replace(scene.console.url, "")


@pytest.mark.parametrize(
    "path",
    [
        "/item?code={}",
        "/items?q={}",
        "/items?q=L&behind={}",
        "/order?id={}",
        "/explain?item={}&channel=web",
        f"/explain?item={LAMP}&channel={{}}",
        f"{EXPLAINED}&day={{}}",
        f"{EXPLAINED}&at={{}}",
        "/why?item={}",
        "/exceptions?code={}&item={}&location={}",
        "/letters?code={}&source={}&item={}",
        "/letter?name={}",
        "/letter/replay?name={}",
        "/variances?state={}&source={}&cause={}",
        "/variance?key={}",
        "/variance/decide?key={}&id={}&decision={}",
        "/enter?to={}",
        "/stream?watch={}",
        "/assets/{}",
        "/{}",
    ],
)
def test_whatever_is_asked_for_is_text_and_answered_in_words(scene: Scene, path: str) -> None:
    for word in ODD:
        raw = word if word.startswith("%") else str(httpx.QueryParams({"q": word})).partition("=")[2]
        answer = scene.client.get(path.replace("{}", raw))
        assert answer.status_code < 500, (path, word, answer.text[:2000])
        assert "<script>document" not in answer.text and ">49<" not in answer.text, (path, word)
        assert answer.headers["content-security-policy"] == HEADERS["content-security-policy"]


def test_what_is_behind_a_moment_that_has_not_come_is_now(scene: Scene) -> None:
    text = scene.text(f"{EXPLAINED}&at=2099-01-01T00:00:00Z")
    assert "The terms add up to the published number." in text


def test_what_somebody_wrote_into_redis_is_shown_and_named(scene: Scene) -> None:
    redis, prefix = scene.world.redis, scene.world.redis_prefix
    before = redis.hget(f"{prefix}atp:{TABLE}", "store")
    redis.hset(f"{prefix}atp:{TABLE}", "store", "many")
    try:
        assert 'data-cell="atp store">many<' in scene.text(f"/item?code={TABLE}")
        assert "many" in scene.text("/items?q=")
        assert "which no engine writes" in scene.text(f"/explain?item={TABLE}&channel=store", 503)
    finally:
        redis.hset(f"{prefix}atp:{TABLE}", "store", before)
    redis.set(f"{prefix}atp:NO-HASH", "x")
    redis.zadd(f"{prefix}engine:items", {"NO-HASH": 0})
    try:
        assert "Nothing is published of it" in scene.text("/item?code=NO-HASH", 404)
        text = scene.text("/items?q=")
        assert "NO-HASH" in text and LAMP in text and "does not answer" not in text
    finally:
        redis.delete(f"{prefix}atp:NO-HASH")
        redis.zrem(f"{prefix}engine:items", "NO-HASH")


def test_messages_that_no_engine_wrote_keep_no_other_from_the_pages(scene: Scene) -> None:
    world = scene.world
    for topic in (EXCEPTIONS, VARIANCES, DEAD_LETTERS):
        for value in (b"", b"\xff\xfe", b"{", b"[]", b"null", b'{"state": 5}', None):
            world.send(topic, value, key=b"\xff:strange")
    for lane in ("critical", "high", "normal", "bulk"):
        for value in (b'{"atp": 99999999999999999999}', b'{"atp": -9223372036854775808}', b"x", None):
            world.send(f"atp.updates.{lane}", value, key=f"{LAMP}:web")
    world.send("inventory.warehouse", event("stock_adjusted", item=LAMP, location="LYON", quantity=-500))
    world.flush()
    until(lambda: BELOW_ZERO in scene.text(f"/exceptions?item={LAMP}"), 60, scene.console.text)
    for path in PAGES:
        scene.text(path)
    arrive(world, LAMP, 500, "LYON")
    world.flush()
    until(lambda: BELOW_ZERO not in scene.text(f"/exceptions?item={LAMP}"), 60, scene.console.text)


def test_a_kafka_that_is_away_leaves_what_was_known_and_comes_back_by_itself(scene: Scene) -> None:
    world = scene.world
    world.send("inventory.warehouse", event("stock_adjusted", item=TABLE, location="LYON", quantity=-7))
    world.flush()
    until(lambda: BELOW_ZERO in scene.text(f"/exceptions?item={TABLE}"), 60, scene.console.text)
    world.servers.kill_kafka()
    try:
        until(lambda: "What is shown is what was known at" in scene.text("/exceptions"), 60, scene.console.text)
        assert BELOW_ZERO in scene.text(f"/exceptions?item={TABLE}")
        assert 'data-cell="atp web">' in scene.text(f"/item?code={LAMP}")
        for path in (EXPLAINED, "/letter?name=0:0", f"/why?item={LAMP}9"):
            began = time.monotonic()
            text = scene.text(path, 503)
            assert "Kafka" in text and time.monotonic() - began < ANSWERS_WITHIN_S, (path, time.monotonic() - began)
    finally:
        world.servers.restart_kafka()
    until(lambda: "does not answer" not in scene.text("/exceptions"), 60, scene.console.text)
    arrive(world, TABLE, 7, "LYON")
    world.flush()
    until(lambda: BELOW_ZERO not in scene.text(f"/exceptions?item={TABLE}"), 120, scene.console.text)
    until(lambda: "The terms add up" in scene.text(EXPLAINED), 60, scene.engine.text)
