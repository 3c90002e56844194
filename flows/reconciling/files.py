"""Reads a file as the rows of a statement: what its columns are, and whether the engine could use each line.

Two kinds of line are told apart by the columns: figures of an item at a location, and what a channel shows of one. What
has the wrong form stops everything, for nobody can know what it means. What names an unknown code, or a quantity that
its item cannot hold, is sent all the same: the engine refuses that row alone, with its bytes and the reason, and a row
that is left out would look as if the source had nothing there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from flows.adapters.files.columns import Column, Kind
from flows.adapters.files.facts import origin_of
from flows.adapters.files.known import read_reference
from flows.adapters.files.numbers import Marks
from flows.adapters.files.rows import REPEATED, SUFFIXES, File, ImportProblem, Problem, Row, column_names, is_csv, rows
from flows.runtime.configs import decoder_config
from operators.decode import CodeSets
from operators.reference import ReferenceTables, item_facts_of
from operators.rules.quantities import QuantityError, UnitsOfMeasure
from operators.statement_decode import StatementDecoder
from schemas import codes
from schemas.reference import Item, ReferenceError, parse_reference
from schemas.settings import Settings, SettingsError
from schemas.stated import Stated
from schemas.statements import MEASURES, PROMISE
from schemas.topics import STATEMENTS
from schemas.units import Origin, Refusal

_UOM = Column("uom", "the unit that the quantities of this line are in; the item's base unit if absent")
#: What a system has: one line an item and location, or one a lot.
STOCK: Final = Kind(
    "stock",
    STATEMENTS,
    "what there is of each item at each location",
    ("item", "location", "lot"),
    (
        Column("item", "the item's code", True),
        Column("location", "the location's code: itself alone, nothing beneath it", True),
        Column("lot", "the lot; a line without one states all lots together"),
        _UOM,
        Column("on_hand", "all that is there, whatever its status", form="number"),
        Column("quarantined", "how much of it must not be sold", form="number"),
        Column("hard_reserved", "what order lines have reserved there", form="number"),
        Column("soft_allocated", "what order lines claim there without a reservation", form="number"),
        Column("in_transit", "what is on its way there by transfer", form="number"),
        Column("expected", "what receipts still bring there", form="number"),
        Column("withheld", "what is not to be promised", form="number"),
        Column("available", "what is left of on_hand after all of that", form="number"),
    ),
)
#: What a channel shows.
PROMISES: Final = Kind(
    "promises",
    STATEMENTS,
    "what a channel shows of each item",
    ("item", "channel"),
    (
        Column("item", "the item's code", True),
        Column("channel", "the channel's code", True),
        Column("atp", "what it shows", True, "number"),
        _UOM,
    ),
)
#: Of these the engine refuses one row; all else that is wrong is wrong with the file.
OF_A_ROW: Final = frozenset(
    {
        codes.UNKNOWN_ITEM,
        codes.UNKNOWN_LOCATION,
        codes.UNKNOWN_CHANNEL,
        codes.UNKNOWN_UOM,
        codes.QUANTITY_NOT_EXACT,
        codes.NOT_ALLOWED,
    }
)
DIGEST = 16


class Statement(NamedTuple):
    """What is to be sent: the file, whose word it is, of which moment, and what it is about."""

    file: File
    source: str
    statement_id: str
    #: RFC 3339, and the same in UTC microseconds
    as_of: str
    moment: int
    is_all_items: bool = False
    locations: tuple[str, ...] | None = None

    def head(self, kind: str, event_id: str) -> dict[str, Any]:
        """Give what each of its messages says."""
        return {
            "event_id": event_id,
            "type": kind,
            "source": self.source,
            "occurred_at": self.as_of,
            "statement_id": self.statement_id,
        }

    def start(self, count: int) -> bytes:
        """Give its first message."""
        said = self.head("statement_started", f"{self.statement_id}:start") | {"rows": count}
        if self.is_all_items:
            said["items"] = "all"
        if self.locations is not None:
            said["locations"] = list(self.locations)
        return orjson.dumps(said)

    def row(self, line: int, fields: dict[str, Any]) -> bytes:
        """Give the message of a line; the id says what the line is about, so that order means nothing."""
        about = hashlib.sha256("\0".join(str(fields.get(name, "")) for name in self.file.kind.key).encode()).hexdigest()
        head = self.head("promise_stated" if self.file.kind is PROMISES else "stock_stated", about[: 2 * DIGEST])
        return orjson.dumps(head | fields | {"correlation_id": f"{origin_of(self.file.name)}:{line}"})

    def end(self, count: int) -> bytes:
        """Give its last message."""
        return orjson.dumps(self.head("statement_ended", f"{self.statement_id}:end") | {"rows": count})


def file_of(argument: str, marks: Marks) -> File:
    """Find out which of the two kinds of line a file has; SettingsError, as for any wrong argument, if none."""
    path = Path(argument)
    if path.suffix.lower() not in SUFFIXES:
        raise SettingsError(f"{path.name}: expected a file that ends in .csv (CSV) or .jsonl (JSON Lines)")
    if not path.is_file():
        raise SettingsError(f"{path}: expected a file that can be read, found none")
    file = File(path, STOCK, marks)
    names = column_names(file) if is_csv(file) else _fields_of_first(path)
    return file._replace(kind=PROMISES) if "channel" in names and "location" not in names else file


def _fields_of_first(path: Path) -> list[str]:
    try:
        with path.open("rb") as lines:
            said = orjson.loads(next((line for line in lines if line.strip()), b"{}"))
    except (orjson.JSONDecodeError, OSError):
        return []  # whoever reads it says what is wrong
    return list(said) if isinstance(said, dict) else []


def identity(file: File, as_of: int, scope: tuple[object, ...]) -> str:
    """Give the statement_id of a file: its moment, and a digest of its bytes and of what it is said to be about.

    So the same file of the same moment is the same statement, whatever it is called; another one is another.
    """
    digest = hashlib.sha256(repr(scope).encode())
    try:
        with file.path.open("rb") as data:
            for block in iter(lambda: data.read(1 << 20), b""):
                digest.update(block)
    except OSError as error:
        raise ImportProblem(f"{file.path}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    seconds, micros = divmod(as_of, 1_000_000)
    return f"{compact(seconds)}{f'.{micros:06}' if micros else ''}Z-{digest.hexdigest()[:DIGEST]}"


def compact(seconds: int) -> str:
    """Give a moment without marks between its parts."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%S")


class Judge:
    """Decides about lines by the engine's own rules, fed with the reference data that Kafka holds."""

    def __init__(self, settings: Settings, recorded_at: int) -> None:
        self._topic = settings.topic(STATEMENTS)
        self._recorded_at = recorded_at
        tables = ReferenceTables()
        self._measures: dict[str, UnitsOfMeasure] = {}
        for kind, records in read_reference(settings):
            origins = [(kind, Origin("", 0, number, 0, *record)) for number, record in enumerate(records)]
            if kind == "items":
                for _, origin in origins:
                    self._know_item(origin)
            else:
                tables.accept(origins, 0, 0)
        self._decoder = StatementDecoder(decoder_config(settings), CodeSets(tables.locations, tables.channels))
        #: digest of what a line is about -> its number and the digest of what it says
        self._seen: dict[int, tuple[int, int]] = {}
        #: lines that say again what one before them says
        self.repeated = 0

    def begin_again(self) -> None:
        """The same lines are read once more."""
        self._seen.clear()
        self.repeated = 0

    def message(self, value: bytes) -> tuple[str, str] | None:
        """Say what the engine would refuse a message for: (code, sentence)."""
        said = self._decoder.decode(Origin(self._topic, 0, 0, 0, None, value), self._recorded_at, True)
        assert said is not None, "what is final is not held back"
        if isinstance(said, Refusal):
            return said.code, said.message
        return self._quantities(said) if said.is_row else None

    def is_repeat(self, file: File, row: Row) -> Problem | bool:
        """Does a line say again what an earlier one says? A problem, if it says something else of the same."""
        about = hash(tuple(str(row.fields.get(name, "")) for name in file.kind.key))
        content = hash(tuple(sorted((name, str(value)) for name, value in row.fields.items())))
        first, before = self._seen.setdefault(about, (row.line, content))
        if first == row.line:
            return False
        if before == content:
            self.repeated += 1
            return True
        keys = ", ".join(name for name in file.kind.key if name in row.fields)
        said = f"expected one line for each {keys}, got other figures than in line {first}"
        return Problem(file.name, row.line, file.kind.key[0], codes.BAD_VALUE, said, REPEATED)

    def _quantities(self, said: Stated) -> tuple[str, str] | None:
        measure = self._measures.get(said.item)
        if measure is None:
            return codes.UNKNOWN_ITEM, f"item: expected an item of inventory.items, got {said.item}"
        names = MEASURES if len(said.figures) > 1 else (PROMISE,)
        for name, figure in zip(names, said.figures, strict=True):
            if figure is None:
                continue
            try:
                measure.convert(figure, said.uom, name)
            except QuantityError as error:
                if error.code != codes.QUANTITY_NOT_EXACT or not measure.is_safe:
                    return error.code, str(error)
        return said.verdict

    def _know_item(self, origin: Origin) -> None:
        if origin.value is None:
            self._measures.pop((origin.key or b"").decode("utf-8", "replace"), None)
            return
        try:
            record = parse_reference("items", origin.key, origin.value)
        except ReferenceError:
            return
        assert isinstance(record, Item)
        facts = item_facts_of(record)
        is_safe = facts.rounding == "safe"
        self._measures[record.item] = UnitsOfMeasure(facts.base_uom, facts.scale, dict(facts.conversions), is_safe)


def messages(todo: Statement, judge: Judge) -> Iterator[tuple[Row, bytes | None, Problem | None]]:
    """Give each line that is worth sending, its message, and what the engine will refuse it for, if anything.

    Without a message the problem is of the file: nothing of it may be sent.
    """
    file = todo.file
    for row in rows(file):
        if row.problems:
            for problem in row.problems:
                yield row, None, problem
            continue
        repeat = judge.is_repeat(file, row)
        if isinstance(repeat, Problem):
            yield row, None, repeat
            continue
        if repeat:
            continue
        value = todo.row(row.line, row.fields)
        refused = judge.message(value)
        if refused is None:
            yield row, value, None
            continue
        column, _, sentence = refused[1].partition(": ")
        known = {column.name for column in file.kind.columns}
        problem = (
            Problem(file.name, row.line, column, refused[0], sentence)
            if column in known
            else Problem(file.name, row.line, "", *refused)
        )
        yield row, value if refused[0] in OF_A_ROW else None, problem
