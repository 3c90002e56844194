"""A file of aliases: JSON Lines, a record a line as `inventory.aliases` has them."""

from __future__ import annotations

import json
from pathlib import Path

from operators.adapters.context import ALIAS_KINDS, AliasTable
from schemas.codes import is_code, show
from schemas.settings import SettingsError


def read_aliases(path: Path, source: str) -> AliasTable:
    """Read the file; a record without a source is this source's. SettingsError says what is wrong with which line."""
    rows: dict[tuple[str, str, str], str] = {}
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--aliases: expected a file in UTF-8, got {path} ({error})") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            kind, theirs, ours = record["kind"], record["theirs"], record["ours"]
        except (ValueError, KeyError, TypeError):
            raise SettingsError(
                f"--aliases: {path}, line {number}: expected an object with kind, theirs and ours, got {show(line)}"
            ) from None
        if kind not in ALIAS_KINDS:
            raise SettingsError(
                f"--aliases: {path}, line {number}: expected a kind of {', '.join(ALIAS_KINDS)}, got {show(kind)}"
            )
        if not isinstance(theirs, str) or not isinstance(ours, str) or not is_code(ours):
            raise SettingsError(f"--aliases: {path}, line {number}: expected ours to be a code, got {show(ours)}")
        rows[str(record.get("source") or source), kind, theirs] = ours
    return AliasTable(rows)
