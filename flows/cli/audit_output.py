"""Shows what came of computing numbers a second time, to people, and as one JSON object a line to scripts."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flows.audit.blame import Blame, shown
from flows.audit.cut import Cuts
from flows.audit.fields import Difference
from flows.audit.gathering import item_codes
from flows.audit.verifying import AGREES, DIFFERS, MOVING, Report, Verdict, audit, verify
from flows.cli.options import complain
from flows.cli.question_output import say_standing
from schemas.settings import Settings

HEADS = ("hash", "field", "published", "computed again", "")
AUDIT_HEADS = ("item", "field", "published", "computed again", "cause", "shown by")
#: A channel's or a reader's screen; --json has them all.
SHOWN_MAX = 50


def show_verified(settings: Settings, item: str, channel: str | None, rate: int, as_json: bool) -> int:
    """Show one item; 0 where all agrees, 1 where something differs or nothing is known of the item."""
    verdict, report = verify(settings, item, rate)
    if not verdict.events and not any(one.published is not None for one in verdict.fields):
        return say_standing(settings, item, as_json)
    fields = [one for one in verdict.fields if channel is None or one.field.partition(":")[0] == channel]
    if channel is not None and not fields:
        complain(f"nothing is published of {item} for {channel}, and nothing ought to be")
    if as_json:
        print(json.dumps(_facts(verdict) | {"fields": [_field(one) for one in fields], **_reach(report)}))
    else:
        _print_fields(item, fields)
        for line in [*_blames(verdict), *_sentences(verdict, report)]:
            print(line)
    return 0 if verdict.state == AGREES else 1


def show_audit(settings: Settings, count: int | None, seed: int | None, rate: int, workers: int, as_json: bool) -> int:
    """Audit some items or all; 0 where all agree."""
    with Cuts(settings) as cuts:
        known = sorted(item_codes(settings) | set(cuts.codes()))
    items = known if count is None or count >= len(known) else sorted(random.Random(seed).sample(known, count))

    def tell(verdict: Verdict) -> None:
        if as_json and verdict.state != AGREES:
            print(json.dumps(_facts(verdict)), flush=True)

    report = audit(settings, items, rate, workers, tell=tell)
    states = Counter(verdict.state for verdict in report.verdicts)
    if as_json:
        causes = Counter(one.cause for verdict in report.verdicts for one in verdict.blames)
        said = {"items": len(items), "of": len(known), "states": dict(states), "causes": dict(causes)}
        said |= {"fields": sum(verdict.compared for verdict in report.verdicts), "messages": report.messages}
        print(json.dumps(said | {"seconds": round(report.seconds, 1), **_reach(report)}))
    else:
        _print_differences(report)
        print(_summary(report, len(known), states))
        for line in _of_reach(report):
            print(line)
    return 0 if states[AGREES] == len(items) else 1


def _facts(verdict: Verdict) -> dict[str, Any]:
    said: dict[str, Any] = {"item": verdict.item, "verdict": verdict.state, "compared": verdict.compared}
    said |= {"events": verdict.events, "unread": verdict.unread}
    if verdict.differences:
        said["differences"] = [_field(one) for one in verdict.differences]
        said["causes"] = [_blame(one) for one in verdict.blames]
    return said


def _field(one: Difference) -> dict[str, Any]:
    agrees = one.published == one.recomputed
    return {
        "hash": one.hash,
        "field": one.field,
        "published": one.published,
        "recomputed": one.recomputed,
        "agrees": agrees,
    }


def _blame(one: Blame) -> dict[str, Any]:
    said: dict[str, Any] = {"cause": one.cause, "sentence": one.sentence}
    said["fields"] = [{"hash": hash_name, "field": field} for hash_name, field in one.fields]
    said |= {"events": list(one.events)} if one.events else {}
    return said | ({"record": one.record} if one.record else {})


def _reach(report: Report) -> dict[str, Any]:
    return {"reach": [one._asdict() for one in report.reach], "is_cut": report.is_cut}


def _print_fields(item: str, fields: list[Difference]) -> None:
    rows = [
        (
            *(one.hash, one.field, shown(one.published), shown(one.recomputed)),
            "" if one.published == one.recomputed else "DIFFERS",
        )
        for one in fields
    ]
    _print_table(HEADS, rows, item, keeps=(1, 2, 3))


def _print_differences(report: Report) -> None:
    rows = []
    for verdict in report.verdicts:
        if verdict.state == MOVING:
            rows.append((verdict.item, "", "", "", MOVING, "it changes all the time: verify it when it is quieter"))
        cause_of = {field: one for one in verdict.blames for field in one.fields}
        for one in verdict.differences if verdict.state != MOVING else ():
            why = cause_of.get((one.hash, one.field))
            told = (why.cause, _shown_by(why)) if why is not None else ("", "")
            rows.append((verdict.item, f"{one.hash} {one.field}", shown(one.published), shown(one.recomputed), *told))
    if rows:
        _print_table(AUDIT_HEADS, rows[:SHOWN_MAX], keeps=(1, 2, 3, 4))
    if len(rows) > SHOWN_MAX:
        print(f"the first {SHOWN_MAX} of {len(rows):,} are shown: --json has all of them")


def _shown_by(why: Blame) -> str:
    named = [f"{one['topic']}/{one['partition']}@{one['offset']} {one['event_id']}" for one in why.events]
    named += [f"{why.record['topic']}@{why.record['offset']}"] if why.record else []
    return ", ".join(named)


def _blames(verdict: Verdict) -> list[str]:
    lines = []
    for one in verdict.blames:
        lines.append(f"{one.cause}: {', '.join(' '.join(field) for field in one.fields)}: {one.sentence}")
        for event in one.events:
            place = f"{event['topic']}/{event['partition']}@{event['offset']}"
            lines.append(f"  {place}: {event['type']} {event['event_id']} of {event['source']}")
    return lines


def _sentences(verdict: Verdict, report: Report) -> list[str]:
    lines = [f"{verdict.events:,} events name it, of {report.messages:,} that were looked through"]
    if verdict.unread:
        lines.append(f"{verdict.unread:,} of them are logged and not yet in the published numbers: they were left out")
    words = {
        AGREES: "every number agrees",
        DIFFERS: "numbers differ",
        MOVING: "it changes all the time: ask again when it is quieter",
    }
    lines.append(words.get(verdict.state, "what differs cannot be proved"))
    return [*lines, *_of_reach(report)]


def _of_reach(report: Report) -> list[str]:
    if not report.is_cut:
        return ["the topics reach back to their first message: all of it is proved"]
    cut = [one for one in report.reach if one.first_offset > 0]
    since = 0 if any(not one.since_ms for one in cut) else max(one.since_ms for one in cut)
    moment = datetime.fromtimestamp(since / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if since else "now"
    names = ", ".join(f"{one.topic}/{one.partition}@{one.first_offset}" for one in cut[:3])
    more = ", ..." if len(cut) > 3 else ""
    return [
        f"retention has taken what was logged first ({names}{more}): what follows from events before {moment} cannot "
        "be proved"
    ]


def _summary(report: Report, known: int, states: Counter[str]) -> str:
    told = ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in states.most_common())
    numbers = sum(verdict.compared for verdict in report.verdicts)
    return (
        f"{len(report.verdicts):,} of {known:,} items: {told or 'there is none'}; {numbers:,} numbers against "
        f"{report.messages:,} messages in {report.seconds:.1f} s"
    )


def _print_table(
    heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], title: str = "", keeps: tuple[int, ...] = ()
) -> None:
    from rich.console import Console

    from flows.tables import table

    console = Console(highlight=False)
    console.print(table(console, heads, rows, title, keeps=keeps))
