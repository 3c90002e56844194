"""Random histories with statements in their middle: true ones, by what was really there, and ones that are not.

Events come up to 30 minutes late, and statements wait as long. So a true statement must agree in every row, whatever
order all of it came in: what is true is added up from the whole history, as nobody could who only saw its beginning.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from flows.audit.model import Model
from flows.audit.past import Past, until
from flows.audit.stated import COUNTED, MAY_BE_NEGATIVE, MEASURES
from tests.histories import EPOCH, ITEMS, LOCATIONS, MINUTE, SECOND, SKEW, WINDOW, History, text_of
from tests.reconciling.story import Action, record

LATE_MAX = 30 * MINUTE
SETTLE = 30 * MINUTE
SOURCES = ("erp", "wms")
SETTLES = dict.fromkeys(SOURCES, SETTLE)


def occurred(event: dict[str, Any]) -> int:
    """When an event says that it happened."""
    return (datetime.fromisoformat(event["occurred_at"]) - EPOCH) // timedelta(microseconds=1)


class StatedHistory:
    """Tells one history. `is_true`: its statements say what was there; else some rows do not, and things are done.

    `truth` gives, by source:statement_id, whether all of its rows are true and there.
    """

    def __init__(self, seed: int, length: int = 80, is_true: bool = True) -> None:
        self.seed, self.is_true = seed, is_true
        self.random = random.Random(f"stated-{seed}")
        self.history = History(seed, length)
        self.history.features["late"] = False
        self.clock, self.time_zone = self.history.now, self.history.time_zone
        self.model = Model(WINDOW, SKEW, None, time_zone=self.time_zone)
        self.timed = self._timed()
        self.statements = [self._statement(number) for number in range(self.random.randrange(2, 6))]

    def actions(self) -> Iterator[Action]:
        """Give all of it in the order of the log, and time enough for the last row to be judged."""
        if not self.is_true:
            for source in SOURCES:
                yield self._rule(source)
        stream = [(at, 0, action) for at, action in self.timed]
        stream += [(at, 1, action) for messages in self.statements for at, action in messages]
        stream.sort(key=lambda one: one[:2])
        last = self.clock
        for at, _, action in stream:
            last = max(last, at)
            yield action
            if not self.is_true and self.random.random() < 0.04:
                decisions = ("correct", "accept", "reject", "undo")
                yield ("decide_any", (self.random.randrange(100), self.random.choice(decisions)))
        for step in (SETTLE, SETTLE, SETTLE):
            last += step + SECOND
            yield ("time", last)

    # Events.

    def _timed(self) -> list[tuple[int, Action]]:
        """The history's actions with their times, nothing later than it may be; the model is told all of it."""
        timed: list[tuple[int, Action]] = []
        told: dict[str, tuple[int, bool]] = {}
        now = self.clock
        for action, what in self.history.actions():
            if action == "time":
                now = what
            elif action == "reference":
                if what[0] == "inventory.items" and what[2] is None:
                    continue  # of an item that is gone nobody can state anything
                self.model.reference(*what)
            elif action == "event":
                topic, value, now = what
                event = json.loads(value)
                if event["event_id"] in told:
                    happened, was_taken = told[event["event_id"]]
                    if not was_taken and now - happened > LATE_MAX:
                        continue
                else:
                    happened = occurred(event)
                    if now - happened > LATE_MAX:
                        happened = now - self.random.randrange(LATE_MAX) // MINUTE * MINUTE
                event["occurred_at"] = text_of(happened)
                value = json.dumps(event).encode()
                refused = self.model.event(topic, value, now)
                told.setdefault(event["event_id"], (happened, not refused))
                what = (topic, value, now)
            timed.append((now, (action, what)))
        self.last = now
        return timed

    # Statements.

    def _statement(self, number: int) -> list[tuple[int, Action]]:
        pick = self.random
        source, statement_id = pick.choice(SOURCES), f"S{number}"
        as_of = self.clock + pick.randrange(max(1, self.last - self.clock))
        is_of_all = pick.random() < 0.5
        own = {"source": source, "statement_id": statement_id}
        rows = [row for item in ITEMS for place in LOCATIONS for row in self._rows(item, place, as_of, is_of_all)]
        if not self.is_true:
            rows = self._spoiled(rows)
        messages: list[dict[str, Any]] = []
        for index, (happened, row) in enumerate(rows):
            messages.append(
                {**own, "type": "stock_stated", "event_id": f"r{index}", "occurred_at": text_of(happened), **row}
            )
        said = len(rows) + (0 if self.is_true or pick.random() < 0.9 else pick.choice((-1, 1, 3)))
        start = {"items": "all" if is_of_all else "stated"} | ({"rows": len(rows)} if pick.random() < 0.3 else {})
        outer = {"occurred_at": text_of(as_of), **own}
        if not is_of_all and pick.random() < 0.3:
            start["locations"] = pick.sample(LOCATIONS, 2)
        messages.append({**outer, "type": "statement_started", "event_id": "start", **start})
        messages.append({**outer, "type": "statement_ended", "event_id": "end", "rows": max(0, said)})
        if pick.random() < 0.3:  # some of it again
            messages += pick.sample(messages, len(messages) // 3)
        pick.shuffle(messages)
        logged = as_of + pick.randrange(5 * SECOND, 40 * MINUTE)
        told = []
        for message in messages:
            logged += pick.randrange(0, 3) * SECOND
            told.append((logged, ("statement", (json.dumps(message).encode(), logged))))
        return told

    def _rows(self, item: str, location: str, as_of: int, is_of_all: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        """(as_of, fields) of what is said of an item at a location: nothing, all lots together, or each."""
        pick = self.random
        if not is_of_all and pick.random() < 0.3:
            return
        known = self.model.units_of.get(item, [])
        lots: list[str | None] = [None]
        there = Past(self.model, item, known).lots_known(item, location)
        if there and pick.random() < 0.5:
            lots = [*sorted(there)]
        for lot in lots:
            happened = as_of - (pick.randrange(5 * MINUTE) if pick.random() < 0.1 else 0)
            units = until(known, happened)
            past = Past(self.model, item, units)
            measures = {measure: past.counted(item, location, lot, measure) for measure in COUNTED}
            if lot is None and pick.random() < 0.3:
                figures = past.position(item, happened).get(location, {})
                measures |= {name: figures.get(name, 0) for name in MEASURES[2:]}
                if figures:
                    measures["available"] += past.safety_stock(item, location, None)
                if pick.random() < 0.3:  # of these alone, which are soon not known any more
                    measures = {name: q for name, q in measures.items() if name not in COUNTED}
            said = {name: q for name, q in measures.items() if q >= 0 or name in MAY_BE_NEGATIVE}
            scale = self.model.items[item]["measure"][1]
            fields = {name: f"{quantity}e-{scale}" if scale else quantity for name, quantity in said.items()}
            yield happened, {"item": item, "location": location, **fields} | ({} if lot is None else {"lot": lot})

    def _spoiled(self, rows: list[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
        """Rows of which some are wrong, some are missing, and some say twice what cannot be."""
        pick = self.random
        spoiled = []
        for happened, row in rows:
            chance = pick.random()
            if chance < 0.08:
                continue
            if chance < 0.35:
                name = pick.choice(COUNTED)
                if name in row:
                    wrong = self._wrong(str(row[name]), name == "on_hand")
                    row = {**row, name: wrong}
            elif chance < 0.6:
                row = self._aged(happened, row)
            spoiled.append((happened, row))
            if pick.random() < 0.01:
                spoiled.append((happened, {**row, "on_hand": 77}))
        return spoiled

    def _aged(self, happened: int, row: dict[str, Any]) -> dict[str, Any]:
        """A row whose reservations, claims and supply are those of an earlier hour."""
        item, location = row["item"], row["location"]
        earlier = happened - self.random.randrange(8 * 60) * MINUTE
        past = Past(self.model, item, until(self.model.units_of.get(item, []), earlier))
        figures = past.position(item, earlier).get(location, {})
        if figures:
            figures["available"] += past.safety_stock(item, location, None)
        scale = self.model.items[item]["measure"][1]
        said = {name: figures.get(name, 0) for name in MEASURES[2:] if name in row}
        kept = {name: q for name, q in said.items() if q >= 0 or name in MAY_BE_NEGATIVE}
        return {**row, **{name: f"{q}e-{scale}" if scale else q for name, q in kept.items()}}

    def _wrong(self, text: str, may_be_negative: bool) -> str | int:
        pick = self.random
        quantity, _, scale = text.partition("e-")
        number = pick.choice(
            (
                int(quantity) + pick.choice((-3, -1, 1, 2, 5)),
                int(quantity) * 12,
                -int(quantity),
                0,
            )
        )
        if not may_be_negative:
            number = abs(number)
        return f"{number}e-{scale}" if scale else number

    def _rule(self, source: str) -> Action:
        pick = self.random
        actions = {measure: pick.choice(("report", "hold", "hold", "ask", "correct")) for measure in COUNTED}
        fields: dict[str, Any] = {"actions": actions, "max_rows_in_variance_percent": pick.choice((20, 100, 100))}
        if pick.random() < 0.4:
            fields["tolerance"] = pick.choice((1, 2))
        if pick.random() < 0.3:
            fields["tolerance_percent"] = pick.choice((5, 25))
        if pick.random() < 0.3:
            fields["locations"] = pick.sample(LOCATIONS, 2)
        return record("reconciliation", source=source, **fields)
