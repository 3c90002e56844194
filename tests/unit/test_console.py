"""The console without a browser: who may ask and change, each answer's headers, what pages say, what is kept."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from flows.console import access as access_module
from flows.console import items
from flows.console import numbers as numbers_module
from flows.console.access import COOKIE, WRONG_MAX, Access, TooManyWrong
from flows.console.app import application
from flows.console.desk import Desk
from flows.console.guard import HEADERS
from flows.console.history import HOUR_MS, History
from flows.console.live import Hub, Picture
from flows.console.numbers import Away, Numbers
from flows.console.sparkline import sparkline, told
from flows.console.tables import Tables
from flows.console.words import quantity, span
from flows.settings import load_settings
from schemas.settings import Settings, SettingsError
from tests.console import HOSTILE
from tests.running import until

TOKEN = "open sesame, said he"
NOW = 1_800_000_000_000


def settings(tmp_path: Path, **more: object) -> Settings:
    """Nothing listens at port 1."""
    config = tmp_path / "atp.toml"
    config.touch()
    given = {
        "kafka.bootstrap_servers": "127.0.0.1:1",
        "redis.url": "redis://127.0.0.1:1/0",
        "metrics.port": 0,
        "console.token": TOKEN,
    }
    return load_settings(config, given | {name.replace("__", "."): value for name, value in more.items()})


class Client:
    """A browser's part: asks the application, keeps its cookies, follows nothing."""

    def __init__(self, desk: Desk) -> None:
        self._app = application(desk)
        self.cookies = httpx.Cookies()

    def get(self, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._ask("GET", path, **more))

    def post(self, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self._ask("POST", path, **more))

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost:8490", cookies=self.cookies
        ) as client:
            answer = await client.request(method, path, **more)
            self.cookies = client.cookies
            return answer


class Known(Numbers):
    """Redis, as a table of hashes and a set of items."""

    def __init__(self, settings: Settings, hashes: dict[str, dict[str, str]], items: list[str]) -> None:
        super().__init__(settings)
        self.hashes, self.all_items = hashes, sorted(items)
        self.is_away = False

    def _ask(self, commands: list[tuple[str, ...]]) -> list[Any]:
        if self.is_away:
            self.away_since_ms, self.problem = NOW, "Redis is away"
            raise Away(self.problem)
        self.away_since_ms = None
        return [self._answer(*command) for command in commands]

    def _answer(self, command: str, key: str, *more: str) -> Any:
        if command == "HGETALL":
            return dict(self.hashes.get(key, {}))
        first, last = more[0], more[1]
        found = [one for one in self.all_items if first == "-" or one > first[1:] or first == f"[{one}"]
        return [one for one in found if last == "+" or one < last[1:]][: int(more[4])]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(settings(tmp_path))
    alive = {"at": str(int(time.time() * 1000)), "behind_ms": "12", "ready": "1", "version": "1", "run": "7"}
    lamp = {"web": "17", "web:by_day": "[17,20]", "_day0": "2026-03-01", "_version": "9", "_published_at": str(NOW)}
    place = {"EAST:on_hand": "20", "EAST:available": "-1", "*:soft_allocated": "3", "_version": "9"}
    hashes = {"engine:alive": alive, "atp:LAMP": lamp, "position:LAMP": place}
    desk.numbers = Known(desk.settings, hashes, ["LAMP", "LAMP-2", *(f"BOX-{number:03d}" for number in range(120))])
    return desk


@pytest.fixture
def client(desk: Desk) -> Client:
    """Without its lifespan: nobody reads Kafka."""
    return Client(desk)


def enter(client: Client, token: str = TOKEN) -> Any:
    return client.post("/enter", data={"token": token, "form_key": key_of(client, "/enter"), "to": "/letters"})


def key_of(client: Client, path: str) -> str:
    return client.get(path).text.partition('name="form_key" value="')[2].partition('"')[0]


def letter(name: str = "0:0", **more: Any) -> Any:
    """A message of the dead letters, as Kafka's client gives it."""
    partition, _, offset = name.partition(":")

    class Message:
        def headers(self) -> list[tuple[str, bytes]]:
            said = {"code": "unknown_item", "message": "no such item", "topic": "inventory.warehouse"}
            said |= {"partition": "0", "offset": "5", "timestamp": str(NOW), "attempts": "1"} | more
            return [(name, value.encode()) for name, value in said.items()]

        def key(self) -> bytes | None:
            return None

        def value(self) -> bytes:
            return json.dumps({"source": "wms", "item": HOSTILE}).encode()

        def partition(self) -> int:
            return int(partition)

        def offset(self) -> int:
            return int(offset)

        def timestamp(self) -> tuple[int, int]:
            return 2, int(time.time() * 1000)

        def error(self) -> None:
            return None

    return Message()


PAGES = (
    "/",
    "/live",
    "/items",
    "/items?q=LAMP",
    "/item?code=LAMP",
    "/exceptions",
    "/letters",
    "/variances",
    "/sources",
)


@pytest.mark.parametrize(
    "path", [*PAGES, "/enter", "/no-such-page", "/assets/console.js", "/healthz", "/item?code=GONE"]
)
def test_every_answer_has_the_headers_that_keep_others_out(client: Client, path: str) -> None:
    answer = client.get(path)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] in ("no-store", "no-cache")


@pytest.mark.parametrize("path", PAGES)
def test_no_page_has_a_script_or_a_style_of_its_own_nor_anything_from_elsewhere(client: Client, path: str) -> None:
    text = client.get(path).text
    assert client.get(path).status_code == 200
    assert "<style" not in text and " style=" not in text and " on" + "click" not in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text
    assert text.count("<script") == 1 and '<script src="/assets/console.js" defer></script>' in text


def test_a_page_that_fails_has_the_headers_too(client: Client, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.tables, "exceptions", fail)
    answer = client.get("/exceptions")
    assert answer.status_code == 500 and "This page failed" in answer.text and "Traceback" not in answer.text
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert answer.headers["cache-control"] == "no-store"


def test_the_script_has_at_most_two_hundred_lines(client: Client) -> None:
    assert len(client.get("/assets/console.js").text.splitlines()) <= 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8490", "127.0.0.1.evil.example", "", "[::2]"])
def test_a_name_that_is_not_the_consoles_is_refused(client: Client, host: str) -> None:
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 421 and "17" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8490", "127.0.0.1:8490", "[::1]:8490", "atp.example.com"])
def test_loopback_and_what_the_operator_named_are_its_names(tmp_path: Path, host: str) -> None:
    assert Access(settings(tmp_path, console__names="atp.example.com").console).is_name(host)


def test_without_a_token_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "atp.toml").touch()
    desk = Desk(load_settings(tmp_path / "atp.toml", {"kafka.bootstrap_servers": "127.0.0.1:1", "metrics.port": 0}))
    client = Client(desk)
    assert "Read-only" in client.get("/exceptions").text
    key = desk.access.form_key(None)
    for path in ("/letter/replay", "/variance/decide"):
        assert client.post(path, data={"form_key": key, "name": "0:0"}).status_code == 403
    assert client.post("/enter", data={"form_key": key, "token": ""}).status_code == 403


def test_whoever_knows_the_token_gets_a_session_that_only_this_console_hears_of(client: Client) -> None:
    answer = enter(client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/letters")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=") and "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert "Leave" in client.get("/exceptions").text
    left = client.post("/leave", data={"form_key": key_of(client, "/exceptions")})
    assert left.status_code == 303
    client.cookies.set(COOKIE, cookie.partition("=")[2].partition(";")[0])
    assert "Leave" not in client.get("/exceptions").text, "the session is over, whoever kept its name"


@pytest.mark.parametrize("to", ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_nobody_is_sent_elsewhere_after_entering(client: Client, to: str) -> None:
    answer = client.post("/enter", data={"token": TOKEN, "form_key": key_of(client, "/enter"), "to": to})
    assert answer.headers["location"] == "/"


def test_a_wrong_token_opens_nothing_and_ten_close_the_door_for_a_while(client: Client, desk: Desk) -> None:
    for wrong in ("", TOKEN[:-1], TOKEN + " ", "\ud83d"):
        assert desk.access.enter(wrong) is None
    assert enter(client, "wrong").status_code == 403
    for _ in range(WRONG_MAX - 5):
        desk.access.enter("wrong")
    with pytest.raises(TooManyWrong):
        desk.access.enter(TOKEN)
    assert enter(client).status_code == 429


def test_the_door_opens_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(WRONG_MAX):
        desk.access.enter("wrong")
    later = time.monotonic() + access_module.WRONG_S + 1
    monkeypatch.setattr(access_module.time, "monotonic", lambda: later)
    assert desk.access.enter(TOKEN)


def test_a_session_ends_by_itself(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    session = desk.access.enter(TOKEN)
    assert desk.access.has_entered(session) and not desk.access.has_entered("another")
    later = time.monotonic() + access_module.SESSION_S + 1
    monkeypatch.setattr(access_module.time, "monotonic", lambda: later)
    assert not desk.access.has_entered(session)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
def test_what_another_sites_page_sends_is_not_done(client: Client, headers: dict[str, str]) -> None:
    enter(client)
    key = key_of(client, "/exceptions")
    assert client.post("/leave", data={"form_key": key}, headers=headers).status_code == 403
    assert "Leave" in client.get("/exceptions").text


def test_a_form_without_the_sessions_key_is_not_done(client: Client, desk: Desk) -> None:
    enter(client)
    for key in ("", desk.access.form_key(None), desk.access.form_key("another"), "é"):
        assert client.post("/leave", data={"form_key": key}).status_code == 403
    assert "Leave" in client.get("/exceptions").text


def test_a_form_is_bounded_and_is_a_form(client: Client) -> None:
    assert client.post("/enter", content=b"token=" + b"x" * 20_000).status_code == 413
    assert client.post("/enter", content=b"\xff\xfe").status_code == 400
    assert client.get("/letter/replay", params={"name": "x" * 3000}).status_code == 400


def test_a_token_in_a_file_may_be_replaced_and_must_be_long(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("short\n")
    with pytest.raises(SettingsError, match=r"console\.token_file: expected a token of at least 16"):
        Access(settings(tmp_path, console__token=None, console__token_file=str(file)).console)
    file.write_text(TOKEN + "\n")
    access = Access(settings(tmp_path, console__token=None, console__token_file=str(file)).console)
    assert access.enter(TOKEN)
    file.write_text("another one, as long\n")
    assert access.enter(TOKEN) is None and access.enter("another one, as long")
    with pytest.raises(SettingsError, match=r"console: expected token or token_file, got both"):
        settings(tmp_path, console__token_file=str(file))


# --- what pages say --------------------------------------------------------------------------------------------------


def test_an_item_is_shown_with_its_numbers_by_day_and_its_places(client: Client) -> None:
    text = client.get("/item", params={"code": "LAMP"}).text
    for piece in ('data-cell="atp web">17<', "2026-03-02", 'data-cell="day 1 web">20<', ">no location yet<"):
        assert piece in text
    assert '<td class="n act"><span data-cell="available EAST">-1<' in text, "what is below zero is to be acted on"


def test_items_are_found_by_their_beginning_a_page_at_a_time(client: Client) -> None:
    text = client.get("/items", params={"q": "BOX-"}).text
    assert "BOX-000" in text and "BOX-049" in text and "BOX-050" not in text
    more = text.partition('href="/items?q=BOX-&amp;behind=')[2].partition('"')[0]
    assert more == "BOX-049"
    text = client.get("/items", params={"q": "BOX-", "behind": more}).text
    assert "BOX-050" in text and "BOX-099" in text
    assert client.get("/items", params={"q": "LAMP-2"}).headers["location"] == "/item?code=LAMP-2"
    assert "Near it:" in client.get("/items", params={"q": "LAMPE"}).text


def test_an_item_that_is_not_there_is_answered_with_what_is_near(client: Client) -> None:
    answer = client.get("/item", params={"code": "BOX-1234"})
    assert answer.status_code == 404 and "Nothing is published of it" in answer.text and "BOX-110" not in answer.text
    assert "LAMP-2" in client.get("/item", params={"code": "LAMP-3"}).text
    assert "That is no code of an item" in client.get("/item", params={"code": HOSTILE}).text


def test_what_is_near_a_code_takes_a_few_questions_however_long_it_is(desk: Desk) -> None:
    asked: list[str] = []
    find = desk.numbers.find

    def counted(prefix: str, behind: str = "") -> list[str]:
        asked.append(prefix)
        return find(prefix, behind)

    desk.numbers.find = counted  # type: ignore[method-assign]
    for code, near in (
        ("BOX-0", ["BOX-000", "BOX-001", "BOX-002", "BOX-003", "BOX-004"]),
        ("BOX-11" + "9" * 1990, ["BOX-119"]),
        ("LAMP-3", ["LAMP-2"]),
        ("Z" * 2000, []),
        ("", []),
    ):
        asked.clear()
        assert desk.numbers.near(code) == near, code[:70]
        assert len(asked) <= 7, code[:70]


def test_hostile_names_are_text(client: Client, desk: Desk) -> None:
    numbers = desk.numbers
    assert isinstance(numbers, Known)
    numbers.hashes[f"atp:{HOSTILE}"] = {HOSTILE: "1", "_version": "1", "_published_at": "1"}
    numbers.hashes[f"position:{HOSTILE}"] = {f"{HOSTILE}:on_hand": "1", "_version": "1"}
    numbers.all_items.append(HOSTILE)
    desk.tables.take_letter(letter(message=HOSTILE))
    paths = ("/item", "/items", "/letters", "/exceptions", "/variances", "/enter", "/stream", "/letter")
    for path in paths:
        for name in ("code", "q", "item", "source", "to", "watch", "name"):
            text = client.get(path, params={name: HOSTILE}).text
            assert "<script>document" not in text and "'owned'" not in text.replace("&#39;", ""), (path, name)
    assert "&lt;script&gt;" in client.get("/letters").text


def test_what_was_known_is_shown_while_redis_is_away_and_said_since_when(client: Client, desk: Desk) -> None:
    numbers = desk.numbers
    assert isinstance(numbers, Known)
    client.get("/item", params={"code": "LAMP"})
    numbers.is_away = True
    answer = client.get("/item", params={"code": "LAMP"})
    assert answer.status_code == 200 and 'data-cell="atp web">17<' in answer.text
    assert "Redis is away. What is shown is what was known at" in answer.text
    assert client.get("/item", params={"code": "LAMP-2"}).status_code == 503
    assert client.get("/items", params={"q": "L"}).status_code == 503
    assert "Redis is away" in client.get("/").text
    numbers.is_away = False
    assert "Redis is away" not in client.get("/item", params={"code": "LAMP"}).text


#: what somebody may write into Redis, instead of a number
STRANGE = ("", "many", "1.5", "9" * 5000, "[[", "-", "\u0663", "\ufffd", "null")


@pytest.mark.parametrize("value", STRANGE)
def test_what_is_no_number_is_shown_as_it_stands_and_no_page_fails(client: Client, desk: Desk, value: str) -> None:
    numbers = desk.numbers
    assert isinstance(numbers, Known)
    for key in ("atp:LAMP", "position:LAMP", "engine:alive"):
        for name in numbers.hashes[key]:
            before = numbers.hashes[key][name]
            numbers.hashes[key][name] = value
            for path in ("/", "/live") if key == "engine:alive" else ("/items?q=LA", "/item?code=LAMP"):
                answer = client.get(path)
                assert answer.status_code == 200, (key, name, path)
            if key == "atp:LAMP" and name == "web" and value:
                assert f'data-cell="atp web">{value}<' in answer.text
            assert items.picture(desk, numbers.item("LAMP")).cells
            numbers.hashes[key][name] = before


def test_a_key_of_another_kind_is_nothing_and_keeps_nobody_from_other_keys() -> None:
    wrong = redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")
    assert numbers_module._answer(wrong) == {}
    with pytest.raises(redis.ResponseError):
        numbers_module._answer(redis.exceptions.NoPermissionError("NOPERM"))


def test_the_first_page_says_what_needs_a_person(client: Client, desk: Desk) -> None:
    assert "nothing" in client.get("/").text
    desk.tables.take_letter(letter())
    text = client.get("/").text
    assert "1 dead letter of the last hour: unknown_item" in text
    numbers = desk.numbers
    assert isinstance(numbers, Known)
    numbers.hashes["engine:alive"]["at"] = "1"
    assert "the engine is silent for" in client.get("/").text
    numbers.hashes["engine:alive"] = {}
    assert "no engine keeps them fresh" in client.get("/").text


# --- what is kept in memory ------------------------------------------------------------------------------------------


def test_values_of_an_hour_are_a_line_from_where_the_console_began() -> None:
    history = History(10, now_ms=NOW)
    for number, (atp, previous) in enumerate([(5, 9), (3, 5), (0, 3)]):
        history.add(b"LAMP:web", NOW + 1000 * number, atp, previous)
    history.add(b"LAMP:store", NOW + 5000, 1, None)
    past = history.past("LAMP", "web", 0, NOW + 10_000)
    assert [point.atp for point in past.points] == [5, 3, 0] and past.since_ms == NOW
    assert told(past, 0).endswith("2 changes, lowest 0, highest 5")
    later = history.past("LAMP", "web", 0, NOW + HOUR_MS + 1500)
    assert [point.atp for point in later.points] == [3, 0], "the value that stood when the hour began, and what came"
    before = History(10, now_ms=NOW - 5000)
    before.add(b"LAMP:web", NOW, 5, 9)
    assert [point.atp for point in before.past("LAMP", "web", 5, NOW).points] == [9, 5]
    assert history.past("LAMP", "other", 4, NOW).points == [(NOW, 4)], "it did not change since"
    assert history.past("LAMP", "none", None, NOW).points == []


def test_the_oldest_values_make_room_and_that_is_said() -> None:
    history = History(4, now_ms=NOW)
    for number in range(10):
        history.add(b"A:web" if number % 2 else b"B:web", NOW + number, number, number - 2)
    assert history.since_ms == NOW + 6
    assert [point.atp for point in history.past("A", "web", 9, NOW + 9).points] == [5, 7, 9]
    assert [point.atp for point in history.past("B", "web", 8, NOW + 9).points] == [6, 8]
    for number in range(4):
        history.add(b"C:web", NOW + 20 + number, number, None)
    assert history.past("A", "web", 9, NOW + 24).points == [(NOW + 20, 9)]
    assert list(history._newest) == [b"C:web"], "what is forgotten takes no room"


def test_a_line_has_words_for_who_does_not_see_it() -> None:
    history = History(10, now_ms=NOW)
    assert "no value since" in sparkline(history.past("A", "web", None, NOW), NOW, 0)
    history.add(b"A:web", NOW, 25, 5)
    drawn = str(sparkline(history.past("A", "web", 25, NOW + 60_000), NOW + 60_000, 1))
    assert 'role="img"' in drawn and "highest 2.5" in drawn and "M0.0" in drawn


def test_an_exception_is_there_until_it_is_over() -> None:
    tables = Tables()

    def say(state: str, **more: Any) -> None:
        said = {"code": "oversold", "state": state, "item": "LAMP", "location": "EAST", "quantities": {"hard": 2}}
        seen = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        told = {**said, "first_seen": seen, "last_seen": seen, **more}

        class Message:
            def value(self) -> bytes:
                return json.dumps(told).encode()

        tables.take_exception(Message())

    say("open")
    say("open", item="BOX")
    say("open", code="conflict", reference="e1", last_seen="2020-01-01T00:00:00.000000Z")
    assert {one.item for one in tables.exceptions()} == {"LAMP", "BOX"}
    assert [one.item for one in tables.exceptions(item="BOX")] == ["BOX"]
    say("closed")
    assert [one.item for one in tables.exceptions()] == ["BOX"]


def test_quantities_and_spans_are_words() -> None:
    assert [quantity(value, scale) for value, scale in [(25, 1), (-5, 2), (7, 0), ("100", 3)]] == [
        "2.5",
        "-0.05",
        "7",
        "0.100",
    ]
    assert [span(value) for value in (0.05, 2.5, 90, 7200, 200_000)] == ["50 ms", "2.5 s", "2 min", "2 h", "2 d"]


def test_a_kafka_that_is_away_is_said_on_every_page_and_asked_again(desk: Desk, client: Client) -> None:
    desk.follower.start()
    try:
        until(lambda: desk.follower.away_since_ms, 60, "Kafka is missed")
        assert not desk.follower.is_caught_up
        for path in ("/exceptions", "/letters", "/item?code=LAMP"):
            assert "Kafka at 127.0.0.1:1 does not answer" in client.get(path).text
        assert "is still being read" in client.get("/").text
        assert client.get("/letter?name=0:0").status_code == 503
    finally:
        desk.follower.close()


def test_a_message_that_nobody_foresaw_is_passed_over_and_those_behind_it_are_told(desk: Desk) -> None:
    class Update:
        def __init__(self, offset: int, value: bytes) -> None:
            self._offset, self._value = offset, value

        def __getattr__(self, name: str) -> Any:
            told = {"topic": "atp.updates.high", "partition": 0, "offset": self._offset, "error": None}
            told |= {"key": b"LAMP:web", "value": self._value, "timestamp": (2, NOW)}
            return lambda: told[name]

    too_large = json.dumps({"atp": 1 << 62, "previous": -(1 << 62)}).replace("46116860", "9946116860").encode()
    for offset, value in enumerate((b"", b"{", b'{"atp": 5}\xff', too_large, b'{"atp": "5"}', b'{"atp": 5}')):
        assert desk.follower._take(Update(offset, value))
    assert desk.tables.updates["high"] == 1 and desk.follower._next["atp.updates.high", 0] == 6
    assert [point.atp for point in desk.tables.history.past("LAMP", "web", 5, NOW).points][-1] == 5


# --- live ------------------------------------------------------------------------------------------------------------


def test_pages_are_told_what_changed_and_all_of_it_when_they_come() -> None:
    pictures = {"item A": Picture({"atp web": "1", "x": "0"}, "1")}
    looked: list[tuple[str, ...]] = []

    def look(names: Any) -> dict[str, Picture]:
        looked.append(tuple(names))
        return dict(pictures)

    def said(raw: bytes) -> Any:
        return json.loads(raw.removeprefix(b"data: "))

    async def play() -> None:
        hub = Hub(look, every_s=0.001)
        running = asyncio.create_task(hub.run())
        await asyncio.sleep(0.02)
        assert not looked, "nobody looks, nothing is asked"
        first, second = hub.watch("item A"), hub.watch("item A")
        await anext(first)
        assert said(await anext(first)) == {"cells": {"atp web": "1", "x": "0"}, "shape": "1"}
        pictures["item A"] = Picture({"atp web": "2", "x": "0"}, "1")
        assert said(await anext(first)) == {"cells": {"atp web": "2"}, "shape": "1"}
        await anext(second)
        assert said(await anext(second))["cells"] == {"atp web": "2", "x": "0"}
        assert hub.watchers == 2 and set(looked) == {("item A",)}
        pictures["item A"] = Picture({"atp web": "3", "x": "0"}, "2")
        assert said(await anext(first))["shape"] == said(await anext(second))["shape"] == "2"
        await first.aclose()  # type: ignore[attr-defined]
        await second.aclose()  # type: ignore[attr-defined]
        assert hub.watchers == 0
        running.cancel()

    asyncio.run(asyncio.wait_for(play(), 60))


def test_a_look_that_failed_is_not_the_last_one() -> None:
    fails = [True, True, False]

    def look(names: Any) -> dict[str, Picture]:
        if fails and fails.pop(0):
            raise ZeroDivisionError
        return {name: Picture({"atp web": "1"}, "1") for name in names}

    async def play() -> None:
        hub = Hub(look, every_s=0.001)
        running = asyncio.create_task(hub.run())
        page = hub.watch("item A")
        await anext(page)
        assert b'"atp web":"1"' in await anext(page) and not fails
        await page.aclose()  # type: ignore[attr-defined]
        running.cancel()

    asyncio.run(asyncio.wait_for(play(), 60))
