"""What docs/operations.md has an operator do runs here as it stands, on a real engine: back-up, restore, the move.

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
from tests.conftest import ROOT
from tests.place import Place
from tests.snippets import blocks

#: Five starts of an engine and some twenty commands: 30 s on an idle machine, much more while others share it.
SESSION_SECONDS_MAX = 500
pytestmark = pytest.mark.timeout(600)

PAGE = "docs/operations.md"
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
    assert not told, f"nobody runs what stands beneath {list(told)}"
    reader.shell(PAGE, "".join(steps), SESSION_SECONDS_MAX)
    assert (new / "var" / "lib" / "atp-engine" / "engine.json").is_file()
