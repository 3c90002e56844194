"""Hears what sources send by HTTP: POST /<source>, answered when Kafka has it.

1. Whose is it (404), is it small enough (413), does all of it come in time (408), is there anything (400)?
2. Is it signed by them, and new (401)? Of what is not, nothing is kept: anybody could fill the topic.
3. It is handed to Kafka. When Kafka has it: 200. When Kafka does not have it in time: 503 with Retry-After; it may have
   arrived all the same, and the sender's repeat is then the same document twice, which counts once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope
from starlette.types import Send as AsgiSend

from flows.adapters.intake.counts import UNKNOWN, Counts
from flows.adapters.intake.raw import RawMessage, RawSender, raw_message
from flows.adapters.intake.secrets import Secrets
from flows.log import get_log
from flows.runtime.run import now
from operators.adapters.signature import SHOPIFY_KEPT, object_to
from schemas.intake_settings import SHOPIFY, SourceReceiveSettings
from schemas.settings import Settings

log = get_log(__name__)

#: All of a message has to come in so long: who dawdles holds a connection.
BODY_SECONDS_MAX: Final = 10.0
#: What senders are told to wait while Kafka is away.
RETRY_AFTER_S: Final = 5

Send = Callable[[RawMessage, Callable[[KafkaError | None], None]], None]


class Source(NamedTuple):
    """A source that may send."""

    rules: SourceReceiveSettings
    secrets: Secrets


class Readiness:
    """Whether Kafka answers, as it was last seen; written by any thread."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._lock = threading.Lock()
        self.problem = "Kafka was not asked yet"

    def is_well(self) -> None:
        """Kafka answers."""
        self.note("")

    def note(self, problem: str) -> None:
        """Kafka does not answer; nothing: it does."""
        with self._lock:
            self._counts.kafka_is_up(not problem)
            if bool(problem) != bool(self.problem) or problem != self.problem:
                if problem:
                    log.error(f"{problem}: senders are told to come again", kind="kafka_away", next="see: atp check")
                else:
                    log.info("Kafka answers", kind="kafka_away")
            self.problem = problem


#: One answer for all that is kept: it says the same, and is made once.
KEPT: Final = PlainTextResponse("kept\n")


class Words:
    """Carries Kafka's words from the thread that hears them to the server's loop: one wake-up for all that came.

    Waking the loop for each costs a write to a socket and a turn of the loop; at 500 messages a second several come
    at once.
    """

    def __init__(self) -> None:
        self._heard: deque[tuple[asyncio.Future[KafkaError | None], KafkaError | None]] = deque()
        self._is_waking = False

    def tell(
        self,
        loop: asyncio.AbstractEventLoop,
        arrived: asyncio.Future[KafkaError | None],
        error: KafkaError | None,
    ) -> None:
        """Hand over a word, from any thread."""
        self._heard.append((arrived, error))
        if not self._is_waking:
            self._is_waking = True
            try:
                loop.call_soon_threadsafe(self._settle)
            except RuntimeError:  # the server has ended, and nobody waits any more
                self._is_waking = False

    def _settle(self) -> None:
        # First, so that what is handed over from here on wakes the loop again: nothing is left behind.
        self._is_waking = False
        while self._heard:
            arrived, error = self._heard.popleft()
            if not arrived.done():
                arrived.set_result(error)


class Receiver:
    """The application (ASGI); `send` is what hands a message to Kafka.

    What sources send is taken here, without a framework's requests and responses, which cost as much as all else; the
    rest (health, wrong methods and addresses) is Starlette's. Measured: docs/intake.md, "How fast".
    """

    def __init__(
        self, settings: Settings, sources: Mapping[str, Source], send: Send, counts: Counts, readiness: Readiness
    ) -> None:
        self._sources, self._send, self._counts, self._readiness = sources, send, counts, readiness
        self._bytes_max = settings.max_message_bytes
        self._kafka_s = settings.receive.kafka_timeout / 1_000_000
        self._words = Words()
        self.others = Starlette(
            routes=[
                Route("/healthz", self._alive, methods=["GET"]),
                Route("/readyz", self._ready, methods=["GET"]),
                Route("/{source}", self._receive, methods=["POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: AsgiSend) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "POST" and "/" not in (name := scope["path"][1:]) and name:
            await (await self._take(name, scope, receive))(scope, receive, send)
        else:
            await self.others(scope, receive, send)

    async def _alive(self, _: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _ready(self, _: Request) -> Response:
        problem = self._readiness.problem
        return PlainTextResponse(
            "not ready: Kafka does not answer\n" if problem else "ready\n", 503 if problem else 200
        )

    async def _receive(self, request: Request) -> Response:
        """Stand in the table of routes, so that other methods are told which is right; such paths were taken before."""
        return await self._take(str(request.path_params["source"]), request.scope, request.receive)

    async def _take(self, name: str, scope: Scope, receive: Receive) -> Response:
        begun = time.perf_counter()
        source = self._sources.get(name)
        if source is None:
            self._counts.refused(UNKNOWN, "unknown_source")
            log.warning(
                f"something came for {name[:64]!r}, which is no source with [sources.<name>.receive]",
                kind="unknown_source",
                next="correct the sender's address, or the settings",
            )
            return PlainTextResponse("no such source\n", 404)
        headers = {key.decode("latin-1").lower(): said.decode("latin-1") for key, said in scope["headers"]}
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                body = await self._body(headers.get("content-length", ""), receive)
        except TimeoutError:
            return self._refuse(name, "slow", f"expected all of it within {BODY_SECONDS_MAX:g} s", 408)
        except ClientDisconnect:
            return Response(status_code=400)
        if body is None:
            return self._refuse(name, "too_large", f"expected at most {self._bytes_max:,} bytes, got more", 413)
        if not body:
            return self._refuse(name, "empty", "expected a message, got nothing", 400)
        received_at = now()
        objection = object_to(source.rules, source.secrets.now(), headers, body, received_at)
        if objection is not None:
            return self._refuse(name, objection.reason, objection.sentence, 401)
        message = raw_message(
            name, body, received_at, headers.get("content-type", ""), own=kept_headers(source.rules, headers)
        )
        error = await self._deliver(message)
        if error is not None:
            self._counts.refused(name, "kafka_away")
            self._readiness.note(f"Kafka did not take a message of {name} ({error})")
            return PlainTextResponse("try again\n", 503, {"Retry-After": str(RETRY_AFTER_S)})
        self._counts.sent(name, len(body), time.perf_counter() - begun)
        return KEPT

    async def _body(self, told: str, receive: Receive) -> bytes | None:
        """Read all of it; None where it is too large."""
        if told.isdigit() and int(told[:20]) > self._bytes_max:
            return None
        pieces: list[bytes] = []
        size = 0
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise ClientDisconnect
            piece = event.get("body", b"")
            size += len(piece)
            if size > self._bytes_max:
                return None
            pieces.append(piece)
            if not event.get("more_body", False):
                return b"".join(pieces)

    async def _deliver(self, message: RawMessage) -> str | None:
        """Give it to Kafka and wait; the error's text, if Kafka does not have it in time."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[KafkaError | None] = loop.create_future()
        try:
            self._send(message, lambda error: self._words.tell(loop, arrived, error))
        except BufferError:
            return "too much waits for it already"
        except KafkaException as problem:
            return str(problem)
        late = loop.call_later(self._kafka_s + 1.0, arrived.cancel)
        try:
            error = await arrived
        except asyncio.CancelledError:
            if not arrived.cancelled() or asyncio.current_task().cancelling():  # type: ignore[union-attr]  # we are one
                raise
            return f"no word within {self._kafka_s:g} s"
        finally:
            late.cancel()
        return None if error is None else error.str()

    def _refuse(self, source: str, reason: str, sentence: str, status: int) -> Response:
        self._counts.refused(source, reason)
        log.warning(
            f"a message of {source} was not taken: {sentence}",
            kind=f"refused_{reason}",
            next="see what the sender sends, and docs/intake.md",
        )
        # The sender is told the word alone: who forges learns nothing by it.
        return PlainTextResponse(f"{reason}\n", status)


def kept_headers(rules: SourceReceiveSettings, headers: Mapping[str, str]) -> dict[str, str]:
    """Give those of the sender's own that are kept, by lower-case name."""
    names = (*(SHOPIFY_KEPT if rules.signature == SHOPIFY else ()), *rules.headers)
    return {name: headers[name] for name in names if name in headers}


def sender_of(raw: RawSender, readiness: Readiness) -> Send:
    """Hand messages to Kafka, and note that it answers when it does."""

    def send(message: RawMessage, told: Callable[[KafkaError | None], None]) -> None:
        def heard(error: KafkaError | None) -> None:
            if error is None and readiness.problem:
                readiness.is_well()
            told(error)

        raw.send(message, heard)

    return send
