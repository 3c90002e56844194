"""Applies a verdict to an item's rows: variances stand, agree or are added, and what the rules say is corrected."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from operators import position
from operators.reconciling.counts import count_of, say_count
from operators.reconciling.desk import Desk
from operators.reconciling.names import Key, is_corrected, is_known, judged_key, key_of, lots_marker, replaced
from operators.reconciling.standing import Standings
from operators.rules import causes, variances
from operators.rules.reconciliation import ReconciliationFacts, action_at
from schemas.reconciled import Evidence, Judged, Standing, VerdictFell
from schemas.state import Item
from schemas.variances import row_id, variance_key

#: one for all variances without: nobody adds to what is known of one
NO_EVIDENCE: list[Evidence] = []


@lru_cache
def _texts(facts: ReconciliationFacts) -> tuple[str, str]:
    """Give what agrees as it is kept; one pair for all variances of a source."""
    return str(facts.tolerance), str(facts.tolerance_percent)


class Verdicts:
    """One a shard."""

    def __init__(self, desk: Desk, standings: Standings) -> None:
        self._desk, self._shard, self._standings = desk, desk.shard, standings

    def apply(self, key: Key, code: str) -> None:
        """Say of an item what the verdict on a statement makes of it."""
        item, found = self._shard.find(code), self._desk.open[key]
        found.items.discard(code)
        if item is None or item.rare is None:
            return
        assert found.verdict is not None
        changed: list[Standing] = []
        for row in self._desk.rows_of(item, key):
            item.rare.judged.pop(judged_key(row))
            position.mark(item, "p", judged_key(row), "")
            changed += self._stand(item, row, found.verdict)
        self._standings.write(item, changed)
        self._shard._note(item)

    def _stand(self, item: Item, row: Judged, verdict: VerdictFell) -> list[Standing]:
        """Give what the verdict makes of a row, each a new word under its key."""
        desk = self._desk
        facts = desk.rules_of(row.source)
        rare = position.rare_of(item)
        found: list[Standing] = []
        identity = row_id(row.source, row.statement_id, item.code, row.place, row.lot)
        # A run that died behind this verdict had written its correction, and that has come: ours is as it was judged.
        is_counted = verdict.is_accepted and is_corrected(self._shard.ids, item, identity)
        for name, theirs in row.theirs.items():
            key = variance_key(row.source, item.code, row.place, row.lot, name)
            known = rare.variances.get(key)
            if name not in row.differing:
                if known is not None and verdict.is_accepted:
                    resolved = variances.by_agreeing(known, verdict.as_of, row.statement_id)
                    if resolved is not None:
                        found.append(desk.put(item, key, resolved))
                continue
            now = None if is_counted else desk.ours(item, row.place, row.lot, name, row.as_of)
            new = Standing(
                identity,
                row.source,
                row.statement_id,
                row.place,
                row.lot,
                name,
                row.as_of,
                row.ours[name] if now is None else now,
                theirs,
                row.causes.get(name, causes.UNKNOWN),
                row.evidence.get(name, NO_EVIDENCE),
                self._action(item, row, name, facts) if verdict.is_accepted else "",
                variances.OPEN,
                "",
                "",
                verdict.as_of,
                verdict.as_of,
                *_texts(facts),
            )
            if not verdict.is_accepted:
                added = variances.by_rejected(known, new)
                if added is None:
                    continue
                new = added
            else:
                new = variances.by_accepted(known, new)
            found.append(desk.put(item, key, self._standings.followed(item, new)))
        if verdict.is_accepted:
            found += self._correct(item, found, row.theirs, row.ours if is_counted else {})
        return found

    def _action(self, item: Item, row: Judged, name: str, facts: ReconciliationFacts) -> str:
        action = action_at(facts, name, row.place, self._shard.policies.topology.locations)
        if action != "report" and not row.lot and self._has_lot_rows(row, item):
            return "report"
        return action

    def _has_lot_rows(self, row: Judged, item: Item) -> bool:
        born = self._desk.open[row.source, row.statement_id].born
        return is_known(self._shard.ids, lots_marker(row.source, row.statement_id, born, item.code, row.place))

    def _correct(
        self, item: Item, standing: list[Standing], stated: Mapping[str, int], judged: Mapping[str, int]
    ) -> list[Standing]:
        """Correct what the rules say of one row; what they do not let pass acts as `ask`. Gives what changed.

        `stated`, `judged`: as `count_of`.
        """
        wanted = [one for one in standing if one.action == "correct" and one.state == variances.OPEN]
        if not wanted:
            return []
        measures = {one.measure for one in wanted}
        count = count_of(self._desk, item, standing, measures, judged, stated, by_person=False)
        changed = []
        for one in wanted:
            key = key_of(item, one)
            if count is not None and one.measure in count.measures:
                state = variances.after(one.state, "correct")
                assert state is not None
                changed.append(self._desk.put(item, key, replaced(one, state=state, decided_by="rule")))
            else:
                changed.append(self._desk.put(item, key, replaced(one, action="ask")))
        if count is not None:
            say_count(self._desk, item, wanted[0], count, wanted[0].id, wanted[0].as_of, "")
        return changed
