"""Sends what a person decides about a variance, and waits until the engine has taken or refused it.

1. The variance is read: what is not there, is another one by now, or cannot be decided so, is told before anything is
   sent.
2. The decision goes to `inventory.decisions`, under the variance's key, and stays there: who, why, and when.
3. The engine answers by the variance's next word, or by a dead letter of the decision. Where no engine answers, one
   that runs later takes the decision.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import orjson

from flows.errors import PlainError
from flows.kafka.clients import partitions_of
from flows.kafka.reading import Place, TopicReader, bounds
from flows.kafka.sending import Sender
from flows.reconciling.reading import UNSETTLED, Variance, read_variance, variances
from flows.runtime.run import now
from operators.rules.admission import is_late
from schemas.codes import LATE, parse_time
from schemas.setting_values import duration_text
from schemas.settings import Settings, SettingsError
from schemas.statements import ACTIONABLE
from schemas.topics import DEAD_LETTERS, DECISIONS, VARIANCES
from schemas.variances import OWN_SOURCE, split_key

#: Of which states each decision may be made.
MAY_BE = {
    "accept": UNSETTLED,
    "correct": UNSETTLED,
    "reject": UNSETTLED,
    "undo": ("corrected",),
}
#: An engine answers with its next epoch or two.
WAIT_S = 30.0


class DecisionProblem(PlainError):
    """A decision cannot be made, was refused, or nobody answered; the text says why and what would do."""


class Wish(NamedTuple):
    """What a person decides, and who they are."""

    decision: str
    key: str
    id: str
    decided_by: str
    reason: str | None = None


def decide(settings: Settings, wish: Wish) -> Variance:
    """Have it decided; the variance as it is then. DecisionProblem or SettingsError says what is wrong."""
    if split_key(wish.key) is None:
        raise SettingsError(
            f"KEY: expected the key of a variance, source:item:location:lot:measure, got {wish.key}: atp variances "
            "list names them"
        )
    partitions_of(settings, (DECISIONS, VARIANCES, DEAD_LETTERS))
    found = variances(settings, lambda one: one.source == wish.key.partition(":")[0]).get(wish.key)
    check(settings, wish, found, now())
    starts = {part: end for part, (_, end) in bounds(settings, [VARIANCES, DEAD_LETTERS]).items()}
    place = _send(settings, wish)
    with TopicReader(settings, group="-decisions") as reader:
        return _answer(settings, reader, starts, wish, place, WAIT_S)


def check(settings: Settings, wish: Wish, found: Variance | None, at: int) -> None:
    """Say what keeps a variance from being decided so, before anything is sent; `at`: now, UTC microseconds."""
    if found is None:
        raise DecisionProblem(f"there is no variance {wish.key}: atp variances list names those that there are")
    if found.id != wish.id:
        raise DecisionProblem(
            f"--id: expected {found.id}, for {wish.key} is of statement {found.statement_id} by now (ours "
            f"{found.ours}, theirs {found.theirs}), got {wish.id}: look at it again with atp variances show {wish.key}"
        )
    if found.state not in MAY_BE[wish.decision]:
        states = " or ".join(MAY_BE[wish.decision])
        raise DecisionProblem(
            f"{wish.key} is {found.state}: there is nothing to {wish.decision} (that is for what is {states})"
        )
    if wish.decision in ("correct", "undo"):
        _check_count(settings, wish, found, at)


def _check_count(settings: Settings, wish: Wish, found: Variance, at: int) -> None:
    """A correction, and what takes it back, is a count as of the statement's moment: it has to be one that counts."""
    if found.measure not in ACTIONABLE:
        raise DecisionProblem(
            f"{wish.key}: only {' and '.join(ACTIONABLE)} can be corrected, for only those are counted; "
            f"{found.measure} follows from orders, receipts and transfers: correct the events, or accept or reject"
        )
    window = settings.window_of(OWN_SOURCE)
    if is_late(parse_time(found.as_of), at, window):
        raise DecisionProblem(
            f"{wish.key}: a count as of {found.as_of} would be {LATE}: that is longer ago than the window of source "
            f"{OWN_SOURCE}, {duration_text(window)}; count the goods anew and send stock_counted, or wait for the next "
            "statement"
        )
    whose, figure = ("theirs", found.theirs) if wish.decision == "correct" else ("ours", found.ours)
    if figure < 0:
        raise DecisionProblem(
            f"{wish.key}: nothing can be counted below 0, and {whose} is {figure}: count the goods, and send what was "
            "found as stock_counted"
        )


def _send(settings: Settings, wish: Wish) -> Place:
    said: dict[str, Any] = {
        "key": wish.key,
        "id": wish.id,
        "decision": wish.decision,
        "decided_by": wish.decided_by,
        "decided_at": _text(now()),
        "decision_id": uuid.uuid4().hex,
    }
    if wish.reason is not None:
        said["reason"] = wish.reason
    places: list[Place] = []
    sender = Sender(settings, lambda *place: places.append(place))
    sender.send(DECISIONS, wish.key.encode(), orjson.dumps(said))
    sender.flush()
    return places[0]


def _answer(
    settings: Settings, reader: TopicReader, starts: dict[tuple[str, int], int], wish: Wish, place: Place, wait_s: float
) -> Variance:
    """Wait for the variance's next word by this person, or for the decision's dead letter."""
    variances_topic = settings.topic(VARIANCES)
    deadline = time.monotonic() + wait_s
    for message in reader.follow(starts, lambda: time.monotonic() > deadline):
        if message.topic() == variances_topic:
            if message.key() != wish.key.encode() or message.value() is None:
                continue
            try:
                word = read_variance(message.value())
            except msgspec.DecodeError:
                continue
            if word.id == wish.id and word.decided_by == wish.decided_by:
                return word
        elif (refusal := _refusal(message, place)) is not None:
            raise DecisionProblem(f"the engine refused it: {refusal}")
    raise DecisionProblem(
        f"nothing was heard of it for {wait_s:g} s: it stands in {settings.topic(DECISIONS)}, and an engine that runs "
        "takes it (atp status); to say it again does no harm"
    )


def _refusal(message: Any, place: Place) -> str | None:
    said = {name: (value or b"").decode("utf-8", "replace") for name, value in message.headers() or ()}
    if (said.get("topic"), said.get("partition"), said.get("offset")) != (place[0], str(place[1]), str(place[2])):
        return None
    return f"{said.get('message', '')} [{said.get('code', '')}]"


def _text(moment_us: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
