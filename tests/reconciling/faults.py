"""Plants one fault in a statement that is true otherwise, and says what has to be found: seeded, told again by number.

An estate has a day of events. What is theirs is worked out by adding up again with one unit less, one twice, and so on;
never by asking what the fault would be called.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flows.audit.intake import Unit
from flows.audit.model import Model
from flows.audit.past import Cell, Past, effect, until
from flows.audit.stated import COUNTED
from tests.desk import HOUR, MINUTE
from tests.histories import text_of
from tests.reconciling.story import Action, moment, record, rule

AS_OF = moment("12:00")
FIRST = AS_OF - 15 * HOUR
SOURCE, STATEMENT = "erp", "S1"
LOCATIONS = ("NORTH", "SOUTH", "WEST")
#: of this one every row names a lot
LOTTED = "ROPE"
ITEMS = ("SHOVEL", LOTTED, "SAND")
LOTS = ("L1", "L2", "L3")
WINDOW, SKEW = 24 * HOUR, 5 * MINUTE

RowKey = tuple[str, str, str | None]
Theirs = dict[RowKey, dict[str, int]]


@dataclass
class Planted:
    """A fault: what is told, what must be found. `rejected`: the reasons, where nothing may be done because of it."""

    seed: int
    fault: str
    told: list[Action]
    #: the keys of the variances that there must be, and no other
    keys: set[str]
    cause: str
    rejected: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Give by what it can be told again."""
        return f"{self.fault} {self.seed}"


class Estate:
    """A day of events at three locations, and a statement of all of it that is true to the unit."""

    def __init__(self, seed: int, items: tuple[str, ...] = ITEMS, length: int = 36) -> None:
        self.seed, self.items = seed, items
        self.pick = random.Random(f"estate-{seed}")
        self.number = 0
        #: (logged, topic, event)
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        for item in items:
            for location in LOCATIONS:
                for lot in self._lots(item):
                    self._happens(FIRST, "stock_received", item, location, lot, self.pick.randrange(150, 400))
        span = (AS_OF - FIRST) // length
        for step in range(length):
            self._any(FIRST + 1 + step * span + self.pick.randrange(span - 1))
        self.reload()

    @staticmethod
    def _lots(item: str) -> tuple[str | None, ...]:
        return LOTS if item == LOTTED else (None,)

    def _happens(
        self, at: int, kind: str, item: str, location: str, lot: str | None, quantity: int, **more: Any
    ) -> None:
        self.number += 1
        event = {"event_id": f"e{self.number:03}", "type": kind, "source": "wms", "occurred_at": text_of(at)}
        event |= {"item": item, "location": location, "quantity": quantity, **more}
        if lot is not None:
            event["lot"] = lot
        self.events.append((at + self.pick.randrange(0, 9 * MINUTE), "inventory.warehouse", event))

    def _any(self, at: int) -> None:
        pick = self.pick
        item, location = pick.choice(self.items), pick.choice(LOCATIONS)
        lot, quantity = pick.choice(self._lots(item)), pick.randrange(1, 60)
        kind = pick.choice(
            ("stock_received", "stock_adjusted", "pick", "pick", "return_received", "transfer", "status", "count")
        )
        where = (item, location, lot)
        if kind == "stock_adjusted":
            self._happens(at, kind, *where, -quantity)
        elif kind == "pick":
            line = {"order_id": f"SO-{self.number}", "line_id": "1"}
            self._happens(at, "pick_confirmed", *where, quantity, **line)
            if pick.random() < 0.5:
                self._happens(
                    min(AS_OF, at + pick.randrange(1, 5) * MINUTE), "shipment_confirmed", *where, quantity, **line
                )
        elif kind == "transfer":
            to = pick.choice([other for other in LOCATIONS if other != location])
            own = {"transfer_id": f"T-{self.number}"}
            self._happens(at, "transfer_shipped", *where, quantity, to_location=to, **own)
            if pick.random() < 0.5:
                came = quantity if pick.random() < 0.7 else max(1, quantity - 1)
                self._happens(
                    min(AS_OF, at + pick.randrange(1, 60) * MINUTE), "stock_received", item, to, lot, came, **own
                )
        elif kind == "status":
            self._happens(
                at, "stock_status_changed", *where, quantity, from_status="available", to_status="quarantined"
            )
        elif kind == "count":
            if pick.random() < 0.5:  # they are rare: they settle what came before
                self._happens(at, "stock_counted", *where, pick.randrange(100, 400))
        elif pick.random() < 0.2:
            self._happens(at, kind, *where, quantity, status="quarantined")
        else:
            self._happens(at, kind, *where, quantity)

    def reload(self) -> None:
        """Add up anew."""
        self.model = Model(WINDOW, SKEW)
        for action, what in self.reference():
            assert action == "reference"
            if what[0] != "inventory.reconciliation":
                assert self.model.reference(*what) == []
        for logged, topic, event in sorted(self.events, key=lambda one: one[0]):
            assert self.model.event(topic, json.dumps(event).encode(), logged) == []

    def reference(self) -> list[Action]:
        """Give what is known before the first event."""
        told = [record("locations", location=location) for location in LOCATIONS]
        told += [record("items", item=item, conversions={"case": 12}) for item in ITEMS]
        return [*told, rule(SOURCE, actions={"on_hand": "hold", "quarantined": "hold"})]

    # What is there, and what would be.

    def figures(self, replaced: dict[str, list[Unit]] | None = None, at: int = AS_OF) -> Theirs:
        """Give what rows say; `replaced`: by item, other units than those that were applied."""
        told: Theirs = {}
        for item in self.items:
            units = (replaced or {}).get(item, self.model.units_of[item])
            past = Past(self.model, item, until(units, at))
            for location in LOCATIONS:
                for lot in self._lots(item):
                    told[item, location, lot] = {m: past.counted(item, location, lot, m) for m in COUNTED}
        return told

    def units(self, did: Callable[[Unit], bool]) -> list[Unit]:
        """Give the units of the day up to as_of that still show in a row by themselves, and for which it holds."""
        found = []
        for item in self.items:
            for unit in self.model.units_of[item]:
                if not FIRST < unit.occurred_at <= AS_OF or not did(unit):
                    continue
                cell = Cell(item, unit.content["location"], unit.get("lot"), "on_hand")
                if effect(self.model, cell, unit, AS_OF):
                    found.append(unit)
        return found

    # What is told.

    def told(self, theirs: Theirs, said: int | None = None, logged: int = AS_OF + MINUTE, **start: Any) -> list[Action]:
        """Give all of it in the order of the log: events, and a statement; `said`: rows, as its end counts them."""
        own = {"source": SOURCE, "statement_id": STATEMENT, "occurred_at": text_of(AS_OF)}
        messages: list[dict[str, Any]] = []
        for number, ((item, location, lot), measures) in enumerate(theirs.items()):
            row = {"type": "stock_stated", "event_id": f"r{number}", "item": item, "location": location, **measures}
            messages.append({**own, **row} | ({} if lot is None else {"lot": lot}))
        self.pick.shuffle(messages)
        messages.insert(0, {**own, "type": "statement_started", "event_id": "start", **start})
        rows = len(theirs) if said is None else said
        messages.append({**own, "type": "statement_ended", "event_id": "end", "rows": rows})
        stream: list[tuple[int, Action]] = [
            (at, ("event", (topic, json.dumps(event).encode(), at))) for at, topic, event in self.events
        ]
        stream += [(logged, ("statement", (json.dumps(message).encode(), logged))) for message in messages]
        stream.sort(key=lambda one: one[0])
        return [*self.reference(), *(action for _, action in stream), ("time", AS_OF + 30 * MINUTE)]


def key_of(row: RowKey, measure: str) -> str:
    """Give the key of a variance."""
    item, location, lot = row
    return f"{SOURCE}:{item}:{location}:{lot or ''}:{measure}"


def differing(ours: Theirs, theirs: Theirs) -> set[str]:
    """Give the keys of what is not the same."""
    return {
        key_of(row, measure) for row in theirs for measure, said in theirs[row].items() if said != ours[row][measure]
    }


Plan = Callable[[Estate], Planted]
PLANS: dict[str, Plan] = {}


def _plan(plan: Plan) -> Plan:
    PLANS[plan.__name__.strip("_")] = plan
    return plan


def _planted(estate: Estate, fault: str, cause: str, theirs: Theirs, **more: Any) -> Planted:
    ours = estate.figures()
    return Planted(estate.seed, fault, estate.told(theirs, **more), differing(ours, theirs), cause)


@_plan
def _lost(estate: Estate) -> Planted:
    """They never had one of the day's units; nor does another one say the same of its order line."""
    ours = estate.figures()
    units = estate.units(lambda unit: True)
    estate.pick.shuffle(units)
    for unit in units:
        left = [other for other in estate.model.units_of[unit.item] if other is not unit]
        theirs = estate.figures({unit.item: left})
        if differing(ours, theirs):
            return _planted(estate, "lost", "missing_there", theirs)
    raise AssertionError("a day in which nothing happened")


@_plan
def _doubled(estate: Estate) -> Planted:
    """They booked one of the day's movements twice."""
    unit = estate.pick.choice(
        estate.units(lambda unit: "order_id" not in unit.content and unit.kind != "stock_counted")
    )
    again = Unit(
        unit.kind, unit.source, f"{unit.event_id}-again", unit.line_id, unit.item, unit.occurred_at, unit.content
    )
    return _planted(
        estate, "doubled", "doubled", estate.figures({unit.item: [*estate.model.units_of[unit.item], again]})
    )


@_plan
def _doubled_here(estate: Estate) -> Planted:
    """One of the day's movements came twice to us, under another id."""
    unit = estate.pick.choice(
        estate.units(lambda unit: "order_id" not in unit.content and unit.kind != "stock_counted")
    )
    theirs = estate.figures()
    logged, topic, event = next(told for told in estate.events if told[2]["event_id"] == unit.event_id)
    estate.events.append((logged, topic, {**event, "event_id": f"{unit.event_id}-again"}))
    estate.reload()
    return _planted(estate, "doubled_here", "doubled", theirs)


@_plan
def _in_flight(estate: Estate) -> Planted:
    """One unit had not reached them when they counted up, and reached us after their row."""
    at = AS_OF - estate.pick.randrange(1, 5 * MINUTE)
    item, location = estate.pick.choice(ITEMS), estate.pick.choice(LOCATIONS)
    lot = estate.pick.choice(estate._lots(item))
    theirs = estate.figures()
    estate._happens(at, "stock_adjusted", item, location, lot, -estate.pick.randrange(1, 60))
    _, topic, event = estate.events.pop()
    estate.events = [(min(logged, AS_OF + MINUTE), *told) for logged, *told in estate.events]
    estate.events.append((AS_OF + 3 * MINUTE, topic, event))
    estate.reload()
    return _planted(estate, "in_flight", "in_flight", theirs, logged=AS_OF + 2 * MINUTE)


@_plan
def _ahead(estate: Estate) -> Planted:
    """They have one unit already that happened after as_of."""
    at = AS_OF + estate.pick.randrange(1, MINUTE)
    item, location = estate.pick.choice(ITEMS), estate.pick.choice(LOCATIONS)
    lot = estate.pick.choice(estate._lots(item))
    estate._happens(at, "stock_adjusted", item, location, lot, -estate.pick.randrange(1, 60))
    _, topic, event = estate.events.pop()
    estate.events.append((at, topic, event))
    estate.reload()
    later = next(unit for unit in estate.model.units_of[item] if unit.event_id == event["event_id"])
    early = Unit(later.kind, later.source, later.event_id, "", item, AS_OF, later.content)
    units = [unit for unit in estate.model.units_of[item] if unit is not later]
    return _planted(estate, "ahead", "missing_here", estate.figures({item: [*units, early]}), logged=at + MINUTE)


@_plan
def _wrong_unit(estate: Estate) -> Planted:
    """Pieces were sent as cases, or cases as pieces."""
    theirs = estate.figures()
    row = estate.pick.choice([row for row, said in theirs.items() if said["on_hand"]])
    on_hand = theirs[row]["on_hand"]
    theirs[row] = {"on_hand": on_hand // 12 if on_hand % 12 == 0 else on_hand * 12}
    return _planted(estate, "wrong_unit", "unit", theirs)


@_plan
def _sign(estate: Estate) -> Planted:
    """A minus was lost, or found."""
    theirs = estate.figures()
    row = estate.pick.choice([row for row, said in theirs.items() if said["on_hand"]])
    theirs[row]["on_hand"] *= -1
    return _planted(estate, "sign", "sign", theirs)


@_plan
def _lot(estate: Estate) -> Planted:
    """Goods of one lot are theirs in another."""
    theirs, location = estate.figures(), estate.pick.choice(LOCATIONS)
    one, other = estate.pick.sample(LOTS, 2)
    moved = estate.pick.randrange(1, 40)
    theirs[LOTTED, location, one]["on_hand"] -= moved
    theirs[LOTTED, location, other]["on_hand"] += moved
    return _planted(estate, "lot", "lots", theirs)


@_plan
def _status(estate: Estate) -> Planted:
    """As much is there, but more of it is quarantined, or less."""
    theirs = estate.figures()
    row = estate.pick.choice(list(theirs))
    theirs[row]["quarantined"] += estate.pick.choice((1, 3, 17, 61))
    return _planted(estate, "status", "statuses", theirs)


@_plan
def _location(estate: Estate) -> Planted:
    """Goods are theirs at the wrong location."""
    theirs, item = estate.figures(), estate.pick.choice(ITEMS)
    one, other = estate.pick.sample(LOCATIONS, 2)
    lot, moved = estate.pick.choice(estate._lots(item)), estate.pick.randrange(1, 40)
    theirs[item, one, lot]["on_hand"] -= moved
    theirs[item, other, lot]["on_hand"] += moved
    return _planted(estate, "location", "locations", theirs)


@_plan
def _absent(estate: Estate) -> Planted:
    """A row is left out of a statement of all items."""
    ours, theirs = estate.figures(), estate.figures()
    row = estate.pick.choice([row for row, said in ours.items() if said["on_hand"]])
    del theirs[row]
    return Planted(estate.seed, "absent", estate.told(theirs, items="all"), {key_of(row, "on_hand")}, "absent")


@_plan
def _truncated(estate: Estate) -> Planted:
    """The file broke off: its end speaks of more rows than came."""
    theirs = estate.figures()
    rows = len(theirs)
    for row in estate.pick.sample(list(theirs), estate.pick.randrange(1, rows)):
        del theirs[row]
    told = estate.told(theirs, said=rows, items=estate.pick.choice(("all", "stated")))
    return Planted(estate.seed, "truncated", told, set(), "", ["rows_missing"])


@_plan
def _stale(estate: Estate) -> Planted:
    """The file is of some hours ago and says that it is of now; the goods move, so that no one unit explains it."""
    estate = Estate(estate.seed, ("SHOVEL",))
    theirs = estate.figures(at=AS_OF - estate.pick.randrange(8 * HOUR, 12 * HOUR))
    return _planted(estate, "stale", "stale", theirs)


def plant(seed: int) -> Planted:
    """Give the fault of a number: all kinds take turns, each in an estate of its own."""
    names = list(PLANS)
    return PLANS[names[seed % len(names)]](Estate(seed))


def truth(seed: int) -> list[Action]:
    """Give an estate's story with its statement as it is."""
    estate = Estate(seed)
    return estate.told(estate.figures(), items=estate.pick.choice(("all", "stated")))
