"""What we ship for Prometheus and Grafana fits what the engine says, and the runbook has a page for each alert."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from flows.cli.metrics_page import page
from flows.monitoring.catalog import COUNTER, GROUPS, HISTOGRAM, SPECS
from tests.prometheus import DASHBOARD, IS_HERE, ROOT, RULES, alerts, assert_panels_fit, queries, rules

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
#: Of the process collector, and of Prometheus itself.
FOREIGN = {"process_cpu_seconds_total", "process_resident_memory_bytes", "up", "ALERTS"}


def samples() -> dict[str, set[str]]:
    """Map each name that can be asked for to its labels."""
    ends = {COUNTER: ("_total",), HISTOGRAM: ("_bucket", "_sum", "_count")}
    return {
        spec.name + end: {"job", "instance", "le", *spec.labels}
        for spec in SPECS.values()
        for end in ends.get(spec.kind, ("",))
    }


def expressions() -> list[str]:
    return [expression for _, expression in queries()] + re.findall(r"expr: (?:>-\n)?((?:.|\n)*?)\n        \w", rules())


def test_every_query_names_only_what_there_is() -> None:
    there = samples()
    for expression in expressions():
        bare = re.sub(r'"[^"]*"', '""', expression)
        names = set(re.findall(r"\b(?:atp|process)_\w+|\bup\b", bare))
        assert names, expression
        for name in names - FOREIGN:
            assert name in there, f"{name} in {expression}"
            labels = {label for group in re.findall(r"(?:by|without) \(([^)]*)\)", bare) for label in group.split(", ")}
            assert labels <= set().union(*(there.get(one, {"job", "worker"}) for one in names)), expression


def test_the_dashboard_answers_from_top_to_bottom() -> None:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["Are the numbers right?", "Are they fresh?", "Is it keeping up?", "Who is to blame?"]
    assert_panels_fit(DASHBOARD)


def test_each_metric_of_the_engine_is_on_the_dashboard_or_in_an_alert() -> None:
    shown = set(re.findall(r"\batp_\w+", " ".join(expressions())))
    ends = ("", "_total", "_bucket")
    forgotten = {name for name in SPECS if not any(name + end in shown for end in ends)}
    assert forgotten == {
        "atp_exceptions",  # what comes and goes; the dashboard shows what is open
        "atp_held_shards",  # a reason of /readyz
        "atp_epoch_last_timestamp_seconds",  # likewise
        "atp_epoch_ending_seconds",  # likewise
        "atp_from_scratch_shards",  # of a start that happens once in years; its shards are held: a reason of /readyz
        "atp_standby",  # why atp_ready is absent there
        "atp_state_kept",  # told by the start line; a start that should have state and has none is refused
    }


def test_every_alert_has_its_page_in_the_runbook_and_every_page_its_alert() -> None:
    pages = re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)
    assert sorted(pages) == sorted(alerts())
    linked = re.findall(r"runbook_url: docs/runbook.md#(\w+)", rules())
    assert linked == [name.lower() for name in alerts()]
    for name, text in zip(pages, re.split(r"^## \w+$", RUNBOOK, flags=re.MULTILINE)[1:], strict=True):
        for part in ("**Means.**", "**Look.**", "**Do.**"):
            assert part in text, f"{name} lacks {part}"


def test_panels_that_the_runbook_names_are_there() -> None:
    titles = {title for title, _ in queries()}
    named = set(re.findall(r'"([A-Z][^"]+)"', RUNBOOK)) - {"ATP engine"}
    assert {name.replace("\n", " ") for name in named} <= titles


def test_the_page_of_metrics_is_what_the_catalog_prints() -> None:
    made = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    assert made == page(), "run: python -m flows.cli.metrics_page > docs/metrics.md"


def test_names_are_as_prometheus_wants_them() -> None:
    for spec in SPECS.values():
        assert re.fullmatch(r"atp_[a-z_]+", spec.name) and not spec.name.endswith(("_total", "_count", "_sum"))
        assert "item" not in spec.labels
    assert len(SPECS) == sum(len(group.specs) for group in GROUPS)


@pytest.mark.skipif(not IS_HERE, reason="needs Debian's prometheus, see tests/needs.txt")
def test_promtool_finds_nothing_wrong_with_rules_and_configuration() -> None:
    assert_promtool("check", "rules", RULES)
    assert_promtool("check", "config", RULES.with_name("prometheus.yml"))


@pytest.mark.skipif(not IS_HERE, reason="needs Debian's prometheus, see tests/needs.txt")
def test_alerts_fire_at_their_limits_and_after_their_patience() -> None:
    assert_promtool("test", "rules", ROOT / "tests" / "prometheus_rules.yml")


def assert_promtool(verb: str, kind: str, path: Path) -> None:
    said = subprocess.run(["promtool", verb, kind, str(path)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
