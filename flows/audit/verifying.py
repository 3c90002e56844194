"""Decides whether published numbers are right: each is computed again from Kafka, beside a running engine.

1. The input topics are read to where they end, and what names the items is kept.
2. Redis gives an item's hashes and, in the same step, up to which offsets its shard's numbers include events.
3. The naive model takes just those events, and its fields are compared.
4. What differs is looked at again, with what was logged meanwhile, until its numbers stand still and every event that
   names it is included: only then it is a difference, and it is said which event, record or hand made it.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from flows.audit.blame import NOT_PROVABLE, Blame, blame
from flows.audit.cut import Cuts, Seen, included
from flows.audit.fields import POSITION, PROMISES, Difference, position, promises
from flows.audit.gathering import Intake, newest_words, reference_records
from flows.audit.reading import Record
from flows.audit.recount import Logged, Recount, Rights
from flows.progress_line import ProgressLine
from schemas.settings import Settings

AGREES, DIFFERS, UNPROVABLE, MOVING = "agrees", "differs", "not_provable", "moving"
#: How long numbers have to stand still: longer than a flush, an epoch and the engine's own delays take.
STILL_S = 2.0
#: How long what keeps moving is looked at again.
PATIENCE_S = 60.0
#: Events held in memory at a time are those of so many items.
ITEMS_AT_ONCE = 10_000
#: What a process is given to compute at a time: so many messages, or so many items.
CHUNK_MESSAGES, CHUNK = 5_000, 50


class Verdict(NamedTuple):
    """What came of one item. `events`: how many messages name it; `unread`: how many its numbers do not include yet."""

    item: str
    state: str
    compared: int
    events: int
    unread: int
    differences: tuple[Difference, ...] = ()
    blames: tuple[Blame, ...] = ()
    #: every field as (hash, field, recomputed, published); of a single item that was asked for
    fields: tuple[Difference, ...] = ()


class Reach(NamedTuple):
    """How far back a partition's topic goes: its first offset, and when that was logged (ms; 0: nothing is there)."""

    topic: str
    partition: int
    first_offset: int
    since_ms: int


class Report(NamedTuple):
    """What came of an audit."""

    verdicts: list[Verdict]
    messages: int
    seconds: float
    reach: list[Reach]

    @property
    def is_cut(self) -> bool:
        """Did retention take what was logged first?"""
        return any(reach.first_offset > 0 for reach in self.reach)


def rights_of(settings: Settings) -> Rights:
    """Give what the settings say of who may say what, and when."""
    sources: dict[str, dict[str, Any]] = {}
    for name, source in settings.sources.items():
        own: dict[str, Any] = {"dedup_window_us": settings.window_of(name)}
        if source.may_send is not None:
            own["may_send"] = source.may_send
        if source.locations is not None:
            own["locations"] = source.locations
        sources[name] = own
    sources.setdefault("reconciliation", {"dedup_window_us": settings.window_of("reconciliation")})
    return Rights(
        settings.dedup_window, settings.max_clock_skew, sources, settings.max_message_bytes, settings.time_zone
    )


def verify(settings: Settings, item: str, rate: int = 0) -> tuple[Verdict, Report]:
    """Compute one item again and compare every field; KafkaProblem or CutProblem where a server does not answer."""
    report = audit(settings, [item], rate, workers=1, with_fields=True)
    return report.verdicts[0], report


def audit(
    settings: Settings,
    items: Collection[str],
    rate: int = 0,
    workers: int = 0,
    with_fields: bool = False,
    tell: Callable[[Verdict], None] = lambda _: None,
) -> Report:
    """Compute items again and compare them. `rate`: messages of Kafka a second at most, 0: as many as there are;
    `workers`: processes that compute, 0: one a processor.
    """
    began = time.monotonic()
    report = Report([], 0, 0.0, [])
    ordered = list(items)
    for at in range(0, len(ordered), ITEMS_AT_ONCE):
        some = ordered[at : at + ITEMS_AT_ONCE]
        with Cuts(settings) as cuts:
            one = _Round(settings, some, rate, workers or os.cpu_count() or 1, cuts)
            verdicts = one.verdicts(with_fields, tell)
        report = report._replace(
            verdicts=report.verdicts + verdicts, messages=report.messages + one.intake.messages, reach=one.reach()
        )
    return report._replace(seconds=time.monotonic() - began)


class _Round:
    """Items of which everything is in memory at once."""

    def __init__(self, settings: Settings, items: list[str], rate: int, workers: int, cuts: Cuts) -> None:
        self._settings, self._items, self._rate, self._workers, self._cuts = settings, items, rate, workers, cuts
        self.intake = Intake(settings, items, rate)
        self._wanted = frozenset(items)
        self._records: list[Record] = []

    def reach(self) -> list[Reach]:
        """Tell how far back each partition goes."""
        prefix = self._settings.topics.prefix
        return [
            Reach(topic.removeprefix(prefix), partition, offset, logged // 1000)
            for (topic, partition), (offset, logged) in sorted(self.intake.begins.items())
        ]

    def verdicts(self, with_fields: bool, tell: Callable[[Verdict], None]) -> list[Verdict]:
        """Compare all, and what differs again until it stands still."""
        self.intake.read_on()
        self._records = reference_records(self._settings, lambda _, item: item in self._wanted)
        found: dict[str, Verdict] = {}
        left, seen = self._items, self._cuts.look(self._items)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for verdict in self._compute(left, seen):
                found[verdict.item] = verdict
            moving = [item for item in left if found[item].differences]
            if not moving:
                break
            still, left, seen = self._wait(moving, seen)
            if still:
                self._explain(still, seen, found)
            if not left or time.monotonic() > deadline:
                for item in left:
                    found[item] = found[item]._replace(state=MOVING)
                break
        if with_fields:
            for item in self._items:
                found[item] = self._with_fields(found[item])
        for item in self._items:
            tell(found[item])
        return [found[item] for item in self._items]

    def _wait(self, moving: list[str], before: Mapping[str, Seen]) -> tuple[list[str], list[str], dict[str, Seen]]:
        """Look again after a moment: which stand still with all of their events, which do not, and what was seen."""
        threading.Event().wait(STILL_S)
        touched = self.intake.read_on("reading what came meanwhile")
        self._records = reference_records(self._settings, lambda _, item: item in self._wanted)
        seen = self._cuts.look(moving)
        is_alive = self._cuts.is_alive()
        still: list[str] = []
        left: list[str] = []
        for item in moving:
            is_same = seen[item].hashes == before[item].hashes and seen[item].version == before[item].version
            # What an engine that runs has not taken up yet, it will; one that stands says what it said.
            is_whole = not is_alive or not _unread(self.intake.of(item), seen[item])
            is_quiet = item not in touched and seen[item].reached == before[item].reached
            (still if is_same and is_whole and (is_quiet or not is_alive) else left).append(item)
        return still, left, seen

    def _compute(self, items: list[str], seen: Mapping[str, Seen]) -> list[Verdict]:
        """Compare items in several processes, which inherit what was read."""
        if len(items) <= CHUNK or self._workers == 1:
            model = self._model()
            return [_compared(model, self.intake, item, seen[item]) for item in items]
        line = ProgressLine("computing items again", len(items))
        inherited = (rights_of(self._settings), self._records, self.intake, seen)
        verdicts: list[Verdict] = []
        try:
            with multiprocessing.get_context("fork").Pool(self._workers, _begin, inherited) as pool:
                for some in pool.imap_unordered(_compare_chunk, self._chunks(items)):
                    verdicts += some
                    line.add(len(some))
        finally:
            line.end()
        return verdicts

    def _chunks(self, items: list[str]) -> Iterator[list[str]]:
        """Give what is computed in one go: what takes longest first, so that at the end nobody waits for one."""
        chunk: list[str] = []
        messages = 0
        for item in sorted(items, key=self.intake.count, reverse=True):
            chunk.append(item)
            messages += self.intake.count(item)
            if len(chunk) >= CHUNK or messages >= CHUNK_MESSAGES:
                yield chunk
                chunk, messages = [], 0
        if chunk:
            yield chunk

    def _model(self) -> Recount:
        return Recount(rights_of(self._settings), self._records)

    def _explain(self, items: list[str], seen: Mapping[str, Seen], found: dict[str, Verdict]) -> None:
        """Say why what stands still differs."""
        told = newest_words(self._settings, items, self._rate)
        model = self._model()
        is_cut = any(offset > 0 for offset, _ in self.intake.begins.values())
        for item in items:
            verdict = _compared(model, self.intake, item, seen[item])
            if not verdict.differences:
                found[item] = verdict
                continue
            at = _moments(seen[item])[0]
            blames = blame(model, item, at, verdict.differences, seen[item].hashes, told[item])
            state = DIFFERS
            if is_cut and any(one.cause == "unknown" for one in blames):
                state, blames = UNPROVABLE, [_not_provable(one) for one in blames]
            found[item] = verdict._replace(state=state, blames=tuple(blames))

    def _with_fields(self, verdict: Verdict) -> Verdict:
        """Add every field, also those that agree."""
        item = verdict.item
        seen = self._cuts.look([item])[item]
        model = self._model()
        model.take(item, included(self.intake.of(item), seen.reached))
        fields = []
        at = seen.looked_at
        for name, ours in ((PROMISES, promises(model, item, at)), (POSITION, position(model, item, at))):
            theirs = seen.hashes[name]
            absent = 0 if name == POSITION else None
            fields += [
                Difference(name, field, ours.get(field, absent), theirs.get(field, absent))
                for field in sorted(ours.keys() | theirs.keys())
            ]
        return verdict._replace(fields=tuple(fields))


def _not_provable(one: Blame) -> Blame:
    if one.cause != "unknown":
        return one
    sentence = "the topics no longer hold all events that made it: what was before their beginning cannot be proved"
    return one._replace(cause=NOT_PROVABLE, sentence=sentence)


def _moments(seen: Seen) -> list[int]:
    """The moments at which numbers may be right: when they were looked at, and when an engine that ended wrote last."""
    return [seen.looked_at, *([seen.published_at * 1000] if seen.published_at else [])]


def _unread(messages: list[Logged], seen: Seen) -> int:
    return len(messages) - len(included(messages, seen.reached))


def _compared(model: Recount, intake: Intake, item: str, seen: Seen) -> Verdict:
    """Compare one item at the cut at which it was seen."""
    messages = intake.of(item)
    taken = included(messages, seen.reached)
    model.take(item, taken)
    best: list[Difference] | None = None
    for moment in _moments(seen):
        found = model.compare(item, moment, seen.hashes)
        if best is None or len(found) < len(best):
            best = found
        if not found:
            break
        model.forget()
    compared = sum(map(len, seen.hashes.values()))
    differences = tuple(best or ())
    state = DIFFERS if differences else AGREES
    return Verdict(item, state, compared, len(messages), len(messages) - len(taken), differences)


class _Child(NamedTuple):
    """What a process that computes has: inherited, and so never sent."""

    model: Recount
    intake: Intake
    seen: Mapping[str, Seen]


_child: list[_Child] = []


def _begin(rights: Rights, records: list[Record], intake: Intake, seen: Mapping[str, Seen]) -> None:
    # What is inherited stays shared as long as nothing counts its references; a model makes no circles.
    gc.disable()
    gc.freeze()
    _child[:] = [_Child(Recount(rights, records), intake, seen)]


def _compare_chunk(items: list[str]) -> list[Verdict]:
    [(model, intake, seen)] = _child
    return [_compared(model, intake, item, seen[item]) for item in items]
