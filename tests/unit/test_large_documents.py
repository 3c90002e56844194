"""A document costs what its length costs, however its lines hang together: nothing grows with the square of it."""

from __future__ import annotations

import time

import pytest

from operators.adapters.edifact_mapping import EdifactMapping
from operators.adapters.kinds import translate
from operators.adapters.memory import Dictionary, resolve
from operators.adapters.x12_mapping import X12Mapping
from tests.documents import context, edifact, x12

ORDER = "850\nBEG*00*SA*PO-1**20240110\n" + "".join(f"PO1*{n}*5*EA***VN*I{n % 7}\n" for n in range(1, 5001))
CHANGES = [f"860\nBCH*04*SA*PO-1**{n}*20240110\nPOC*{n}*QI*1**EA***VN*I{n % 7}\n" for n in range(1, 1001)]
CANCELLED = [f"860\nBCH*01*SA*PO-1**{n}*20240110\n" for n in range(1, 101)]
SHIP = "940\nW05*N*SO-1\nG62*04*20240110\n" + "".join(f"LX*{n}\nW01*2*EA**VN*SAME\n" for n in range(1, 10_001))
SHIPPED = "945\nW06*F*SO-1*20240110*S1\n" + "".join("W12*CC*2*2**EA**VN*SAME\n" for _ in range(10_000))
LEVELS = "856\nBSN*00*S1*20240110*0830\nDTM*017*20240115\n" + "N1*ZZ*X\n" * 10_000
LEVELS += "".join(f"HL*{n}*{n - 1}*I\nN1*ST*X*92*DC2\nLIN**VN*I{n}\nSN1**1*EA\n" for n in range(1, 5001))
RECEIPT = "RECADV\nBGM+632+R1+9\nDTM+50:20240110:102\n" + "RFF+ZZZ:1\n" * 10_000
RECEIPT += "".join(f"LIN+{n}++I{n}:SA\nQTY+48:1\n" for n in range(1, 5001))
SHUFFLED = "944\nW17*F*20240110*R1\n" + "W07*1*EA**VN*SAME\n" * 20_000


@pytest.mark.parametrize(
    ("raw", "mapping"),
    [
        (x12(ORDER, *CHANGES), None),
        (x12(ORDER, *CANCELLED), None),
        (x12(SHIP, SHIPPED), None),
        (x12(LEVELS), X12Mapping()),
        (x12(LEVELS), X12Mapping(shipments="transfers")),
        (edifact(RECEIPT), EdifactMapping()),
        (x12(SHUFFLED), None),
    ],
    ids=["changes", "cancellations", "shipments", "levels", "transfers", "references", "equal lines"],
)
def test_a_large_document_takes_seconds_at_most(raw: bytes, mapping: object) -> None:
    started = time.process_time()
    result = resolve(translate(raw, context(mapping=mapping)), "acme", Dictionary())
    # Half a second on a quiet machine; with the square of its lines it would be minutes.
    assert time.process_time() - started < 10
    assert not result.refused().keys() - {"bad_value"} and len(result.lines) >= 5000


def test_what_is_remembered_is_not_changed_by_the_documents_that_come_later() -> None:
    first = resolve(translate(x12(ORDER), context()), "acme", memory := Dictionary())
    known = next(iter(memory._known.values()))
    before = repr(known)
    resolve(translate(x12(*CHANGES[:3], CANCELLED[0]), context()), "acme", memory)
    assert repr(known) == before and len(first.lines) == 5000
