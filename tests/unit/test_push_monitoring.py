"""What we ship for Prometheus about `atp push` fits what it serves, and its page has each alert."""

from __future__ import annotations

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
from tests.prometheus import IS_HERE
from tests.snippets import blocks

RULES = ROOT / "docker" / "prometheus" / "push_alerts.yml"
PAGE = (ROOT / "docs" / "pushing.md").read_text("utf-8")
ALERTS = [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def test_every_alert_names_only_what_there_is() -> None:
    there = {spec.name + ("_total" if spec.kind == COUNTER else "") for spec in PUSH.specs}
    asked = {name for rule in ALERTS for name in re.findall(r"\batp_push_\w+", rule["expr"])}
    assert asked and asked <= there


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
def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    said = subprocess.run(["promtool", "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
