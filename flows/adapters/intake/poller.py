"""Asks one source, page by page and round by round, and sends what it answers.

1. A page is asked for: the next one of the round under way, else the first, from the checkpoint on.
2. It goes to Kafka, cut where it is too large; what no message can hold is accounted for as refused, and is not asked
   for again and again. A first page that says what the last one said is not sent again.
3. When Kafka has it, the checkpoint is stored: which page comes next, or that the round is over.

Killed between 2 and 3, the page is sent twice, as the same document. What fails is tried again after a wait that
doubles, is drawn, and is never less than what the server asked for.
"""

from __future__ import annotations

import email.utils
import hashlib
import random
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import httpx
import msgspec

from flows.adapters.intake.checkpoints import Checkpoint, Checkpoints
from flows.adapters.intake.counts import Counts
from flows.adapters.intake.raw import RawMessage, messages_of, raw_message, told_of
from flows.kafka.sending import SendError
from flows.log import get_log
from flows.runtime.run import now
from flows.settings import read_secret
from operators.adapters import paging
from operators.adapters.cutting import cut
from schemas.intake_settings import SourcePollSettings
from schemas.settings import Settings

log = get_log(__name__)

#: A page is read into memory; a larger one is asked for in smaller pages.
PAGE_BYTES_MAX: Final = 67_108_864
#: A server that asks for more patience is asked again all the same: it may have meant milliseconds.
RETRY_AFTER_MAX_S: Final = 3_600.0
#: How answers may be packed, and how much of one is unpacked at a time.
PACKED: Final = "gzip"
PIECE_BYTES_MAX: Final = 1_048_576
SECOND: Final = 1_000_000

SendAll = Callable[[list[RawMessage]], None]


class Failure(Exception):
    """A request that has to be made again: why, what the server asked for, what would do."""

    def __init__(self, why: str, retry_after_s: float | None = None, remedy: str = "", is_gone: bool = False) -> None:
        super().__init__(why)
        self.retry_after_s, self.remedy, self.is_gone = retry_after_s, remedy, is_gone


class Page(NamedTuple):
    """An answer: nothing in it means that there is nothing new."""

    body: bytes
    content_type: str
    link: str
    etag: str | None


class Poller:
    """One source. `send_all` returns when Kafka has all, or raises SendError; `wait` says whether it is over."""

    def __init__(
        self,
        settings: Settings,
        source: str,
        rules: SourcePollSettings,
        checkpoints: Checkpoints,
        send_all: SendAll,
        wait: Callable[[float], bool],
        counts: Counts,
        transport: httpx.BaseTransport | None = None,
        draw: random.Random | None = None,
    ) -> None:
        assert rules.url is not None, "settings without it are refused"
        self._source, self._rules, self._url = source, rules, rules.url
        self._checkpoints, self._send_all, self._wait, self._counts = checkpoints, send_all, wait, counts
        self._bytes_max = settings.max_message_bytes
        self._heading_rows = settings.sources[source].heading_rows
        self._draw = draw or random.Random()
        self._client = httpx.Client(
            transport=transport,
            timeout=httpx.Timeout(rules.timeout / SECOND),
            follow_redirects=False,
            headers={"user-agent": "atp-engine", "accept-encoding": PACKED, **rules.headers},
        )
        self._kept = checkpoints.load(self._url)
        self._asked_at = -1e9
        self._failures = 0
        self._pages = 0

    def close(self) -> None:
        """Ask no more."""
        self._client.close()
        self._checkpoints.close()

    def run(self, once: bool = False) -> bool:
        """Ask until it is over; with `once` until a round has come to its end. Was one finished?"""
        while True:
            try:
                is_end = self._step()
                self._failures = 0
                self._counts.polled(self._source, 0, is_end)
            except (Failure, SendError, OSError) as error:
                if self._wait(self._after(error)):
                    return False
                continue
            if is_end and once:
                return True
            if is_end and self._wait(self._rules.every / SECOND):
                return False

    def _after(self, error: Exception) -> float:
        """Say what failed; gives the seconds to wait."""
        self._failures += 1
        self._counts.polled(self._source, self._failures)
        told = error.retry_after_s if isinstance(error, Failure) else None
        wait_s = paging.patience(self._failures, self._draw, told)
        remedy = (error.remedy if isinstance(error, Failure) else "") or "it is tried again by itself"
        if isinstance(error, Failure) and error.is_gone and self._kept.next is not None:
            # The round's next page is not there any more: the round begins again, and what is sent twice counts once.
            self._kept = msgspec.structs.replace(self._kept, next=None, seen=None)
            remedy = "the round begins again"
        log.error(
            f"{self._source}: {error}; {self._failures} in a row, tried again in {wait_s:.1f} s",
            kind="poll_failed",
            next=remedy,
        )
        return wait_s

    def _step(self) -> bool:
        """Take one page; was it the round's last?"""
        kept = self._kept
        is_first = kept.next is None
        url = kept.next if kept.next is not None else self._first()
        self._pages = 0 if is_first else self._pages
        if self._pages >= self._rules.pages_max:
            self._pages = 0
            self._kept = msgspec.structs.replace(kept, next=None, seen=None)
            raise Failure(
                f"expected at most {self._rules.pages_max:,} pages a round, got more: the next page leads back",
                remedy=f"correct sources.{self._source}.poll.next, or raise pages_max",
            )
        begun = time.perf_counter()
        page = self._ask(url, kept.etag if is_first and self._rules.checkpoint is None else None)
        digest = hashlib.sha256(page.body).hexdigest() if page.body else kept.digest
        document = self._document(page)
        following = self._following(url, page, document)
        if page.body and not (is_first and digest == kept.digest):
            self._send(url, page, begun)
        since = self._value(document, self._rules.checkpoint) or kept.seen
        self._pages += 1
        is_end = following is None
        fresh = Checkpoint(
            kept.version,
            self._url,
            following,
            (since or kept.since) if is_end else kept.since,
            None if is_end else since,
            (page.etag or (kept.etag if not page.body else None)) if is_first else kept.etag,
            digest if is_first else kept.digest,
        )
        if fresh != kept:
            self._checkpoints.store(fresh)
        self._kept = fresh
        return is_end

    def _first(self) -> str:
        since = self._kept.since or self._rules.checkpoint_start
        if self._rules.checkpoint_parameter is None or since is None:
            return self._url
        return paging.with_parameter(self._url, self._rules.checkpoint_parameter, since)

    def _ask(self, url: str, etag: str | None) -> Page:
        """Make one request, not sooner than the throttle allows."""
        early = self._asked_at + self._rules.throttle / SECOND - time.monotonic()
        if early > 0 and self._wait(early):
            raise KeyboardInterrupt
        self._asked_at = time.monotonic()
        try:
            headers = {name: read_secret(path) for name, path in self._rules.header_files.items()}
        except (OSError, UnicodeDecodeError) as error:
            remedy = f"correct sources.{self._source}.poll.header_files"
            raise Failure(f"a file of header_files cannot be read: {error}", remedy=remedy) from None
        if etag is not None:
            headers["if-none-match"] = etag
        try:
            with self._client.stream("GET", url, headers=headers) as answer:
                self._judge(answer)
                pieces: list[bytes] = []
                size = 0
                for piece in unpacked(answer):
                    size += len(piece)
                    if size > PAGE_BYTES_MAX:
                        self._counts.refused(self._source, "too_large")
                        raise Failure(
                            f"{_place(url)}: expected at most {PAGE_BYTES_MAX:,} bytes, got more",
                            remedy="ask for fewer rows a page",
                        )
                    pieces.append(piece)
                named = answer.headers
                return Page(
                    b"".join(pieces), named.get("content-type", ""), named.get("link", ""), named.get("etag") or None
                )
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, zlib.error) as error:
            # Not the error's own words alone: they may be empty.
            raise Failure(f"{_place(url)}: no answer ({type(error).__name__}: {error})") from None

    def _judge(self, answer: httpx.Response) -> None:
        """Pass what has a page or says that nothing is new; Failure for all else."""
        status = answer.status_code
        if status == httpx.codes.NOT_MODIFIED or 200 <= status < 300:
            return
        where = _place(str(answer.request.url))
        told = retry_after(answer.headers.get("retry-after", ""), time.time())
        if status in (401, 403):
            raise Failure(f"{where}: {status}, it does not let us in", told, f"see header_files of {self._source}")
        if 300 <= status < 400:
            remedy = f"set sources.{self._source}.poll.url to where it is now: our keys are not sent elsewhere"
            raise Failure(f"{where}: {status}, it is elsewhere", told, remedy)
        is_gone = status in (400, 404, 410, 422)
        raise Failure(f"{where}: {status}", told, f"see sources.{self._source}.poll" if is_gone else "", is_gone)

    def _document(self, page: Page) -> Any:
        """Read it where something is looked for in it."""
        paths = (self._rules.checkpoint, self._rules.next if self._rules.next != paging.LINK else None)
        if not page.body or not any(paths):
            return None
        try:
            return paging.read_page(page.body)
        except paging.Unusable as error:
            raise self._unusable(error) from None

    def _value(self, document: Any, path: str | None) -> str | None:
        if path is None or document is None:
            return None
        try:
            return paging.value_at(document, path)
        except paging.Unusable as error:
            raise self._unusable(error) from None

    def _following(self, url: str, page: Page, document: Any) -> str | None:
        if self._rules.next is None or not page.body:
            return None
        is_link = self._rules.next == paging.LINK
        said = paging.linked(page.link) if is_link else self._value(document, self._rules.next)
        try:
            following = paging.next_page(url, self._first(), said, self._rules.cursor_parameter)
        except (paging.Unusable, ValueError) as error:
            raise self._unusable(error) from None
        return None if following == url else following

    def _unusable(self, error: Exception) -> Failure:
        self._counts.refused(self._source, "unusable")
        return Failure(
            f"its answer cannot be used: {error}", remedy=f"correct sources.{self._source}.poll, or ask its owner"
        )

    def _send(self, url: str, page: Page, begun: float) -> None:
        result = cut(page.body, self._bytes_max, self._heading_rows)
        message = raw_message(self._source, page.body, now(), page.content_type, urlsplit(url).path)
        messages = messages_of(message, page.body, result)
        self._send_all(messages)
        for each in messages:
            self._counts.sent(self._source, len(each.value), time.perf_counter() - begun)
        if result.refused:
            # Asked for again it is as large: the pages behind it would wait for it for ever.
            self._counts.refused(self._source, "too_large")
            log.error(
                f"{self._source}: {_place(url)}: {told_of(result.refused)}; the rest and the next pages go on",
                kind="page_too_large",
                next="ask for fewer rows a page, or raise max_message_bytes where the engine and the translator run; "
                f"then remove {self._checkpoints.path}: all is asked for once more, and what counted counts once",
            )


def unpacked(answer: httpx.Response) -> Iterator[bytes]:
    """Give an answer's bytes in pieces of a limited size, unpacked where it is packed as we asked for.

    Not by httpx, which unpacks what came at once as a whole: a few kilobytes may be gigabytes.
    """
    packing = answer.headers.get("content-encoding", "").strip().lower()
    if packing in ("", "identity"):
        yield from answer.iter_bytes()
        return
    if packing != PACKED:
        raise Failure(f"expected an answer that is packed as {PACKED} or not at all, got {packing[:40]}")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS + 16)
    for piece in answer.iter_raw():
        while piece:
            yield unpacker.decompress(piece, PIECE_BYTES_MAX)
            piece = unpacker.unconsumed_tail
    if not unpacker.eof:
        raise Failure("its answer was cut off")


def _place(url: str) -> str:
    """An address without what may be a secret: its parameters."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def retry_after(said: str, now_s: float) -> float | None:
    """Read the header Retry-After, which gives seconds or a date; None where it says neither."""
    said = said.strip()
    if said.isascii() and said.isdigit() and len(said) < 10:
        return min(float(said), RETRY_AFTER_MAX_S)
    try:
        moment = email.utils.parsedate_to_datetime(said)
    except (ValueError, TypeError):
        return None
    return min(max(0.0, moment.timestamp() - now_s), RETRY_AFTER_MAX_S)
