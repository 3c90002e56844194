"""What becomes of whole statements: what was said of them, what the shards found, and the verdict. Without IO.

    pending ─ all rows there and judged, or its time is over ─► closing ─ every shard has closed it ─► decided ─► said

Rule 1: a shard's tally says all that it has found so far, so a repeat changes nothing; a tally of another run is not
        believed: it may know rows that this run has not handed on yet.
Rule 2: a verdict is said only when what it rests on is in a finished epoch of every shard: a crash repeats it, and does
        not change it.
Rule 3: a statement that is decided is remembered until its as_of would be late; what comes of it then is a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import msgspec

from operators.reconciled_json import status_json
from operators.rules.admission import Windows
from operators.rules.causes import DAY
from operators.rules.reconciliation import DEFAULTS, ReconciliationFacts
from operators.rules.statements import added_causes, reasons_against
from schemas.messages import ExceptionNote
from schemas.reconciled import CloseStatement, Reported, Tally, UnitsFound, VerdictFell
from schemas.stated import Stated
from schemas.topics import STATUSES
from schemas.units import Refusal

STATEMENT_STARTED, STATEMENT_ENDED = "statement_started", "statement_ended"
PENDING, CLOSING, DECIDED = "pending", "closing", "decided"
ACCEPTED, REJECTED = "accepted", "rejected"
#: Accepted statements of items `all` that are remembered a source and scope: what the next one is compared with is the
#: one before its own as_of, and statements seldom come more out of order than this.
LAST_MAX = 16
#: How often a statement is told of whose rows are being judged: a million of them change it a thousand times.
TELL_EVERY = 1_000_000
Key = tuple[str, str]


class Statement(msgspec.Struct, array_like=True):
    """What is known of one statement, but for its rows."""

    source: str
    statement_id: str
    #: as_of of the first message that was heard; of the start, once that is there
    as_of: int
    #: as_of of the first message, for good
    born: int
    state: str = PENDING
    started_at: int | None = None
    ended_at: int | None = None
    locations: list[str] | None = None
    is_whole: bool = False
    start_rows: int | None = None
    end_rows: int | None = None
    #: what a second start or end is compared with
    start_content: bytes = b""
    end_content: bytes = b""
    #: rows refused before a shard saw them, by what tells them apart
    refused: set[str] = set()
    duplicates: int = 0
    conflicts: int = 0
    #: rows read that are not due yet
    waiting: int = 0
    decided_at: int = 0
    #: of the decided: was the verdict said? Not before it is kept
    is_said: bool = False
    verdict: str = ""
    reasons: list[str] = []
    #: of the decided: what the shards had found, in all
    counts: dict[str, int] = {}
    causes: dict[str, dict[str, int]] = {}
    units: str = "0"
    explained: str = "0"

    @property
    def key(self) -> Key:
        """Name it."""
        return (self.source, self.statement_id)

    @property
    def is_moving(self) -> bool:
        """Is its verdict on its way?"""
        return self.state == CLOSING or (self.state == DECIDED and not self.is_said)

    @property
    def scope(self) -> str:
        """Give what a statement after it must have in common with it: the locations and items it is of."""
        named = "" if self.locations is None else ",".join(sorted(self.locations))
        return f"{self.source} {self.is_whole} {named}"


class Saved(msgspec.Struct, array_like=True):
    """What a snapshot keeps."""

    statements: list[Statement]
    #: scope -> (as_of, taken) of accepted statements of all items
    last: dict[str, list[tuple[int, int]]]
    #: scope -> the rejected statements that are complained of, and since when
    complaints: dict[str, list[tuple[str, str, int]]]


_saved = msgspec.msgpack.Decoder(Saved)


@dataclass(frozen=True, slots=True)
class CoordinatorConfig:
    """Settings, durations in microseconds."""

    shards: int
    windows: Windows
    settle: int
    settles: Mapping[str, int] = field(default_factory=dict)
    tell_every: int = TELL_EVERY

    def settle_of(self, source: str) -> int:
        """Give how long a source's rows wait for events that are late."""
        return self.settles.get(source, self.settle)


@dataclass(frozen=True, slots=True)
class Search:
    """What is to be read again: units of these items with an occurred_at between the two moments, and promises.

    `promises`: "item:channel", of which all that was sent counts. `anew_since`: which promises were sent since then, of
    whichever item and channel; None: that is not asked.
    """

    source: str
    statement_id: str
    items: set[str]
    promises: set[str]
    since: int
    until: int
    anew_since: int | None = None


@dataclass(slots=True)
class Words:
    """What is to be said: to every shard, to whoever reads units again, and to Kafka."""

    to_shards: list[CloseStatement | UnitsFound | VerdictFell] = field(default_factory=list)
    searches: list[Search] = field(default_factory=list)
    reported: list[Reported] = field(default_factory=list)
    notes: list[ExceptionNote] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.to_shards or self.searches or self.reported or self.notes or self.refusals)


class Coordinator:
    """One a run."""

    def __init__(
        self, config: CoordinatorConfig, clock: Callable[[], int], run: int, resume: bytes | None = None
    ) -> None:
        self._config, self._clock, self.run = config, clock, run
        self.rules: dict[str, ReconciliationFacts] = {}
        self.statements: dict[Key, Statement] = {}
        self._last: dict[str, list[tuple[int, int]]] = {}
        self._complaints: dict[str, list[tuple[str, str, int]]] = {}
        if resume is not None:
            saved = _saved.decode(resume)
            self.statements = {one.key: one for one in saved.statements}
            self._last, self._complaints = saved.last, saved.complaints
        # of this run alone
        self._tallies: dict[Key, dict[int, Tally]] = {}
        self._changed: set[Key] = set()
        #: when each that is not decided was told of last
        self._told_at: dict[Key, int] = {}
        #: round of closing that was asked for in this run; whether units were; after how many epochs all of it is kept
        self._asked: dict[Key, int] = {}
        self._searched: set[Key] = set()
        self._kept_at: dict[Key, int] = {}
        self._epochs = self._finished = 0
        self._words = Words()

    # --- what is heard -----------------------------------------------------------------------------------------------

    def hear(self, said: Stated) -> None:
        """Take a start or an end."""
        found = self._of(said)
        if found is None:
            return
        self._changed.add(found.key)
        content = msgspec.msgpack.encode((said.as_of, said.locations, said.is_all_items, said.rows))
        if said.type == STATEMENT_STARTED:
            if found.started_at is not None:
                self._repeats(found, said, content == found.start_content)
                return
            found.started_at, found.start_rows, found.start_content = said.recorded_at, said.rows, content
            found.as_of = said.as_of
            found.locations = list(said.locations) if said.locations is not None else None
            found.is_whole = said.is_all_items
        else:
            assert said.type == STATEMENT_ENDED, said.type
            if found.ended_at is not None:
                self._repeats(found, said, content == found.end_content)
                return
            found.ended_at, found.end_rows, found.end_content = said.recorded_at, said.rows, content

    def wait_for(self, source: str, statement_id: str, as_of: int, rows: int = 1) -> None:
        """Note rows that were read and are not due yet; with `rows` below 0 that they are."""
        found = self._known(source, statement_id, as_of)
        if found.state == PENDING:
            found.waiting = max(0, found.waiting + rows)

    def is_waiting(self, row: Stated) -> bool:
        """Do rows of the same statement wait that came before?"""
        found = self.statements.get((row.source, row.statement_id))
        return found is not None and found.waiting > 0

    def born(self, row: Stated) -> int:
        """Give what tells the statement of an admitted row from one of before with the same id."""
        return self.statements[row.source, row.statement_id].born

    def admits(self, row: Stated) -> bool:
        """Is a row, now due, to be judged? Of a statement that is closed or decided it is a duplicate or a conflict."""
        found = self._of(row)
        if found is None:
            return False
        self._changed.add(found.key)
        if found.refused:
            found.refused.discard(name_of(row.item, row.place, row.lot))
        return True

    def refuse(self, refusal: Refusal, source: str, statement_id: str, name: str) -> None:
        """Note a row that was refused before any shard saw it; `name`: what tells it from the statement's others."""
        self._words.refusals.append(refusal)
        if not source or not statement_id:
            return
        found = self._known(source, statement_id, self._clock())
        if found.state == PENDING:
            found.refused.add(name)
            self._changed.add(found.key)

    def tally(self, tally: Tally) -> None:
        """Take what a shard has found so far."""
        key = (tally.source, tally.statement_id)
        found = self.statements.get(key)
        if tally.run != self.run or found is None or found.state == DECIDED:
            return
        self._tallies.setdefault(key, {})[tally.shard] = tally
        self._changed.add(key)

    def _of(self, said: Stated) -> Statement | None:
        """The statement of a message that may still change it; None where it comes too late, which is counted."""
        found = self._known(said.source, said.statement_id, said.as_of)
        if found.state == PENDING:
            return found
        self._repeats(found, said, said.as_of <= (found.decided_at or self._clock()))
        return None

    def _repeats(self, found: Statement, said: Stated, is_same: bool) -> None:
        self._changed.add(found.key)
        if is_same:
            found.duplicates += 1
            return
        found.conflicts += 1
        text = f"{said.type}: expected what was first said of {found.statement_id}, or another statement_id, got other"
        self._words.refusals.append(Refusal(said.origin, "conflict", f"{text} content", None, said.source, said.type))

    def _known(self, source: str, statement_id: str, as_of: int) -> Statement:
        found = self.statements.get((source, statement_id))
        if found is None or (found.is_said and self._is_over(found)):
            found = self.statements[source, statement_id] = Statement(source, statement_id, as_of, as_of)
            self._changed.add(found.key)
        return found

    def _is_over(self, found: Statement) -> bool:
        return self._clock() - found.as_of > self._config.windows.of(found.source)

    # --- epochs ------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Give what is kept; an epoch ends with it."""
        self._epochs += 1
        for key in [key for key, one in self.statements.items() if one.is_said and self._is_over(one)]:
            self.statements.pop(key)
        return msgspec.msgpack.encode(Saved(list(self.statements.values()), self._last, self._complaints))

    def epoch_finished(self) -> None:
        """The epoch of the last snapshot went through every sink."""
        self._finished = self._epochs

    # --- what follows ------------------------------------------------------------------------------------------------

    def step(self, ready_until: int) -> Words:
        """Go on as far as one can. `ready_until`: everything that was due by then was handed on."""
        for found in list(self.statements.values()):
            if found.state == PENDING and self._is_complete(found, ready_until):
                found.state = CLOSING
            if found.state == CLOSING:
                self._close(found)
            elif found.state == DECIDED and not found.is_said:
                self._say(found)
        self._tell_changed()
        words, self._words = self._words, Words()
        return words

    def _tell_changed(self) -> None:
        """Say what is known of those that changed; of one that is being read once a second."""
        now = self._clock()
        for key in list(self._changed):
            one = self.statements.get(key)
            if one is not None and not one.is_said and now - self._told_at.get(key, 0) < self._config.tell_every:
                continue
            self._changed.discard(key)
            self._told_at[key] = now
            if one is None or one.is_said:
                self._told_at.pop(key, None)
            if one is not None:
                self._words.reported.append(self._status(one))

    def next_due(self) -> int | None:
        """When the next statement is over that does not become complete before, in UTC microseconds."""
        return min((self._over_at(one) for one in self.statements.values() if one.state == PENDING), default=None)

    @property
    def is_busy(self) -> bool:
        """Is a verdict on its way?"""
        return any(one.is_moving for one in self.statements.values())

    def is_due(self, now: int) -> bool:
        """Is there a statement whose verdict is due and has not fallen?"""
        return any(
            one.is_moving or (one.state == PENDING and not one.waiting and self._over_at(one) <= now)
            for one in self.statements.values()
        )

    def _over_at(self, found: Statement) -> int:
        if found.ended_at is not None:
            return found.ended_at + self._config.settle_of(found.source)
        return found.as_of + self._config.windows.of(found.source) + 1

    def _is_complete(self, found: Statement, ready_until: int) -> bool:
        if found.waiting:
            return False
        if self._over_at(found) <= ready_until:
            return True
        said = [rows for rows in (found.start_rows, found.end_rows) if rows is not None]
        if found.started_at is None or found.ended_at is None:
            return False
        return self._counts(found)["seen"] >= max(said, default=0)

    def _counts(self, found: Statement) -> dict[str, int]:
        if found.state == DECIDED:
            return found.counts | {
                "duplicates": found.counts["duplicates"] + found.duplicates,
                "conflicts": found.counts["conflicts"] + found.conflicts,
            }
        tallies = self._tallies.get(found.key, {}).values()
        sums = {name: sum(getattr(one, name) for one in tallies) for name in _SUMMED}
        sums["refused"] += len(found.refused)
        sums["duplicates"] += found.duplicates
        sums["conflicts"] += found.conflicts
        seen = sums["agreed"] + sums["in_variance"] + sums["not_compared"] + sums["refused"]
        return {"seen": seen, **sums}

    def _close(self, found: Statement) -> None:
        key = found.key
        if key not in self._asked:
            self._ask(found, 1)
            return
        tallies = self._tallies.get(key, {})
        if key not in self._searched:
            asked = self._asked[key]
            if sum(one.round == asked for one in tallies.values()) < self._config.shards:
                return
            if asked == 1 and found.is_whole and self._may_miss(found):
                self._ask(found, 2)
            else:
                self._search(found, list(tallies.values()))
            return
        if sum(one.is_closed for one in tallies.values()) < self._config.shards:
            return
        if self._is_kept(found):  # what the shards found
            self._decide(found)

    def _is_kept(self, found: Statement) -> bool:
        """Is what is known now in a finished epoch? In the next one that begins after this was first asked."""
        if self._finished < self._kept_at.setdefault(found.key, self._epochs + 1):
            return False
        self._kept_at.pop(found.key)
        return True

    def _ask(self, found: Statement, number: int) -> None:
        self._asked[found.key] = number
        ended_at = found.ended_at or found.as_of
        refused = sorted(found.refused) if number > 1 else []
        message = CloseStatement(
            *found.key, found.as_of, ended_at, found.locations, number > 1, number, found.born, refused
        )
        self._words.to_shards.append(message)

    def _may_miss(self, found: Statement) -> bool:
        """Is what was not stated 0? Only where all that was announced is there, and something was taken."""
        if found.started_at is None or found.ended_at is None:
            return False
        counts = self._counts(found)
        said = [rows for rows in (found.start_rows, found.end_rows) if rows is not None]
        return counts["seen"] >= max(said, default=0) and counts["seen"] > counts["refused"]

    def _search(self, found: Statement, tallies: list[Tally]) -> None:
        """Have units read again that may explain what differs, or go on without where nothing needs them."""
        self._searched.add(found.key)
        items = {code for tally in tallies for code in tally.wanted}
        promises = {name for tally in tallies for name in tally.promises}
        spans = [tally.span for tally in tallies if tally.span[1]] or [(found.as_of, found.as_of)]
        promised = max((tally.promised for tally in tallies), default=0)
        anew_since = promised - self._config.settle_of(found.source) if promised else None
        if items or promises or promised:
            since, until = min(span[0] for span in spans) - DAY, max(span[1] for span in spans) + DAY
            self._words.searches.append(Search(*found.key, items, promises, since, until, anew_since))
        else:
            self._words.to_shards.append(UnitsFound(*found.key, [], True))

    def _decide(self, found: Statement) -> None:
        counts = self._counts(found)
        facts = self.rules.get(found.source, DEFAULTS)
        units = explained = Fraction(0)
        for tally in self._tallies.get(found.key, {}).values():
            added_causes(found.causes, tally.causes)
            units += Fraction(tally.units)
            explained += Fraction(tally.explained)
        found.units, found.explained = str(units), str(explained)
        found.reasons = reasons_against(
            has_start=found.started_at is not None,
            has_end=found.ended_at is not None,
            said=(found.start_rows, found.end_rows),
            seen=counts["seen"],
            refused=counts["refused"],
            conflicts=counts["conflicts"],
            in_variance=counts["in_variance"],
            absent=counts["absent"],
            last_taken=self._last_taken(found),
            most_in_variance_percent=facts.max_rows_in_variance_percent,
            least_of_last_percent=facts.min_rows_percent_of_last,
        )
        found.verdict = REJECTED if found.reasons else ACCEPTED
        found.state, found.counts, found.decided_at = DECIDED, counts, self._clock()
        found.duplicates = found.conflicts = 0
        found.refused = set()
        self._tallies.pop(found.key, None)
        self._asked.pop(found.key, None)
        self._searched.discard(found.key)
        if found.verdict == ACCEPTED and found.is_whole:
            last = self._last.setdefault(found.scope, [])
            last.append((found.as_of, counts["seen"] - counts["refused"]))
            last.sort()
            del last[:-LAST_MAX]

    def _say(self, found: Statement) -> None:
        """Say a verdict once it is kept: what shards write because of it must never come of another one."""
        if not self._is_kept(found):
            return
        found.is_said = True
        self._changed.add(found.key)
        self._complain(found)
        self._words.to_shards.append(VerdictFell(*found.key, found.as_of, found.verdict == ACCEPTED))

    def _last_taken(self, found: Statement) -> int | None:
        if not found.is_whole:
            return None
        before = [entry for entry in self._last.get(found.scope, ()) if entry[0] < found.as_of]
        return max(before)[1] if before else None

    def _complain(self, found: Statement) -> None:
        """Report a rejected statement; the next accepted one of the same source, locations and items ends that."""
        now = self._clock()
        unknown = f"{found.source} ?"
        if found.verdict == ACCEPTED:
            for scope in (found.scope, unknown):
                for complaint in self._complaints.pop(scope, ()):
                    self._note(*complaint, now, [], is_open=False)
            return
        scope = unknown if found.started_at is None else found.scope
        self._complaints.setdefault(scope, []).append((*found.key, now))
        self._note(*found.key, now, now, found.reasons, is_open=True)

    def _note(
        self, source: str, statement_id: str, first: int, last: int, reasons: list[str], *, is_open: bool
    ) -> None:
        reference = f"{source} {statement_id}"
        self._words.notes.append(
            ExceptionNote("statement_rejected", "", "", reference, {}, first, last, is_open, source, reasons)
        )

    def _status(self, found: Statement) -> Reported:
        said = [rows for rows in (found.end_rows, found.start_rows) if rows is not None]
        value = status_json(
            *found.key,
            as_of=found.as_of if found.started_at is not None else None,
            rows=said[0] if said else None,
            counts=self._counts(found),
            causes=found.causes,
            units=Fraction(found.units),
            explained=Fraction(found.explained),
            started=found.started_at,
            ended=found.ended_at,
            verdict=found.verdict if found.is_said else PENDING,
            reasons=found.reasons if found.is_said else [],
        )
        return Reported(STATUSES, f"{found.source}:{found.statement_id}", value)


_SUMMED = ("agreed", "in_variance", "not_compared", "refused", "absent", "duplicates", "conflicts")


def name_of(item: str, place: str, lot: str) -> str:
    """Name a row within its statement."""
    return f"{item} {place} {lot}"


def named_in(value: bytes | None, place: str) -> tuple[str, str, str]:
    """Give whose row a refused message is, as far as it can be read: source, statement_id, and its name within it.

    `place`: what it is named by where its item or location cannot be read. All but that is empty for what is no row.
    """
    try:
        said = msgspec.json.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", "", place
    if not isinstance(said, dict) or said.get("type") not in ("stock_stated", "promise_stated"):
        return "", "", place
    told = {name: said.get(name) for name in ("source", "statement_id", "item", "location", "channel", "lot")}
    plain = {name: text if isinstance(text, str) else "" for name, text in told.items()}
    where = plain["location"] or plain["channel"]
    name = name_of(plain["item"], where, plain["lot"]) if plain["item"] and where else place
    return plain["source"], plain["statement_id"], name
