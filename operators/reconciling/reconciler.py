"""The shard's one way to what concerns statements: takes words, goes on with work some at a turn, gives what is said.

Work on a whole statement goes item by item, some at each of the shard's turns: numbers are not to wait for it.
Shards of a process take their turns one after another, and rest as long as they work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from operators.reconciling.closing import Closing
from operators.reconciling.desk import Desk, Host, Open, encode
from operators.reconciling.names import Key
from operators.reconciling.naming import Namer
from operators.reconciling.people import Decisions
from operators.reconciling.rows import RowJudge
from operators.reconciling.standing import Asked, Held, Standings
from operators.reconciling.verdicts import Verdicts
from operators.reference import unpack_reconciliation
from schemas.reconciled import CloseStatement, Decided, Reported, Rows, Rules, UnitsFound, VerdictFell
from schemas.state import Item

#: What a turn may take, in microseconds, and the most items of a statement that are looked at in it.
TURN_US = 2_000
ITEMS_AT_ONCE = 1_000


class Saved(msgspec.Struct, array_like=True):
    """What a snapshot keeps beside the items' own records."""

    open: list[Open]
    asked: list[Asked]
    held: list[Held]
    rules: bytes = b""
    #: buckets of ids that hold fingerprints of statements with a verdict alone
    over: list[int] = []


_saved = msgspec.msgpack.Decoder(Saved)


class Pace:
    """When shards go on with their work; one for all shards of a process.

    Each goes on by itself: were each to work a little in the same round, numbers would wait for all 64 of them, and so
    would the rows of the next statement, of which each round takes some.
    """

    def __init__(self) -> None:
        self._free_at = self._took = 0

    def take(self, now: int) -> int:
        """Give when the shard that asks has its turn."""
        at = max(now, self._free_at)
        self._free_at = at + 2 * self._took
        return at

    def note(self, took: int) -> None:
        """A turn took so long: whoever has the next ones rests as long between them."""
        self._took = max(0, took)


class Reconciler:
    """One a shard; the shard hands it what concerns statements, and writes its words with its own."""

    def __init__(self, shard: Host, resume: bytes | None = None) -> None:
        saved = _saved.decode(resume) if resume is not None else Saved([], [], [])
        self.desk = Desk(shard)
        self._pace: Pace = shard.config.pace
        #: when its next turn to work is; None: none was asked for
        self._turn_at: int | None = None
        self._packed_rules = b""
        if saved.rules:
            self._take_rules(saved.rules)
        self._rows = RowJudge(self.desk)
        self._standings = Standings(self.desk, saved.asked, saved.held)
        self._namer = Namer(self.desk)
        self._closing = Closing(self.desk, self._namer)
        self._verdicts = Verdicts(self.desk, self._standings)
        self._decisions = Decisions(self.desk, self._standings)
        self._steps: dict[str, Callable[[Key, str], None]] = {
            "absent": self._closing.find_absent,
            "begin": self._closing.begin_search,
            "search": self._closing.search,
            "searched": self._closing.finish_search,
            "closed": self._closing.finish,
            "apply": self._verdicts.apply,
            "end": self._end,
        }
        for found in saved.open:
            self._resume(found)
        self.desk.leave_out(saved.over)

    def _resume(self, found: Open) -> None:
        self.desk.open[found.tally.source, found.tally.statement_id] = found
        # Closing begins anew: what is told of it now would be taken for an answer to what is asked then.
        found.tally.round, found.tally.is_closed = 0, False
        if found.verdict is not None:
            self._begin_verdict(found.verdict)

    def snapshot(self) -> bytes:
        """Give what is kept beside the items' records; b"" where there is nothing."""
        asked, held, over = self._standings.asked(), self._standings.held(), self.desk.over()
        if not (self.desk.open or asked or held or self._packed_rules or over):
            return b""
        return encode(Saved(list(self.desk.open.values()), asked, held, self._packed_rules, over))

    # --- what comes in -----------------------------------------------------------------------------------------------

    def take(self, message: Any) -> None:
        """Take a word that concerns statements."""
        if type(message) is Rows:
            self._rows.take(message)
        elif type(message) is Rules:
            self._take_rules(message.packed)
        elif type(message) is CloseStatement:
            self._closing.begin(message)
        elif type(message) is UnitsFound:
            self._closing.take_units(message)
        elif type(message) is VerdictFell:
            self._begin_verdict(message)
        elif type(message) is Decided:
            self._decisions.take(message)

    def _take_rules(self, packed: bytes) -> None:
        self._packed_rules = packed
        self.desk.rules = unpack_reconciliation(packed)

    def _begin_verdict(self, message: VerdictFell) -> None:
        key = (message.source, message.statement_id)
        found = self.desk.open.get(key)
        if found is None:
            return
        found.verdict = message
        self._namer.gathered.pop(key, None)
        # Before all else: what is doubtful is not promised meanwhile, and causes of a million rows take minutes.
        self.desk.work.appendleft(("end", key, ""))
        self.desk.work.extendleft(("apply", key, code) for code in sorted(found.items, reverse=True))

    def _end(self, key: Key, _: str = "") -> None:
        self.desk.close(key)

    def begin(self, run: int) -> None:
        """Tell a new run's coordinator all that is known: it believes no word of the run before."""
        self.desk.begin(run)

    # --- work --------------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Go on with statements that are closed or decided, if it is this shard's turn."""
        clock = self.desk.shard.clock
        began = clock()
        if not self.is_busy or began < self._turn(began):
            return
        self._go_on(ITEMS_AT_ONCE, began + TURN_US)
        self._turn_at = None
        self._pace.note(clock() - began)

    def work_off(self) -> None:
        """Do all that is left to do."""
        while self.is_busy:
            self._go_on(len(self.desk.work), None)

    def _go_on(self, most: int, until: int | None) -> None:
        work, clock = self.desk.work, self.desk.shard.clock
        while work and most > 0 and (until is None or clock() < until):
            kind, key, code = work.popleft()
            most -= 1
            if key not in self.desk.open:
                continue
            if kind != "cause":
                self._steps[kind](key, code)
            elif self._namer.name(key, code):
                most = 0

    def _turn(self, now: int) -> int:
        if self._turn_at is None:
            self._turn_at = self._pace.take(now)
        return self._turn_at

    @property
    def is_busy(self) -> bool:
        """Is there work on a statement left?"""
        return bool(self.desk.work)

    def next_turn(self) -> int | None:
        """When it goes on with its work, in UTC microseconds; None where there is none."""
        return self._turn(self.desk.shard.clock()) if self.is_busy else None

    def look(self, item: Item) -> None:
        """An item changed: its open variances say ours as it is known now."""
        self._standings.look(item)

    # --- time, and what goes out -------------------------------------------------------------------------------------

    def next_alert(self) -> int | None:
        """When the next hold is too long, or something is to be told, in UTC microseconds."""
        alert, told = self._standings.next_alert(), self.desk.tells_at
        if told is None:
            return alert
        return told if alert is None else min(alert, told)

    def pass_time(self, now: int) -> None:
        """Report what is held for too long."""
        self._standings.pass_time(now)

    @property
    def has_news(self) -> bool:
        """Is there anything to say?"""
        return self.desk.has_news

    def said(self) -> list[Reported]:
        """Take what is to be written since this was last asked."""
        return self.desk.said()
