"""The settings of what brings other systems' messages in and translates them: `atp receive` and its kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from schemas.codes import mismatch
from schemas.setting_section import Section
from schemas.setting_values import (
    FILE,
    FOLDER,
    MASK,
    PORT_MAX,
    SECOND,
    Read,
    duration,
    mask_url,
    one_of,
    text,
    whole,
)

#: What of a source's settings says that it has documents.
OF_DOCUMENTS: Final = (
    "kind",
    "mapping",
    "time_zone",
    "time_of_day",
    "aliases",
    "location",
    "to_location",
    "channel",
    "document_every",
    "receive",
    "poll",
    "push",
)
NONE, HMAC, SHOPIFY = "none", "hmac", "shopify"
#: The old and the new one, while a secret is replaced.
SECRETS_MAX: Final = 2
URL_CHARACTERS_MAX: Final = 4_000
_header = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}").fullmatch
#: Headers that are set by whoever carries a message, or that say who we are.
_NOT_KEPT: Final = frozenset(
    {
        "authorization",
        "cookie",
        "proxy-authorization",
        "received_at",
        "content_type",
        "name",
        # of a file that was cut: what was not must not look so
        "document",
        "part",
        "parts",
        "heading",
        "refused",
        "refused_place",
    }
)
_variable = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}").fullmatch


def _array(value: object, expected: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise mismatch(f"an array of {expected}", value)
    return list(value)


def _parse_header(value: object) -> str:
    if not isinstance(value, str) or not _header(value):
        raise mismatch("the name of an HTTP header, such as x-signature", value)
    return value.lower()


def _parse_headers_kept(value: object) -> tuple[str, ...]:
    names = tuple(_parse_header(name) for name in _array(value, "names of HTTP headers"))
    for name in names:
        if name in _NOT_KEPT:
            raise ValueError(f"expected headers that say something of the message, got {name}")
    return names


def _parse_secret_files(value: object) -> tuple[Path, ...]:
    given = _array(value, "files that hold a secret each, such as /run/secrets/shop")
    if len(given) > SECRETS_MAX:
        raise ValueError(f"expected at most {SECRETS_MAX}, the old one and the new one, got {len(given)}")
    return tuple(FILE.parse(path) for path in given)


def _parse_secret_variables(value: object) -> tuple[str, ...]:
    given = _array(value, "names of environment variables, such as SHOP_SECRET")
    if len(given) > SECRETS_MAX:
        raise ValueError(f"expected at most {SECRETS_MAX}, the old one and the new one, got {len(given)}")
    for name in given:
        # Not shown: who puts the secret itself here should not find it in a log.
        if not isinstance(name, str) or not _variable(name) or name.startswith("ATP_"):
            raise ValueError(
                "expected names of environment variables that do not begin with ATP_, such as SHOP_SECRET, got other "
                "text: the secret itself does not belong here"
            )
    return tuple(given)


_http = re.compile(
    r"https?://([^\s/?#@]*@)?(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?(?:[/?][!-~]*)?"
).fullmatch


def _parse_http_url(value: object) -> str:
    expected = "an address such as https://shop.example/api/orders.json"
    found = _http(value) if isinstance(value, str) and len(value) <= URL_CHARACTERS_MAX and "#" not in value else None
    if found is not None and found[1]:
        raise ValueError("expected an address without a password: name a file with it in header_files")
    if found is None or not 0 < int(found[2] or 80) <= PORT_MAX:
        raise mismatch(expected, mask_url(value) if isinstance(value, str) else value)
    return found[0]


def _parse_sent(value: object) -> dict[str, str]:
    """The values never appear in a message: somebody may put a key here."""
    if not isinstance(value, Mapping):
        raise mismatch('a table such as {"accept" = "application/json"}', None if value is None else "something else")
    for name, given in value.items():
        _parse_header(name)
        if not isinstance(given, str) or not re.fullmatch(r"[ -~]*", given):
            raise ValueError(f"expected printable ASCII characters as the value of {name}, got other")
    return {str(name).lower(): given for name, given in value.items()}


def _parse_sent_files(value: object) -> dict[str, Path]:
    if not isinstance(value, Mapping):
        raise mismatch('a table such as {"authorization" = "/run/secrets/shop"}', value)
    return {_parse_header(name): FILE.parse(path) for name, path in value.items()}


HEADER = Read(_parse_header, {"type": "string", "pattern": "^[!-~]{1,100}$"})
_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
HEADERS_KEPT = Read(_parse_headers_kept, _TEXTS, list)
SECRET_FILES = Read(_parse_secret_files, {**_TEXTS, "maxItems": SECRETS_MAX}, lambda files: [str(one) for one in files])
SECRET_VARIABLES = Read(_parse_secret_variables, {**_TEXTS, "maxItems": SECRETS_MAX}, list)
HTTP_URL = Read(_parse_http_url, {"type": "string", "pattern": "^https?://"})
_TABLE: Final = {"type": "object", "additionalProperties": {"type": "string"}}
SENT = Read(_parse_sent, _TABLE, lambda headers: dict.fromkeys(headers, MASK))
SENT_FILES = Read(_parse_sent_files, _TABLE, lambda files: {name: str(path) for name, path in files.items()})
HOST = text(r"[0-9A-Za-z.:_-]{1,253}", "a host name or address, such as 127.0.0.1")
#: Names and whole numbers with points between; a number below 0 counts from the end.
JSON_PATH = text(r"[^.\s][^\s]{0,199}", "where it stands in the JSON, such as page.next or orders.-1.updated_at")
PARAMETER = text(r"[!-~]{1,100}", "the name of a parameter, such as page_info")


class ReceiveSettings(Section):
    """Where `atp receive` listens for what others send by HTTP."""

    host: Annotated[str, HOST] = "127.0.0.1"
    """The address that is listened on; TLS belongs to the proxy in front."""
    port: Annotated[int, whole(1, 65_535)] = 8480
    """The port."""
    kafka_timeout: Annotated[int, duration("100ms", "60s", "4s")] = 4 * SECOND
    """For so long a sender waits for Kafka; then it is told to come again. Shops give up after 5 s."""
    metrics_port: Annotated[int, whole(0, 65_535)] = 9465
    """Where its metrics are served, at `metrics.host`; 0 switches them off."""


class PickUpSettings(Section):
    """How `atp pick-up` takes files out of a folder."""

    settle: Annotated[int, duration("0s", "1h", "5s")] = 5 * SECOND
    """A file whose size and time stay the same for so long is finished."""
    look_every: Annotated[int, duration("10ms", "1h", "1s")] = SECOND
    """How often it looks into the folder."""
    file_bytes_max: Annotated[int, whole(1, 2_000_000_000)] = 268_435_456
    """A larger file is not read, and goes to `failed`."""
    metrics_port: Annotated[int, whole(0, 65_535)] = 9466
    """Where its metrics are served, at `metrics.host`; 0 switches them off."""


class PollSettings(Section):
    """How `atp poll` asks other systems."""

    dir: Annotated[Path, FOLDER] = Path("polling")
    """A folder where it keeps how far it is with each source; one `atp poll` at a time for a source."""
    metrics_port: Annotated[int, whole(0, 65_535)] = 9467
    """Where its metrics are served, at `metrics.host`; 0 switches them off."""


class TranslatorSettings(Section):
    """What `atp translate` needs of this machine."""

    dir: Annotated[Path, FOLDER] | None = None
    """A folder on a local disk for what it remembers; by default `translator` in `state.dir`."""
    metrics_port: Annotated[int, whole(0, 65_535)] = 9468
    """The port of its metrics and health, on `metrics.host`; 0 switches them off."""


class SourceReceiveSettings(Section):
    """What a source sends to `atp receive`, at `/<name>`."""

    signature: Annotated[str, one_of(SHOPIFY, HMAC, NONE)] | None = None
    """How it signs: `shopify` (base64 in x-shopify-hmac-sha256), `hmac` (SHA-256 in hex), or `none`: all may send."""
    secret_files: Annotated[tuple[Path, ...], SECRET_FILES] = ()
    """Files with a secret each; two while one is replaced. Read again when they change."""
    secret_variables: Annotated[tuple[str, ...], SECRET_VARIABLES] = ()
    """Environment variables with a secret each."""
    signature_header: Annotated[str, HEADER] = "x-signature"
    """For `hmac`: the header with the signature; `sha256=` may stand before it."""
    timestamp_header: Annotated[str, HEADER] | None = None
    """For `hmac`: the header with the time, in seconds since 1970; signed is then that time, a point, the body."""
    replay_window: Annotated[int, duration("1s", "1d", "5m")] = 300 * SECOND
    """How far that time may be from ours."""
    headers: Annotated[tuple[str, ...], HEADERS_KEPT] = ()
    """Headers of the sender's own that are kept with the message, beside Shopify's."""

    @model_validator(mode="after")
    def _fits_together(self) -> SourceReceiveSettings:
        if self.signature is None:
            raise ValueError("expected signature, which says how the source signs, got none: shopify, hmac or none")
        count = len(self.secret_files) + len(self.secret_variables)
        if self.signature == NONE and count:
            raise ValueError('expected no secrets where signature is none, got some: say "hmac" or "shopify"')
        if self.signature != NONE and not 1 <= count <= SECRETS_MAX:
            raise ValueError(
                f"expected one secret or two (secret_files, secret_variables) where signature is {self.signature}, "
                f"got {count}"
            )
        if self.timestamp_header is not None and self.signature != HMAC:
            raise ValueError(
                f"expected timestamp_header only where signature is hmac, got it with {self.signature}, which signs no "
                "time: leave it out"
            )
        return self


class SourcePollSettings(Section):
    """What `atp poll` asks a source for."""

    url: Annotated[str, HTTP_URL] | None = None
    """What is asked for, with GET."""
    every: Annotated[int, duration("10ms", "30d", "1m")] = 60 * SECOND
    """How often, counted from one end to the next begin."""
    throttle: Annotated[int, duration("0s", "1h", "500ms")] = SECOND // 2
    """The least time between two requests."""
    timeout: Annotated[int, duration("100ms", "10m", "30s")] = 30 * SECOND
    """For so long an answer may keep silent."""
    headers: Annotated[dict[str, str], SENT] = Field(default={}, repr=False)
    """Headers that are sent."""
    header_files: Annotated[dict[str, Path], SENT_FILES] = Field(default={})
    """The same with the value in a file, for keys: `{"authorization" = "/run/secrets/erp"}`. Read for each request."""
    next: Annotated[str, JSON_PATH] | None = None
    """Where the next page is named: `link` (the header Link, rel=next), or where in the JSON."""
    cursor_parameter: Annotated[str, PARAMETER] | None = None
    """Where `next` names no address: the parameter of `url` that takes what it names."""
    checkpoint: Annotated[str, JSON_PATH] | None = None
    """Where in the JSON it stands from where on to ask the next time, such as `orders.-1.updated_at`."""
    checkpoint_parameter: Annotated[str, PARAMETER] | None = None
    """The parameter of `url` that takes it."""
    checkpoint_start: Annotated[str, PARAMETER] | None = None
    """What it takes the first time; without it, the first request has no such parameter."""
    pages_max: Annotated[int, whole(1, 1_000_000)] = 10_000
    """Pages of one round; more are taken for a circle."""

    @model_validator(mode="after")
    def _fits_together(self) -> SourcePollSettings:
        if self.url is None:
            raise ValueError("expected url, which says what to ask for, got none")
        if (self.checkpoint is None) != (self.checkpoint_parameter is None):
            raise ValueError("expected checkpoint and checkpoint_parameter together, got one of them")
        if self.checkpoint_start is not None and self.checkpoint is None:
            raise ValueError("expected checkpoint where checkpoint_start is set, got none")
        if self.cursor_parameter is not None and self.next in (None, "link"):
            raise ValueError(
                "expected next to say where in the JSON the cursor stands, got cursor_parameter without it"
            )
        for name in self.header_files:
            if name in self.headers:
                raise ValueError(f"expected {name} in headers or in header_files, got both: leave one out")
        return self
