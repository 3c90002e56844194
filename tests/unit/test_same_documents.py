"""The same document is the same, whatever carries it: other envelopes, delimiters, files, orders of lines."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from operators.adapters.context import Context
from operators.adapters.edifact_mapping import EdifactMapping
from operators.adapters.memory import Dictionary
from operators.adapters.x12_mapping import X12Mapping
from tests.documents import become, context, edifact, fates, x12
from tests.unit import test_edifact as e
from tests.unit import test_x12 as x

CHANGED = x.change("POC*1*QI*3**EA***VN*SHOVEL", "POC*2*DI*0**EA***VN*RAKE")
X12 = {
    "850": x.ORDER,
    "856": x.NOTICE,
    "940": x.SHIP_THIS,
    "945": x.SHIPPED,
    "943": x.TRANSFER,
    "944": x.RECEIVED,
    "947": x.ADJUSTED,
    "846": x.LEVELS,
}
EDIFACT = {"ORDERS": e.ORDER, "DESADV": e.DESPATCH, "RECADV": e.RECEIPT, "INVRPT": e.LEVELS}
#: what a line begins with, and what ends the lines
LINES = {
    "850": "PO1",
    "856": "HL",
    "944": "W07",
    "947": "W19",
    "846": "LIN",
    "ORDERS": "LIN",
    "RECADV": "LIN",
    "INVRPT": "LIN",
}
BETWEEN_SITES: dict[str, Any] = {"shipments": "transfers", "received_as": "transfers"}


def said(result: Any) -> list[str]:
    """What was said, whatever the order: of an event of an order line by line."""
    told = []
    for body in result.bodies():
        for line in body.get("lines", [None]):
            told.append(json.dumps({**body, "lines": line}, sort_keys=True))
    return sorted(told)


@pytest.mark.parametrize("code", X12)
def test_x12_in_another_interchange_is_the_same(code: str) -> None:
    plain = become(x12(X12[code])).bodies()
    assert plain
    assert become(x12(X12[code], control="000000777", end="~")).bodies() == plain
    assert become(x12(X12[code], end="\n").replace(b"*", b"|")).bodies() == plain
    assert become(x12("810\nBIG*20240110*1", X12[code])).bodies() == plain


@pytest.mark.parametrize("kind", EDIFACT)
def test_edifact_in_another_interchange_is_the_same(kind: str) -> None:
    plain = become(edifact(EDIFACT[kind])).bodies()
    assert plain
    assert become(edifact(EDIFACT[kind], control="777", end="'")).bodies() == plain
    assert become(edifact("INVOIC\nBGM+380+1+9", EDIFACT[kind])).bodies() == plain


@pytest.mark.parametrize("known", [context(), context(mapping=X12Mapping(**BETWEEN_SITES))], ids=["", "between sites"])
def test_a_file_split_by_its_sets_is_the_same(known: Context) -> None:
    texts = [*X12.values(), CHANGED]
    whole = become(x12(*texts), known)
    memory = Dictionary()
    parts = [become(x12(text, control=f"{number:09d}"), known, memory) for number, text in enumerate(texts)]
    assert [body for part in parts for body in part.bodies()] == whole.bodies()
    again = [reason for text in (x.ORDER, CHANGED, x.SHIPPED) for reason in fates(become(x12(text), known, memory))]
    assert set(again) == {"repeated"}


def test_messages_split_by_files_are_the_same() -> None:
    known = context(mapping=EdifactMapping(**BETWEEN_SITES), to_location="DC7")
    texts = [*EDIFACT.values(), e.CHANGED]
    memory = Dictionary()
    parts = [become(edifact(text), known, memory) for text in texts]
    assert [body for part in parts for body in part.bodies()] == become(edifact(*texts), known).bodies()


@pytest.mark.parametrize("code", LINES)
def test_lines_may_be_shuffled(code: str) -> None:
    """Numbered ones, and ones that are known by what they say."""
    is_x12 = code in X12
    text = (X12 if is_x12 else EDIFACT)[code]
    for numbered in (True, False):
        if not numbered:
            text = re.sub(r"(?m)^(PO1|LIN)([*+])\d+", r"\1\2", text)
        head, *lines = re.split(rf"(?m)^(?={LINES[code]}[*+])", text)
        if code == "856":  # its first levels are the shipment and the order
            head, lines = head + lines[0] + lines[1], lines[2:]
        if not is_x12:
            lines[-1] = re.sub(r"(?m)^(UNS|CNT).*\n", "", lines[-1])
        plain = said(become((x12 if is_x12 else edifact)(head + "".join(lines))))
        assert plain
        chance = random.Random(3)
        for _ in range(5):
            chance.shuffle(lines)
            assert said(become((x12 if is_x12 else edifact)(head + "".join(lines)))) == plain
