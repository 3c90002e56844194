"""Turns a line of a file into the messages that a source would send, with ids made from file and line.

Rule: a message depends on the file's name, the line and `--at`, and on nothing else. So running a file again sends the
same messages, which the engine knows (duplicates) or finds too old (late), and never applies a second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from flows.importing.rows import File, Row

#: An id has 128 characters; what follows the file's name takes at most 30 of them.
NAME_LENGTH_MAX = 90


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
        self._name = id_of(file.name)
        self._write = _WRITERS.get(file.kind.name, _single)

    def messages(self, row: Row) -> Iterator[Message]:
        """Give the messages of one line: one, or two for an order line that is also allocated."""
        kind = self._file.kind
        fields = row.fields
        if kind.is_reference:
            code = ":".join(str(fields.get(name, "")) for name in kind.key)
            yield Message(kind.topic, code.encode(), orjson.dumps(fields))
            return
        head = {"event_id": f"{self._name}:{row.line}", "type": "", "source": self._source, "occurred_at": self._at}
        key = str(fields.get("item", "")).encode()
        for body in self._write(kind.name, fields):
            if body["type"] == "order_allocated":
                body["event_id"] = f"{self._name}:{row.line}:allocated"
            yield Message(kind.topic, key, orjson.dumps(head | body))


def id_of(name: str) -> str:
    """Give a file's name as an id may say it: printable ASCII without spaces, and short."""
    plain = quote(name, safe="!#$&'()*+,;=@[]^_`{|}~.-")
    if len(plain) <= NAME_LENGTH_MAX:
        return plain
    return f"{plain[: NAME_LENGTH_MAX - 17]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


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
