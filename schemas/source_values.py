"""How the settings of a source are read that say how its documents are meant: times of the day, codes, aliases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from schemas.codes import CODE_PATTERN, mismatch, parse_code, parse_time
from schemas.setting_values import SECOND, Read
from schemas.times import time_text

_time_of_day = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?").fullmatch


def _parse_time_of_day(value: object) -> int:
    """Microseconds after midnight."""
    found = _time_of_day(value) if isinstance(value, str) else None
    if found is None:
        raise mismatch('a time of the day as HH:MM or HH:MM:SS, such as "23:59"', value)
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * SECOND


def _time_of_day_text(microseconds: int) -> str:
    seconds = microseconds // SECOND
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _parse_moment(value: object) -> int:
    """UTC microseconds, of a text or of what TOML reads by itself."""
    return parse_time(value.isoformat() if isinstance(value, datetime) else value)


ALIAS_KINDS: Final = ("item", "location", "channel", "uom", "status", "lot")
ALIAS_MODES: Final = ("only", "first")


def _parse_alias_modes(value: object) -> dict[str, str]:
    """One mode for all kinds, or a table of them by kind."""
    expected = 'only, first, or a table such as {item = "first"}'
    if isinstance(value, str) and value in ALIAS_MODES:
        return dict.fromkeys(ALIAS_KINDS, value)
    if not isinstance(value, Mapping):
        raise mismatch(expected, value)
    for kind, mode in value.items():
        if kind not in ALIAS_KINDS:
            raise mismatch(f"kinds of aliases, one of {', '.join(ALIAS_KINDS)}", kind)
        if mode not in ALIAS_MODES:
            raise ValueError(f"{kind}: {mismatch('only or first', mode)}")
    return dict(value)


TIME_OF_DAY = Read(
    _parse_time_of_day,
    {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"},
    _time_of_day_text,
)
MOMENT = Read(_parse_moment, {"type": "string", "format": "date-time"}, time_text)
CODE = Read(parse_code, {"type": "string", "pattern": CODE_PATTERN})
ALIASES = Read(
    _parse_alias_modes,
    {
        "anyOf": [
            {"enum": list(ALIAS_MODES)},
            {"type": "object", "additionalProperties": {"enum": list(ALIAS_MODES)}},
        ]
    },
)
