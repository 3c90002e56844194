"""The systemd unit starts what exists, stops it as patiently as it needs, and gives it no more rights than it uses."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer

from flows.cli import options as cli
from flows.cli.app import app
from flows.processes import supervisor
from flows.settings import load_settings
from schemas.settings import NAMES
from tests.conftest import ROOT

FOLDER = ROOT / "packaging"
UNIT = FOLDER / "atp-engine.service"
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
#: What an administrator would look for first; systemd-analyze knows the rest.
HARDENED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "CapabilityBoundingSet": "",
    "StateDirectoryMode": "0700",
    "UMask": "0077",
}
#: Of systemd's own scale, 0 (locked up) to 10 (free): above 3 it calls a service medium.
EXPOSURE_MAX = 3.0


def said(name: str) -> list[str]:
    """Give the values of a directive, in their order."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text("utf-8"), re.M)


def seconds(text: str) -> float:
    """Read a time as systemd writes it: seconds, or with a unit."""
    number, unit = re.fullmatch(r"(\d+)(s|min)?", text).groups()  # type: ignore[union-attr]
    return float(number) * (60 if unit == "min" else 1)


def environment() -> dict[str, str]:
    """Give what it puts into the environment."""
    return dict(word.split("=", 1) for line in said("Environment") for word in shlex.split(line))


def test_what_it_starts_is_a_command_with_flags_that_it_knows() -> None:
    (line,) = said("ExecStart")
    program, command, *flags = shlex.split(line)
    assert Path(program).name == "atp"
    known = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    options = {name for parameter in known.params for name in parameter.opts}
    given = [flag for flag in flags if flag.startswith("--")]
    assert set(given) <= options
    assert set(given) == {"--wait", "--config"}, "a server that starts before its Kafka waits for it"
    for path in (program, flags[flags.index("--config") + 1]):
        assert path in PAGE, f"docs/operations.md does not put {path} there"


def test_it_waits_longer_for_the_end_than_the_engine_gives_its_workers() -> None:
    assert seconds(said("TimeoutStopSec")[0]) >= supervisor.END_PATIENCE_S + 15
    assert said("KillMode") == ["mixed"], "the supervisor ends its workers itself"
    assert said("KillSignal") == ["SIGTERM"]


def test_what_a_restart_cannot_cure_is_not_started_again() -> None:
    assert said("Restart") == ["on-failure"]
    assert said("RestartPreventExitStatus") == [str(cli.MISUSED)] == [str(supervisor.MISUSED)]
    longest = int(said("StartLimitBurst")[0]) * seconds(said("RestartSec")[0])
    assert longest < seconds(said("StartLimitIntervalSec")[0]), "so that the limit is ever reached"


def test_its_environment_names_settings_and_keeps_state_where_it_may_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours = {name: value for name, value in environment().items() if name.startswith("ATP_")}
    assert set(ours) <= {"ATP_" + name.upper().replace(".", "__") for name in NAMES}
    for name, value in ours.items():
        monkeypatch.setenv(name, value.replace("%S", "/var/lib"))
    (tmp_path / "atp.toml").touch()  # an atp.toml of whoever tries this checkout has no say
    settings = load_settings(tmp_path / "atp.toml")
    (folder,) = said("StateDirectory")
    assert settings.state.dir == Path("/var/lib") / folder
    assert said("WorkingDirectory") == [f"%S/{folder}"]
    assert str(settings.state.dir) in PAGE


def test_it_has_no_more_rights_than_it_needs() -> None:
    for name, value in HARDENED.items():
        assert said(name) == [value], name


def test_its_user_is_made_by_the_file_beside_it() -> None:
    (user,) = said("User")
    kind, name, number, _, home = shlex.split((FOLDER / "atp-engine.sysusers").read_text("utf-8").splitlines()[-1])
    assert (kind, name, number) == ("u", user, "-")
    assert home == f"/var/lib/{said('StateDirectory')[0]}"


def analyze(*arguments: str) -> str:
    """Ask systemd's own tool."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: see tests/needs.txt")
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_understands_every_line_of_it(tmp_path: Path) -> None:
    program = tmp_path / "atp"  # what is not installed would be all that it speaks of
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    text = UNIT.read_text("utf-8").replace("/opt/atp-engine/bin/atp", str(program))
    unit.write_text(re.sub(r"^#(?=[A-Z]\w+=)", "", text, flags=re.M))  # what is there to be switched on, too
    said_of_it = analyze("verify", "--man=no", "--recursive-errors=no", str(unit))
    assert UNIT.name not in said_of_it, said_of_it


def test_systemd_calls_it_well_protected(tmp_path: Path) -> None:
    said_of_it = analyze("security", "--offline=yes", "--no-pager", str(UNIT))
    exposure = float(re.findall(r"Overall exposure level for .*: ([\d.]+)", said_of_it)[0])
    assert exposure <= EXPOSURE_MAX, said_of_it


def test_the_names_at_the_top_of_the_wheel_are_those_that_were_decided() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    included = [name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    page = (ROOT / "docs" / "decisions" / "import-names.md").read_text("utf-8")
    assert re.findall(r"`(\w+)`", page.splitlines()[0]) == included


def test_the_license_is_the_one_that_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in text and "Version 2.0" in text and "END OF TERMS AND CONDITIONS" in text
