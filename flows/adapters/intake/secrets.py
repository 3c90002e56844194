"""Keeps the secrets with which sources sign: from files and the environment, read again when a file changes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from flows.log import get_log
from flows.settings import read_secret
from schemas.intake_settings import SourceReceiveSettings
from schemas.settings import SettingsError

log = get_log(__name__)

#: A file is looked at again after so long: a secret is replaced by hand, and its sender tries again.
LOOK_S: Final = 1.0


class Secrets:
    """Those of one source. SettingsError at its making says which cannot be had; later the last ones stay in force."""

    def __init__(self, source: str, rules: SourceReceiveSettings) -> None:
        self._source, self._rules = source, rules
        self._files: dict[Path, tuple[int, int, int]] = {}
        self._secrets: tuple[bytes, ...] = ()
        self._looked_at = 0.0
        self._complaint = ""
        self._take()

    def now(self) -> tuple[bytes, ...]:
        """Give them as they are now."""
        moment = time.monotonic()
        if moment - self._looked_at >= LOOK_S:
            self._looked_at = moment
            try:
                if any(_mark(path) != mark for path, mark in self._files.items()):
                    self._take()
                    log.info(f"the secrets of {self._source} were read again", kind="secrets")
                self._complaint = ""
            except SettingsError as error:
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    log.error(f"{error}: the secrets of before stay in force", kind="secrets", next="put the file back")
        return self._secrets

    def _take(self) -> None:
        name = f"sources.{self._source}.receive"
        secrets = []
        marks = {}
        for path in self._rules.secret_files:
            marks[path] = _mark(path, f"{name}.secret_files")
            try:
                secret = read_secret(path)
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "it is not UTF-8"
                raise SettingsError(
                    f"{name}.secret_files: expected a file that can be read, got {path}: {why}"
                ) from None
            if not secret:
                raise SettingsError(
                    f"{name}.secret_files: expected a file that holds a secret, got {path}, which is empty"
                )
            secrets.append(secret.encode())
        for variable in self._rules.secret_variables:
            secret = os.environ.get(variable, "")
            if not secret:
                raise SettingsError(
                    f"{name}.secret_variables: expected {variable} in the environment with a secret in it, got none"
                )
            secrets.append(os.fsencode(secret))
        self._secrets, self._files = tuple(secrets), marks


def _mark(path: Path, name: str = "secret_files") -> tuple[int, int, int]:
    try:
        told = path.stat()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise SettingsError(f"{name}: expected a file that can be read, got {path}: {why}") from None
    return told.st_mtime_ns, told.st_size, told.st_ino
