"""What documents would become, as people and as scripts read it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flows.adapters.translating.dry_run import Document
from operators.adapters.account import IGNORED, REFUSED, STATEMENT_TYPES, record_of, refusals_of


def as_json(document: Document, received_at: str) -> str:
    """One object: the fields of `inventory.documents`, and lists `output` and `refusals`."""
    translation = document.translation
    shown: dict[str, Any] = {"file": str(document.path), "source": document.source}
    shown |= record_of(translation, received_at)
    shown |= {"output": translation.bodies(), "refusals": refusals_of(translation)}
    return json.dumps(shown, ensure_ascii=False)


def as_text(document: Document) -> Iterator[str]:
    """A line a line of the document, in its order, and what they come to."""
    translation = document.translation
    named = ", ".join(translation.documents) or "no document with a name of its own"
    yield f"{document.path}: {translation.kind}: {named}"
    said: dict[int, list[str]] = {}
    for message in translation.output:
        rows = message.body.get("lines", [])
        for place, number in enumerate(message.lines):
            row = rows[place] if len(rows) == len(message.lines) else message.body
            said.setdefault(number, []).append(_words(message.body, row))
        if not message.lines and message.body["type"] not in STATEMENT_TYPES:
            said.setdefault(-1, []).extend(_words(message.body, row) for row in rows or [message.body])
    width = max((len(line.place) for line in translation.lines), default=0)
    for number, line in enumerate(translation.lines):
        if line.fate == REFUSED:
            told = [f"refused, {line.reason}: {line.message}"]
        elif line.fate == IGNORED:
            told = [f"ignored, {line.reason}"]
        else:
            told = said.get(number, [line.fate])
        for first, words in enumerate(told):
            yield f"  {'' if first else line.place:{width}}  {words}"
    for words in said.get(-1, []):
        yield f"  {'(left out)':{width}}  {words}"
    record = record_of(translation, None)
    parts = [
        f"{record['lines']} lines",
        f"{record['event_lines']} in {record['events']} events",
        f"{record['statement_lines']} in {record['statements']} messages of statements",
        f"{_counts(record['ignored'])} ignored",
        f"{_counts(record['refused'])} refused",
    ]
    yield f"  {', '.join(parts)}"


def _counts(counts: Mapping[str, int]) -> str:
    if not counts:
        return "0"
    told = ", ".join(f"{name} {number}" for name, number in sorted(counts.items()))
    return f"{sum(counts.values())} ({told})"


_SHOWN = ("order_id", "receipt_id", "transfer_id", "statement_id", "line_id", "item", "lot", "location", "to_location")
_NUMBERS = ("quantity", "uom", "on_hand", "quarantined", "available", "atp", "status", "eta", "part_of")


def _words(body: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    merged = {**body, **row}
    words = [body["type"] + (" reversed" if body.get("reversal") else "")]
    words += [str(merged[name]) for name in _SHOWN if name in merged]
    words += [f"{name}={merged[name]}" for name in _NUMBERS if name in merged]
    return " ".join(words)
