"""What we ship for Prometheus and Grafana about the intake fits what it says, and its page has each alert."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from flows.adapters.intake.counts import PICK_UP, POLL, RECEIVE, Counts
from flows.monitoring.catalog import COUNTER, HISTOGRAM
from flows.monitoring.intake_catalog import INTAKE
from tests.prometheus import IS_HERE, ROOT, assert_panels_fit

RULES = ROOT / "docker" / "prometheus" / "intake_alerts.yml"
DASHBOARD = ROOT / "docker" / "grafana" / "dashboards" / "intake.json"
PAGE = (ROOT / "docs" / "intake.md").read_text("utf-8")
ENDS = {COUNTER: ("_total",), HISTOGRAM: ("_bucket", "_sum", "_count")}


def alerts() -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in alerts()]


def test_every_query_names_only_what_there_is_and_every_metric_is_shown() -> None:
    there = {spec.name + end: spec for spec in INTAKE.specs for end in ENDS.get(spec.kind, ("",))}
    asked = set()
    for expression in expressions():
        bare = re.sub(r'"[^"]*"', '""', expression)
        names = set(re.findall(r"\batp_intake_\w+", bare))
        asked |= {there[name].name for name in names}
        labels = {label for group in re.findall(r"by \(([^)]*)\)", bare) for label in group.split(", ")}
        known = {"job", "instance", "le"}.union(*(there[name].labels for name in names))
        assert labels <= known, expression
    assert asked == {spec.name for spec in INTAKE.specs}


def test_each_process_serves_all_of_its_metrics_from_the_start() -> None:
    served: set[str] = set()
    for way in (RECEIVE, PICK_UP, POLL):
        text = generate_latest(Counts(way, ["acme"]).registry).decode()
        samples = {line.partition("{")[0] for line in text.splitlines() if line and line[0] != "#"}
        for spec in INTAKE.specs:
            if any(spec.name + end in samples for end in ENDS.get(spec.kind, ("",))):
                served.add(spec.name)
        assert 'reason="too_large"' in text
    # The age and number of files are told by the first look into the folder.
    assert served == {spec.name for spec in INTAKE.specs} - {
        "atp_intake_files_waiting",
        "atp_intake_oldest_file_seconds",
    }


def test_every_alert_is_on_the_page_and_the_page_has_no_other() -> None:
    headings = re.findall(r"^### (Atp\w+)$", PAGE, re.MULTILINE)
    assert headings == [rule["alert"] for rule in alerts()]
    for rule, text in zip(alerts(), re.split(r"^### Atp\w+$", PAGE, flags=re.MULTILINE)[1:], strict=True):
        assert rule["annotations"]["runbook_url"] == f"docs/intake.md#{rule['alert'].lower()}"  # type: ignore[index]
        for part in ("**Means.**", "**Look.**", "**Do.**"):
            assert part in text, f"{rule['alert']} lacks {part}"


def test_panels_lie_beside_each_other() -> None:
    assert_panels_fit(DASHBOARD)


def test_the_kinds_of_log_lines_that_the_page_names_are_written() -> None:
    text = "".join(path.read_text("utf-8") for path in Path(ROOT, "flows", "adapters", "intake").glob("*.py"))
    named = re.findall(r"lines of kind `(\w+)`", PAGE)
    assert named
    for kind in named:
        assert f'kind="{kind}"' in text


@pytest.mark.skipif(not IS_HERE, reason="needs Debian's prometheus, see tests/needs.txt")
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    said = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
