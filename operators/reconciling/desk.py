"""What the parts of a shard's reconciling share: open statements, rules, what is kept of items, and what is to be said.

A tally says all that the shard has found of a statement. Rows come by few, and a tally of each few of them would cost
more than they do: so it is told now and then, and at once where somebody waits for it.
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import Any, Protocol

import msgspec

from operators import ours, position
from operators.ids import HOUR, SPLIT, RememberedIds, first_kept, own_bucket, unit_fingerprint
from operators.reconciling.names import Key, judged_key
from operators.rules.admission import Windows
from operators.rules.days import Days
from operators.rules.reconciliation import DEFAULTS, ReconciliationFacts
from schemas.messages import ExceptionNote
from schemas.reconciled import ATP, Judged, Reported, Standing, Tally, VerdictFell
from schemas.state import Item
from schemas.topics import TALLIES
from schemas.units import Refusal

#: Fingerprints of statements with a verdict are dropped when they are one in so many of all ids.
DROP_FROM = 4
# Names that other modules import are objects, and this is a plain number once compiled.
_HOUR = HOUR
encode = msgspec.msgpack.Encoder().encode

#: one step of work on a statement: what is done, the statement, the item
Step = tuple[str, Key, str]


class Host(Protocol):
    """What of the shard is used here."""

    number: int
    config: Any
    clock: Any
    items: dict[str, Any]
    ids: RememberedIds
    policies: Any
    counts: dict[tuple[str, str, str], int]
    _windows: Windows
    _days: Days
    _journal_horizon: int
    _refusals: list[Refusal]
    _notes: list[ExceptionNote]

    def find(self, code: str) -> Item | None: ...
    def _note(self, item: Item) -> None: ...


class Open(msgspec.Struct, array_like=True):
    """One statement in one shard, until its verdict."""

    tally: Tally
    #: what tells it from one of before with the same id
    born: int
    #: fingerprints of rows that were refused and did not come again
    refused: set[int] = set()
    #: items with rows in variance
    items: set[str] = set()
    #: the verdict, while it is being applied
    verdict: VerdictFell | None = None
    #: when its first row was judged here
    judged_at: int = 0
    #: hour -> the bucket in which fingerprints of its rows are kept until then, and how many there are in all
    buckets: dict[int, int] = {}
    fingerprints: int = 0


class Desk:
    """One a shard."""

    def __init__(self, shard: Host) -> None:
        self.shard = shard
        self.run = 0
        #: statements without a verdict
        self.open: dict[Key, Open] = {}
        #: source -> its record
        self.rules: dict[str, ReconciliationFacts] = {}
        #: what is left to do on whole statements, item by item
        self.work: deque[Step] = deque()
        #: what is to be written
        self.words: list[Reported] = []
        #: buckets of statements with a verdict, and how many of their fingerprints may still be kept
        self._over: set[int] = set()
        self._dropping = 0
        # of this run alone: statements of which a tally is to be told, and whether somebody waits for it
        self.untold: set[Key] = set()
        self._is_waited_for = False
        self._told_at = 0

    # --- statements and rules ----------------------------------------------------------------------------------------

    def open_statement(self, key: Key, born: int) -> Open:
        """Give what is known of a statement; nothing yet, if this is its first word here."""
        found = self.open.get(key)
        if found is None:
            found = self.open[key] = Open(Tally(self.run, self.shard.number, *key), born)
        return found

    def remember(self, found: Open, identity: int, content: int, until: int) -> None:
        """Keep a fingerprint of an open statement until its verdict, and `until` a moment at most."""
        hour = until // _HOUR
        bucket = found.buckets.get(hour)
        if bucket is None:
            tally = found.tally
            name = unit_fingerprint(tally.source, tally.statement_id, str(found.born), "")
            bucket = found.buckets[hour] = own_bucket(until, 1 + name % (SPLIT - 1))
            self._over.discard(bucket)
        ids = self.shard.ids
        ids.remember_in(identity, content, bucket)
        found.fingerprints += 1

    def close(self, key: Key) -> None:
        """A verdict is applied: nobody asks for the statement's fingerprints any more.

        To drop them all others are walked past. So it is done when they are a quarter of all: then it costs each of
        them little, however many small statements there are.
        """
        found = self.open.pop(key)
        in_use = {bucket for other in self.open.values() for bucket in other.buckets.values()}
        self._over.update(bucket for bucket in found.buckets.values() if bucket not in in_use)
        self._dropping += found.fingerprints
        if self._dropping and self._dropping * DROP_FROM >= len(self.shard.ids):
            self._dropping = 0
            self.shard.ids.drop(array("Q", self._over))

    def over(self) -> list[int]:
        """Give the buckets that hold fingerprints of statements with a verdict alone, for a snapshot."""
        floor = first_kept(self.shard._journal_horizon)
        self._over = {bucket for bucket in self._over if bucket >= floor}
        return sorted(self._over)

    def leave_out(self, buckets: list[int]) -> None:
        """Drop what a snapshot's files still hold of statements with a verdict."""
        self._over.update(buckets)
        if buckets:
            self.shard.ids.drop(array("Q", buckets))

    def rules_of(self, source: str) -> ReconciliationFacts:
        """Give what holds for a source."""
        return self.rules.get(source, DEFAULTS)

    # --- what is kept of items ---------------------------------------------------------------------------------------

    def ours(self, item: Item, place: str, lot: str, measure: str, as_of: int) -> int | None:
        """Give ours of a measure as of a moment, as `ours.ours_of`; of a promise the last one that was handed on."""
        if measure == ATP:
            published = item.published.get(place)
            return published[0] if published is not None else 0
        shard = self.shard
        return ours.ours_of(item, place, lot, measure, as_of, shard._journal_horizon, shard._days)

    def rows_of(self, item: Item, key: Key) -> list[Judged]:
        """Give the rows of an open statement that are kept of an item."""
        if item.rare is None:
            return []
        return [row for row in item.rare.judged.values() if (row.source, row.statement_id) == key]

    def keep(self, found: Open, item: Item, row: Judged) -> None:
        """Keep a row until the verdict."""
        key = judged_key(row)
        position.rare_of(item).judged[key] = row
        position.mark(item, "p", key, "")
        self.shard._note(item)
        found.items.add(item.code)

    def changed(self, item: Item, row: Judged) -> None:
        """Note that a row that is kept says something else now."""
        position.mark(item, "p", judged_key(row), "")
        self.shard._note(item)

    def drop(self, item: Item, row: Judged) -> None:
        """Keep a row no longer."""
        position.rare_of(item).judged.pop(judged_key(row))
        self.changed(item, row)

    def put(self, item: Item, key: str, standing: Standing) -> Standing:
        """Have a variance stand under its key."""
        position.rare_of(item).variances[key] = standing
        position.mark(item, "v", key, "")
        return standing

    # --- what is said ------------------------------------------------------------------------------------------------

    def say(self, topic: str, key: str, value: bytes) -> None:
        """Write a message, behind what is said already."""
        self.words.append(Reported(topic, key, value))

    def refuse(self, refusal: Refusal) -> None:
        """Have a message go to the dead letters."""
        self.shard._refusals.append(refusal)

    def begin(self, run: int) -> None:
        """Tell a new run's coordinator all that is known: it believes no word of the run before."""
        if self.run != run:
            self.run = run
            self.untold.update(self.open)
            self._is_waited_for = True

    def answer(self, key: Key) -> None:
        """Tell at once: the coordinator asked."""
        self.untold.add(key)
        self._is_waited_for = True

    def said(self) -> list[Reported]:
        """Take what is to be written since this was last asked."""
        if self._is_telling:
            for key in self.untold:
                found = self.open.get(key)
                if found is not None:
                    self._tell(found)
            self.untold.clear()
            self._is_waited_for, self._told_at = False, self.shard.clock()
        said, self.words = self.words, []
        return said

    @property
    def has_news(self) -> bool:
        """Is there anything to say?"""
        return bool(self.words) or self._is_telling

    @property
    def tells_at(self) -> int | None:
        """When tallies are told at the latest, in UTC microseconds; None where there are none to tell."""
        if not self.untold:
            return None
        told: int = self._told_at + self.shard.config.tell_every
        return told

    @property
    def _is_telling(self) -> bool:
        """Are tallies told now?"""
        if not self.untold:
            return False
        since = self.shard.clock() - self._told_at
        return self._is_waited_for or not 0 <= since < self.shard.config.tell_every

    def _tell(self, found: Open) -> None:
        tally = found.tally
        tally.run, tally.refused = self.run, len(found.refused)
        self.say(TALLIES, f"{tally.source}:{tally.statement_id}", encode(tally))
