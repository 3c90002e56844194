"""What must hold after every step, whatever was told: bounds and sums that owe nothing to the formulas they guard.

The model says what each number has to be; this says what no number may ever be, also where engine and model would
make the same mistake. That versions rise is seen where versions are given: `tests.judging`, over Redis and Kafka.
"""

from __future__ import annotations

import json
from collections import defaultdict

from flows.audit.model import Model
from flows.audit.reading import day_of
from operators import position
from operators.rules import lines, supply
from schemas.state import NOTHING, Item
from tests.engine import Answer, Engine
from tests.histories import CHANNELS, ITEMS

#: figures of a location that are sums of things, and so never below zero; the others may be, while events are missing
NEVER_NEGATIVE = ("soft_allocated", "hard_reserved", "in_transit", "expected", "withheld")
#: how many days ago an item may have been looked at last
DAYS_BACK = 200


def hold(engine: Engine, model: Model, where: str) -> None:
    """Look at everything that is published now, and at the state behind it."""
    assert NOTHING == {}, f"{where}: somebody wrote into what all items share: {NOTHING}"
    for item in ITEMS:
        figures: dict[str, dict[str, int]] = {}
        for field, quantity in engine.figures.get(item, {}).items():
            location, _, name = field.rpartition(":")
            figures.setdefault(location, {})[name] = quantity
        known = engine.shard.items.get(item)
        state = known if isinstance(known, Item) else None  # after a crash it lies folded until somebody asks
        nothing_below_zero(figures, f"{where}: {item}")
        for channel in CHANNELS:
            answer = engine.numbers.get((item, channel))
            if answer is not None:
                days_agree(answer, model, channel, f"{where}: {item} in {channel}")
                promised_within_reach(answer, figures, state, model, channel, f"{where}: {item} in {channel}")
        if item in model.items:
            figures_add_up(figures, model, item, engine.clock, f"{where}: {item}")
            claims_add_up(engine.claims.get(item, {}), figures, f"{where}: {item}")
        if state is not None:
            parts_add_up(state, f"{where}: {item}")


def nothing_below_zero(figures: dict[str, dict[str, int]], where: str) -> None:
    for location, at in figures.items():
        for name in NEVER_NEGATIVE:
            assert at.get(name, 0) >= 0, f"{where}: {name} at {location} is {at[name]}"


def days_agree(answer: Answer, model: Model, channel: str, where: str) -> None:
    """No day below zero, as many days as the horizon has, and today's the first of them."""
    assert answer.atp >= 0, f"{where}: {answer}"
    days = model.channels[channel]["horizon_days"]
    if answer.by_day is None:
        assert not days, f"{where}: no days of {days}"
    else:
        assert len(answer.by_day) == days, f"{where}: {answer.by_day} for {days} days"
        assert min(answer.by_day) >= 0 and answer.by_day[0] == answer.atp, f"{where}: {answer}"


def promised_within_reach(
    answer: Answer, figures: dict[str, dict[str, int]], state: Item | None, model: Model, channel: str, where: str
) -> None:
    """No day's promise is above what the channel's locations hold free of claims, plus the supply it may count.

    So promise and claims together are never more than what is there: the claims of the channel itself, and where
    stock is shared those of the others with it. The last day bounds them all, for by then every claim is due.
    """
    own = model.channels[channel]
    sellable = model.sellable(channel)
    reach = 0
    for location in sellable:
        at = figures.get(location, {})
        there = at.get("on_hand", 0) - at.get("quarantined", 0) - at.get("hard_reserved", 0)
        there -= at.get("soft_allocated", 0)
        if own["horizon_days"]:
            there += at.get("expected", 0) + (at.get("in_transit", 0) if own["promise_in_transit"] else 0)
        reach += max(0, there)
    if state is not None:
        sharing = {channel, *(other for other in model.channels if model.sellable(other) & sellable)}
        reach = max(0, reach - sum(state.unlocated.get(other, 0) for other in sharing))
    most = max([answer.atp, *(answer.by_day or [])])
    assert most <= reach, f"{where}: promises {most} of {reach}"


def figures_add_up(figures: dict[str, dict[str, int]], model: Model, item: str, clock: int, where: str) -> None:
    """`available` is what the other published figures say it is."""
    for location, at in figures.items():
        if location != "*":
            right = at.get("on_hand", 0) - at.get("quarantined", 0) - at.get("soft_allocated", 0)
            right -= at.get("hard_reserved", 0) + at.get("withheld", 0) + model.safety_stock(item, location, None)
            past = right - at.get("available", 0)
            if past:  # lots past their day, on the day on which it was looked at last
                dated, today = model._dated(item, location), day_of(clock, model.zone)
                sums = {sum(q for last, q in dated if day > last) for day in range(today - DAYS_BACK, today + 1)}
                assert past in sums, f"{where}: at {location} {at}, available should be {right} less one of {sums}"


def claims_add_up(claims: dict[str, str], figures: dict[str, dict[str, int]], where: str) -> None:
    """What order lines are said to claim is what is said to be claimed at each location, and at none."""
    said = {
        f"{location}:{name}": at[name]
        for location, at in figures.items()
        for name in ("hard_reserved", "soft_allocated")
        if at.get(name, 0)
    }
    assert claimed(claims) == said, f"{where}: lines claim {claimed(claims)}, figures say {said}"


def claimed(claims: dict[str, str]) -> dict[str, int]:
    """Add up by figure what order lines claim, as `claims:<item>` has it."""
    total: dict[str, int] = defaultdict(int)
    for text in claims.values():
        claim = json.loads(text)
        assert claim["soft"] or claim["hard"], f"a line that claims nothing: {claim}"
        if claim["soft"]:
            total[f"{claim.get('location', '*')}:soft_allocated"] += claim["soft"]
        for location, quantity in claim["hard"].items():
            total[f"{location}:hard_reserved"] += quantity
    return dict(total)


def parts_add_up(item: Item, where: str) -> None:
    """What is kept for each location is the sum over its lines, transfers and receipts, and so is each day's part."""
    for location, place in item.places.items():
        hard = sum(
            lines.hard_reserved(line.at[location], lines.reservable(line, lines.totals(line)[0]))
            for line in item.lines.values()
            if location in line.at
        )
        soft = sum(
            lines.soft_allocated(line, lines.totals(line)[1])
            for line in item.lines.values()
            if line.location == location
        )
        transit = sum(supply.in_transit(one) for (_, to), one in item.transfers.items() if to == location)
        expected = sum(
            supply.expected(one, position.parts_of(item, key)[0])
            for key, one in item.receipts.items()
            if key[1] == location
        )
        kept = (place.hard_reserved, place.soft_allocated, place.in_transit, place.expected)
        assert kept == (hard, soft, transit, expected), f"{where}: {location} keeps {kept}"
        for total, by_day in (
            (soft, place.soft_by_day),
            (transit, place.in_transit_by_day),
            (expected, place.expected_by_day),
        ):
            assert sum((by_day or {}).values()) <= total, f"{where}: {location} {by_day} of {total}"
            assert all(quantity > 0 for quantity in (by_day or {}).values()), f"{where}: {location} {by_day}"
    unlocated: dict[str, int] = {}
    for line in item.lines.values():
        soft = lines.soft_allocated(line, lines.totals(line)[1])
        if not line.location and soft:
            unlocated[line.channel] = unlocated.get(line.channel, 0) + soft
    assert item.unlocated == unlocated, f"{where}: from nowhere yet {item.unlocated}, the lines say {unlocated}"
