"""Moves a story into the naive model, with what it decides fed back into it, and its answers out in plain words."""

from __future__ import annotations

import itertools
import json
from typing import Any

from flows.audit.model import Model
from flows.audit.rows import text_of
from flows.audit.stated import RECONCILER
from flows.audit.statements import Reconciliation
from flows.audit.variances import Correction
from tests.desk import HOUR, MINUTE
from tests.histories import text_of as time_of
from tests.reconciling.story import Action

WAREHOUSE = "inventory.warehouse"


class ModelSide:
    """A model with statements beside it; what it decides to write is applied at once."""

    def __init__(
        self,
        model: Model | None = None,
        sources: dict[str, dict[str, Any]] | None = None,
        settles: dict[str, int] | None = None,
    ) -> None:
        self.model = model or Model(24 * HOUR, 5 * MINUTE, sources)
        self.reconciliation = Reconciliation(self.model, settles)
        self.clock = 0
        self.offsets = itertools.count()
        self.corrections: list[dict[str, Any]] = []
        self.refusals: list[tuple[str, str | None]] = []
        self.number = 0
        self.refused: dict[int, str] = {}

    def begin(self) -> None:
        """Count what is told from here on."""
        self.number, self.refused = 0, {}

    def tell(self, action: Action) -> None:
        """Take one action and do what is due."""
        refused = self._take(*action)
        if refused:
            self.refused[self.number] = refused[0][0]
        self.number += 1
        self.act()

    def _take(self, kind: str, what: Any) -> list[tuple[str, str | None]]:
        book = self.reconciliation.book
        if kind == "reference":
            if what[0] == "inventory.reconciliation":
                return [(code, None) for code in self.reconciliation.allowances.reference(*what[1:])]
            return [(code, None) for code in self.model.reference(*what)]
        if kind == "event":
            topic, value, logged = what
            self._pass_time(logged)
            return self.model.event(topic, value, logged, (topic, 0, next(self.offsets)))
        if kind == "statement":
            value, logged = what
            self._pass_time(logged)
            return self.reconciliation.tell(value, logged, ("inventory.statements", 0, next(self.offsets)))
        if kind == "decide":
            key, decision, identity, who, reason, now = what
            self._pass_time(now)
            source, item, place, lot, measure = key.split(":")
            variance = book.variances.get((source, item, place, lot, measure))
            own = identity or (variance.id if variance is not None else "")
            taken = book.decide((source, item, place, lot, measure), own, decision, who, reason, now)
            return [] if taken else [("not_taken", None)]
        if kind == "sent":
            item, channel, atp, at = what
            self._pass_time(at)
            self.reconciliation.promised(item, channel, atp, at)
            return []
        if kind == "time":
            self._pass_time(what)
        return []

    def _pass_time(self, now: int) -> None:
        """What became due on the way is judged when it is due, and not when the next message comes."""
        for moment in sorted(self.reconciliation.moments()):
            if self.clock < moment < now:
                self.clock = moment
                self.act()
        self.clock = max(self.clock, now)

    def act(self) -> None:
        """Judge what is due and write what is decided, until nothing more is."""
        for _ in range(100):
            self.reconciliation.judge(self.clock)
            book = self.reconciliation.book
            changed = book.hold(self.clock)
            written, book.corrections = book.corrections, []
            for (item, location), amount in sorted(changed.items()):
                self._write("stock_withheld", f"hold-{next(self.offsets)}", self.clock, item, location, quantity=amount)
            for correction in written:
                self._correct(correction)
            if not changed and not written:
                return
        raise AssertionError("a model that never comes to rest")

    def _correct(self, correction: Correction) -> None:
        self.corrections.append(
            {
                "item": correction.item,
                "location": correction.location,
                "lot": correction.lot,
                "quantity": correction.quantity,
                "quarantined": correction.quarantined,
                "occurred_at": correction.as_of,
            }
        )
        more = {"lot": correction.lot, "quarantined": correction.quarantined, "quantity": correction.quantity}
        number = sum(event["occurred_at"] == correction.as_of for event in self.corrections)
        identity = correction.event_id if number == 1 else f"{correction.event_id}.{number}"
        self._write("stock_counted", identity, correction.as_of, correction.item, correction.location, **more)

    def _write(self, kind: str, event_id: str, at: int, item: str, location: str, **fields: Any) -> None:
        scale = self.model.items[item]["measure"][1]
        for name in ("quantity", "quarantined"):
            if scale and fields.get(name) is not None:
                fields[name] = f"{fields[name]}e-{scale}"
        event = {"type": kind, "source": RECONCILER, "event_id": event_id, "occurred_at": time_of(at)}
        value = json.dumps({**event, "item": item, "location": location, **fields}).encode()
        place = (WAREHOUSE, 0, next(self.offsets))
        self.refusals += self.model.event(WAREHOUSE, value, self.clock, place)

    # What came of it.

    @property
    def statements(self) -> list[str]:
        """Give the statements that have a status."""
        return sorted(":".join(key) for key in self.reconciliation.statements)

    def status(self, name: str) -> dict[str, Any]:
        """Give a statement's status as the contract names its fields."""
        source, _, statement_id = name.partition(":")
        told = self.reconciliation.statements[source, statement_id]
        return {
            "verdict": told.verdict,
            "reasons": told.reasons,
            "seen": told.seen,
            "agreed": told.count("agreed"),
            "in_variance": told.count("in_variance"),
            "not_compared": told.count("not_compared"),
            "refused": len(told.refused),
            "absent": len(told.absent),
            "duplicates": told.duplicates,
            "conflicts": told.conflicts,
            "causes": {measure: dict(causes) for measure, causes in told.causes.items()},
            "units": text_of(told.units),
            "explained_percent": float(told.explained_percent),
        }

    def variances(self) -> dict[str, dict[str, Any]]:
        """Give all variances by their keys, as the contract names their fields."""
        return {
            ":".join(key): {
                "id": variance.id,
                "measure": variance.cell.measure,
                "statement_id": variance.statement_id,
                "as_of": variance.as_of,
                "ours": variance.ours,
                "theirs": variance.theirs,
                "difference": variance.difference,
                "cause": variance.cause,
                "evidence": {unit.event_id for unit in variance.evidence},
                "action": variance.action,
                "state": variance.state,
                "decided_by": variance.decided_by,
                "reason": variance.reason,
                "first_seen": variance.first_seen,
                "last_seen": variance.last_seen,
            }
            for key, variance in self.reconciliation.book.variances.items()
        }

    def withheld(self) -> dict[str, int]:
        """Give what source reconciliation withholds, by item and location, without what is 0."""
        held = self.reconciliation.book.withheld.items()
        return {f"{item}:{location}": amount for (item, location), amount in held if amount}

    def alerts(self) -> set[str]:
        """Give where something is withheld for longer than a day."""
        return {":".join(at) for at in self.reconciliation.book.held_too_long(self.clock, 24 * HOUR)}

    def complaints(self) -> set[str]:
        """Give the statements that were rejected and have no successor yet."""
        return {f"{source} {statement_id}" for source, statement_id in self.reconciliation.complaints}
