"""All scenarios by name, in the order of the report."""

from __future__ import annotations

from benchmarks.scenario import Scenario
from benchmarks.scenarios import bulky, drains, loads, troubles, tuning

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (*drains.SCENARIOS, *loads.SCENARIOS, *troubles.SCENARIOS, *bulky.SCENARIOS, *tuning.SCENARIOS)
}
#: what `make bench` measures
SHORT = ("drain", "latency")
