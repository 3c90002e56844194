"""Reads CSV files: a header, rows beneath it, and a mapping that says what a row means.

A row that cannot be read, or has too few cells (the file was cut off), is refused by itself; the others count. A file
that lacks a column of the mapping is another file, and is refused whole.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from pydantic import Field, field_validator

from operators.adapters.account import Account, Refused, Translation, one_line
from operators.adapters.context import Context
from operators.adapters.mapping import RowMapping, model_of
from operators.adapters.rows import columns_of, part_of, translate_rows
from schemas.codes import BAD_VALUE, MISSING_FIELD, show

KIND: Final = "csv"


class CsvMapping(RowMapping):
    """How the file is written, and what its rows mean."""

    delimiter: str = Field(default=",", min_length=1, max_length=1)
    #: one character, or nothing: no cell is quoted
    quote: str = Field(default='"', max_length=1)
    encoding: Literal["utf-8", "utf-16", "latin-1", "cp1252", "cp1250", "cp1251", "shift_jis", "gb18030"] = "utf-8"
    #: lines above the header
    skip: int = Field(default=0, ge=0, le=1000)
    #: names of the columns, of a file without a header
    columns: tuple[str, ...] = ()

    @field_validator("columns")
    @classmethod
    def _are_told_apart(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(columns)) < len(columns):
            raise ValueError("expected names that differ")
        return columns


class CsvRow:
    """A row, by its columns' names."""

    __slots__ = ("_cells", "_columns", "_headers", "place")

    def __init__(self, place: str, cells: list[str], columns: Mapping[str, int], headers: Mapping[str, str]) -> None:
        self.place = place
        self._cells, self._columns, self._headers = cells, columns, headers

    def get(self, name: str) -> object:
        """Give a cell without spaces around it, or a header of the message (`@received_at`); None where it is empty."""
        if name.startswith("@"):
            return self._headers.get(name[1:])
        at = self._columns.get(name)
        return None if at is None else self._cells[at].strip() or None

    def content(self) -> str:
        """Give all cells."""
        return repr(self._cells)


def recognizes(raw: bytes, headers: Mapping[str, str]) -> bool:
    """Never: what a file of commas means, nobody can tell by looking."""
    return False


def translate(raw: bytes, context: Context) -> Translation:
    """Account for a file, row by row."""
    mapping: CsvMapping = model_of(context.mapping, CsvMapping)
    account = Account(KIND)
    try:
        rows, bad = _read(_decoded(raw, mapping), mapping, context)
    except Refused as refusal:
        return one_line(KIND, "document", refusal)
    for place, fault in bad:
        account.refuse(account.line(place), fault.code, str(fault))
    if rows or not bad or part_of(context) is not None:
        translate_rows(account, context, mapping, rows, raw, is_whole=not bad)
    return account.finish()


def _decoded(raw: bytes, mapping: CsvMapping) -> str:
    try:
        return raw.decode(mapping.encoding).removeprefix("\ufeff")
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        raise Refused(BAD_VALUE, f"document: expected text in {mapping.encoding}, got other bytes at {at}") from None


Bad = list[tuple[str, Refused]]


def _read(text: str, mapping: CsvMapping, context: Context) -> tuple[list[CsvRow], Bad]:
    lines = io.StringIO(text, newline="")  # other marks of Unicode end no line
    for _ in range(mapping.skip):
        lines.readline()
    reader = csv.reader(
        lines,
        delimiter=mapping.delimiter,
        quotechar=mapping.quote or None,
        quoting=csv.QUOTE_MINIMAL if mapping.quote else csv.QUOTE_NONE,
        strict=True,
    )
    cells_of = _each(reader, mapping.skip)
    columns = _columns(mapping, cells_of)
    rows: list[CsvRow] = []
    bad: Bad = []
    for place, cells in cells_of:
        if isinstance(cells, Refused):
            bad.append((place, cells))
        elif not any(cell.strip() for cell in cells):
            continue
        elif len(cells) < len(columns) or any(cell.strip() for cell in cells[len(columns) :]):
            told = f"row: expected {len(columns)} cells as the header has, got {len(cells)}"
            bad.append((place, Refused(BAD_VALUE, told)))
        else:
            rows.append(CsvRow(place, cells, columns, context.headers))
    return rows, bad


def _each(reader: Iterator[list[str]], skipped: int) -> Iterator[tuple[str, list[str] | Refused]]:
    """Give each row and the number of its line; one that cannot be read is a refusal, and reading goes on behind it."""
    while True:
        at = f"line[{getattr(reader, 'line_num', 0) + skipped + 1}]"
        try:
            yield at, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield at, Refused(BAD_VALUE, f"row: expected cells of CSV, got other text: {error}")


def _columns(mapping: CsvMapping, cells_of: Iterator[tuple[str, list[str] | Refused]]) -> dict[str, int]:
    names = list(mapping.columns)
    if not names:
        _, header = next(cells_of, ("", []))
        if isinstance(header, Refused):
            raise header
        names = [name.strip() for name in header]
        while names and not names[-1]:
            names.pop()
    if not names:
        raise Refused(MISSING_FIELD, "document: expected a header and rows, got nothing")
    found = {name: number for number, name in enumerate(names)}
    if len(found) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(BAD_VALUE, f"header: expected names that differ, got {show(twice)} twice")
    for choices in columns_of(mapping):
        if not any(name in found or name.startswith("@") for name in choices):
            raise Refused(MISSING_FIELD, f"header: expected a column {' or '.join(choices)}, got none of that name")
    return found
