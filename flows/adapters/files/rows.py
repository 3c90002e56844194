"""Reads a CSV or JSON Lines file line by line; what is wrong with its form is a problem with a line and a column."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flows.adapters.files import numbers
from flows.adapters.files.columns import KINDS, Column, Kind
from flows.adapters.files.numbers import UNSAID, Marks, TwoMeaningsError
from flows.errors import PlainError
from schemas.codes import BAD_VALUE, MISSING_FIELD, NOT_AN_OBJECT, NOT_JSON, mismatch, near_match
from schemas.settings import SettingsError

#: The largest message is 1 MiB; a line that is longer is not one of ours, or a quote was never closed.
LINE_BYTES_MAX = 1_048_576
SUFFIXES = (".csv", ".jsonl", ".ndjson")


class ImportProblem(PlainError):
    """A file cannot be read to its end; the text says which, why and what would do."""


#: Kinds of problem that the engine has no code of its own for: they have advice of their own.
AMBIGUOUS, NO_MOMENT, REPEATED, NOT_A_TABLE = "ambiguous number", "no moment", "said twice", "not a table"


class Problem(NamedTuple):
    """What is wrong with one line: where, the code that the engine would give it, and a sentence."""

    file: str
    line: int
    column: str
    code: str
    sentence: str
    #: what sort of problem it is, where that is more than its code
    sort: str = ""


class Row(NamedTuple):
    """One line: its number, its fields (empty ones are absent), and what is wrong with its form."""

    line: int
    fields: dict[str, Any]
    problems: tuple[Problem, ...] = ()


class File(NamedTuple):
    """A file, what it holds, and what was said of the numbers in it."""

    path: Path
    kind: Kind
    marks: Marks = UNSAID

    @property
    def name(self) -> str:
        """Without its folder: problems and messages name it so."""
        return self.path.name


def file_of(argument: str, marks: Marks = UNSAID) -> File:
    """Find out what a file holds: `KIND=FILE`, or by the beginning of its name (stock.csv, orders-2.jsonl).

    SettingsError, as for any wrong argument, if that cannot be told.
    """
    named, equals, rest = argument.partition("=")
    path = Path(rest if equals and named in KINDS else argument)
    kind = KINDS.get(named) if equals else None
    if kind is None:
        fitting = [name for name in KINDS if path.name.lower().startswith(name)]
        if not fitting:
            raise SettingsError(
                f"{path.name}: expected a name that begins with one of {', '.join(KINDS)}, or KIND=FILE such as "
                f"stock={path}: what the file holds cannot be told"
            )
        kind = KINDS[max(fitting, key=len)]
    if path.suffix.lower() not in SUFFIXES:
        raise SettingsError(f"{path.name}: expected a file that ends in .csv (CSV) or .jsonl (JSON Lines)")
    if not path.is_file():
        raise SettingsError(f"{path}: expected a file that can be read, found none")
    return File(path, kind, marks)


def rows(file: File) -> Iterator[Row]:
    """Give the lines of a file."""
    read = _csv if is_csv(file) else _json_lines
    try:
        yield from read(file)
    except UnicodeDecodeError as error:
        raise ImportProblem(
            f"{file.path}: expected UTF-8, got other bytes ({error.reason}): save it as UTF-8"
        ) from None
    except OSError as error:
        raise ImportProblem(f"{file.path}: cannot be read: {(error.strerror or str(error)).lower()}") from error


def is_csv(file: File) -> bool:
    """Is it a table, or JSON Lines?"""
    return file.path.suffix.lower() == ".csv"


def column_names(file: File) -> list[str]:
    """Give the names in a table's first line; none where that cannot be read, which whoever reads it says."""
    try:
        with file.path.open(encoding="utf-8-sig", newline="") as text:
            head = text.readline()
            return [name.strip().strip('"').strip().lower() for name in head.split(_delimiter(head))]
    except (UnicodeDecodeError, OSError):
        return []


def _delimiter(head: str) -> str:
    return max(",;\t", key=head.count)


def _csv(file: File) -> Iterator[Row]:
    with file.path.open(encoding="utf-8-sig", newline="") as text:
        delimiter = _delimiter(text.readline())
        text.seek(0)
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        line = 1
        try:
            names = [name.strip().lower() for name in next(reader, [])]
            problems = _head_problems(file, names)
            if problems:
                yield Row(1, {}, problems)
                return
            columns = {column.name: column for column in file.kind.columns}
            readers = [(name, reader_of(columns[name], numbers.of_table(file.marks, delimiter))) for name in names]
            width = len(names)
            line = reader.line_num + 1
            for cells in reader:
                if len(cells) == width:
                    try:
                        yield Row(
                            line,
                            {
                                name: read(told) if read is not None else told
                                for (name, read), cell in zip(readers, cells, strict=True)
                                if (told := cell.strip())
                            },
                        )
                    except TwoMeaningsError:
                        yield Row(line, {}, tuple(_unclear(file, line, readers, cells)))
                elif cells:  # an empty line is no line
                    said = f"expected {width} cells, as the first line has, got {len(cells)}"
                    yield Row(line, {}, (Problem(file.name, line, "", BAD_VALUE, said, NOT_A_TABLE),))
                line = reader.line_num + 1
        except csv.Error as error:
            said = f"expected CSV, got other text: {error}"
            yield Row(line, {}, (Problem(file.name, line, "", BAD_VALUE, said, NOT_A_TABLE),))


def _head_problems(file: File, names: list[str]) -> tuple[Problem, ...]:
    columns = {column.name: column for column in file.kind.columns}
    said: list[tuple[str, str, str]] = []
    for name in names:
        if name not in columns:
            expected = f"a column of {file.kind.name} ({', '.join(columns)})"
            wrong = f"{mismatch(expected, name)}{near_match(name, columns)}"
            said.append((name, BAD_VALUE, wrong))
        elif names.count(name) > 1:
            said.append((name, BAD_VALUE, "expected each column once, got it twice"))
    said += [
        (name, MISSING_FIELD, "expected a column of this name, got none")
        for name, column in columns.items()
        if column.is_required and name not in names
    ]
    return tuple(Problem(file.name, 1, *one) for one in dict.fromkeys(said))


def _json_lines(file: File) -> Iterator[Row]:
    columns = {column.name: column for column in file.kind.columns}
    with file.path.open("rb") as lines:
        line = 0
        while raw := lines.readline(LINE_BYTES_MAX + 1):
            line += 1
            if len(raw) > LINE_BYTES_MAX:
                said = f"expected at most {LINE_BYTES_MAX} bytes a line, got more"
                yield Row(line, {}, (Problem(file.name, line, "", BAD_VALUE, said),))
                return
            if not raw.strip():
                continue
            yield _json_row(file, line, raw.decode("utf-8-sig" if line == 1 else "utf-8"), columns)


def _no_constant(text: str) -> object:
    raise ValueError(f"{text} is no JSON")


#: Text is exact where a number of Python or of a message would not be, and the engine reads it.
_read_json = json.JSONDecoder(
    parse_float=str, parse_int=lambda text: int(text) if len(text) <= 18 else text, parse_constant=_no_constant
).decode


def _json_row(file: File, line: int, text: str, columns: dict[str, Column]) -> Row:
    try:
        fields = _read_json(text)
    except (ValueError, RecursionError) as error:
        return Row(
            line, {}, (Problem(file.name, line, "", NOT_JSON, f"expected a JSON object, got other text: {error}"),)
        )
    if not isinstance(fields, dict):
        said = str(mismatch("a JSON object", fields))
        return Row(line, {}, (Problem(file.name, line, "", NOT_AN_OBJECT, said),))
    problems = tuple(
        Problem(file.name, line, name, BAD_VALUE, f"{mismatch('a known column', name)}{near_match(name, columns)}")
        for name in fields
        if name not in columns
    )
    return Row(line, {name: value for name, value in fields.items() if value is not None}, problems)


# What a cell cannot be read as stays text: the one rule that then refuses it also says what was expected.

Reader = Callable[[str], Any]


def reader_of(column: Column, marks: Marks) -> Reader | None:
    """Give what reads the cells of a column that are not empty; None where they stay text."""

    def number(text: str) -> int | str:
        return numbers.read(text, marks)

    def pairs(text: str) -> dict[str, Any] | str:
        split = [pair.partition("=") for pair in text.split()]
        if not all(equals for _, equals, _ in split):
            return text
        return {name: str(number(value)) for name, _, value in split}

    readers: dict[str, Reader | None] = {
        "text": None,
        "number": number,
        "switch": _switch,
        "list": str.split,
        "map": pairs,
    }
    return readers[column.form]


def _switch(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text.lower(), text)


def _unclear(file: File, line: int, readers: list[tuple[str, Reader | None]], cells: list[str]) -> Iterator[Problem]:
    """Give what each cell of a line says that could be two numbers."""
    for (name, read), cell in zip(readers, cells, strict=True):
        try:
            if read is not None and cell.strip():
                read(cell.strip())
        except TwoMeaningsError as error:
            yield Problem(file.name, line, name, BAD_VALUE, str(error), AMBIGUOUS)
