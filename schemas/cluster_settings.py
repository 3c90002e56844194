"""The settings of an engine that runs on several machines at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

from schemas.codes import mismatch
from schemas.setting_section import Section
from schemas.setting_values import PORT_MAX, SECOND, Read, duration, text, whole

MACHINES_MAX: Final = 64
_EXPECTED: Final = "machines as host or host:port, such as atp-0.atp,atp-1.atp"
_machine = re.compile(r"([0-9A-Za-z][0-9A-Za-z._-]{0,252}|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?").fullmatch

_is_this = re.compile(r"[0-9A-Za-z\[\]:._-]{1,260}").fullmatch


def host_and_port(machine: str) -> tuple[str, int | None]:
    """Take a machine's name apart: its host, and its first port where it names one."""
    found = _machine(machine)
    assert found is not None, f"{machine} is no machine"
    return found[1], int(found[2]) if found[2] else None


def _parse_machines(value: object) -> tuple[str, ...]:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        raise mismatch(_EXPECTED, value)
    names = [name.strip() if isinstance(name, str) else name for name in given if name != ""]
    for name in names:
        found = _machine(name) if isinstance(name, str) else None
        if found is None or (found[2] and not 0 < int(found[2]) <= PORT_MAX):
            raise mismatch(_EXPECTED, name)
        if names.count(name) > 1:
            raise ValueError(f"expected each machine once, got {name} twice")
    if len(names) > MACHINES_MAX:
        raise mismatch(f"at most {MACHINES_MAX} machines", f"{len(names)}")
    return tuple(names)


def _parse_this(value: object) -> str:
    said = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(said, str) or not _is_this(said):
        raise mismatch("auto, a place in cluster.machines (0 is the first) or a name in it", value)
    return said


MACHINES = Read(_parse_machines, {"type": "array", "items": {"type": "string"}}, list)
THIS = Read(_parse_this, {"type": ["string", "integer"]})
BIND = text(r"[0-9A-Za-z\[\]:._-]{1,253}", "an address of this machine, such as 0.0.0.0 or [::]")


class ClusterSettings(Section):
    """The machines that one engine runs on; none are named where it runs on one alone."""

    machines: Annotated[tuple[str, ...], MACHINES] = ()
    """All of them, `host` or `host:port`, in the same order everywhere; the first one leads."""
    this: Annotated[str, THIS] = "auto"
    """Which of them this one is: its place (0 is the first) or its name; `auto` goes by the host's name."""
    port: Annotated[int, whole(1, PORT_MAX)] = 9470
    """The first port of the links between workers: two for each worker of a machine, from here on."""
    bind: Annotated[str, BIND] | None = None
    """The address that links are accepted on; if absent, the machine's own in `machines`."""
    silent_after: Annotated[int, duration("1s", "10m", "5s")] = 5 * SECOND
    """A machine that was not heard of for so long counts as lost: the run ends on all of them."""
