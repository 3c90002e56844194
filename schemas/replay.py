"""The mark of a replayed message: one header, which says how often it was tried and what of it may be late.

It is written by `atp dead-letters replay` and read with the message. Who may write to the input topics may write it:
it is as much to be trusted as an event is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from schemas.units import Origin, unit_name

HEADER = "atp_replay"


class Replay(msgspec.Struct, omit_defaults=True):
    """What the header says."""

    #: 1 for the original, and 1 more for each replay
    attempts: int
    #: topic/partition/offset of the dead letter
    of: str
    #: when it was asked for, RFC 3339
    at: str
    #: [line_id, item] of each unit that may be late: proved never to have been applied
    late_accepted: list[tuple[str, str]] = []


_read = msgspec.json.Decoder(Replay).decode


def header(replay: Replay) -> tuple[str, bytes]:
    """Give the header to send."""
    return HEADER, msgspec.json.encode(replay)


def read_header(headers: Iterable[tuple[str, Any]]) -> Replay | None:
    """Find the mark among a message's headers; None where there is none, or none of ours."""
    for name, value in headers:
        if name == HEADER and value is not None:
            try:
                return _read(value)
            except msgspec.DecodeError:
                return None
    return None


def note_replay(origin: Origin, headers: Iterable[tuple[str, Any]]) -> None:
    """Take over what a message's headers say of its replay."""
    replay = read_header(headers)
    if replay is not None and replay.attempts > 1:
        origin.attempts = replay.attempts
        origin.late_accepted = tuple(unit_name(line_id, item) for line_id, item in replay.late_accepted)
