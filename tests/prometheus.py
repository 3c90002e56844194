"""A real Prometheus for one test: scrapes an engine, evaluates the alert rules that we ship, answers queries."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flows.embedded.child import free_port
from tests.running import until

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "docker" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "docker" / "grafana" / "dashboards" / "atp.json"
IS_HERE = bool(shutil.which("prometheus") and shutil.which("promtool"))
START_SECONDS_MAX = 30.0
END_SECONDS_MAX = 10.0
ANSWER_SECONDS_MAX = 10.0

CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}}
rule_files: [alerts.yml]
scrape_configs:
  - job_name: atp
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
#: The rules as they are, but that nobody waits for minutes, nor for what was before to be outweighed.
IMPATIENCE = (
    (r"\bfor: \d+[mh]\b", "for: 1s"),
    (r"\[5m\]", "[20s]"),
    (r"> 30\b", "> 3"),
    (r"> 60\b", "> 5"),
    (r"> 10\b", "> 3"),
    (r"> 0\.8\b", "> 0.1"),
)


def rules(patient: bool = True) -> str:
    """Give the rules that we ship."""
    text = RULES.read_text("utf-8")
    for pattern, short in () if patient else IMPATIENCE:
        text, count = re.subn(pattern, short, text)
        assert count, f"no rule has {pattern} any more: this test's patience has to be thought over"
    return text


#: Figures of statements and variances, and of `atp translate`, a process of its own.
OF_STATEMENTS = re.compile(r"atp_variance|atp_statement_|statement_rejected|held_too_long")
OF_TRANSLATION = re.compile(r"atp_translate_")


def queries() -> list[tuple[str, str]]:
    """Give each query of the dashboard with its panel's title."""
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", ())]


def alerts() -> list[str]:
    """Give the names of all alerts."""
    return [name for name, _ in alert_rules()]


def alert_rules() -> list[tuple[str, str]]:
    """Give each alert's name with what makes it fire."""
    return re.findall(r"alert: (\w+)\n +expr: (.+(?:\n {10,}.+)*)", rules())


def assert_panels_fit(dashboard: Path) -> None:
    """No panel of a dashboard lies over another or beyond its edge, and each says what it shows."""
    taken: set[tuple[int, int]] = set()
    panels = json.loads(dashboard.read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        across, down = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(x, y) for x in across for y in down}
        assert not cells & taken and place["x"] + place["w"] <= 24, place
        assert panel["type"] == "row" or panel["description"]
        taken |= cells


class Prometheus:
    """Runs while the body of its context does."""

    def __init__(self, folder: Path, engine_port: int) -> None:
        self._folder = folder
        folder.mkdir()
        (folder / "prometheus.yml").write_text(CONFIG.format(port=engine_port))
        (folder / "alerts.yml").write_text(rules(patient=False))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=warn",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(self._is_ready, START_SECONDS_MAX, lambda: f"Prometheus\n{(self._folder / 'log').read_text()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=ANSWER_SECONDS_MAX) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, path: str, **arguments: str) -> Any:
        """Ask its API."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS_MAX) as answer:
            said = json.load(answer)
        assert said["status"] == "success", said
        return said["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Give what a query answers now: labels and value of each series."""
        result = self.ask("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def firing(self) -> set[str]:
        """Give the alerts that fire now."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}

    def wait_until_it_fires(self, *names: str, seconds: float = 120.0) -> None:
        """Wait until each of the alerts has fired."""
        left = set(names)

        def fired() -> bool:
            left.difference_update(self.firing())
            return not left

        until(fired, seconds, lambda: f"{left} to fire; {self.firing()} do")
