"""Shows variances and statements to people, and as one JSON object a line to scripts."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

from flows.cli.options import complain
from flows.kafka.clients import KafkaProblem
from flows.letters.originals import ask
from flows.readable import readable
from flows.reconciling.deciding import MAY_BE
from flows.reconciling.freshness import Delay, delay_of
from flows.reconciling.reading import Evidence, Status, Variance, Wanted, facts, statuses, variances
from flows.reconciling.run import facts as status_facts
from flows.reconciling.run import summary
from schemas.explanations import CAUSES
from schemas.settings import Settings
from schemas.statements import ACTIONABLE

HEADS = ("key", "ours", "theirs", "difference", "cause", "state", "action", "as of", "first seen")
STATEMENT_HEADS = (
    *("statement", "as of", "verdict", "rows", "agree", "differ", "absent", "not compared", "refused"),
    *("units", "explained", "causes"),
)
CAUSES_SHOWN = 3
#: What a state means to whoever reads it.
MEANINGS = {
    "open": "nobody has decided yet, and nothing is kept back because of it",
    "held": "what may not be there is not promised until somebody decides, or the next statement agrees",
    "corrected": "theirs was counted as of the statement's moment",
    "accepted": "known, and left so: ours stands",
    "rejected": "theirs is wrong: ours stands",
    "resolved": "it does not differ any more",
}
DECISIONS = {
    "accept": "known and left so",
    "correct": "theirs is right",
    "reject": "theirs is wrong",
    "undo": "take the correction back",
}


def print_list(settings: Settings, wanted: Wanted, limit: int | None, as_json: bool) -> None:
    """List what is wanted, the largest difference first."""
    found = sorted(variances(settings, wanted.has).items(), key=lambda one: (-abs(one[1].difference), one[0]))
    shown = found[:limit]
    if as_json:
        for key, one in shown:
            print(json.dumps(facts(key, one)))
        return
    if shown:
        _print_table(HEADS, [_cells(key, one) for key, one in shown], keeps=(1, 2, 3))
    causes = Counter(one.cause for _, one in found)
    told = ", ".join(f"{cause} {count:,}" for cause, count in causes.most_common())
    more = f" (the largest {len(shown)} are shown)" if len(shown) < len(found) else ""
    plural = "" if len(found) == 1 else "s"
    print(f"{len(found):,} variance{plural} {' or '.join(wanted.states)}{more}{f': {told}' if told else ''}")


def _cells(key: str, one: Variance) -> tuple[str, ...]:
    return (
        *(key, str(one.ours), str(one.theirs), f"{one.difference:+}", one.cause, one.state, one.action or "-"),
        *(_short(one.as_of), _short(one.first_seen)),
    )


def print_one(settings: Settings, key: str, as_json: bool) -> bool:
    """Show one whole; false where there is none of that key."""
    source = key.partition(":")[0]
    one = variances(settings, lambda found: found.source == source).get(key)
    if one is None:
        return False
    events = _events(settings, one)
    delay = delay_of(settings, one) if one.channel and one.cause == "stale" else None
    if as_json:
        told = facts(key, one)
        if delay is not None:
            told["delay_s"] = round(delay.seconds, 3)
        for said, event in zip(told.get("evidence", ()), events, strict=False):
            said["event"] = event
        print(json.dumps(told))
        return True
    told = {
        "key": key,
        "id": one.id,
        "statement": f"{one.statement_id} of {one.source}, as of {_short(one.as_of)}",
        "ours": f"{one.ours} {one.measure}",
        "theirs": f"{one.theirs} ({one.difference:+})",
        "cause": f"{one.cause}: {CAUSES[one.cause].meaning}" if one.cause in CAUSES else one.cause,
        "shows": _late(delay),
        "state": f"{one.state}: {MEANINGS.get(one.state, '')}",
        "action": one.action or "none: its statement was rejected",
        "decided by": one.decided_by,
        "reason": one.reason,
        "seen": f"{_short(one.first_seen)} to {_short(one.last_seen)}",
    }
    width = max(map(len, told))
    for name, shown in told.items():
        if shown:
            print(f"{name:<{width}}  {readable(shown)}")
    _print_evidence(one, events)
    if one.state in ("open", "held"):
        print(f"what would do: {CAUSES[one.cause].remedy if one.cause in CAUSES else 'count the goods'}")
    for decision, states in MAY_BE.items():
        if one.state in states and (decision != "correct" or one.measure in ACTIONABLE):
            print(f"  atp variances {decision} '{key}' --id {one.id} --reason '...'    ({DECISIONS[decision]})")
    return True


def _late(delay: Delay | None) -> str:
    if delay is None:
        return ""
    return f"a number that was replaced at {_short(delay.replaced_at)}: {delay.seconds:,.0f} s before"


def _print_evidence(one: Variance, events: list[dict[str, Any] | None]) -> None:
    if not one.evidence:
        return
    print("evidence:")
    for said, event in zip(one.evidence, events, strict=True):
        line = f" line {said.line_id}" if said.line_id else ""
        print(f"  {said.topic}/{said.partition}@{said.offset}: {said.event_id}{line} of {said.source}")
        if event is not None:
            print(f"    {json.dumps(event)}")


def _events(settings: Settings, one: Variance) -> list[dict[str, Any] | None]:
    """Read the events that explain it; None where Kafka does not have one any more."""
    places = [_place(settings, said) for said in one.evidence]
    found: dict[tuple[str, int, int], dict[str, Any]] = {}
    try:
        for (place, _), _, value in ask(settings, ((place, 0) for place in places)):
            try:
                found[place] = json.loads(value or b"")
            except ValueError:
                continue
    except KafkaProblem as error:
        print(f"atp: the events themselves cannot be read: {error}", file=sys.stderr)
    return [found.get(place) for place in places]


def _place(settings: Settings, said: Evidence) -> tuple[str, int, int]:
    prefix = settings.topics.prefix
    topic = said.topic if said.topic.startswith(prefix) else prefix + said.topic
    return topic, said.partition, said.offset


def print_decided(key: str, one: Variance, as_json: bool) -> None:
    """Say what the engine made of a decision."""
    if as_json:
        print(json.dumps(facts(key, one)))
    else:
        print(f"{key} is {one.state}: {MEANINGS.get(one.state, '')} (decided by {one.decided_by})")


def print_statements(
    settings: Settings, name: str | None, source: str | None, verdict: str | None, limit: int | None, as_json: bool
) -> bool:
    """List statements, the newest first, or show one whole; false where the one asked for is not there."""
    found = statuses(
        settings,
        lambda one: name in (None, one.key) and source in (None, one.source) and verdict in (None, one.verdict),
    )
    newest = sorted(found.values(), key=lambda one: (one.as_of or "", one.statement_id), reverse=True)
    if name is not None and not newest:
        complain(f"there is no statement {name}; `atp statements` names them as SOURCE:ID")
        return False
    shown = newest[:limit]
    if as_json:
        for one in shown:
            print(json.dumps(status_facts(one)))
    elif name is not None:
        one = shown[0]
        print(f"{one.key}, as of {_short(one.as_of or '')}; started {_short(one.started or '')}", end="")
        print(f", ended {_short(one.ended)}" if one.ended else ", not ended")
        print("\n".join(summary(one)))
    else:
        if shown:
            _print_table(STATEMENT_HEADS, [_statement_cells(one) for one in shown], keeps=(3, 4, 5))
        verdicts = Counter(one.verdict for one in newest)
        told = ", ".join(f"{count:,} {word}" for word, count in verdicts.most_common())
        print(f"{len(newest):,} statement{'' if len(newest) == 1 else 's'}{f': {told}' if told else ''}")
    return True


def _statement_cells(one: Status) -> tuple[str, ...]:
    causes: Counter[str] = Counter()
    for by_cause in one.causes.values():
        causes.update(by_cause)
    told = ", ".join(f"{cause} {count:,}" for cause, count in causes.most_common(CAUSES_SHOWN))
    verdict = f"{one.verdict}: {', '.join(one.reasons)}" if one.reasons else one.verdict
    figures = (one.agreed, one.in_variance, one.absent, one.not_compared, one.refused)
    return (
        *(one.key, _short(one.as_of or ""), verdict, str(one.rows if one.rows is not None else one.seen)),
        *map(str, figures),
        *(one.units, f"{one.explained_percent:g} %", told),
    )


def _print_table(heads: tuple[str, ...], rows: list[tuple[str, ...]], keeps: tuple[int, ...]) -> None:
    from rich.console import Console

    from flows.tables import table

    console = Console(highlight=False)
    console.print(table(console, heads, rows, keeps=keeps))


def _short(moment: str) -> str:
    """Give a moment to the second."""
    return f"{moment[:19].replace('T', ' ')}Z" if moment else "-"
