"""One line of what `atp check` says."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One line of the answer: what was looked at, whether it is right, what was seen, what would do."""

    subject: str
    is_ok: bool
    seen: str
    remedy: str = ""
    #: right for now, and worth a thought
    is_warning: bool = False
