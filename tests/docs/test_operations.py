"""What docs/operations.md has an operator do runs here as it stands, on real engines: back-up, restore, two machines.

What stands in for something: `sudo` (runs the command as it is), `ssh` (the same in the folders of another machine) and
`systemctl` (tests/docs/systemctl.py: starts and stops what the unit in packaging/ says).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.embedded import Servers
from flows.embedded.child import free_port
from tests.conftest import ROOT
from tests.place import Place
from tests.snippets import blocks

#: Five starts of an engine and some twenty commands: 30 s on an idle machine, much more while others share it.
SESSION_SECONDS_MAX = 500
pytestmark = pytest.mark.timeout(600)

PAGE = "docs/operations.md"
#: What the second test runs.
OF_TWO = {
    "Two machines",
    "Restart one after the other",
    "Upgrade with a second machine",
    "A disk is lost",
    "More or fewer workers",
}
#: Folders of the page that are a machine's own, and after the move another's.
OWN = ("/etc/atp-engine", "/var/lib", "/var/backups")
SUDO = '[ "$1" = -u ] && shift 2\nexec "$@"\n'
SSH = """\
[ "$1" = new-machine ] || exit 255
shift
MACHINE=$(echo "$MACHINE" | sed s/machine-old/machine-new/)
export MACHINE
exec sh -c "$(echo "$*" | sed s,/machine-old/,/machine-new/,g)"
"""
#: `receive ID QUANTITY`: so many lamps come in at DC1.
RECEIVE = """\
import json, os, sys
from datetime import UTC, datetime
from confluent_kafka import Producer

producer = Producer({"bootstrap.servers": os.environ["KAFKA"]})
for topic, key, record in (
    ("locations", "DC1", {"location": "DC1"}),
    ("channels", "web", {"channel": "web", "locations": ["DC1"]}),
    ("items", "LAMP", {"item": "LAMP"}),
    ("warehouse", None, {
        "event_id": sys.argv[1], "type": "stock_received", "source": "wms", "item": "LAMP", "location": "DC1",
        "occurred_at": datetime.now(UTC).isoformat(), "quantity": int(sys.argv[2]),
    }),
):
    producer.produce(f"inventory.{topic}", json.dumps(record), key)
sys.exit(producer.flush(30))
"""
#: `lamps`: what the channel reads of them. Without `atp`, which takes a second to load each time that it is asked.
LAMPS = """\
import os, socket
from urllib.parse import urlparse

redis = urlparse(os.environ["REDIS"])
with socket.create_connection((redis.hostname, redis.port)) as connection:
    connection.sendall(b"HGET atp:LAMP web\\r\\n")
    print(connection.recv(100).split(b"\\r\\n")[1].decode())
"""

#: Twelve starts of an engine, seven takeovers, some thirty commands.
TWO_MACHINES_SECONDS_MAX = 1500
#: `alive FIELD`: what the engine that runs says of itself in Redis.
ALIVE = LAMPS.replace('b"HGET atp:LAMP web\\r\\n"', 'f"HGET engine:alive {sys.argv[1]}\\r\\n".encode()').replace(
    "import os, socket", "import os, socket, sys"
)
#: A machine is lost with its disk: all of the engine is gone when nobody holds the lock any more.
LOSE = """\
kill -9 "$(cat "$MACHINE/atp-engine.pid")"
while ! flock -n /var/lib/atp-engine/lock true; do sleep 0.1; done
rm -r /var/lib/atp-engine
"""
#: Stands in for the next version where a second one cannot be installed: the same program, which says that it is 0.2.0.
NEXT = """\
import importlib.metadata as metadata

known = metadata.version
metadata.version = lambda name: "0.2.0" if name == "atp-engine" else known(name)
"""


@pytest.fixture
def place(servers: Servers, tmp_path: Path) -> Iterator[Place]:
    servers.revive()
    one = Place(servers, tmp_path)
    yield one
    servers.revive()
    one.tidy()


def sections() -> dict[str, str]:
    """Map each heading of the page that has commands beneath it to those commands."""
    lines = (ROOT / PAGE).read_text("utf-8").splitlines()
    found: dict[str, str] = {}
    for snippet in blocks(PAGE, "sh"):
        heading = next(line[3:] for line in reversed(lines[: snippet.line]) if line.startswith("## "))
        found[heading] = found.get(heading, "") + snippet.text
    return found


def tool(folder: Path, name: str, program: str, text: str) -> None:
    """Put a command there."""
    (folder / name).write_text(f"#!{program}\n{text}")
    (folder / name).chmod(0o755)


def test_a_back_up_is_restored_and_the_state_moves_to_another_machine(place: Place) -> None:
    old, new = place.folder / "machine-old", place.folder / "machine-new"
    for folder in OWN:
        Path(f"{old}{folder}").mkdir(parents=True)
        Path(f"{new}{folder}").mkdir(parents=True)
    tools = place.folder / "operations" / "tools"
    place.variables |= {"MACHINE": str(old), "UNITS": str(ROOT / "packaging"), "PROGRAMS": str(tools)}
    place.variables |= {"LOG": str(place.folder / "operations" / "engine.log")}
    reader = place.reader(
        "operations", **{"/opt/atp-engine/bin": str(tools)}, **{folder: f"{old}{folder}" for folder in OWN}
    )
    tool(tools, "sudo", "/bin/sh", SUDO)
    tool(tools, "ssh", "/bin/sh", SSH)
    stand_in = shlex.join([sys.executable, str(ROOT / "tests" / "docs" / "systemctl.py")])
    tool(tools, "systemctl", "/bin/sh", f'exec {stand_in} "$@"\n')
    tool(tools, "receive", sys.executable, RECEIVE)
    tool(tools, "lamps", sys.executable, LAMPS)
    settings = "etc/atp-engine/atp.toml"
    tool(
        tools, "prepare-new-machine", "/bin/sh", f"sed s/machine-old/machine-new/ {old}/{settings} > {new}/{settings}\n"
    )
    told = sections()
    steps = [
        *(told.pop("As a service of the system"), told.pop("Start, stop, look")),
        "receive first 1\nlamps   # -> 1\n",
        told.pop("Back up"),
        # What comes after the back-up is in Kafka, and must be in the number once.
        "receive second 2\nlamps   # -> 3\n",
        told.pop("Restore"),
        "receive third 4\nlamps   # -> 7\n",
        "prepare-new-machine\n",
        told.pop("Move to another machine"),
        "rm -r /var/lib/atp-engine\nreceive first 1\nreceive fourth 8\nlamps   # -> 15\n",
        "ssh new-machine systemctl stop atp-engine\n",
    ]
    assert set(told) == OF_TWO, f"nobody runs what stands beneath {set(told) - OF_TWO}"
    reader.shell(PAGE, "".join(steps), SESSION_SECONDS_MAX)
    assert (new / "var" / "lib" / "atp-engine" / "engine.json").is_file()


class Machine:
    """One of two: a folder that stands for its root, with both versions installed, and a port of its own."""

    def __init__(self, place: Place, name: str) -> None:
        self.root = place.folder / name
        for folder in (*OWN, "/etc/systemd/system"):
            Path(f"{self.root}{folder}").mkdir(parents=True)
        pretended = self.root / "next"
        pretended.mkdir()
        (pretended / "sitecustomize.py").write_text(NEXT)
        for version, before in (("0.1.0", ""), ("0.2.0", f"PYTHONPATH={pretended}:$PYTHONPATH ")):
            programs = self.root / "opt" / f"atp-engine-{version}" / "bin"
            programs.mkdir(parents=True)
            tool(programs, "atp", "/bin/sh", f'{before}exec {shlex.quote(sys.executable)} -m flows.cli "$@"\n')
        (self.root / "opt" / "atp-engine").symlink_to("atp-engine-0.1.0")
        self._variables = {
            "MACHINE": self.root,
            "PROGRAMS": self.root / "opt" / "atp-engine" / "bin",
            "LOG": place.folder / "two-machines" / f"{name}.log",
            "ATP_METRICS__PORT": free_port(),
        }

    def does(self, *texts: str) -> str:
        """Give commands of the page as they are given on this machine."""
        text = "".join(texts)
        for folder in (*OWN, "/etc/systemd/system", "/opt/atp-engine"):
            text = text.replace(folder, f"{self.root}{folder}")
        return "".join(f"export {name}={value}\n" for name, value in self._variables.items()) + text


@pytest.mark.long
@pytest.mark.timeout(TWO_MACHINES_SECONDS_MAX + 100)
def test_two_machines_are_restarted_upgraded_lost_and_given_more_workers(place: Place) -> None:
    shared = place.folder / "shared"
    shared.mkdir()
    reader = place.reader("two-machines", **{"/mnt/shared": str(shared)})
    place.variables["UNITS"] = str(ROOT / "packaging")
    reader.env["UNITS"] = place.variables["UNITS"]
    tools = reader.folder / "tools"
    tool(tools, "sudo", "/bin/sh", SUDO)
    stand_in = shlex.join([sys.executable, str(ROOT / "tests" / "docs" / "systemctl.py")])
    tool(tools, "systemctl", "/bin/sh", f'exec {stand_in} "$@"\n')
    tool(tools, "receive", sys.executable, RECEIVE)
    tool(tools, "lamps", sys.executable, LAMPS)
    tool(tools, "alive", sys.executable, ALIVE)
    told = sections()
    settings, command, begin = [
        snippet.text for snippet in blocks(PAGE, "sh") if snippet.text in told["As a service of the system"]
    ]
    first, second = Machine(place, "machine-first"), Machine(place, "machine-second")
    restart, upgrade = told["Restart one after the other"], told["Upgrade with a second machine"]
    workers = told["More or fewer workers"]
    steps = [
        first.does(settings, command, begin),
        "receive e1 1\nlamps   # -> 1\n",
        first.does(told["Two machines"]),
        second.does(settings, command, told["Two machines"]),
        "receive e2 2\nlamps   # -> 3\nalive version   # -> 0.1.0\n",
        # the first one runs, so it is restarted last, and the second one has taken over
        second.does(command, restart),
        first.does(command, restart),
        "receive e3 4\nlamps   # -> 7\n",
        first.does(command, upgrade),
        "alive version   # -> 0.1.0\n",
        second.does(command, upgrade),
        "receive e4 8\nlamps   # -> 15\nalive version   # -> 0.2.0\n",
        # the first one runs, and its machine is lost with the disk
        first.does(LOSE),
        "receive e5 16\nreceive e1 1\nlamps   # -> 31\n",
        first.does(command, told["Two machines"].partition("sudo systemctl daemon-reload\n")[2]),
        "receive e6 32\nlamps   # -> 63\n",
        second.does(command, told["A disk is lost"]),
        "receive e7 64\nreceive e2 2\nlamps   # -> 127\n",
        second.does(command, workers),
        first.does(command, workers),
        "receive e8 128\nreceive e7 64\nlamps   # -> 255\n",
        first.does("systemctl stop atp-engine\n"),
        second.does("systemctl stop atp-engine\n"),
    ]
    reader.shell(PAGE, "".join(steps), TWO_MACHINES_SECONDS_MAX)
    logs = {one: (reader.folder / f"machine-{one}.log").read_text() for one in ("first", "second")}
    for one, log in logs.items():
        assert "stands by: run" in log and "taking over" in log, f"{one}\n{log}"
        assert "Traceback" not in log, f"{one}\n{log}"
    assert "it is atp-engine 0.1.0, and this is 0.2.0" in logs["first"], logs["first"]
    assert "took up the state of run" in logs["second"] and ", 2 workers" in logs["second"], logs["second"]
