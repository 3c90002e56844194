"""Decides whether the engine could use a line: by the engine's own rules, fed with what Kafka and the files say.

What it cannot know is whether an item that has state already would change its unit of measure: that the engine refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from flows.adapters.files.facts import Message
from flows.adapters.files.rows import REPEATED, File, Problem, Row
from flows.runtime.configs import decoder_config
from operators.decode import CodeSets, Decoder
from operators.reference import ReferenceTables, item_facts_of
from operators.rules.quantities import QuantityError, UnitsOfMeasure
from operators.rules.rounding import round_safely
from schemas.codes import BAD_VALUE, QUANTITY_NOT_EXACT, UNKNOWN_ITEM, exceeds, parse_number
from schemas.reference import Item, ReferenceError, parse_reference
from schemas.settings import Settings
from schemas.units import Origin, Refusal, Unit

#: Lines that name each other (a location and its parent) may stand in any order; so they are judged together.
TOGETHER = ("locations", "channels")
_column = re.compile(r"(?:lines\[0\]\.)?([a-z_]+)[^:]*: (.*)", re.DOTALL).fullmatch


class Judge:
    """Knows the reference data so far, and the keys of the lines so far."""

    def __init__(self, settings: Settings, recorded_at: int) -> None:
        self._prefix = settings.topics.prefix
        self._recorded_at = recorded_at
        self._tables = ReferenceTables()
        self._known = CodeSets(self._tables.locations, self._tables.channels)
        self._decoder = Decoder(decoder_config(settings), self._known)
        self._measures: dict[str, UnitsOfMeasure] = {}
        self._seen: dict[str, dict[int, tuple[str, int]]] = {}
        self._units: list[Unit] = []
        self._refusals: list[Refusal] = []

    def know(self, kind: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Take over what Kafka holds of a reference topic; what is wrong there is not the files' fault."""
        origins = [(kind, Origin("", 0, number, 0, *record)) for number, record in enumerate(records)]
        self._tables.accept(origins, 0, 0)
        if kind == "items":
            for _, origin in origins:
                self._know_item(origin)

    def reference(self, file: File, lines: list[tuple[Row, Message]]) -> Iterator[Problem]:
        """Judge lines of reference data, and know from then on those that are right."""
        kind = file.kind.name
        numbers = {row.line: message for row, message in lines}
        origins = [(kind, Origin("", 0, line, 0, message.key, message.value)) for line, message in numbers.items()]
        _, refused, _ = self._tables.accept(origins, 0, 0)
        wrong = set()
        for refusal in refused:
            wrong.add(refusal.origin.offset)
            yield _problem(file, refusal.origin.offset, refusal.code, refusal.message)
        if kind == "items":
            for _, origin in origins:
                if origin.offset not in wrong:
                    self._know_item(origin)

    def event(self, file: File, row: Row, messages: Iterable[Message]) -> Iterator[Problem]:
        """Judge the messages of one line; the first thing that is wrong with each."""
        units, refusals = self._units, self._refusals
        for place, message in enumerate(messages):
            origin = Origin(self._prefix + message.topic, 0, 0, 0, message.key, message.value)
            self._decoder.decode(origin, self._recorded_at, units, refusals, True)
            refusal = None
            if units and not refusals:
                refusal = self._verdict(units[0])
            elif refusals:
                refusal = refusals[0].code, refusals[0].message
            if refusal is not None:
                yield _problem(file, row.line, *refusal, is_allocation=place > 0)
            units.clear()
            refusals.clear()
        allocated = row.fields.get("allocated")
        if allocated is not None and _is_more(allocated, row.fields.get("quantity")):
            said = f"expected at most the quantity {row.fields.get('quantity')}, got {allocated}"
            yield Problem(file.name, row.line, "allocated", BAD_VALUE, said)

    def repeated(self, file: File, row: Row) -> Problem | None:
        """Say if an earlier line is about the same: of two counts of one cell only one would stand."""
        kind = file.kind
        seen = self._seen.setdefault(kind.name, {})
        # 64 bits stand for the key: a million lines have one chance in thirty million that two of them look the same.
        identity = hash(tuple(str(row.fields.get(name, "")) for name in kind.key))
        first = seen.setdefault(identity, (file.name, row.line))
        if first == (file.name, row.line):
            return None
        keys = ", ".join(kind.key)
        said = f"expected one line for each {keys}, got the same as in {first[0]}, line {first[1]}"
        return Problem(file.name, row.line, kind.key[0], BAD_VALUE, said, REPEATED)

    def _verdict(self, unit: Unit) -> tuple[str, str] | None:
        measure = self._measures.get(unit.item)
        if measure is None:
            return UNKNOWN_ITEM, f"item: expected an item of inventory.items, got {unit.item}"
        try:
            _convert(unit, measure)
        except QuantityError as error:
            return error.code, str(error)
        return unit.verdict

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
        self._measures[record.item] = UnitsOfMeasure(
            facts.base_uom, facts.scale, dict(facts.conversions), facts.rounding == "safe"
        )


def _convert(unit: Unit, measure: UnitsOfMeasure) -> None:
    """Convert what a unit gives, or raise QuantityError, as the engine will."""
    try:
        if unit.quantity is not None:
            measure.convert(unit.quantity, unit.uom, "quantity")
        if unit.quarantined is not None:
            measure.convert(unit.quarantined, unit.uom, "quarantined")
    except QuantityError as error:
        if error.code != QUANTITY_NOT_EXACT or not measure.is_safe:
            raise
        round_safely(unit, measure)


def _problem(file: File, line: int, code: str, message: str, is_allocation: bool = False) -> Problem:
    """Give the engine's sentence, with the field that it names as the column."""
    if is_allocation:  # its quantity has a column of its own
        message = message.replace("quantity:", "allocated:", 1)
    named = _column(message)
    columns = {column.name for column in file.kind.columns}
    if named is None or named[1] not in columns:
        return Problem(file.name, line, "", code, message)
    return Problem(file.name, line, named[1], code, named[2])


def _is_more(left: object, right: object) -> bool:
    try:
        return exceeds(parse_number(left), parse_number(right))
    except ValueError:
        return False  # another rule says what is wrong with them
