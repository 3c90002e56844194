"""What we ship for Prometheus and Grafana about `atp push` fits what it serves, and its page has each alert."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from flows.adapters.push.counts import PushCounts
from flows.monitoring.catalog import COUNTER
from flows.monitoring.push_catalog import PUSH
from flows.settings import load_settings
from tests.conftest import ROOT
from tests.prometheus import IS_HERE, assert_panels_fit
from tests.snippets import blocks

RULES = ROOT / "docker" / "prometheus" / "push_alerts.yml"
DASHBOARD = ROOT / "docker" / "grafana" / "dashboards" / "push.json"
RULES_TEST = ROOT / "tests" / "prometheus_push_rules.yml"
PAGE = (ROOT / "docs" / "pushing.md").read_text("utf-8")
ALERTS = [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def test_every_query_names_only_what_there_is_and_every_metric_is_shown() -> None:
    there = {spec.name + ("_total" if spec.kind == COUNTER else ""): spec for spec in PUSH.specs}
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    shown = [target["expr"] for panel in panels for target in panel["targets"]]
    for expression in (*shown, *(rule["expr"] for rule in ALERTS)):
        bare = re.sub(r'"[^"]*"', '""', expression)
        names = set(re.findall(r"\batp_push_\w+", bare))
        assert names <= there.keys() and (names or "up{" in bare), expression
        labels = {label for group in re.findall(r"by \(([^)]*)\)", bare) for label in group.split(", ")}
        assert labels <= {"job", "instance"}.union(*(there[name].labels for name in names)), expression
    assert set(re.findall(r"\batp_push_\w+", " ".join(shown))) == there.keys()


def test_panels_lie_beside_each_other() -> None:
    assert_panels_fit(DASHBOARD)


def test_all_metrics_are_served_from_the_start() -> None:
    text = generate_latest(PushCounts(["shop"]).registry).decode()
    served = {line.partition("{")[0].removesuffix("_total") for line in text.splitlines() if 'source="shop"' in line}
    assert served >= {spec.name for spec in PUSH.specs}


def test_every_alert_is_on_the_page_and_the_page_has_no_other() -> None:
    assert re.findall(r"^### (Atp\w+)$", PAGE, re.MULTILINE) == [rule["alert"] for rule in ALERTS]
    for rule, text in zip(ALERTS, re.split(r"^### Atp\w+$", PAGE, flags=re.MULTILINE)[1:], strict=True):
        assert rule["annotations"]["runbook_url"] == f"docs/pushing.md#{rule['alert'].lower()}"
        for part in ("**Means.**", "**Look.**", "**Do.**"):
            assert part in text, f"{rule['alert']} lacks {part}"


def test_the_kinds_of_log_lines_that_the_page_names_are_written() -> None:
    text = (ROOT / "flows" / "adapters" / "push" / "pusher.py").read_text("utf-8")
    for kind in re.findall(r"lines of kind `(\w+)`", PAGE):
        assert f'kind="{kind}"' in text


def test_the_settings_of_the_page_are_settings(tmp_path: Path) -> None:
    (snippet,) = blocks("docs/pushing.md", "toml")
    file = tmp_path / "atp.toml"
    file.write_text(snippet.text)
    push = load_settings(file).sources["shop"].push
    assert push is not None and push.locations == {"web": "gid://shopify/Location/655441491"}


@pytest.mark.skipif(not IS_HERE, reason="needs Debian's prometheus, see tests/needs.txt")
@pytest.mark.parametrize("command", [("check", "rules", RULES), ("test", "rules", RULES_TEST)])
def test_promtool_finds_nothing_wrong_and_alerts_fire_at_their_limits(command: tuple[str, str, Path]) -> None:
    said = subprocess.run(["promtool", *map(str, command)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
