"""What `atp receive` answers to whom, and what it hands to Kafka: the application as it is, with a Kafka made up."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import KafkaError
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from flows.adapters.intake import receiver as module
from flows.adapters.intake.counts import RECEIVE, Counts
from flows.adapters.intake.raw import RawMessage
from flows.adapters.intake.receiver import Readiness, Receiver, Source
from flows.adapters.intake.secrets import Secrets
from flows.settings import load_settings
from schemas.settings import Settings

SECRET = "shop-secret"
CONFIG = """\
max_message_bytes = 1000
[sources.shop.receive]
signature = "shopify"
secret_files = ["old.txt", "new.txt"]
[sources.wms.receive]
signature = "hmac"
secret_variables = ["WMS_SECRET"]
timestamp_header = "x-time"
headers = ["X-Warehouse"]
[sources.open.receive]
signature = "none"
[sources.silent]
"""


class Kafka:
    """Takes messages, and answers as it is told to."""

    def __init__(self) -> None:
        self.messages: list[RawMessage] = []
        self.answer: KafkaError | Exception | str | None = None

    def send(self, message: RawMessage, told: Callable[[KafkaError | None], None]) -> None:
        if isinstance(self.answer, BufferError):
            raise self.answer
        self.messages.append(message)
        if not isinstance(self.answer, str):
            told(self.answer if isinstance(self.answer, KafkaError) else None)


class Setting:
    """The application with what is around it."""

    def __init__(self, settings: Settings) -> None:
        self.kafka, self.counts = Kafka(), Counts(RECEIVE, ["shop", "wms", "open"])
        self.readiness = Readiness(self.counts)
        self.readiness.is_well()
        sources = {
            name: Source(source.receive, Secrets(name, source.receive))
            for name, source in settings.sources.items()
            if source.receive is not None
        }
        self.app = Receiver(settings, sources, self.kafka.send, self.counts, self.readiness)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://atp") as client:
                return await client.request(method, path, **more)

        return asyncio.run(asked())

    def count(self, name: str) -> float:
        lines = generate_latest(self.counts.registry).decode().splitlines()
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        return float(line.rpartition(" ")[2])


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WMS_SECRET", "wms-secret")
    Path("atp.toml").write_text(CONFIG)
    Path("old.txt").write_text("older\n")
    Path("new.txt").write_text(f"{SECRET}\n")
    with capture_logs():
        yield Setting(load_settings(Path("atp.toml")))


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {"X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(), "Content-Type": "application/json"}


def test_what_is_signed_goes_to_kafka_byte_for_byte_with_what_shopify_says_of_it(setting: Setting) -> None:
    body = b'{ "id":1, "note":"caf\\u00e9 \\/" }\n'
    more = {"X-Shopify-Topic": "orders/updated", "X-Shopify-Shop-Domain": "a.example", "X-Other": "x", "Cookie": "y"}
    assert setting.ask("POST", "/shop", content=body, headers={**signed(body), **more}).status_code == 200
    (message,) = setting.kafka.messages
    assert (message.source, message.value) == ("shop", body)
    headers = dict(message.headers)
    assert headers.pop("received_at").endswith("Z")
    assert headers == {
        "content_type": "application/json",
        "x-shopify-topic": "orders/updated",
        "x-shopify-shop-domain": "a.example",
    }
    assert setting.count('atp_intake_messages_total{source="shop",way="receive"}') == 1
    assert setting.count('atp_intake_bytes_total{source="shop",way="receive"}') == len(body)


def test_what_is_not_signed_well_leaves_no_trace(setting: Setting) -> None:
    good = signed(b"{}")
    for headers, body in (
        ({}, b"{}"),
        (good, b"{} "),
        (signed(b"{}", "another"), b"{}"),
        ({"X-Signature": "0" * 64}, b"{}"),
    ):
        assert setting.ask("POST", "/shop", content=body, headers=headers).status_code == 401
    assert setting.kafka.messages == []
    assert setting.count('atp_intake_refused_total{reason="forged",source="shop",way="receive"}') == 2
    assert setting.count('atp_intake_refused_total{reason="unsigned",source="shop",way="receive"}') == 2


def test_a_secret_that_is_replaced_is_good_without_a_restart(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.adapters.intake.secrets.LOOK_S", 0.0)
    assert setting.ask("POST", "/shop", content=b"1", headers=signed(b"1", "older")).status_code == 200
    Path("old.txt").write_text("the-newest\n")
    assert setting.ask("POST", "/shop", content=b"2", headers=signed(b"2", "the-newest")).status_code == 200
    assert setting.ask("POST", "/shop", content=b"3", headers=signed(b"3")).status_code == 200
    assert setting.ask("POST", "/shop", content=b"4", headers=signed(b"4", "older")).status_code == 401
    Path("old.txt").unlink()
    assert setting.ask("POST", "/shop", content=b"5", headers=signed(b"5", "the-newest")).status_code == 200


def test_an_old_message_is_stale_where_its_time_is_signed(setting: Setting) -> None:
    def at(moment: str) -> dict[str, str]:
        digest = hmac.new(b"wms-secret", moment.encode() + b".x", hashlib.sha256).hexdigest()
        return {"X-Time": moment, "X-Signature": f"sha256={digest}", "X-Warehouse": "DC1"}

    from flows.runtime.run import now

    assert setting.ask("POST", "/wms", content=b"x", headers=at(str(now() // 1_000_000))).status_code == 200
    assert dict(setting.kafka.messages[0].headers)["x-warehouse"] == "DC1"
    assert setting.ask("POST", "/wms", content=b"x", headers=at("1600000000")).status_code == 401
    assert setting.count('atp_intake_refused_total{reason="stale",source="wms",way="receive"}') == 1


@pytest.mark.parametrize("path", ["/nobody", "/silent", "/a/b", "/sh%6Fp%00", "/" + "x" * 5000])
def test_who_is_no_source_is_told_so(setting: Setting, path: str) -> None:
    assert setting.ask("POST", path, content=b"x").status_code == 404
    assert setting.kafka.messages == []


def test_a_message_may_have_as_many_bytes_as_one_of_kafka(setting: Setting) -> None:
    assert setting.ask("POST", "/open", content=b"x" * 1000).status_code == 200
    assert setting.ask("POST", "/open", content=b"x" * 1001).status_code == 413

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    assert setting.ask("POST", "/open", content=pieces()).status_code == 413
    assert setting.ask("POST", "/open", content=b"").status_code == 400
    assert len(setting.kafka.messages) == 1


def test_who_dawdles_is_let_go(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_SECONDS_MAX", 0.05)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError("it was waited for")

    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/open", "headers": [], "query_string": b"", "root_path": ""}
    asyncio.run(setting.app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("answer", [KafkaError(KafkaError._MSG_TIMED_OUT), BufferError("full"), "silence"])
def test_without_kafka_the_sender_is_told_to_come_again(
    setting: Setting, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting.app, "_kafka_s", -0.95)
    setting.kafka.answer = answer
    told = setting.ask("POST", "/open", content=b"x")
    assert (told.status_code, told.headers["retry-after"]) == (503, "5")
    assert setting.ask("GET", "/readyz").status_code == 503
    assert setting.ask("GET", "/healthz").status_code == 200
    assert setting.count('atp_intake_kafka_up{way="receive"}') == 0
    assert setting.count('atp_intake_messages_total{source="open",way="receive"}') == 0
    setting.readiness.is_well()
    assert setting.ask("GET", "/readyz").text == "ready\n"


def test_only_posts_are_messages(setting: Setting) -> None:
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        assert setting.ask(method, "/open", content=b"x").status_code == 405
    assert setting.kafka.messages == []


def test_no_log_line_and_no_answer_has_a_secret_or_a_signature(setting: Setting) -> None:
    with capture_logs() as lines:
        told = setting.ask("POST", "/shop", content=b"{}", headers=signed(b"{} "))
    assert lines and all(
        word not in f"{lines} {told.text}" for word in (SECRET, "older", signed(b"{} ")["X-Shopify-Hmac-Sha256"])
    )
    assert told.text == "forged\n"
