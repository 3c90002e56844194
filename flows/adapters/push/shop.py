"""Asks one shop by HTTP. Every way in which it does not answer as it should is a `Failure`, with what it asked for."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import httpx
import msgspec

from flows.adapters.intake.poller import Failure, retry_after
from flows.settings import read_secret
from operators.adapters.pushing import Change, Fault, Target, pause_s
from operators.adapters.shop_api import (
    Request,
    Unreadable,
    errors_of,
    faults_of,
    levels_of,
    levels_request,
    orders_of,
    orders_request,
    set_request,
    throttle_of,
)
from schemas.push_settings import SourcePushSettings
from schemas.setting_values import SECOND
from schemas.settings import SettingsError

Answer = TypeVar("Answer")
TOKEN_HEADER: Final = "x-shopify-access-token"
#: An answer is read into memory; 250 numbers have some 100 kB.
ANSWER_BYTES_MAX: Final = 16_777_216
#: Pages of orders of one look: 25,000 orders.
ORDER_PAGES_MAX: Final = 100


class Shop:
    """One shop's API. `now` is in seconds of a clock that never goes back."""

    def __init__(self, source: str, rules: SourcePushSettings, transport: httpx.BaseTransport | None = None) -> None:
        assert rules.url is not None, "settings without it are refused"
        self._source, self._rules, self._url = source, rules, rules.url
        self._client = httpx.Client(
            transport=transport,
            timeout=httpx.Timeout(rules.timeout / SECOND),
            follow_redirects=False,
            headers={"user-agent": "atp-engine", "content-type": "application/json"},
        )
        #: what a request last cost, by kind, and until when the budget does not allow one
        self._costs: dict[str, float] = {}
        self._budget: tuple[float, float, float] | None = None
        self._token()

    def close(self) -> None:
        """Ask no more."""
        self._client.close()

    def levels(self, targets: Sequence[Target]) -> dict[Target, int | str]:
        """Ask what it has of each, all at one location; a text says why it has none. Failure where it does not say."""
        request = levels_request(targets)
        return self._read(lambda answer: levels_of(answer, targets), "levels", request)

    def orders(self, since: int) -> list[tuple[str, int]]:
        """Ask which orders changed since then, in UTC microseconds, oldest change first."""
        found: list[tuple[str, int]] = []
        after: str | None = None
        for _ in range(ORDER_PAGES_MAX):
            page = self._read(orders_of, "orders", orders_request(since, after))
            found += page.orders
            after = page.after
            if after is None:
                return found
        raise Failure(
            f"expected at most {ORDER_PAGES_MAX} pages of orders, got more", remedy="set push.orders_back lower"
        )

    def set(self, changes: Sequence[Change]) -> list[Fault]:
        """Set numbers; what was wrong, and then none of them is set."""
        return self._read(faults_of, "set", set_request(self._url, changes, str(uuid.uuid4())))

    def _read(self, read: Callable[[dict[str, Any]], Answer], kind: str, request: Request) -> Answer:
        answer = self._ask(kind, request)
        try:
            return read(answer)
        except Unreadable as error:
            raise Failure(
                f"its answer cannot be used: {error}", remedy="see whether the version in url is one it has"
            ) from None

    def _ask(self, kind: str, request: Request) -> dict[str, Any]:
        """Make one request, not sooner than the budget that the shop told allows."""
        if self._budget is not None:
            available, rate, at = self._budget
            available += rate * (time.monotonic() - at)
            if self._costs.get(kind, 0.0) > available:
                raise Failure("its budget is used up", pause_s(self._enough(kind), available, rate))
        answer = self._post(request)
        told = throttle_of(answer)
        if told is not None:
            self._costs[kind] = told.cost
            self._budget = (told.available, told.restore_rate, time.monotonic())
            if told.was_refused:
                raise Failure("throttled", pause_s(self._enough(kind), told.available, told.restore_rate))
        problem = errors_of(answer)
        if problem:
            raise Failure(
                f"it refuses the request: {problem}", remedy=f"see sources.{self._source}.push, and what its token may"
            )
        return answer

    def _enough(self, kind: str) -> float:
        """What the budget has to be before it is tried again: for a look, and for what is set because of it.

        Waited for the setting alone, the look that comes before it would use that up again, and nothing were ever set.
        """
        return max(self._costs.get(kind, 0.0), self._costs.get("levels", 0.0) + self._costs.get("set", 0.0))

    def _post(self, request: Request) -> dict[str, Any]:
        try:
            answer = self._client.post(
                self._url, content=msgspec.json.encode(request), headers={TOKEN_HEADER: self._token()}
            )
        except (httpx.HTTPError, ValueError) as error:
            raise Failure(f"no answer ({type(error).__name__}: {error})") from None
        status = answer.status_code
        told = retry_after(answer.headers.get("retry-after", ""), time.time())
        if status in (401, 403):
            raise Failure(f"{status}, it does not let us in", told, f"see token_file of sources.{self._source}.push")
        if not 200 <= status < 300:
            raise Failure(f"{status}", told)
        if len(answer.content) > ANSWER_BYTES_MAX:
            raise Failure(f"expected at most {ANSWER_BYTES_MAX:,} bytes, got {len(answer.content):,}")
        try:
            read = msgspec.json.decode(answer.content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Failure(f"its answer is no JSON ({error})") from None
        if not isinstance(read, dict):
            raise Failure("its answer is no object")
        return read

    def _token(self) -> str:
        """Give the token as it is now. SettingsError where there is none."""
        name = f"sources.{self._source}.push"
        if self._rules.token_variable is not None:
            token = os.environ.get(self._rules.token_variable, "")
            if not token:
                raise SettingsError(
                    f"{name}.token_variable: expected {self._rules.token_variable} with a token, got none"
                )
            return token
        assert self._rules.token_file is not None, "settings without both are refused"
        try:
            token = read_secret(self._rules.token_file)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise SettingsError(
                f"{name}.token_file: expected a file that can be read, got {self._rules.token_file}: {why}"
            ) from None
        if not token:
            raise SettingsError(f"{name}.token_file: expected a token in {self._rules.token_file}, got an empty file")
        return token
