"""Turns a line of a file into the messages that a source would send, with ids made of what the line is about.

Rule: an id says what the line is about (its kind's key: a cell, an order line, a receipt) and when that was true, and
nothing of the file. So the same lines again, in whatever file and order, are the same messages, which the engine knows
(duplicates) or finds too old (late), and never applies a second time; and a line that was corrected, with a later
moment, is a new word that replaces the old one. Two words about one thing at one moment contradict each other: the
second is a conflict, and refused.

An allocation adds up instead of replacing: its id has no moment, so that an order line's is taken once, and a file with
another `--at` cannot reserve the same goods twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from flows.adapters.files.rows import File, Row
from schemas.codes import ID_LENGTH_MAX, parse_time

EPOCH = datetime(1970, 1, 1)
#: Moments that are remembered as ids have them: mostly there is one, at worst one a line.
MOMENTS_MAX = 1000
#: Hex digits that stand for what does not fit into an id.
DIGEST = 32
#: Which file and line a message comes from: kept short, for whoever looks at one dead letter.
ORIGIN_LENGTH_MAX = 128


class Message(NamedTuple):
    """One Kafka message; the topic without the prefix."""

    topic: str
    key: bytes
    value: bytes


class Writer:
    """Writes the messages of one file."""

    def __init__(self, file: File, source: str, at: str | None) -> None:
        self._file = file
        self._source = source
        self._at = at
        self._moments: dict[str, str] = {}
        self._name = origin_of(file.name)
        self._write = _WRITERS.get(file.kind.name, _single)

    def messages(self, row: Row) -> Iterator[Message]:
        """Give the messages of one line: one, or two for an order line that is also allocated."""
        kind = self._file.kind
        fields = row.fields
        if kind.is_reference:
            code = ":".join(str(fields.get(name, "")) for name in kind.key)
            yield Message(kind.topic, code.encode(), orjson.dumps(fields))
            return
        about = [kind.name, *(str(fields.get(name, "")) for name in kind.key)]
        head = {
            "event_id": id_of(about, self._moment(fields.get("occurred_at", self._at))),
            "type": "",
            "source": self._source,
            "occurred_at": self._at,
            # No part of what is counted or compared: for whoever finds one of them among the dead letters.
            "correlation_id": f"{self._name}:{row.line}",
        }
        key = str(fields.get("item", "")).encode()
        for body in self._write(kind.name, fields):
            if body["type"] == "order_allocated":
                body["event_id"] = id_of(["allocated", *about[1:]])
            yield Message(kind.topic, key, orjson.dumps(head | body))

    def _moment(self, text: object) -> str:
        """Give an instant as ids have it: the same however its offset is written."""
        if not isinstance(text, str):
            return "never"  # refused for it; the id only has to be one
        known = self._moments.get(text)
        if known is None:
            try:
                known = (EPOCH + timedelta(microseconds=parse_time(text))).isoformat() + "Z"
            except ValueError:
                known = text
            if len(self._moments) < MOMENTS_MAX:
                self._moments[text] = known
        return known


def id_of(about: list[str], moment: str = "") -> str:
    """Give the id of what is said about something at a moment: printable ASCII without spaces, of bounded length."""
    plain = ":".join(about)
    if moment:
        plain = f"{plain}@{moment}"
    if len(plain) <= ID_LENGTH_MAX and plain.isascii() and plain.isprintable() and " " not in plain:
        return plain
    digest = hashlib.sha256("\0".join([*about, moment]).encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    return f"{_plain(plain)[: ID_LENGTH_MAX - DIGEST - 1]}-{digest}"


@lru_cache(maxsize=16)
def origin_of(name: str) -> str:
    """Give a file's name as a correlation id may say it, with room for a line's number behind it."""
    return _plain(name)[-(ORIGIN_LENGTH_MAX - 20) :]


def _plain(text: str) -> str:
    return quote(text, safe="!#$&'()*+,;=@[]^_`{|}~.-:", errors="backslashreplace")


_TYPES = {"stock": "stock_counted", "lots": "lot_held", "receipts": "receipt_expected"}
_OF_THE_EVENT = ("order_id", "channel", "occurred_at", "uom")
_OF_A_PLACED_LINE = ("line_id", "item", "quantity", "location", "requested_at", "expires_at")


def _single(kind: str, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {**fields, "type": _TYPES[kind]}


def _order(kind: str, fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    head = {name: fields[name] for name in _OF_THE_EVENT if name in fields}
    line = {name: fields[name] for name in _OF_A_PLACED_LINE if name in fields}
    yield {**head, "type": "order_placed", "lines": [line]}
    if fields.get("allocated") not in (None, 0):
        reserved = {name: fields[name] for name in ("line_id", "item", "location") if name in fields}
        yield {**head, "type": "order_allocated", "lines": [{**reserved, "quantity": fields["allocated"]}]}


_WRITERS = {"orders": _order}
