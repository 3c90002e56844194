"""X12: which transaction sets are read, and what becomes of all others, of what was cut off, and of stray text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from operators.adapters import x12_syntax
from operators.adapters.account import Account, Refused, Translation
from operators.adapters.context import Context
from operators.adapters.values import make_id
from operators.adapters.x12_inventory import read_846
from operators.adapters.x12_mapping import X12Mapping
from operators.adapters.x12_orders import read_850, read_855, read_change
from operators.adapters.x12_parts import Reading
from operators.adapters.x12_supply import read_856
from operators.adapters.x12_syntax import Stray, sets_of
from operators.adapters.x12_warehouse import read_940, read_943, read_944, read_945, read_947
from schemas.codes import BAD_VALUE, show

#: By ST01: how it is read, and the segment that a line of it has once.
SETS: Final[dict[str, tuple[Callable[[Reading], None], str]]] = {
    "846": (read_846, "LIN"),
    "850": (read_850, "PO1"),
    "855": (read_855, "PO1"),
    "856": (read_856, "SN1"),
    "860": (read_change, "POC"),
    "865": (read_change, "POC"),
    "940": (read_940, "W01"),
    "943": (read_943, "W04"),
    "944": (read_944, "W07"),
    "945": (read_945, "W12"),
    "947": (read_947, "W19"),
}
_DEFAULT: Final = X12Mapping()


def recognizes(raw: bytes, headers: Mapping[str, str]) -> bool:
    """Is it X12?"""
    return x12_syntax.recognizes(raw[:4096])


def translate(raw: bytes, context: Context) -> Translation:
    """Say what an X12 file means; one set that cannot be used takes nothing from the others."""
    account = Account("x12")
    mapping = context.mapping if isinstance(context.mapping, X12Mapping) else _DEFAULT
    items: dict[tuple[str, ...], str] = {}
    is_empty = True
    for found in sets_of(raw):
        is_empty = False
        if isinstance(found, Stray):
            account.refuse(account.line(f"segment:{found.first}"), BAD_VALUE, found.problem)
        else:
            _read(Reading(found, context, account, mapping, items))
    if is_empty:
        account.ignore(account.line("ISA"), "no_transaction_set")
    return account.finish()


def _read(reading: Reading) -> None:
    whole = reading.whole
    spec = SETS.get(whole.code)
    if not whole.is_closed:
        _refuse_cut(reading, spec[1] if spec else "")
    elif spec is not None:
        spec[0](reading)
    elif len(whole.code) == 3 and whole.code.isdecimal():
        reading.account.document(make_id(whole.code, whole.control))
        reading.account.ignore(reading.account.line(f"{whole.control}:{whole.first}:ST"), "not_read")
    else:
        told = f"ST01: expected a transaction set's code such as 850, got {show(whole.code)}"
        reading.account.refuse(reading.account.line(f"{whole.control}:{whole.first}:ST"), BAD_VALUE, told)


def _refuse_cut(reading: Reading, line_tag: str) -> None:
    """A set without its end was cut off: what it has is perhaps not all, and its last number not the whole number."""
    refusal = Refused(
        BAD_VALUE, "SE: expected the end of the set, got the end of the file or another set: it was cut off"
    )
    found = False
    for index, segment in enumerate(reading.whole.segments):
        if segment[0] == line_tag:
            reading.account.refuse(reading.open(index, line_tag), refusal.code, str(refusal))
            found = True
    if not found:
        reading.account.refuse(reading.open(-1, "ST"), refusal.code, str(refusal))
