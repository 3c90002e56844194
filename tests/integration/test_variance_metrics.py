"""An engine that runs measures what stands in variances and statements, from what their topics say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flows.embedded.child import free_port
from flows.inspection.status import parsed
from flows.monitoring.health_client import ask
from tests.running import Engine, until
from tests.shop import open_shop
from tests.statements import key_of, status, variance


def test_variances_are_measured_from_the_start_and_as_they_change(world: Any) -> None:
    open_shop(world)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    world.send("inventory.items", {"item": "LAMP", "scale": 1, "unit_value": 18}, key="LAMP")
    lamp = variance(item="LAMP", ours=80, theirs=50, first_seen=now)
    for one in (lamp, variance(cause="unknown", first_seen=now)):
        world.send("inventory.variances", one, key=key_of(one))
    world.send("inventory.statements.status", status("night", as_of=now), key="erp:night")
    world.flush()
    world.config.write_text('[sources.erp]\nstatement_every = "24h"\n[sources.wms]\nstatement_every = "1s"\n')
    settings = world.settings(metrics__port=free_port())
    with Engine(world, metrics__port=settings.metrics.port):

        def figures() -> dict[tuple[str, ...], float]:
            samples = parsed(ask(settings, "/metrics")[1])
            return {
                (name, *(labels[one] for one in ("source", "cause", "state", "age") if one in labels)): value
                for name, found in samples.items()
                if "variance" in name or "statement" in name
                for labels, value in found
            }

        expected = {
            ("atp_variances", "erp", "missing_there", "open", "day"): 1,
            ("atp_variance_units", "erp", "missing_there", "open", "day"): 3,
            ("atp_variance_value", "erp", "missing_there", "open", "day"): 54,
            ("atp_variance_units", "erp", "unknown", "open", "day"): 2,
            ("atp_variance_explained_percent", "erp", "all"): 60,
            ("atp_statement_missing", "erp"): 0,
            ("atp_statement_missing", "wms"): 1,
        }
        until(lambda: expected.items() <= figures().items(), 60, lambda: f"{expected} in {figures()}")
        world.send("inventory.variances", {**lamp, "state": "accepted"}, key=key_of(lamp))
        world.flush()
        until(lambda: figures().get(("atp_variance_explained_percent", "erp", "all")) == 0, 30, lambda: f"{figures()}")
