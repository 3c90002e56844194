"""What many locations cost, without servers: taking the reference data in, and one promise of an item.

python -m benchmarks.locations --locations 10000 --channels 4 --days 180
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from operators import evaluate
from operators.evaluate import Policies
from operators.reference import ReferenceTables, item_facts_of, packed, unpack_topology
from operators.rules.days import days_in
from operators.rules.topology import Topology
from schemas.reference import Item as ItemRecord
from schemas.state import Item, Place
from schemas.units import Origin

TODAY = 20_000
DAY_US = 86_400_000_000
TIMES = 7
#: one location in so many has a claim and supply on days of its own
CLAIMED_EACH = 10


def main() -> None:
    """Measure and print, in milliseconds of processor time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--locations", type=int, default=10_000)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--days", type=int, default=180)
    told = parser.parse_args()
    codes = [f"STORE-{number:06d}" for number in range(told.locations)]
    records = [("locations", _origin("locations", code, {"location": code})) for code in codes]
    for number in range(told.channels):
        code = f"web-{number}"
        channel = {
            "channel": code,
            "locations": codes,
            "horizon_days": told.days,
            "promise_in_transit": True,
            "protected_quantity": number,
        }
        records.append(("channels", _origin("channels", code, channel)))
    tables = ReferenceTables()
    judged, (_, refused, _) = _timed(lambda: tables.accept(records, 0, 0))
    assert not refused, refused[0].message
    packing, raw = _timed(tables.pack)
    taking, topology = _timed(lambda: unpack_topology(raw))
    is_compiled = not evaluate.__file__.endswith(".py")
    print(
        f"{told.locations} locations, {told.channels} channels, {told.days} days, compiled: {is_compiled}\n"
        f"judge all {judged:.0f} ms, pack {packing:.1f} ms ({tables.size} bytes, handed on as {len(raw)}), "
        f"take in {taking:.0f} ms a process"
    )
    for places in (1, 100, 1_000, 10_000, 100_000):
        if places <= told.locations:
            print(
                f"one promise of an item at {places} locations: {_promise(topology, codes[:places], told.days):.2f} ms"
            )


def _origin(kind: str, key: str, value: dict[str, object]) -> Origin:
    return Origin(f"inventory.{kind}", 0, 0, 0, key.encode(), json.dumps(value).encode())


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    answer = work()
    return (time.process_time() - started) * 1000, answer


def _promise(topology: Topology, codes: list[str], days: int) -> float:
    """The best of some: what a receipt at one of the locations costs until the numbers are there."""
    policies = Policies(topology, days_in("UTC"))
    item = Item("SHOVEL")
    item.policy = packed(item_facts_of(ItemRecord(item="SHOVEL")))
    for number, code in enumerate(codes):
        place = item.places[code] = Place()
        place.on_hand = 10
        if number % CLAIMED_EACH == 0:
            place.soft_allocated = 3
            place.soft_by_day = {TODAY + number % max(1, days): 3}
            place.expected_by_day = {TODAY + number * 7 % max(1, days): 5}
    best = float("inf")
    evaluate.evaluate(item, policies, TODAY * DAY_US, False)
    for _ in range(TIMES):
        item.places[codes[0]].on_hand += 20
        spent, (update, _) = _timed(lambda: evaluate.evaluate(item, policies, TODAY * DAY_US, False))
        assert update is not None and update.channels
        best = min(best, spent)
    return best


if __name__ == "__main__":
    main()
