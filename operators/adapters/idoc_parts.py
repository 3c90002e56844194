"""How IDocs write things: numbers padded with zeros, dates without a zone, empty values as zeros."""

from __future__ import annotations

from typing import Final

from operators.adapters.account import Refused
from operators.adapters.context import Context
from operators.adapters.json_reading import instant_of_text
from operators.adapters.values import id_of, number_of
from operators.adapters.xml_reading import Node
from schemas.codes import MISSING_FIELD

#: names of a field in the sorts of IDocs, of which one has it: BAPI's English, or the table's own
Names = tuple[str, ...]
_NO_DATE: Final = frozenset({"", "00000000", "99991231"})
_NO_TIME: Final = frozenset({"", "000000", "240000"})


def raw(node: Node, *names: str) -> str:
    """Give the first of these fields that is not empty, as it is written."""
    return next((text for name in names if (text := node.text(name))), "")


def bare(node: Node, *names: str) -> str:
    """Give a field without SAP's padding: of a number its leading zeros; all zeros are nothing."""
    text = raw(node, *names)
    return text.lstrip("0") if text.isascii() and text.isdecimal() else text


def required(node: Node, *names: str) -> str:
    """As bare, as an id; Refused where nothing stands there."""
    return id_of(bare(node, *names), names[0])


def quantity(node: Node, *names: str) -> int | str:
    """Give a quantity of any sign; SAP writes a minus behind it."""
    text = raw(node, *names)
    if text.endswith("-"):
        text = f"-{text[:-1].strip()}"
    return number_of(text, names[0])


def moment(context: Context, date: str, time: str, what: str) -> str:
    """Give RFC 3339 in UTC of a date and a time; a time of zeros is none. Their clock is the source's time_zone."""
    if date in _NO_DATE:
        raise Refused(MISSING_FIELD, f"{what}: expected a date, got nothing")
    return instant_of_text(context, date if time in _NO_TIME else f"{date}T{time.zfill(6)}", what)


def location(context: Context, plant: str, storage: str, what: str) -> str:
    """Give the place of a plant's storage location: by `plant/storage`, else by the plant, else the source's."""
    names = [f"{plant}/{storage}" if plant and storage else plant or storage, plant]
    known = next((name for name in names if name and context.has("location", name)), names[0])
    return context.place(known, what)


def unit(context: Context, node: Node, *names: str) -> dict[str, str]:
    """Give an event's uom, where the line names one."""
    text = raw(node, *names)
    return {"uom": context.ours("uom", text, names[0])} if text else {}


def lot(context: Context, node: Node, *names: str) -> dict[str, str]:
    """Give an event's lot, where the line names one."""
    text = raw(node, *names)
    return {"lot": context.ours("lot", text, names[0])} if text else {}
