"""Decides for the naive model whether what systems say they have is true: rows, verdicts and statuses of section 9.

Rule 1: a row is judged by the units that were applied when it was judged; what came later changes its variance and
neither its verdict nor what was counted. Rule 2: the moments are the caller's: `judge` says what is due by then.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

from flows.audit.causes import Difference, cause_of
from flows.audit.intake import Refusal, Unit
from flows.audit.measures import Allowances, beneath
from flows.audit.model import Model
from flows.audit.past import Cell, Past, ours_at
from flows.audit.rows import Row, Sent, Statement
from flows.audit.stated import COUNTED, PROMISE, Misstated, Stated, understand
from flows.audit.variances import Book, Variance, id_of

SETTLE_US = 600_000_000
REASONS = (
    *("not_started", "not_ended", "rows_missing", "rows_too_many", "contradicts_itself", "empty"),
    *("fewer_than_last", "too_many_in_variance"),
)


class Reconciliation:
    """Judges statements beside a model that takes the events. `settles`: by source, what is not the default."""

    def __init__(self, model: Model, settles: dict[str, int] | None = None) -> None:
        self.model = model
        self.settles = settles or {}
        self.allowances = Allowances(model)
        self.book = Book(model)
        self.statements: dict[tuple[str, str], Statement] = {}
        self.sent: dict[tuple[str, str], list[Sent]] = defaultdict(list)
        #: (item, channel) of which a newer atp waits to be sent
        self.waiting: set[tuple[str, str]] = set()
        #: rows that were refused before anything good was heard of their statement
        self.unclaimed: dict[tuple[str, str], set[tuple[object, ...]]] = {}
        #: rejected statements of which nobody has heard better yet
        self.complaints: dict[tuple[str, str], list[str]] = {}

    # What is said.

    def tell(self, value: bytes, recorded_at: int, place: tuple[str, int, int] | None = None) -> list[Refusal]:
        """Take a statement's message as it was logged; give what of it was refused."""
        stated = understand(value, recorded_at, self.model)
        if isinstance(stated, Misstated):
            self._refuse(stated, place)
            return [stated.refusal]
        key = (stated.source, stated.statement_id)
        statement = self.statements.get(key)
        if statement is not None and statement.verdict_at is not None:
            if recorded_at - statement.as_of <= self._window(stated.source):
                # Its as_of is one of a time at which the statement was judged already: it is another one.
                if stated.as_of > statement.verdict_at:
                    return [("conflict", None)]
                statement.duplicates += 1
                return []
            statement = None
        if statement is None:
            statement = self.statements[key] = Statement(*key, stated.as_of, refused=self.unclaimed.pop(key, set()))
        if stated.kind == "statement_started":
            known, statement.start = statement.start, statement.start or stated
            if known is None:
                statement.started_at = recorded_at
        elif stated.kind == "statement_ended":
            known, statement.end = statement.end, statement.end or stated
            if known is None:
                statement.ended_at = recorded_at
        else:
            row = statement.rows.setdefault(stated.key, Row(stated, recorded_at))
            known = None if row.stated is stated else row.stated
            statement.refused.discard((stated.item, stated.place, stated.lot or ""))
        if known is None:
            return []
        if known != stated:
            statement.conflicts += 1
            return [("conflict", None)]
        statement.duplicates += 1
        return []

    def _refuse(self, told: Misstated, place: tuple[str, int, int] | None) -> None:
        """Count a row that was refused, where it can be read whose it is."""
        if told.source is None or told.statement_id is None or told.kind not in ("stock_stated", "promise_stated"):
            return
        statement = self.statements.get((told.source, told.statement_id))
        if statement is None:
            self.unclaimed.setdefault((told.source, told.statement_id), set()).add(told.row or (place,))
        elif statement.verdict_at is None and (told.row or (place,)) not in {
            (item, at, lot or "") for item, at, lot in statement.rows
        }:
            statement.refused.add(told.row or (place,))

    def promised(self, item: str, channel: str, atp: int, at: int) -> None:
        """Take that an atp was sent to Kafka."""
        self.sent[item, channel].append(Sent(at, atp))

    def _settle(self, source: str) -> int:
        return self.settles.get(source, SETTLE_US)

    def _window(self, source: str) -> int:
        window = self.model.sources.get(source, {}).get("dedup_window_us")
        return self.model.dedup_window_us if window is None else int(window)

    # What is due.

    def moments(self) -> set[int]:
        """Give when something becomes due by the passing of time alone."""
        found = set()
        for statement in self.statements.values():
            if statement.verdict_at is None:
                settle = self._settle(statement.source)
                found |= {max(row.logged_at, row.stated.as_of + settle) for row in statement.rows.values()}
                found.add(statement.as_of + self._window(statement.source) + 1)
                if statement.ended_at is not None:
                    found.add(statement.ended_at + settle)
        return found

    def judge(self, now: int) -> list[Statement]:
        """Judge the rows and give the statements whose verdict falls; then say how every open variance stands."""
        fell = []
        for statement in self.statements.values():
            if statement.verdict_at is not None:
                continue
            settle = self._settle(statement.source)
            for row in statement.rows.values():
                if not row.is_judged and now >= max(row.logged_at, row.stated.as_of + settle):
                    self._compare(row)
        for statement in sorted(self.statements.values(), key=lambda one: (one.as_of, one.statement_id)):
            if statement.verdict_at is None and self._falls(statement, now):
                self._conclude(statement, now)
                fell.append(statement)
        self.look_again()
        return fell

    def look_again(self) -> None:
        """Let what came since the verdicts change what is open."""
        self.book.look_again()

    def _falls(self, statement: Statement, now: int) -> bool:
        if statement.is_complete:
            return True
        if statement.ended_at is not None:
            judged = all(row.is_judged for row in statement.rows.values())
            return judged and now >= statement.ended_at + self._settle(statement.source)
        return now - statement.as_of > self._window(statement.source)

    def _compare(self, row: Row) -> None:
        stated = row.stated
        row.is_judged = True
        limit = self.allowances.limit(stated.source, stated.item)
        for measure, theirs in stated.measures.items():
            if measure == PROMISE:
                ours = self._promise(row)
            else:
                ours = ours_at(self.model, Cell(*stated.key, measure), stated.as_of)
            row.ours[measure] = ours
            if ours is not None and abs(theirs - ours) > limit(ours):
                row.differs.add(measure)

    def _promise(self, row: Row) -> int | None:
        """What was sent last, if that was long enough before as_of for the channel to show it."""
        stated = row.stated
        key = (stated.item, stated.place)
        sent = self.sent.get(key, [])
        if key in self.waiting:
            return None
        if not sent:
            return None if self.model._lists(stated.place, stated.item) else 0
        if sent[-1].at > stated.as_of - self._settle(stated.source):
            return None
        row.sent_before = sent[-2].atp if len(sent) > 1 else None
        return sent[-1].atp

    # Verdicts.

    def _conclude(self, statement: Statement, now: int) -> None:
        if statement.is_complete and statement.taken and statement.start is not None:
            statement.absent = self._absent(statement, statement.start)
        statement.reasons = self._reasons(statement)
        statement.verdict = "rejected" if statement.reasons else "accepted"
        statement.verdict_at = now
        found = self._explain(statement)
        if statement.verdict == "accepted":
            self._accept(statement, found)
        else:
            self.complaints[statement.source, statement.statement_id] = statement.reasons
            for variance in found:
                self.book.note_rejected(variance)

    def _accept(self, statement: Statement, found: list[Variance]) -> None:
        for row in statement.rows.values():
            for measure, ours in row.ours.items():
                if ours is not None and measure not in row.differs:
                    key = self._key(row.stated, measure)
                    self.book.agrees(key, statement.as_of, statement.statement_id)
        noted = [variance for variance in map(self.book.note, found) if variance is not None]
        by_row: dict[str, list[Variance]] = defaultdict(list)
        for variance in noted:
            by_row[variance.id].append(variance)
        self.book.look_again()
        self.book.act(by_row.values(), lambda cell: self.allowances.action(statement.source, cell))
        start = statement.start
        for about in list(self.complaints):
            other = self.statements[about].start
            if about[0] == statement.source and (other is None or start is None or _scope(other) == _scope(start)):
                del self.complaints[about]

    def _absent(self, statement: Statement, start: Stated) -> list[Row]:
        """What a statement of all items did not state and should have: rows of nothing that differ."""
        if start.items != "all":
            return []
        named: dict[tuple[str, str], set[str | None]] = defaultdict(set)
        for item, place, lot in statement.rows:
            named[item, place].add(lot)
        for row in statement.refused:
            if len(row) == 3:  # it can be read which one was meant
                named[str(row[0]), str(row[1])].add(str(row[2]) or None)
        scope = set(self.model.locations) if start.locations is None else beneath(self.model, start.locations)
        found = []
        for item, units in self.model.units_of.items():
            if item not in self.model.items:
                continue
            places = {unit.get(name) for unit in units for name in ("location", "to_location")} & scope
            for place in sorted(places):
                lots: list[str | None] = [None]
                if (item, place) in named:
                    known = Past(self.model, item, units).lots_known(item, place)
                    lots = [] if None in named[item, place] else [*sorted(known - named[item, place])]
                found += [self._missing(statement, item, place, lot) for lot in lots]
        return [row for row in found if row.differs]

    def _missing(self, statement: Statement, item: str, place: str, lot: str | None) -> Row:
        kind, key = "stock_stated", (statement.source, statement.statement_id)
        stated = Stated(kind, *key, statement.as_of, item, place, lot, {"on_hand": 0})
        assert statement.ended_at is not None, "a statement without an end has no absent rows"
        row = Row(stated, statement.ended_at, is_absent=True)
        self._compare(row)
        return row

    def _reasons(self, statement: Statement) -> list[str]:
        record = self.allowances.of(statement.source)
        in_variance = statement.count("in_variance") + len(statement.absent)
        told = statement.taken + len(statement.absent)
        most = record["max_rows_in_variance_percent"]
        holds = {
            "not_started": statement.start is None,
            "not_ended": statement.end is None,
            "rows_missing": any(statement.seen < rows for rows in statement.said),
            "rows_too_many": any(statement.seen > rows for rows in statement.said),
            "contradicts_itself": statement.conflicts > 0,
            "empty": statement.taken < 1,
            "fewer_than_last": self._is_fewer(statement, record["min_rows_percent_of_last"]),
            "too_many_in_variance": in_variance > 1 and in_variance * 100 > most * told,
        }
        return [reason for reason in REASONS if holds[reason]]

    def _is_fewer(self, statement: Statement, percent: Fraction) -> bool:
        """Whether it takes too few rows beside the last accepted one of the same before it."""
        start = statement.start
        if start is None or start.items != "all":
            return False
        before = [
            other
            for other in self.statements.values()
            if other.verdict == "accepted"
            and other.source == statement.source
            and other.start is not None
            and _scope(other.start) == _scope(start)
            and other.as_of < statement.as_of
        ]
        last = max(before, key=lambda other: (other.as_of, other.statement_id), default=None)
        return last is not None and statement.taken * 100 < percent * last.taken

    # Variances.

    @staticmethod
    def _key(stated: Stated, measure: str) -> tuple[str, str, str, str, str]:
        return stated.source, stated.item, stated.place, stated.lot or "", measure

    def _explain(self, statement: Statement) -> list[Variance]:
        """The variances of a statement, each with its cause; counts them, too."""
        rows = [row for row in (*statement.rows.values(), *statement.absent) if row.is_judged]
        pairs = [(row, self._difference(row, measure)) for row in rows for measure in sorted(row.differs)]
        differences = [difference for _, difference in pairs]
        found = []
        for row, difference in pairs:
            cause, evidence = cause_of(self.model, difference, differences)
            measure = difference.cell.measure
            statement.causes[measure][cause] += 1
            size = Fraction(abs(difference.size), 10 ** self.model.items[row.stated.item]["measure"][1])
            statement.units += size
            statement.explained += 0 if cause == "unknown" else size
            found.append(self._variance(statement, row, difference, cause, evidence))
        return found

    def _difference(self, row: Row, measure: str) -> Difference:
        stated, ours = row.stated, row.ours[measure]
        assert ours is not None, "what was not compared does not differ"
        return Difference(
            cell=Cell(*stated.key, measure),
            as_of=stated.as_of,
            ours=ours,
            theirs=stated.measures[measure],
            logged_at=row.logged_at,
            limit=self.allowances.limit(stated.source, stated.item),
            is_absent=row.is_absent,
            on_hand_agrees="on_hand" in row.ours and "on_hand" not in row.differs,
            sent_before=row.sent_before,
        )

    def _variance(
        self, statement: Statement, row: Row, difference: Difference, cause: str, evidence: list[Unit]
    ) -> Variance:
        stated = row.stated
        beside = [
            other for other in statement.rows if other[:2] == (stated.item, stated.place) and other[2] is not None
        ]
        return Variance(
            key=self._key(stated, difference.cell.measure),
            id=id_of(statement.source, statement.statement_id, stated.item, stated.place, stated.lot),
            statement_id=statement.statement_id,
            stated_as_of=statement.as_of,
            as_of=stated.as_of,
            ours=difference.ours,
            theirs=difference.theirs,
            cause=cause,
            evidence=evidence,
            limit=difference.limit,
            is_apart=stated.lot is None and bool(beside) and difference.cell.measure in COUNTED,
            row={name: theirs for name, theirs in stated.measures.items() if name in COUNTED},
        )


def _scope(start: Stated) -> tuple[tuple[str, ...] | None, str]:
    return start.locations, start.items
