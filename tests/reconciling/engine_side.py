"""Moves a story into the engine's own rules, without servers, and what it writes out in plain words."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from operators.evaluate import measure_of
from tests.desk import HOUR, MINUTE
from tests.reconciling.histories import occurred
from tests.reconciling.story import Action
from tests.reconciling_engine import SETTLE, Reconciling

OWN = b'"source":"reconciliation"'


class EngineSide:
    """One shard and the coordinator, with a clock that stops wherever something becomes due."""

    def __init__(
        self,
        sources: dict[str, dict[str, Any]] | None = None,
        settles: dict[str, int] | None = None,
        time_zone: str = "UTC",
        start: int = 0,
    ) -> None:
        self.engine = self._engine(24 * HOUR, 5 * MINUTE, sources, time_zone, SETTLE, settles)
        self.engine.clock = start
        self.number = 0
        #: (offset before it, its number): whose message a refusal is about
        self._told: list[tuple[int, int]] = []
        self._seen = 0
        self.refused: dict[int, str] = {}
        self.refusals: list[tuple[str, str | None]] = []

    def _engine(self, *settings: Any) -> Reconciling:
        return Reconciling(*settings)

    def begin(self) -> None:
        """Count what is told from here on."""
        self.number, self._told, self.refused = 0, [], {}
        self._seen = len(self.engine.letters)

    def tell(self, action: Action) -> None:
        """Take one action and do what is due."""
        kind, what = action
        moments = {"event": 2, "statement": 1, "decide": 5}
        now = what if kind == "time" else what[moments[kind]] if kind in moments else self.engine.clock
        self._pass_time(now)
        self._hear(action)
        self.engine.judge(self.engine.clock)
        self._look_at_letters()
        self.number += 1

    def _hear(self, action: Action) -> None:
        kind, what = action
        engine = self.engine
        self._told.append((next(engine.offsets), self.number))
        codes: list[Any] = []
        if kind == "reference":
            codes = engine.reference(*what)
        elif kind == "event":
            codes = [code for code, _ in engine.event(*what)]
        elif kind == "statement":
            engine.stated(*what)
        elif kind == "decide":
            self._decide(*what)
        elif kind == "resume":
            engine.resume()
        elif kind in ("snapshot", "write_ahead"):
            getattr(engine.shard, kind)()
        if codes:
            self.refused[self.number] = codes[0]

    def _decide(self, key: str, decision: str, identity: str, who: str, reason: str, now: int) -> None:
        own = identity or self.engine.variances.get(key, {}).get("id", "0" * 32)
        said = {"key": key, "id": own, "decision": decision, "decided_by": who, "reason": reason}
        said |= {"decided_at": "2026-11-23T12:00:00Z", "decision_id": f"d{self.number}"}
        if self.engine.decide(said) is not None:
            self.refused[self.number] = "not_taken"

    def _pass_time(self, now: int) -> None:
        """What becomes due on the way is judged when it is due, and not when the next message comes."""
        engine = self.engine
        for _ in range(10_000):
            moments = {due for due, _ in engine.rows}
            over = engine.coordinator.next_due()
            if over is not None:
                moments.add(over)
            due = min((moment for moment in moments if engine.clock < moment < now), default=None)
            if due is None:
                break
            engine.judge(due)
        engine.clock = max(engine.clock, now)

    def _look_at_letters(self) -> None:
        for letter in self.engine.letters[self._seen :]:
            if OWN in (letter.origin.value or b""):
                self.refusals.append((letter.code, letter.line_id))
            elif letter.origin.topic == "inventory.statements":
                number = max(number for offset, number in self._told if offset < letter.origin.offset)
                self.refused.setdefault(number, letter.code)
        self._seen = len(self.engine.letters)
        self.refusals += self.engine.refused
        self.engine.refused = []

    # What came of it.

    def status(self, name: str) -> dict[str, Any]:
        """Give a statement's status as it was written last."""
        return self.engine.statuses[name]

    @property
    def statements(self) -> list[str]:
        """Give the statements that have a status."""
        return sorted(self.engine.statuses)

    def variances(self) -> dict[str, dict[str, Any]]:
        """Give all variances as they were written last, times in microseconds."""
        return {key: _plain(said) for key, said in self.engine.variances.items()}

    def withheld(self) -> dict[str, int]:
        """Give what is withheld because of variances, as the events that were sent say."""
        held: dict[str, int] = {}
        for event in self.engine.sent:
            if event["type"] == "stock_withheld":
                scale = self._scale(event["item"])
                held[f"{event['item']}:{event['location']}"] = _whole(event["quantity"], scale)
        return {at: quantity for at, quantity in held.items() if quantity}

    @property
    def corrections(self) -> list[dict[str, Any]]:
        """Give the counts that were sent, each id once."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for event in self.engine.sent:
            if event["type"] == "stock_counted":
                scale = self._scale(event["item"])
                quarantined = event.get("quarantined")
                found[event["item"], event["event_id"]] = {
                    "item": event["item"],
                    "location": event["location"],
                    "lot": event.get("lot"),
                    "quantity": _whole(event["quantity"], scale),
                    "quarantined": None if quarantined is None else _whole(quarantined, scale),
                    "occurred_at": occurred(event),
                }
        return list(found.values())

    def _scale(self, item: str) -> int:
        found = self.engine.shard.find(item)
        assert found is not None
        scale: int = measure_of(found).scale
        return scale

    def alerts(self) -> set[str]:
        """Give the open held_too_long exceptions, as item and location."""
        self.engine.pass_time(self.engine.clock)
        return {f"{item}:{place}" for item, code, place, _ in self.engine.raised if code == "held_too_long"}

    def complaints(self) -> set[str]:
        """Give the open statement_rejected exceptions."""
        return {reference for _, code, _, reference in self.engine.raised if code == "statement_rejected"}


def _whole(said: int | str, scale: int) -> int:
    return int(Fraction(said) * 10**scale)


def _plain(said: dict[str, Any]) -> dict[str, Any]:
    moments = {name: occurred({"occurred_at": said[name]}) for name in ("as_of", "first_seen", "last_seen")}
    evidence = {found["event_id"] for found in said["evidence"]}
    return {"decided_by": None, "reason": None, **said, **moments, "evidence": evidence}
