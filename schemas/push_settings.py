"""The settings of what tells other systems the numbers: `atp push`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, model_validator

from schemas.codes import is_code, mismatch
from schemas.intake_settings import HTTP_URL
from schemas.setting_section import Section
from schemas.setting_values import DAY, FILE, SECOND, Read, duration, text, whole

#: What one call of the shop's API takes.
BATCH_MAX: Final = 250
_location = re.compile(r"(?:gid://shopify/Location/)?([0-9]{1,20})").fullmatch


def _parse_locations(value: object) -> dict[str, str]:
    expected = 'a table of our channels and the shop\'s locations, such as {web = "655441491"}'
    if not isinstance(value, Mapping) or not value:
        raise mismatch(expected, value)
    found: dict[str, str] = {}
    for channel, place in value.items():
        if not isinstance(channel, str) or not is_code(channel):
            raise mismatch(f"{expected}, with a channel's code", channel)
        number = _location(place) if isinstance(place, str) else None
        if number is None:
            raise mismatch(f"{expected}, with the number of a location", place)
        found[channel] = f"gid://shopify/Location/{number[1]}"
    if len(set(found.values())) < len(found):
        raise ValueError("expected another location for each channel, got one twice: each would set what the other set")
    return found


LOCATIONS_SET = Read(_parse_locations, {"type": "object", "additionalProperties": {"type": "string"}}, dict)


class PushSettings(Section):
    """How `atp push` tells other systems the numbers."""

    metrics_port: Annotated[int, whole(0, 65_535)] = 9469
    """Where its metrics are served, at `metrics.host`; 0 switches them off."""


class SourcePushSettings(Section):
    """What `atp push shopify` sets at a shop."""

    url: Annotated[str, HTTP_URL] | None = None
    """The shop's GraphQL API, with a version: `https://NAME.myshopify.com/admin/api/2026-04/graphql.json`."""
    token_file: Annotated[Path, FILE] | None = None
    """A file with the token of the Admin API. Read for each request."""
    token_variable: Annotated[str, text(r"(?!ATP_)[A-Za-z_][A-Za-z0-9_]{0,99}", "the name of a variable")] | None = None
    """In its place: the environment variable that has it."""
    locations: Annotated[dict[str, str], LOCATIONS_SET] = Field(default={})
    """Which channel's numbers are set at which of the shop's locations: `{web = "655441491"}`."""
    batch: Annotated[int, whole(1, BATCH_MAX)] = 100
    """Numbers that are set with one request."""
    every: Annotated[int, duration("10ms", "1h", "1s")] = SECOND
    """How often it looks what is to be set; what changes more often is set once."""
    timeout: Annotated[int, duration("100ms", "10m", "30s")] = 30 * SECOND
    """For so long an answer may keep silent."""
    order_wait: Annotated[int, duration("0s", "1d", "1m")] = 60 * SECOND
    """What a number fell at the shop by itself is taken off its rise for so long: the order may not be found yet."""
    orders_back: Annotated[int, duration("1s", "30d", "1d")] = DAY
    """At the start, orders of the shop that changed in this time have to be read before a number rises."""

    @model_validator(mode="after")
    def _fits_together(self) -> SourcePushSettings:
        if self.url is None:
            raise ValueError("expected url, which says where the shop is, got none")
        if (self.token_file is None) == (self.token_variable is None):
            raise ValueError("expected token_file or token_variable, got both or none")
        if not self.locations:
            raise ValueError('expected locations, which says whose numbers go where, such as {web = "655441491"}')
        return self
