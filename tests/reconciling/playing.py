"""Plays histories and planted faults to the model and to the engine, and compares all that came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flows.audit.model import Model
from flows.audit.stated import COUNTED
from tests.histories import SKEW, WINDOW
from tests.playing import compare as compare_numbers
from tests.reconciling.engine_side import EngineSide
from tests.reconciling.faults import SOURCE, STATEMENT, Planted
from tests.reconciling.histories import SETTLE, SETTLES, StatedHistory
from tests.reconciling.model_side import ModelSide
from tests.reconciling.story import Action

STATUS = (
    *("verdict", "reasons", "seen", "agreed", "in_variance", "not_compared", "refused", "absent"),
    *("duplicates", "conflicts", "causes", "units", "explained_percent"),
)
PENDING = ("verdict", "agreed", "in_variance", "not_compared")
VARIANCE = (
    *("id", "statement_id", "as_of", "ours", "theirs", "difference", "cause", "action", "state"),
    *("decided_by", "first_seen", "last_seen"),
)
#: causes that point at units
BY_UNITS = ("in_flight", "doubled", "missing_there", "missing_here")
ENGINE_ALONE = ("snapshot", "write_ahead", "resume")


@dataclass
class Played:
    """What a history was made of."""

    statements: int = 0
    rows: int = 0
    agreed: int = 0
    in_variance: int = 0
    not_compared: int = 0
    variances: int = 0
    corrections: int = 0
    decisions: int = 0
    held: int = 0
    #: variances that say what was reserved, claimed, expected or available at an earlier hour
    aged: int = 0
    causes: dict[str, int] = field(default_factory=dict)


def same(model: ModelSide, engine: EngineSide, where: str) -> None:
    """Statuses, variances, what is withheld, what was corrected, what is complained of."""
    assert engine.statements == model.statements, f"{where}: statements"
    for name in model.statements:
        ours, right = engine.status(name), model.status(name)
        ours, right = _without_old_figures(ours), _without_old_figures(right)
        # What is not due waits in Kafka unread: that it repeats or contradicts is known when it is judged.
        for told in STATUS if right["verdict"] != "pending" else PENDING:
            assert ours[told] == right[told], f"{where}: {told} of {name}: {ours[told]}, expected {right[told]}"
    found, expected = engine.variances(), model.variances()
    assert found.keys() == expected.keys(), f"{where}: variances {sorted(found.keys() ^ expected.keys())}"
    for key, right in expected.items():
        for told in VARIANCE:
            if told == "action" and right["state"] == "resolved":
                continue  # nothing was done: what would have been is of no account
            if told in ("ours", "difference") and right["state"] not in ("open", "held"):
                continue  # of what is settled nobody follows any more what is ours
            ours = found[key][told]
            if told == "cause" and right["measure"] not in (*COUNTED, "atp") and ours == "unknown":
                assert right[told] in ("stale", "unknown"), f"{where}: {told} of {key}: {ours} ({right})"
                continue  # some of what was at a moment that has passed only a whole history tells
            if told == "decided_by" and right["state"] not in ("corrected", "accepted", "rejected"):
                continue  # a rule that only holds or resolves may be named, or not
            assert ours == right[told], f"{where}: {told} of {key}: {ours}, expected {right[told]} ({right})"
        if right["cause"] in BY_UNITS:
            # A second count of a row has another id, which is its writer's own affair.
            shown = {event_id.partition(".")[0] for event_id in found[key]["evidence"]}
            right["evidence"] = {event_id.partition(".")[0] for event_id in right["evidence"]}
            assert shown <= right["evidence"], f"{where}: evidence of {key}: {shown}, expected {right['evidence']}"
            # What was announced more than a day ago may still be on its way, and is not read again.
            is_shown = bool(shown) or not right["evidence"] or right["cause"] == "missing_here"
            assert is_shown, f"{where}: {key} without evidence: {right['evidence']}"
    assert engine.withheld() == model.withheld(), f"{where}: withheld"
    assert in_order(engine.corrections) == in_order(model.corrections), f"{where}: corrections"
    assert engine.complaints() == model.complaints(), f"{where}: complaints"
    assert engine.alerts() == model.alerts(), f"{where}: held too long"
    assert engine.refusals == model.refusals == [], f"{where}: what was written was refused"


def _without_old_figures(status: dict[str, Any]) -> dict[str, Any]:
    """A status in which of reservations, claims and supply it is not asked whether theirs was ours once."""
    causes = {measure: dict(named) for measure, named in status["causes"].items()}
    others = [named for measure, named in causes.items() if measure not in (*COUNTED, "atp")]
    for named in others:
        named["unknown"] = named.pop("stale", 0) + named.get("unknown", 0)
    known = {} if others else {"explained_percent": status["explained_percent"]}
    return {**status, "causes": causes, "explained_percent": None, **known}


def in_order(corrections: Iterable[dict[str, Any]]) -> list[list[tuple[str, str]]]:
    """Give corrections so that they can be compared."""
    return sorted(sorted((name, str(value)) for name, value in one.items()) for one in corrections)


def chosen(what: tuple[int, str], model: ModelSide) -> Action | None:
    """The decision that a number stands for: about one of the variances that are open by then."""
    number, decision = what
    states = ("corrected",) if decision == "undo" else ("open", "held")
    live = sorted(key for key, said in model.variances().items() if said["state"] in states)
    if not live:
        return None
    return ("decide", (live[number % len(live)], decision, "", "ann", "seen", model.clock))


def is_beyond_reach(model: ModelSide, action: Action) -> bool:
    """Whether time passes until journals do not reach back to an open variance: the engine does not follow it then."""
    kind, what = action
    now = what if kind == "time" else what[2] if kind == "event" else what[1] if kind == "statement" else model.clock
    live = [said["as_of"] for said in model.variances().values() if said["state"] in ("open", "held")]
    return any(now - as_of > WINDOW + SETTLE for as_of in live)


def play(history: StatedHistory) -> Played:
    """Tell both the same history, and compare at the end and on the way."""
    where = f"seed {history.seed}"
    engine = EngineSide(None, SETTLES, history.time_zone, history.clock)
    model = ModelSide(Model(WINDOW, SKEW, None, time_zone=history.time_zone), settles=SETTLES)
    model.clock = history.clock
    played = Played()
    for step, action in enumerate(history.actions()):
        if action[0] == "decide_any":
            decided = chosen(action[1], model)
            if decided is None:
                continue
            action = decided
            played.decisions += 1
        if is_beyond_reach(model, action):
            break
        engine.tell(action)
        if action[0] not in ENGINE_ALONE:
            model.tell(action)
        if step % 20 == 0:
            same(model, engine, f"{where}, step {step}, {action}")
    same(model, engine, f"{where}, at the end")
    # How long something is held is no business of the numbers.
    engine.engine.raised = {told for told in engine.engine.raised if told[1] != "held_too_long"}
    compare_numbers(engine.engine, model.model, max(engine.engine.clock, model.clock), f"{where}, at the end")
    for name in model.statements:
        status = model.status(name)
        played.statements += 1
        played.rows += status["seen"]
        for told in ("agreed", "in_variance", "not_compared"):
            setattr(played, told, getattr(played, told) + status[told])
        for causes in status["causes"].values():
            for cause, rows in causes.items():
                played.causes[cause] = played.causes.get(cause, 0) + rows
        if history.is_true:
            assert status["in_variance"] == status["absent"] == 0, f"{where}: a false variance in {name}: {status}"
    played.variances = len(model.variances())
    played.corrections = len(model.corrections)
    played.held = len(model.withheld())
    stale = [said for said in engine.variances().values() if said["cause"] == "stale"]
    played.aged = sum(said["measure"] not in (*COUNTED, "atp") for said in stale)
    if history.is_true:
        assert played.variances == 0, f"{where}: false variances {model.variances()}"
    return played


def side_for(planted: Planted) -> tuple[ModelSide, EngineSide]:
    """Those that a planted fault is told to."""
    return ModelSide(Model(WINDOW, SKEW)), EngineSide()


@dataclass
class Found:
    """What was made of a planted fault. `is_named`: by the right cause, for most of its rows."""

    is_found: bool
    is_named: bool


def found_by(planted: Planted, side: ModelSide | EngineSide) -> Found:
    """Tell it, and see whether exactly what was planted was found and nothing else touched."""
    for action in planted.told:
        side.tell(action)
    assert side.refused == {}, f"{planted.name}: {side.refused}"
    status, variances = side.status(f"{SOURCE}:{STATEMENT}"), side.variances()
    if planted.rejected:
        is_quiet = not side.withheld() and not side.corrections
        is_found = status["reasons"] == planted.rejected and not variances and is_quiet
        return Found(is_found, is_found)
    places = {":".join(key.split(":")[1:3]) for key in planted.keys}
    is_found = (
        variances.keys() == planted.keys
        and status["verdict"] == "accepted"
        and side.withheld().keys() <= places
        and not side.corrections
    )
    causes = [said["cause"] for said in variances.values()]
    return Found(is_found, bool(causes) and max(set(causes), key=causes.count) == planted.cause)
