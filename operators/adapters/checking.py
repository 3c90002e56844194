"""Decides whether an event that a mapping made is one: the same models that read what others send judge it."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from operators.adapters.account import Refused
from schemas.codes import BAD_VALUE, MISSING_FIELD
from schemas.event_table import EVENTS


def check(body: dict[str, Any]) -> None:
    """Refuse what the contract does not allow: an absent field, a contradiction. The event_id may be missing yet."""
    try:
        EVENTS[body["type"]].model.model_validate({"event_id": "-", **body})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "missing":
            raise Refused(MISSING_FIELD, f"{where}: expected a value, got nothing") from None
        told = problem["msg"].removeprefix("Value error, ")
        raise Refused(BAD_VALUE, f"{where}: {told}" if where else told) from None
