"""What the machines of a cluster tell each other through Redis: their form. It is of one version, and said to be.

Nothing secret is in them: each machine has its own settings, and says those that have to be the same.
"""

from __future__ import annotations

import uuid
from importlib.metadata import version
from typing import Any, Final

import msgspec

from flows.kafka.identity import Inputs
from flows.storage.facts import Facts
from flows.storage.folder import StateFolder
from flows.storage.recovery_store import StoreFacts
from schemas.settings import NAMES, Settings

#: Another one for every change of what stands here.
PROTOCOL: Final = 1
#: Settings in which machines may differ: what is of one machine, and how it gets to Kafka and Redis.
OWN: Final = (
    "cluster.bind",
    "cluster.this",
    "console.",
    "kafka.bootstrap_servers",
    "kafka.option",
    "log.",
    "memory_limit",
    "metrics.",
    "pick_up.",
    "poll.",
    "push.",
    "receive.",
    "redis.password",
    "redis.sentinel_",
    "redis.tls_",
    "redis.url",
    "redis.username",
    "state.dir",
    "translator.",
)


class Report(msgspec.Struct):
    """How one worker is: what health is judged by, and how far each partition is."""

    state: dict[str, Any]
    #: partition -> next offset, clock
    rows: dict[str, tuple[int, int]]


class Word(msgspec.Struct):
    """What a machine says of itself, several times a second."""

    protocol: int
    #: of its supervisor's process: another one has another
    boot: str
    #: one more each time
    beat: int = 0
    version: str = ""
    #: those that have to be the same on all machines
    settings: dict[str, str] = {}
    facts: Facts | None = None
    store: StoreFacts | None = None
    #: the newest run that was begun here, and whether it goes on
    run: int = 0
    is_running: bool = False
    #: how the workers of that run ended
    codes: list[int] = []
    #: it is asked to end
    leaves: bool = False
    #: worker -> how it is
    reports: dict[int, Report] = {}


class Orders(msgspec.Struct):
    """What the machine that leads wants of the others."""

    protocol: int
    #: of the supervisor that leads
    boot: str
    run: int
    #: the supervisors that are meant: a machine that was started anew is not
    boots: list[str] = []
    #: let the workers end / end them: the run is over
    is_to_end: bool = False
    is_over: bool = False
    #: the engine has ended for good, with that exit code
    exit_code: int | None = None
    until_caught_up: bool = False
    ends: dict[str, int] = {}
    topic_ids: dict[str, str] = {}
    ended: tuple[str, ...] = ()
    scratch: tuple[int, list[int]] | None = None
    has_statements: bool = False
    inputs: Inputs | None = None
    #: the cluster's id, see flows/storage/membership.py
    cluster: str = ""


class _Head(msgspec.Struct):
    """What every protocol begins with."""

    protocol: int = 0
    boot: str = ""
    beat: int = 0


def versions() -> str:
    """Say what has to be the same on all machines, beside the settings."""
    return f"atp-engine {version('atp-engine')}, Bytewax {version('bytewax')}"


def said_settings(settings: Settings) -> dict[str, str]:
    """Give the settings that have to be the same on all machines, by name, as text."""
    shown = settings.shown()
    said = {}
    for name in NAMES:
        if not name.startswith(OWN):
            section, _, field = name.rpartition(".")
            values = shown.get(section, {}) if section else shown
            said[name] = str(values.get(field)) if field in values else ""
    for source, values in sorted(shown.get("sources", {}).items()):
        said |= {f"sources.{source}.{name}": str(value) for name, value in sorted(values.items()) if name != "poll"}
    return said


def read_word(raw: bytes) -> Word | None:
    """Read what a machine says; of another protocol only that it is there, None where it is nothing of ours."""
    try:
        head = msgspec.json.decode(raw, type=_Head)
        if head.protocol == PROTOCOL:
            return msgspec.json.decode(raw, type=Word)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Word(head.protocol, head.boot, head.beat)


def read_orders(raw: bytes) -> Orders | None:
    """Read what the machine that leads wants; None where it is nothing of ours, or of another protocol."""
    try:
        if msgspec.json.decode(raw, type=_Head).protocol == PROTOCOL:
            return msgspec.json.decode(raw, type=Orders)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    return None


def newest_of(store: StoreFacts) -> StoreFacts:
    """Give what a store says of its newest execution: each start adds one."""
    executions, frontiers = store.executions, store.frontiers
    return StoreFacts(
        store.parts,
        {max(executions): executions[max(executions)]} if executions else {},
        {max(frontiers): frontiers[max(frontiers)]} if frontiers else {},
        store.commits,
        store.has_snapshots,
    )


def first_word(settings: Settings, folder: StateFolder) -> Word:
    """Give what a machine says of itself at its start."""
    facts = folder.facts()
    return Word(PROTOCOL, uuid.uuid4().hex, 0, versions(), said_settings(settings), facts, newest_of(folder.store))
