"""What the translator reads and writes beside events: aliases, and the account of each raw message (section 10)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.codes import CODE_PATTERN

#: as ALIAS_KINDS of schemas/source_values.py
AliasKind = Literal["item", "location", "channel", "uom", "status", "lot"]
_Code = Annotated[str, Field(pattern=CODE_PATTERN)]
_Count = Annotated[int, Field(ge=0)]


class Alias(BaseModel):
    """inventory.aliases: our code for what a source writes. The key is `source:kind:theirs`; a tombstone deletes."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    #: these three as the key has them, where they are given
    source: _Code | None = None
    kind: AliasKind | None = None
    #: exactly as the source writes it but for padding, at most 256 bytes; it may hold colons
    theirs: str | None = None
    #: a code of ours; for a status `available` or `quarantined`
    ours: _Code


class DocumentRecord(BaseModel):
    """inventory.documents: what a raw message became. Each of its lines is in exactly one of the four.

    lines = event_lines + statement_lines + all of ignored + all of refused. The key is `source:` and the first 32 hex
    digits of the raw value's SHA-256.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: _Code
    kind: str
    #: identities of the documents in it
    documents: list[str]
    #: RFC 3339
    received_at: str | None
    lines: _Count
    event_lines: _Count
    statement_lines: _Count
    #: by reason
    ignored: dict[str, _Count]
    #: by code
    refused: dict[str, _Count]
    #: how many messages they became
    events: _Count
    statements: _Count


#: Headers of a record of inventory.documents: where its raw message lies, and what each of its lines became.
PLACE_HEADER: Final = "raw"
BECAME_HEADER: Final = "became"
#: Header of a raw message that is sent again: which lines are tried, and where the first one lies.
AGAIN_HEADER: Final = "atp_translate"
#: Headers of a raw message that has but the beginning of what no message can hold: why, and where in its file it stood.
REFUSED_HEADER: Final = "refused"
STOOD_HEADER: Final = "refused_place"
