"""The first page: are the numbers right, are they fresh, what needs a person. And the page of lanes, rates, latency."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from flows.console import words
from flows.console.desk import Desk, address, desk_of
from flows.console.live import Picture
from flows.console.numbers import Away
from flows.console.tables import HOUR_MS
from flows.inspection.open_exceptions import MEANINGS
from flows.inspection.status import SILENT_MS
from schemas.remedies import REMEDIES
from schemas.topics import LANES

#: Behind by more than this, channels sell what may be gone.
BEHIND_MS_MAX = 10_000
#: An update that waits for longer is held up by a channel's budget, or by Kafka.
WAITING_S_MAX = 10.0


class Finding(NamedTuple):
    """One thing that is said on the first page."""

    #: `ok`, `act` (somebody has to) or `unknown`
    level: str
    text: str
    #: where there is more of it; empty: nowhere
    link: str = ""
    more: str = ""


class Overview(NamedTuple):
    """The three answers."""

    right: list[Finding]
    fresh: list[Finding]
    needed: list[Finding]


def answers(desk: Desk) -> Overview:
    """Give the three answers from what is known now."""
    needed = [*_exceptions(desk), *_letters(desk), *_variances(desk)]
    return Overview(_right(desk, needed), _fresh(desk), needed)


def _right(desk: Desk, needed: list[Finding]) -> list[Finding]:
    found = []
    if not desk.follower.is_caught_up:
        found.append(Finding("unknown", "what Kafka has of exceptions and differences is still being read"))
    wrong = sorted({one.code for one in desk.tables.exceptions() if one.code not in ("stale_source", "conflict")})
    if wrong:
        found.append(Finding("act", f"some are in doubt: {', '.join(wrong)}", "/exceptions"))
    if desk.tables.variances():
        found.append(Finding("act", "another system says otherwise of some", "/variances"))
    if not found:
        found.append(Finding("ok", "nothing says otherwise"))
    return found


def _fresh(desk: Desk) -> list[Finding]:
    try:
        alive = desk.numbers.alive()
    except Away as error:
        return [Finding("act", str(error))]
    if not alive:
        return [Finding("act", "no engine keeps them fresh: there is no engine:alive in Redis; start atp run")]
    age_ms = max(0, int(time.time() * 1000) - int(alive["at"]))
    found = []
    if age_ms > SILENT_MS:
        found.append(Finding("act", f"the engine is silent for {words.span(age_ms / 1000)}: held up, or ended"))
    elif alive["ready"] != "1":
        reasons = "; ".join(map(str, desk.engine.seen().facts.get("reasons", ()))) or "see atp status"
        found.append(Finding("act", f"the engine runs and is not ready: {reasons}"))
    behind_ms = int(alive["behind_ms"])
    if behind_ms > BEHIND_MS_MAX:
        found.append(Finding("act", f"{words.span(behind_ms / 1000)} behind what was sent", "/live", "lanes and lag"))
    stale = sorted({one.source or "" for one in desk.tables.exceptions(code="stale_source")})
    if stale:
        found.append(Finding("act", f"silent for too long: {', '.join(stale)}", "/sources", "sources"))
    lanes = desk.engine.seen().facts.get("lanes", {})
    slow = [lane for lane, told in lanes.items() if told["oldest_s"] > WAITING_S_MAX]
    if slow:
        found.append(Finding("act", f"updates wait long in {', '.join(slow)}", "/live", "lanes"))
    return found or [Finding("ok", "all that was sent is in the numbers")]


def _exceptions(desk: Desk) -> list[Finding]:
    by_code: dict[str, int] = {}
    for one in desk.tables.exceptions():
        by_code[one.code] = by_code.get(one.code, 0) + 1
    return [
        Finding("act", f"{code}: {count}", address("/exceptions", code=code), MEANINGS.get(code, ""))
        for code, count in sorted(by_code.items(), key=lambda pair: -pair[1])
    ]


def _letters(desk: Desk) -> list[Finding]:
    counts = desk.tables.letters_since(int(time.time() * 1000) - HOUR_MS)
    return [
        Finding(
            "act",
            f"{count} dead letter{'' if count == 1 else 's'} of the last hour: {code}",
            address("/letters", code=code),
            REMEDIES.get(code, ""),
        )
        for code, count in counts.most_common()
    ]


def _variances(desk: Desk) -> list[Finding]:
    found = desk.tables.variances()
    held = sum(one.state == "held" for _, one in found)
    if not found:
        return []
    text = f"{len(found)} difference{'' if len(found) == 1 else 's'} to be decided"
    return [Finding("act", text, "/variances", f"{held} of them hold goods back" if held else "")]


def cells(desk: Desk) -> dict[str, str]:
    """Give what changes on both pages while they are looked at."""
    seen = desk.engine.seen()
    told = {"behind": "unknown", "engine": "silent"}
    try:
        alive = desk.numbers.alive()
    except Away:
        alive = {}
    if alive:
        age_ms = max(0, int(time.time() * 1000) - int(alive["at"]))
        told["behind"] = words.span(int(alive["behind_ms"]) / 1000)
        told["engine"] = "silent" if age_ms > SILENT_MS else "ready" if alive["ready"] == "1" else "not ready"
    rates = seen.facts.get("rates", {})
    lag = seen.facts.get("lag", {})
    told |= {
        "events": words.rate(rates["events_per_s"]) if rates else "",
        "updates": words.rate(rates["updates_per_s"]) if rates else "",
        "refused": words.rate(rates["dead_letters_per_s"]) if rates else "",
        "lag": words.span(lag["seconds"]) if "seconds" in lag else "",
        "lag messages": str(lag.get("messages", "")),
        "slowest": str(lag.get("slowest", "")),
        "items": str(seen.facts.get("items", "")),
    }
    for lane in LANES:
        waiting: dict[str, Any] = seen.facts.get("lanes", {}).get(lane, {})
        told[f"waiting {lane}"] = str(waiting.get("waiting", ""))
        told[f"oldest {lane}"] = words.span(waiting["oldest_s"]) if waiting.get("waiting") else ""
        told[f"seen {lane}"] = str(desk.tables.updates[lane])
        for name, value in zip(("p50", "p99"), seen.latency.get(lane, (None, None)), strict=True):
            told[f"{name} {lane}"] = f"≤ {words.span(value)}" if value is not None else ""
    return told


def picture(desk: Desk) -> Picture:
    """Give what the live connection of both pages compares."""
    found = answers(desk)
    return Picture(cells(desk), str(hash((tuple(map(tuple, found)), tuple(desk.troubles())))))


def show_overview(request: Request) -> Response:
    """Answer `/`."""
    desk = desk_of(request)
    found = answers(desk)
    facts = desk.engine.seen().facts
    return desk.page(
        request,
        "overview",
        title="Overview",
        found=found,
        cells=cells(desk),
        facts=facts,
        notes=facts.get("notes", []),
        live="engine",
        shape=picture(desk).shape,
    )


def show_live(request: Request) -> Response:
    """Answer `/live`."""
    desk = desk_of(request)
    facts = desk.engine.seen().facts
    return desk.page(
        request,
        "live",
        title="Live",
        cells=cells(desk),
        facts=facts,
        notes=facts.get("notes", []),
        lanes=LANES,
        started=desk.tables.history.started_ms,
        live="engine",
        shape=picture(desk).shape,
    )
