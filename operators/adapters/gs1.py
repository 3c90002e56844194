"""Reads GS1's names of things, places and documents: URNs of EPCIS and Digital Links, down to GTIN, GLN and lot."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import unquote

_goods_urn = re.compile(
    r"urn:epc:(?:id|tag|class|idpat):(s|l)gtin(?:-[0-9]+)?:(?:[0-9]\.)?([0-9]{6,12})\.([0-9]{1,7})\.(.{1,200})"
).fullmatch
_place_urn = re.compile(r"urn:epc:id:(?:sgln|pgln):([0-9]{6,12})\.([0-9]{0,6})(?:\..{0,200})?").fullmatch
_goods_link = re.compile(
    r"https?://[^?#]{1,400}?/(?:01|gtin)/([0-9]{8,14})((?:/[0-9a-z]{2,5}/[^/?#]{1,200})*)/?"
).fullmatch
_place_link = re.compile(r"https?://[^?#]{1,400}?/(?:414|417|gln)/([0-9]{13})(?:/.{0,200})?").fullmatch
_lot = re.compile(r"/(?:10|lot)/([^/]+)").search
_unit = re.compile(
    r"urn:epc:(?:id|tag|class|idpat):(?:sscc|grai|giai)[-:]|https?://[^?#]{1,400}?/(?:00|8003|8004|sscc)/"
).match
_document = re.compile(r"urn:epcglobal:cbv:bt:[0-9]{13}:(.{1,200})").fullmatch
_word = re.compile(r"(?:.*[:/#])?(?:BizStep|Disp|BTT|SDT|ER)?-?([a-z][a-z_]*)", re.DOTALL).fullmatch

#: of a name, for these patterns
NAME_MAX: Final = 1000


class Thing(NamedTuple):
    """An item as it is named: what an alias may call it, the most general first, and its lot."""

    names: tuple[str, ...]
    lot: str = ""


def thing_of(name: str) -> Thing | None:
    """Give the item that a name of an instance, a lot or a class is about; None for a logistic unit or an asset."""
    short = name[:NAME_MAX]
    if _unit(short):
        return None
    if found := _goods_urn(short):
        scheme, company, item, rest = found.groups()
        gtin = _gtin(item[:1] + company + item[1:])
        lot = unquote(rest) if scheme == "l" else ""
        return Thing((*((gtin,) if gtin else ()), f"urn:epc:idpat:sgtin:{company}.{item}.*", short), lot)
    if found := _goods_link(short.partition("?")[0].partition("#")[0]):
        lot_found = _lot(found[2])
        return Thing((found[1].zfill(14), short), unquote(lot_found[1]) if lot_found else "")
    return Thing((short,))


def place_names(name: str) -> tuple[str, ...]:
    """Give what an alias may call a place: as it is written, and its GLN."""
    short = name[:NAME_MAX]
    if found := _place_urn(short):
        body = found[1] + found[2]
        return (short, body + _check_digit(body)) if len(body) == 12 else (short,)
    if found := _place_link(short.partition("?")[0].partition("#")[0]):
        return (short, found[1])
    return (short,)


def document_number(name: str) -> str:
    """Give a business transaction's own number, where its name has one behind its owner's GLN; else the name."""
    found = _document(name[:NAME_MAX])
    return unquote(found[1]) if found else name


def word_of(name: str) -> str:
    """Give the last word of a vocabulary's name: `shipping` of `cbv:BizStep-shipping`, of an URN, of itself."""
    found = _word(name[:NAME_MAX])
    return found[1] if found else name


def _gtin(digits: str) -> str:
    return digits + _check_digit(digits) if len(digits) == 13 else ""


def _check_digit(digits: str) -> str:
    """The digit that GS1 puts behind: from the right, 3, 1, 3, 1 times each, to the next ten."""
    total = sum(int(digit) * (3 if number % 2 == 0 else 1) for number, digit in enumerate(reversed(digits)))
    return str(-total % 10)
