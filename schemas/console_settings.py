"""The settings of `atp console`: where it listens, under which names, and who may change something."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, model_validator

from schemas.codes import mismatch
from schemas.setting_section import Section
from schemas.setting_values import FILE, SECRET, Read, text, whole

#: Whoever guesses a hundred times a second needs longer than the sun has.
TOKEN_CHARACTERS_MIN: Final = 16
_HOST_NAME: Final = r"[0-9A-Za-z._-]{1,253}"
_is_name = re.compile(_HOST_NAME).fullmatch


def _parse_names(value: object) -> tuple[str, ...]:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        raise mismatch("host names, such as atp.example.com", value)
    names = [name.strip() if isinstance(name, str) else name for name in given if name != ""]
    for name in names:
        if not isinstance(name, str) or not _is_name(name):
            raise mismatch("host names without port, such as atp.example.com", name)
    return tuple(name.lower() for name in names)


HOST = text(r"[0-9A-Za-z.:_-]{1,253}", "a host name or address, such as 127.0.0.1")
NAMES = Read(_parse_names, {"type": "array", "items": {"type": "string", "pattern": f"^{_HOST_NAME}$"}}, list)


class ConsoleSettings(Section):
    """Where `atp console` is served, and who may change something there."""

    host: Annotated[str, HOST] = "127.0.0.1"
    """The address that is listened on; TLS and who may read belong to a proxy in front."""
    port: Annotated[int, whole(1, 65_535)] = 8490
    """The port."""
    names: Annotated[tuple[str, ...], NAMES] = ()
    """Names that browsers may ask for it under, beside `host` and those of loopback; others are refused."""
    token: Annotated[str, SECRET] | None = Field(default=None, repr=False)
    """Who enters it may replay and decide. Better in a file."""
    token_file: Annotated[Path, FILE] | None = None
    """A file that holds it. Without either, the console only shows."""

    @model_validator(mode="after")
    def _has_one_token(self) -> ConsoleSettings:
        if self.token is not None and self.token_file is not None:
            raise ValueError("expected token or token_file, got both: leave one out")
        if self.token is not None and len(self.token) < TOKEN_CHARACTERS_MIN:
            raise ValueError(
                f"expected a token of at least {TOKEN_CHARACTERS_MIN} characters, got a shorter one: "
                "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
            )
        return self
