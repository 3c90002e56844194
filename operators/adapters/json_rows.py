"""Reads JSON of any shape: a path says what a row is, a mapping what it means.

A path of rows is names with a dot between, `[]` behind each array that is walked: `orders[].lines[]`, or `[]` where the
document is one. A path of a value begins at its row; `^.` in front goes to the row around it, `$.` to the document, and
`@` names a header of the message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import Field

from operators.adapters.account import Account, Refused, Translation, one_line
from operators.adapters.context import Context
from operators.adapters.json_reading import read_json
from operators.adapters.mapping import RowMapping, model_of
from operators.adapters.rows import part_of, translate_rows
from schemas.codes import BAD_VALUE, MISSING_FIELD, JsonNumber, mismatch

KIND: Final = "json"


class JsonMapping(RowMapping):
    """Where rows are, and what they mean."""

    #: nothing: the document is one row
    rows: str = Field(default="", pattern=r"^(\[\]|[^\[\].^$@]+(\[\])?)?(\.[^\[\].^$@]+(\[\])?)*$")


class JsonRow:
    """An object (or a bare value) of the document, and what it stands in."""

    __slots__ = ("_around", "_headers", "place")

    def __init__(self, place: str, around: tuple[Any, ...], headers: Mapping[str, str]) -> None:
        self.place = place
        #: the document, the rows around it, and the row itself
        self._around = around
        self._headers = headers

    def get(self, name: str) -> object:
        """Give the value at a path, or None; an object or an array is no value."""
        if name.startswith("@"):
            return self._headers.get(name[1:])
        level = len(self._around) - 1
        while name.startswith("^."):
            name = name[2:]
            level -= 1
        if name.startswith("$."):
            name, level = name[2:], 0
        value: Any = self._around[max(level, 0)]
        for part in name.split(".") if name != "." else ():
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and part.isascii() and part.isdecimal() and len(part) < 6:
                value = value[int(part)] if int(part) < len(value) else None
            else:
                return None
        if isinstance(value, (dict, list)):
            raise Refused(BAD_VALUE, f"{name}: {mismatch('a value', value)}")
        return value

    def content(self) -> str:
        """Give the row itself, its names in order."""
        return json.dumps(self._around[-1], sort_keys=True, default=_text)


def _text(value: object) -> str:
    return value.text if isinstance(value, JsonNumber) else repr(value)


def recognizes(raw: bytes, headers: Mapping[str, str]) -> bool:
    """Never: what JSON of any shape means, nobody can tell by looking."""
    return False


def translate(raw: bytes, context: Context) -> Translation:
    """Account for a document, row by row."""
    mapping: JsonMapping = model_of(context.mapping, JsonMapping)
    account = Account(KIND)
    try:
        document = read_json(raw)
    except Refused as refusal:
        return one_line(KIND, "document", refusal)
    steps = [step for step in mapping.rows.split(".") if step]
    rows: list[JsonRow] = []
    bad = 0
    for place, around in _walk(document, steps):
        if isinstance(around, Refused):
            account.refuse(account.line(place), around.code, str(around))
            bad += 1
        else:
            rows.append(JsonRow(place, around, context.headers))
    if rows or not bad or part_of(context) is not None:
        translate_rows(account, context, mapping, rows, raw, is_whole=not bad)
    return account.finish()


def _walk(document: Any, steps: list[str]) -> Iterator[tuple[str, tuple[Any, ...] | Refused]]:
    found: list[tuple[str, tuple[Any, ...] | Refused, Any]] = [("", (document,), document)]
    for number, step in enumerate(steps):
        name, is_array = step.removesuffix("[]"), step.endswith("[]")
        beneath: list[tuple[str, tuple[Any, ...] | Refused, Any]] = []
        for place, around, value in found:
            if isinstance(around, Refused):
                beneath.append((place, around, None))
                continue
            here = f"{place}.{name}" if place and name else place or name
            inner = value if not name else value.get(name) if isinstance(value, dict) else None
            if inner is None:
                told = f"{here}: expected {'an array' if is_array else 'an object'}, got nothing"
                beneath.append((here or "document", Refused(MISSING_FIELD, told), None))
            elif not is_array:
                last = number == len(steps) - 1
                beneath.append((here, (*around, inner) if last else around, inner))
            elif not isinstance(inner, list):
                told = f"{here}: {mismatch('an array', inner)}"
                beneath.append((here or "document", Refused(BAD_VALUE, told), None))
            else:
                beneath.extend((f"{here}[{at}]", (*around, entry), entry) for at, entry in enumerate(inner))
        found = beneath
    return ((place or "document", around) for place, around, _ in found)
