"""Which kinds of messages there are, which of them a message is by its content, and how it is translated."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError

from operators.adapters import csv_rows, d365, debezium, edifact, epcis, idoc, json_rows, shopify, ubl, x12
from operators.adapters.account import Refused, Translation, one_line
from operators.adapters.context import Context
from operators.adapters.edifact_mapping import EdifactMapping
from operators.adapters.x12_mapping import X12Mapping
from schemas.codes import BAD_VALUE, MISSING_FIELD, near_match, show


class Kind(NamedTuple):
    """One kind of message."""

    name: str
    #: from its bytes (of which it looks for words, and reads none), and headers by their names in lower case
    recognizes: Callable[[bytes, Mapping[str, str]], bool]
    translate: Callable[[bytes, Context], Translation]
    #: the model of its mapping; None: it has none
    mapping: type[BaseModel] | None
    #: the mapping in force where no other is named is what the model says by default
    has_default: bool = True


_ALL: Final[tuple[Kind, ...]] = (
    Kind("x12", x12.recognizes, x12.translate, X12Mapping),
    Kind("edifact", edifact.recognizes, edifact.translate, EdifactMapping),
    Kind("shopify", shopify.recognizes, shopify.translate, None),
    Kind("debezium", debezium.recognizes, debezium.translate, debezium.DebeziumMapping, has_default=False),
    Kind("epcis", epcis.recognizes, epcis.translate, None),
    Kind("ubl", ubl.recognizes, ubl.translate, ubl.UblMapping),
    Kind("idoc", idoc.recognizes, idoc.translate, idoc.IdocMapping),
    Kind("d365", d365.recognizes, d365.translate, d365.D365Mapping),
    Kind("csv", csv_rows.recognizes, csv_rows.translate, csv_rows.CsvMapping, has_default=False),
    Kind("json", json_rows.recognizes, json_rows.translate, json_rows.JsonMapping, has_default=False),
)
KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in _ALL}
"""In the order in which they are asked whether a message is theirs: the surest first."""


class MappingError(ValueError):
    """A mapping that cannot be used: a sentence a fault."""


def read_mapping(text: str, name: str = "mapping") -> tuple[Kind, BaseModel]:
    """Read a mapping's page (TOML): its `kind`, and what that kind's model says; MappingError tells all faults."""
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"{name}: expected TOML, got other text: {error}") from None
    kind = KINDS.get(str(values.get("kind")))
    if kind is None or kind.mapping is None:
        known = [one.name for one in KINDS.values() if one.mapping is not None]
        raise MappingError(
            f"{name}: kind: expected one of {', '.join(known)}, got {show(values.get('kind'))}"
            f"{near_match(str(values.get('kind'))[:64], known)}"
        )
    del values["kind"]
    try:
        return kind, kind.mapping(**values)
    except ValidationError as error:
        raise MappingError("\n".join(_sentences(error, name))) from None


def _sentences(error: ValidationError, name: str) -> list[str]:
    sentences = []
    for problem in error.errors(include_url=False):
        where = ".".join(str(part) for part in problem["loc"])
        told = "no such field" if problem["type"] == "extra_forbidden" else problem["msg"].removeprefix("Value error, ")
        sentences.append(f"{name}: {where}: {told}" if where else f"{name}: {told}")
    return sentences


def kind_of(raw: bytes, headers: Mapping[str, str]) -> Kind | None:
    """Say which kind a message is by its content; None: none of ours."""
    return next((kind for kind in KINDS.values() if kind.recognizes(raw, headers)), None)


def translate(raw: bytes, context: Context, kind: Kind | None = None) -> Translation:
    """Say what a message means. Facts are left as facts: `memory.resolve` settles them.

    Never raises for what is in `raw`: what nobody can read is one line, refused.
    """
    kind = kind or kind_of(raw, context.headers)
    if kind is not None and kind.mapping and not kind.has_default and not isinstance(context.mapping, kind.mapping):
        told = f"mapping: expected one for {kind.name}, got none: sources.{context.source}.mapping names it"
        return one_line(kind.name, "message", Refused(MISSING_FIELD, told))
    if kind is None:
        told = f"content: expected one of {', '.join(KINDS)}, got {show(raw[:40].decode('utf-8', 'replace'))}"
        return one_line("unknown", "message", Refused(BAD_VALUE, told))
    return kind.translate(raw, context)
