"""EDIFACT: which messages are read, and what becomes of all others, of what was cut off, and of stray text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from operators.adapters import edifact_syntax
from operators.adapters.account import Account, Refused, Translation
from operators.adapters.context import Context
from operators.adapters.edifact_goods import read_desadv, read_invrpt, read_recadv
from operators.adapters.edifact_mapping import EdifactMapping
from operators.adapters.edifact_orders import read_ordchg, read_orders
from operators.adapters.edifact_parts import Reading, parts_of, refuse_all
from operators.adapters.edifact_syntax import messages_of
from operators.adapters.values import make_id
from operators.adapters.x12_syntax import Stray
from schemas.codes import BAD_VALUE, show

#: By UNH02.
MESSAGES: Final[dict[str, Callable[[Reading], None]]] = {
    "ORDERS": read_orders,
    "ORDCHG": read_ordchg,
    "DESADV": read_desadv,
    "RECADV": read_recadv,
    "INVRPT": read_invrpt,
}
_DEFAULT: Final = EdifactMapping()
_KIND_LENGTH: Final = 6


def recognizes(raw: bytes, headers: Mapping[str, str]) -> bool:
    """Is it EDIFACT?"""
    return edifact_syntax.recognizes(raw[:4096])


def translate(raw: bytes, context: Context) -> Translation:
    """Say what an EDIFACT file means; one message that cannot be used takes nothing from the others."""
    account = Account("edifact")
    mapping = context.mapping if isinstance(context.mapping, EdifactMapping) else _DEFAULT
    items: dict[tuple[tuple[str, str], ...], str] = {}
    is_empty = True
    for found in messages_of(raw):
        is_empty = False
        if isinstance(found, Stray):
            account.refuse(account.line(f"segment:{found.first}"), BAD_VALUE, found.problem)
        else:
            _read(Reading(found, context, account, mapping, items))
    if is_empty:
        account.ignore(account.line("UNB"), "no_message")
    return account.finish()


def _read(reading: Reading) -> None:
    whole = reading.whole
    read = MESSAGES.get(whole.kind)
    if not whole.is_closed:
        told = "UNT: expected the end of the message, got the end of the file or another message: it was cut off"
        refuse_all(reading, parts_of(whole.segments) if read else (), Refused(BAD_VALUE, told))
    elif read is not None:
        read(reading)
    elif len(whole.kind) == _KIND_LENGTH and whole.kind.isalpha():
        reading.account.document(make_id(whole.kind, whole.reference))
        reading.account.ignore(reading.open(-1, "UNH"), "not_read")
    else:
        told = f"UNH02: expected a message's type such as ORDERS, got {show(whole.kind)}"
        refuse_all(reading, (), Refused(BAD_VALUE, told))
