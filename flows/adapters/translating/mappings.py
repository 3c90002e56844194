"""Finds a mapping by its name: one that comes with the program, or a file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel

from operators.adapters.kinds import Kind, MappingError, read_mapping
from schemas.codes import near_match
from schemas.settings import SettingsError

_PACKAGE = "flows.adapters"
_FOLDER = "mappings"


def built_in() -> list[str]:
    """The names of the mappings that come with the program."""
    folder = files(_PACKAGE).joinpath(_FOLDER)
    if not folder.is_dir():
        return []
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_mapping(name: str, where: str = "--mapping") -> tuple[Kind, BaseModel]:
    """Read the mapping of this name or in this file; SettingsError says what is wrong, and where it was named."""
    known = built_in()
    try:
        if name in known:
            text = files(_PACKAGE).joinpath(_FOLDER, f"{name}.toml").read_text("utf-8")
        else:
            text = Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{where}: expected one of {', '.join(known) or 'no built-in mappings'}, or a file in UTF-8, got {name} "
            f"({error}){near_match(name, known)}"
        ) from None
    try:
        return read_mapping(text, name)
    except MappingError as error:
        raise SettingsError(f"{where}: {error}") from None
