"""`atp poll`: pages, checkpoints, failures; a server made up of answers, a Kafka made up of a list, no clock."""

from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from flows.adapters.intake import poller as module
from flows.adapters.intake.checkpoints import CheckpointProblem, Checkpoints
from flows.adapters.intake.counts import POLL, Counts
from flows.adapters.intake.poller import Poller, retry_after
from flows.adapters.intake.raw import RawMessage
from flows.kafka.sending import SendError
from flows.settings import load_settings
from schemas.documents import REFUSED_HEADER

URL = "https://erp.example/orders?limit=2"
Answer = Callable[[httpx.Request], httpx.Response]


class Desk:
    """A poller with what is around it; it is over after `patience` waits that are no throttle."""

    def __init__(self, folder: Path, rules: str = "", patience: int = 0) -> None:
        self.folder = folder
        config = folder / "atp.toml"
        config.write_text(f'max_message_bytes = 1000\n[sources.erp.poll]\nurl = "{URL}"\nthrottle = 0\n{rules}')
        self.settings = load_settings(config)
        self.asked: list[httpx.Request] = []
        self.sent: list[RawMessage] = []
        self.waits: list[float] = []
        self.patience = patience
        self.answers: list[Any] = []
        self.kafka: Callable[[], None] = lambda: None

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        given = self.answers.pop(0) if self.answers else httpx.Response(204)
        if isinstance(given, Exception):
            raise given
        assert isinstance(given, httpx.Response)
        return given

    def send_all(self, messages: list[RawMessage]) -> None:
        self.kafka()
        self.sent += messages

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return len(self.waits) > self.patience

    def run(self, *answers: Any, once: bool = True) -> bool:
        """As a new process: what it knows is what is on disk."""
        self.answers = list(answers)
        rules = self.settings.sources["erp"].poll
        assert rules is not None
        poller = Poller(
            self.settings,
            "erp",
            rules,
            Checkpoints(self.folder / "polling", "erp"),
            self.send_all,
            self.wait,
            Counts(POLL, ["erp"]),
            httpx.MockTransport(self.answer),
            random.Random(1),
        )
        try:
            with capture_logs() as self.lines:
                return poller.run(once)
        finally:
            poller.close()

    @property
    def urls(self) -> list[str]:
        """What was asked for, without what all have in common."""
        return [str(request.url).removeprefix("https://erp.example") for request in self.asked]

    @property
    def bodies(self) -> list[bytes]:
        return [message.value for message in self.sent]


def page(text: str, **headers: str) -> httpx.Response:
    return httpx.Response(200, content=text.encode(), headers={"content-type": "application/json", **headers})


def test_a_page_goes_to_kafka_byte_for_byte(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.run(page('{ "orders" : [] }'))
    (message,) = desk.sent
    assert message.value == b'{ "orders" : [] }'
    headers = dict(message.headers)
    assert headers.pop("received_at").endswith("Z")
    assert headers == {"content_type": "application/json", "name": "/orders"}


def test_pages_that_a_header_links(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 'next = "link"')
    assert desk.run(
        page("1", link='<https://erp.example/p/2>; rel="next"'), page("2", link="</p/3>; rel=next"), page("3")
    )
    assert desk.urls == ["/orders?limit=2", "/p/2", "/p/3"]
    assert desk.bodies == [b"1", b"2", b"3"]


def test_pages_of_a_cursor_and_a_checkpoint_that_moves_at_the_rounds_end(tmp_path: Path) -> None:
    rules = """next = "cursor"
cursor_parameter = "after"
checkpoint = "rows.-1.at"
checkpoint_parameter = "since"
checkpoint_start = "2026-01-01"
"""
    desk = Desk(tmp_path, rules)
    assert desk.run(page('{"cursor": "c1", "rows": [{"at": "a"}, {"at": "b"}]}'), page('{"rows": [{"at": "c"}]}'))
    assert desk.urls == ["/orders?limit=2&since=2026-01-01", "/orders?limit=2&since=2026-01-01&after=c1"]
    assert desk.run(page('{"rows": []}'))
    assert desk.urls[2:] == ["/orders?limit=2&since=c"]
    assert desk.run(page('{"rows": [{"at": 17}]}'))
    assert desk.run(page('{"rows": []}'))
    assert desk.urls[3:] == ["/orders?limit=2&since=c", "/orders?limit=2&since=17"]


def test_a_page_that_says_what_the_last_one_said_is_not_sent_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for answer in (page("a"), page("a"), page("b"), page("a")):
        assert desk.run(answer)
    assert desk.bodies == [b"a", b"b", b"a"]


def test_a_server_that_marks_its_pages_is_asked_for_newer_ones(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run(page("a", etag='"v1"'))
    desk.run(httpx.Response(304))
    desk.run(page("b", etag='"v2"'))
    desk.run(httpx.Response(304))
    assert [request.headers.get("if-none-match") for request in desk.asked] == [None, '"v1"', '"v1"', '"v2"']
    assert desk.bodies == [b"a", b"b"]


def test_a_failure_is_tried_again_after_a_wait_that_doubles_and_never_less_than_was_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path, patience=100)
    failures = [httpx.Response(500), httpx.ConnectError("refused"), httpx.ReadTimeout("silent"), httpx.Response(503)]
    assert desk.run(*failures, httpx.Response(429, headers={"retry-after": "77"}), page("a"))
    first, second, third, fourth, asked_for = desk.waits
    assert 0.5 <= first <= 1 and 1 <= second <= 2 and 2 <= third <= 4 and 4 <= fourth <= 8
    assert 77 <= asked_for <= 78
    assert desk.bodies == [b"a"]
    assert [line["kind"] for line in desk.lines] == ["poll_failed"] * 5


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("99999999", 3600.0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("١٢", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str, seconds: float | None) -> None:
    assert retry_after(said, 1_445_412_480.0) == seconds


def test_when_kafka_does_not_take_a_page_it_is_asked_for_again_and_nothing_is_noted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 'next = "link"', patience=100)
    told = [SendError("away"), SendError("away")]

    def away() -> None:
        if told:
            raise told.pop()

    desk.kafka = away
    assert desk.run(*[page("1", link="</2>; rel=next") for _ in range(3)], page("2"))
    assert desk.urls == ["/orders?limit=2"] * 3 + ["/2"]
    assert desk.bodies == [b"1", b"2"]


def test_killed_before_the_checkpoint_is_stored_the_same_page_goes_again_and_the_round_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    desk = Desk(tmp_path, 'next = "link"')
    one, two = page("1", link="</2>; rel=next"), page("2", link="</3>; rel=next")
    real = Checkpoints.store
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(
            Checkpoints,
            "store",
            lambda kept, what: real(kept, what) if what.next == "https://erp.example/2" else killed(),
        )
        desk.run(one, two)
    assert desk.bodies == [b"1", b"2"]
    assert desk.run(page("2", link="</3>; rel=next"), page("3"))
    assert desk.urls == ["/orders?limit=2", "/2", "/2", "/3"]
    assert desk.bodies == [b"1", b"2", b"2", b"3"]


def test_a_next_page_that_is_gone_begins_the_round_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 'next = "link"', patience=1)
    assert desk.run(page("1", link="</2>; rel=next"), httpx.Response(410), page("1"))
    assert desk.urls == ["/orders?limit=2", "/2", "/orders?limit=2"]


def test_pages_that_lead_in_a_circle_are_noticed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 'next = "link"\npages_max = 4\n')
    circle = [page(str(turn), link=f"</{turn % 2}>; rel=next") for turn in range(10)]
    assert not desk.run(*circle)
    assert len(desk.asked) == 4
    assert "the next page leads back" in desk.lines[-1]["event"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (page("1", link="<https://evil.example/x>; rel=next"), "expected a page at https://erp.example, got one at"),
        (httpx.Response(302, headers={"location": "https://evil.example/"}), "302, it is elsewhere"),
        (httpx.Response(401), "401, it does not let us in"),
        (httpx.Response(404), "404"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_is_sent(tmp_path: Path, answer: httpx.Response, told: str) -> None:
    desk = Desk(tmp_path, 'next = "link"')
    assert not desk.run(answer)
    assert told in desk.lines[-1]["event"]
    assert "limit=2" not in desk.lines[-1]["event"], "parameters may be secret"
    assert desk.sent == []
    assert len(desk.asked) == 1


def test_a_page_without_end_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_BYTES_MAX", 100)
    desk = Desk(tmp_path)
    assert not desk.run(page("x" * 101))
    assert "expected at most 100 bytes" in desk.lines[-1]["event"] and desk.sent == []


def test_a_large_table_goes_in_parts(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    text = "item,quantity\n" + "LAMP,1\n" * 300
    assert desk.run(page(text))
    assert [dict(message.headers)["part"] for message in desk.sent] == ["1", "2", "3"]
    joined = b"".join(message.value[int(dict(message.headers)["heading"]) :] for message in desk.sent)
    assert joined == text.encode()


def test_a_page_that_no_message_can_hold_is_accounted_for_as_refused_and_the_next_one_comes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 'next = "link"')
    large = '[{"note": "' + "x" * 5000 + '"}]'
    assert desk.run(page("1", link="</2>; rel=next"), page(large, link="</3>; rel=next"), page("3"))
    assert desk.urls == ["/orders?limit=2", "/2", "/3"]
    assert desk.bodies == [b"1", large[:1000].encode(), b"3"]
    headers = dict(desk.sent[1].headers)
    assert headers["name"] == "/2"
    assert headers[REFUSED_HEADER].startswith("too_large: the file has 5,014 bytes")
    [said] = [line for line in desk.lines if line["kind"] == "page_too_large"]
    assert said["event"].startswith("erp: https://erp.example/2: too_large: the file has 5,014 bytes")
    assert str(tmp_path / "polling" / "erp.json") in said["next"]
    # It is not sent again while it says the same, wherever it stands.
    (tmp_path / "first").mkdir()
    first = Desk(tmp_path / "first")
    assert first.run(page(large))
    assert first.run(page(large))
    assert len(first.sent) == 1


def test_of_a_page_of_sets_those_go_that_a_message_can_hold(tmp_path: Path) -> None:
    isa = "ISA*00*          *00*          *ZZ*ACME           *ZZ*US             *240110*1200*U*00401*000000001*0*P*>~"
    small, large = ("ST*850*1~BEG*00*SA*A~SE*3*1~", f"ST*850*2~BEG*00*SA*{'B' * 1000}~SE*3*2~")
    desk = Desk(tmp_path)
    assert desk.run(page(isa + small + large + small.replace("850*1", "850*3") + "IEA*1*1~"))
    heads = [dict(message.headers).get(REFUSED_HEADER, "") for message in desk.sent]
    assert [bool(head) for head in heads] == [False, False, True]
    assert "set 2" in heads[2]
    assert sum(body.count(b"ST*850*") for body in desk.bodies[:2]) == 2


def test_keys_are_read_from_their_files_for_each_request(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("Bearer one\n")
    rules = f'headers = {{"accept" = "text/csv"}}\nheader_files = {{"Authorization" = "{key}"}}\n'
    desk = Desk(tmp_path, rules)
    desk.run(page("1"))
    key.write_text("Bearer two\n")
    desk.run(page("2"))
    assert [(one.headers["authorization"], one.headers["accept"]) for one in desk.asked] == [
        ("Bearer one", "text/csv"), ("Bearer two", "text/csv"),
    ]  # fmt: skip
    key.unlink()
    assert not desk.run(page("3"))
    assert "header_files cannot be read" in desk.lines[-1]["event"] and "Bearer" not in str(desk.lines)


def test_rounds_are_so_far_apart_and_requests_are_throttled(tmp_path: Path) -> None:
    desk = Desk(tmp_path, 'every = "90s"\n', patience=2)
    assert not desk.run(page("1"), page("2"), page("3"), once=False)
    assert desk.waits == [90.0, 90.0, 90.0]
    throttled = Desk(tmp_path, 'next = "link"\n', patience=10)
    (tmp_path / "atp.toml").write_text((tmp_path / "atp.toml").read_text().replace("throttle = 0", 'throttle = "1h"'))
    throttled.settings = load_settings(tmp_path / "atp.toml")
    throttled.patience = 0
    with pytest.raises(KeyboardInterrupt):
        throttled.run(page("1", link="</2>; rel=next"), page("2"))
    assert len(throttled.asked) == 1 and 3500 < throttled.waits[0] <= 3600


def test_another_address_begins_anew_and_two_do_not_ask_one_source(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "polling", "erp")
    begun = kept.load(URL)
    with pytest.raises(CheckpointProblem, match="another atp poll asks erp"):
        Checkpoints(tmp_path / "polling", "erp")
    kept.store(module.msgspec.structs.replace(begun, since="s"))
    assert kept.load(URL).since == "s"
    assert kept.load("https://other.example/").since is None
    kept.close()
    Checkpoints(tmp_path / "polling", "erp").close()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1}', '{"version": 2, "url": "x"}', '{"version": 1, "url": "x", "more": 1}']
)
def test_a_checkpoint_that_cannot_be_read_is_never_taken_for_the_begin(tmp_path: Path, text: str) -> None:
    kept = Checkpoints(tmp_path, "erp")
    (tmp_path / "erp.json").write_text(text)
    with pytest.raises(CheckpointProblem, match=r"erp\.json: expected"):
        kept.load(URL)
    kept.close()


def test_a_page_that_is_a_bomb_is_refused_before_it_is_unpacked_whole(tmp_path: Path) -> None:
    """A server says that its page is packed; what it unpacks to is counted as it comes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    page = b"".join(packer.compress(bytes(10_000_000)) for _ in range(30)) + packer.flush()
    assert len(page) < 1_000_000
    desk = Desk(tmp_path)
    tracemalloc.start()
    try:
        answer = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(page))
        assert not desk.run(answer)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert desk.sent == [] and "expected at most 67,108,864 bytes" in desk.lines[0]["event"]
    assert most < 150_000_000, "all of its 300 MB were in memory"


def test_a_page_that_is_packed_is_sent_unpacked_and_one_that_was_cut_off_is_asked_for_again(tmp_path: Path) -> None:
    page = gzip.compress(b'{"orders": []}' * 10)
    desk = Desk(tmp_path, patience=2)
    heads = {"content-encoding": "gzip"}
    strange = httpx.Response(200, headers={"content-encoding": "br"}, stream=httpx.ByteStream(page))
    cut = httpx.Response(200, headers=heads, stream=httpx.ByteStream(page[:-9]))
    whole = httpx.Response(200, headers=heads, stream=httpx.ByteStream(page))
    assert desk.run(strange, cut, whole)
    assert [message.value for message in desk.sent] == [b'{"orders": []}' * 10]
    assert [line["kind"] for line in desk.lines] == ["poll_failed"] * 2
    assert desk.asked[0].headers["accept-encoding"] == "gzip"
