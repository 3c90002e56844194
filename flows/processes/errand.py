"""What a supervisor hands to a worker's process: a line of JSON with a version, whose fields are storage between two.

Rule 1: a supervisor lives through an upgrade of the files that it was started from, and then starts workers of the new
ones. A worker that does not know what it is handed says so and ends for good: restarted, it would not know it either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flows.errors import PlainError
from flows.runtime.run import Run
from flows.settings import take_settings
from flows.storage.facts import ENGINE

#: Another one for every change of `_Written` or of a setting's name.
VERSION: Final = 3


class UnknownErrand(PlainError):
    """The supervisor is of another version of the engine than this worker."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What a supervisor tells a worker."""

    run: Run
    addresses: tuple[str, ...]
    #: the file descriptor of its end of the pair that the supervisor asks it through; -1: nobody asks
    report_descriptor: int = -1


class _Head(msgspec.Struct):
    version: int


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    settings: dict[str, Any]
    token: int
    worker: int
    workers: int
    until_caught_up: bool
    ends: dict[str, int]
    topic_ids: dict[str, str]
    ended: tuple[str, ...]
    scratch: tuple[int, frozenset[int]] | None
    addresses: tuple[str, ...]
    report_descriptor: int
    has_statements: bool
    #: the version of the engine
    engine: str


def write_errand(errand: Errand) -> bytes:
    """Give an errand as one line. With all secrets: for the worker's standard input alone."""
    run = errand.run
    written = _Written(
        VERSION,
        run.settings.handed_on(),
        run.token,
        run.worker,
        run.workers,
        run.until_caught_up,
        run.ends,
        run.topic_ids,
        run.ended,
        run.scratch,
        errand.addresses,
        errand.report_descriptor,
        run.has_statements,
        ENGINE,
    )
    return msgspec.json.encode(written) + b"\n"


def read_errand(line: bytes) -> Errand:
    """Read what `write_errand` gave.

    UnknownErrand where another version of the engine wrote it; SettingsError where a file that a setting names is gone.
    """
    try:
        version = msgspec.json.decode(line, type=_Head).version
    except (msgspec.DecodeError, UnicodeDecodeError):
        version = 0  # pickled, as before there were versions
    if version != VERSION:
        raise UnknownErrand(
            f"the engine's files were replaced while it ran (it hands its workers version {version} of what they are "
            f"to do, and these know version {VERSION}): start the engine again"
        )
    written = msgspec.json.decode(line, type=_Written)
    if written.engine != ENGINE:
        raise UnknownErrand(
            f"the engine's files were replaced while it ran (it is atp-engine {written.engine}, and these are "
            f"{ENGINE}): start the engine again"
        )
    run = Run(
        take_settings(written.settings),
        written.token,
        written.worker,
        written.workers,
        written.until_caught_up,
        written.ends,
        written.topic_ids,
        written.ended,
        written.scratch,
        written.has_statements,
    )
    return Errand(run, written.addresses, written.report_descriptor)
