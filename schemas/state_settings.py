"""The settings of the state directory, and of the place elsewhere that state is copied to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, model_validator

from schemas.codes import mismatch
from schemas.setting_section import Section
from schemas.setting_values import FOLDER, MASK, SECOND, Read, dotted, duration, whole

#: What the places are that a bucket may be in.
REMOTE_SCHEMES: Final = ("s3", "gs", "az")
_url = re.compile(r"([a-z][a-z0-9+.-]*)://(.*)", re.DOTALL).fullmatch
_bucket = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,250}(?:/[!-~]*)?").fullmatch


def is_remote_url(address: str) -> bool:
    """Is it the address of a bucket, and not a folder?"""
    return _url(address) is not None


def _parse_remote(value: object) -> str:
    expected = 'a folder such as "/mnt/backup/atp", or the address of a bucket such as "s3://stock/atp"'
    if not isinstance(value, str) or not value or "\0" in value:
        raise mismatch(expected, value)
    found = _url(value)
    if found is None:
        return value
    if found[1] not in REMOTE_SCHEMES:
        kinds = ", ".join(f"{name}://" for name in REMOTE_SCHEMES)
        raise ValueError(f"{mismatch(expected, f'{found[1]}://...')}: {kinds}")
    if not _bucket(found[2]):  # with a user and a password, perhaps: not shown
        raise mismatch(expected, f"{found[1]}://...")
    return value.rstrip("/")


def _parse_remote_options(value: object) -> dict[str, str]:
    """The values never appear in a message: they may be passwords."""
    if not isinstance(value, Mapping):
        raise mismatch('a table such as {"region" = "eu-central-1"}', None if value is None else "something else")
    options: dict[str, str] = {}
    for name, given in dotted(value):
        if not re.fullmatch(r"[a-z0-9]+(?:_[a-z0-9]+)*", name):
            raise mismatch("names such as region, endpoint or access_key_id", name)
        if not isinstance(given, (str, int, float)):
            raise ValueError(f"expected text as the value of {name}, got another kind of value")
        options[name] = str(given).lower() if isinstance(given, bool) else str(given)
    return options


REMOTE = Read(_parse_remote, {"type": "string", "minLength": 1})
REMOTE_OPTIONS = Read(
    _parse_remote_options,
    {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    lambda options: dict.fromkeys(options, MASK),
)


class StateSettings(Section):
    """Where state is kept, how often it is made safe, and where else it is copied to."""

    dir: Annotated[Path, FOLDER] = Path("state")
    """A folder on a local disk; one engine at a time."""
    epoch_interval: Annotated[int, duration("10ms", "60s", "1s")] = SECOND
    """How often state is made safe: after a crash as much is computed again."""
    recovery_partitions: Annotated[int, whole(1, 64)] = 1
    """Files over which the recovery store is spread; fixed for the life of `state.dir`."""
    remote: Annotated[str, REMOTE] | None = None
    """Where state is copied to as well: a folder, or a bucket (`s3://`, `gs://`, `az://`)."""
    remote_options: Annotated[dict[str, str], REMOTE_OPTIONS] = Field(default={}, repr=False)
    """What the bucket needs, such as `region`, `endpoint`; of the environment (`AWS_...`) if absent."""
    remote_every: Annotated[int, duration("1s", "24h", "30s")] = 30 * SECOND
    """How often it is copied: with disk and machine lost as much is read again from Kafka."""
    standby_after: Annotated[int, duration("1s", "1h", "3s")] = 3 * SECOND
    """An engine that stands by takes over when the running one has not been heard of for so long."""

    @model_validator(mode="after")
    def _options_of_something(self) -> StateSettings:
        if self.remote_options and (self.remote is None or not is_remote_url(self.remote)):
            raise ValueError("expected remote_options beside the address of a bucket in remote, got them without one")
        return self
