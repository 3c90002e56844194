"""The pages of what is in doubt: open exceptions, sources, and differences from what other systems say."""

from __future__ import annotations

from collections import Counter
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flows.console.desk import Desk, address, asked, desk_of, form_of, in_thread
from flows.errors import PlainError
from flows.inspection.open_exceptions import MEANINGS
from flows.log import get_log
from flows.reconciling.deciding import MAY_BE, Wish, decide
from flows.reconciling.reading import UNSETTLED
from schemas.outputs import EXCEPTION_CODES
from schemas.settings import SettingsError
from schemas.statements import ACTIONABLE
from schemas.variances import NAME_MAX, STATES, VARIANCE_CAUSES

log = get_log(__name__)

SHOWN_MAX = 500
REASON_MAX = 500
#: What each decision means, as its page asks for it.
DECISIONS = {
    "accept": "Known, and left so: ours stands, and the same difference in later statements stays accepted.",
    "reject": "Theirs is wrong: ours stands; the next statement that says it again opens it anew.",
    "correct": "Theirs is right: it is counted as of the statement's moment, and what happened since counts on top.",
}


def show_exceptions(request: Request) -> Response:
    """Answer `/exceptions?code=&item=&location=`."""
    desk = desk_of(request)
    code, item, location = asked(request, "code", "item", "location")
    found = desk.tables.exceptions(code, item, location)
    return desk.page(
        request,
        "exceptions",
        title="Exceptions",
        wanted={"code": code, "item": item, "location": location},
        codes=EXCEPTION_CODES,
        meaning=MEANINGS.get(code, ""),
        exceptions=found[:SHOWN_MAX],
        more=max(0, len(found) - SHOWN_MAX),
        is_whole=desk.follower.is_caught_up,
    )


def show_sources(request: Request) -> Response:
    """Answer `/sources`: when each was last heard of, whether it is silent for too long, what of it was refused."""
    desk = desk_of(request)
    return desk.page(
        request,
        "sources",
        title="Sources",
        sources=sources(desk),
        notes=desk.engine.seen().facts.get("notes", []),
    )


def sources(desk: Desk) -> list[dict[str, Any]]:
    """Give what is known of each source."""
    seen = desk.engine.seen()
    stale = {one.source: one for one in desk.tables.exceptions(code="stale_source")}
    refused: dict[str, Counter[str]] = {}
    for kept in desk.tables.letters():
        if kept.letter.source:
            refused.setdefault(kept.letter.source, Counter())[kept.letter.code] += 1
    differing = Counter(one.source for _, one in desk.tables.variances())
    names = {*seen.heard, *(name for name in stale if name), *refused, *differing, *desk.settings.sources}
    return [
        {
            "name": name,
            "heard_ms": int(seen.heard[name] * 1000) if name in seen.heard else None,
            "is_stale": name in stale or name in seen.stale,
            "refused": refused.get(name, Counter()).most_common(),
            "differing": differing[name],
        }
        for name in sorted(names)
    ]


def show_variances(request: Request) -> Response:
    """Answer `/variances?state=&source=&item=&cause=`."""
    desk = desk_of(request)
    state, source, item, cause = asked(request, "state", "source", "item", "cause")
    states = (state,) if state in STATES else UNSETTLED
    found = desk.tables.variances(states, item, source, cause)
    return desk.page(
        request,
        "variances",
        title="Differences",
        wanted={"state": state, "source": source, "item": item, "cause": cause},
        states=[word for word in STATES if word != "resolved"],
        causes=VARIANCE_CAUSES,
        variances=found[:SHOWN_MAX],
        more=max(0, len(found) - SHOWN_MAX),
    )


def show_variance(request: Request) -> Response:
    """Answer `/variance?key=`."""
    desk = desk_of(request)
    [key] = asked(request, "key")
    one = desk.tables.variance(key)
    if one is None:
        raise HTTPException(404, f"There is no difference {key} that is not resolved.")
    return desk.page(
        request,
        "variance",
        title="Difference",
        key=key,
        one=one,
        decisions=[
            word for word in DECISIONS if one.state in MAY_BE[word] and (word != "correct" or one.measure in ACTIONABLE)
        ],
    )


def ask_decision(request: Request) -> Response:
    """Answer `/variance/decide?key=&id=&decision=`: what it means, who decides it and why."""
    desk = desk_of(request)
    key, id, decision = asked(request, "key", "id", "decision")
    if decision not in DECISIONS:
        raise HTTPException(404, f"expected one of {', '.join(DECISIONS)}, got {decision}")
    return _ask(desk, request, 200, {"key": key, "id": id, "decision": decision}, "")


def _ask(desk: Desk, request: Request, status: int, form: dict[str, str], problem: str) -> Response:
    key, decision = form.get("key", ""), form.get("decision", "")
    return desk.page(
        request,
        "decide",
        status,
        title=f"{decision.capitalize()} this difference",
        key=key,
        id=form.get("id", ""),
        decision=decision,
        meaning=DECISIONS.get(decision, ""),
        one=desk.tables.variance(key),
        name=form.get("name", ""),
        reason=form.get("reason", ""),
        problem=problem,
        name_max=NAME_MAX,
        reason_max=REASON_MAX,
    )


async def decide_variance(request: Request) -> Response:
    """Answer the form of that page: send the decision, and wait for the engine's answer."""
    form = await form_of(request)
    desk = desk_of(request)
    name, reason, decision = form.get("name", "").strip(), form.get("reason", "").strip(), form.get("decision", "")
    if decision not in DECISIONS:
        raise HTTPException(400, f"expected one of {', '.join(DECISIONS)}, got {decision}")
    if not name or len(name) > NAME_MAX or not name.isprintable():
        return _ask(desk, request, 400, form, f"Say who decides: 1 to {NAME_MAX} printable characters.")
    if len(reason) > REASON_MAX or not reason.isprintable():
        return _ask(desk, request, 400, form, f"The reason: at most {REASON_MAX} printable characters, one line.")
    key = form.get("key", "")
    try:
        await in_thread(decide, desk.settings, Wish(decision, key, form.get("id", ""), name, reason or None))
    except (PlainError, SettingsError) as error:
        return _ask(desk, request, 409, form, str(error))
    log.info(f"{decision} of {key} was sent from the console", kind="decided")
    return RedirectResponse(address("/variance", key=key), 303)
