"""However a row's changes are delivered again, what was said of it adds up to what it says last."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.adapters.test_debezium import Database, movement, order_line

#: what a row may hold after a change: nothing (deleted), or a quantity of one of two items, received or corrected
STATES = st.none() | st.tuples(
    st.sampled_from(["receipt", "scrap", "note"]), st.sampled_from(["LAMP", "SHADE"]), st.integers(-5, 5)
)
#: how many changes are delivered before the stream is set back, and by how many
SETBACKS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=6)


def change(database: Database, state: tuple[str, str, int] | None, is_snapshot: bool) -> dict[str, Any]:
    if state is None:
        return database.envelope("d", None, {"id": 1})
    kind, sku, quantity = state
    return database.envelope("r" if is_snapshot else "u", movement(quantity, kind=kind, sku=sku))


def said_by(state: tuple[str, str, int] | None) -> Counter[tuple[str, str]]:
    """What one row alone adds: received or corrected, by item; a note adds nothing."""
    if state is None or state[0] == "note" or state[2] == 0:
        return Counter()
    kind = "stock_received" if state[0] == "receipt" else "stock_adjusted"
    return Counter({(kind, {"LAMP": "lamp", "SHADE": "shade"}[state[1]]): state[2]})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(STATES, st.booleans()), min_size=1, max_size=8), SETBACKS)
def test_what_was_said_adds_up_to_the_last_state(states: list[Any], setbacks: list[tuple[int, int]]) -> None:
    database = Database("wms", "movements")
    # The first change is one: what a snapshot shows first is only remembered, and a count brings it.
    changes = [change(database, state, number > 0 and snap) for number, (state, snap) in enumerate(states)]
    order: list[int] = []
    at = 0
    for steps, back in setbacks:
        order += range(at, min(at + steps, len(changes)))
        at = max(0, min(at + steps, len(changes)) - back)
    order += range(at, len(changes))
    sums: Counter[tuple[str, str]] = Counter()
    ids: set[str] = set()
    for number in order:
        for body in database.read(changes[number]).bodies():
            assert body["event_id"] not in ids, "one change was said twice"
            ids.add(body["event_id"])
            sums[body["type"], body["item"]] += int(Decimal(body["quantity"])) * (-1 if body.get("reversal") else 1)
    expected = said_by(states[-1][0])
    assert {name: amount for name, amount in sums.items() if amount} == dict(expected)


LINE = st.none() | st.tuples(st.sampled_from(["open", "released", "void"]), st.integers(0, 4))


@settings(max_examples=200, deadline=None)
@given(st.lists(LINE, min_size=1, max_size=8))
def test_an_order_line_wants_what_it_said_last(states: list[Any]) -> None:
    database = Database("wms", "order_lines")
    wanted, is_cancelled, allocated = 0, False, 0
    for state in states:
        key = {"order_no": "A 7", "line_no": 1}
        after = None if state is None else order_line(*state)
        change = database.envelope("d" if state is None else "u", after, key)
        for body in database.read(change).bodies():
            quantity = body["lines"][0].get("quantity", 0)
            match body["type"]:
                case "order_placed":
                    wanted = quantity
                case "order_cancelled":
                    is_cancelled = True
                case "order_reopened":
                    is_cancelled = False
                case "order_allocated":
                    allocated += -quantity if body.get("reversal") else quantity
    last = states[-1]
    is_open = last is not None and last[0] != "void"
    assert (0 if is_cancelled else wanted) == (last[1] if is_open else 0)
    assert allocated == (last[1] if last is not None and last[0] == "released" else 0)
