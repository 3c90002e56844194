"""Decides for the naive model what a source's record allows: how far off theirs may be, and what is done then."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from flows.audit.model import Model
from flows.audit.past import Cell
from flows.audit.reading import Fields, Refused, number, read_object, take
from flows.audit.stated import COUNTED, MEASURES, PROMISE

ACTIONS = ("report", "hold", "correct", "ask")
PERCENTAGES = {"max_rows_in_variance_percent": Fraction(5), "min_rows_percent_of_last": Fraction(90)}


class Allowances:
    """The records in force, by source; a source without one has the defaults."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.records: dict[str, Fields] = {}

    def reference(self, key: bytes, value: bytes | None) -> list[str]:
        """Give the codes of what is wrong with a record, none if it is now in force; None as value deletes."""
        source = key.decode(errors="replace")
        if value is None:
            self.records.pop(source, None)
            return []
        try:
            record = read_object(value)
            if take(record, "source", required=True) != source:
                raise Refused("bad_value")
            judged = self._judged(record)
            for other, theirs in self.records.items():
                if other != source and self._clash(judged, theirs):
                    raise Refused("bad_value")
        except Refused:
            return ["bad_value"]
        self.records[source] = judged
        return []

    def _judged(self, record: Fields) -> Fields:
        judged: Fields = {}
        for name in ("tolerance", "tolerance_percent", *PERCENTAGES):
            judged[name] = number(record[name]) if name in record else PERCENTAGES.get(name, Fraction(0))
            if judged[name] < 0 or (name in PERCENTAGES and judged[name] > 100):
                raise Refused("bad_value")
        actions, locations = record.get("actions", {}), record.get("locations")
        if not isinstance(actions, dict):
            raise Refused("bad_value")
        actions = {measure: action for measure, action in actions.items() if action is not None}
        for measure, action in actions.items():
            if measure not in (*MEASURES, PROMISE) or action not in ACTIONS:
                raise Refused("bad_value")
            if action != "report" and measure not in COUNTED:
                raise Refused("bad_value")
        if locations is not None and (
            not isinstance(locations, list)
            or any(not isinstance(name, str) or name not in self.model.locations for name in locations)
        ):
            raise Refused("bad_value")
        return {**judged, "actions": actions, "locations": locations}

    def _clash(self, one: Fields, other: Fields) -> bool:
        """Whether both would correct the same measure somewhere: one owner."""
        for measure in COUNTED:
            if one["actions"].get(measure) == other["actions"].get(measure) == "correct":
                if one["locations"] is None or other["locations"] is None:
                    return True
                if beneath(self.model, one["locations"]) & beneath(self.model, other["locations"]):
                    return True
        return False

    def of(self, source: str) -> Fields:
        """Give what holds for a source."""
        return self.records.get(source) or self._judged({})

    def limit(self, source: str, item: str) -> Callable[[int], Fraction]:
        """Give by how much theirs may differ from ours and agree, exactly, in base UoM times 10^scale."""
        record = self.of(source)
        fixed = record["tolerance"] * Fraction(10) ** self.model.items[item]["measure"][1]
        percent = record["tolerance_percent"] / 100
        return lambda ours: max(fixed, abs(ours) * percent)

    def action(self, source: str, cell: Cell) -> str:
        """Give what is to be done about a variance there."""
        record = self.of(source)
        named = record["locations"]
        if named is not None and cell.place not in beneath(self.model, named):
            return "report"
        return str(record["actions"].get(cell.measure, "report"))


def beneath(model: Model, named: list[str] | tuple[str, ...]) -> set[str]:
    """Give the named locations and all that lie beneath them."""
    found = set(named) & model.locations.keys()
    while True:
        more = {place for place, own in model.locations.items() if own["parent"] in found} - found
        if not more:
            return found
        found |= more
