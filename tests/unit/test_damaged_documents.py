"""However a document is damaged: no crash, no hang, every line in one place, every event as its schema has it.

`make test-long` makes a million changes, `make test` some thousands of the same. A failure names its seed.
"""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from operators.adapters.d365 import D365Mapping
from operators.adapters.edifact_mapping import EdifactMapping
from operators.adapters.kinds import KINDS, translate
from operators.adapters.memory import Dictionary, resolve
from operators.adapters.ubl import UblMapping
from operators.adapters.x12_mapping import X12Mapping
from tests.documents import check, context, edifact, x12
from tests.mutated import mutated
from tests.unit import test_edifact as e
from tests.unit import test_x12 as x
from tests.unit.adapters import (
    test_d365,
    test_debezium,
    test_epcis,
    test_idoc,
    test_rows,
    test_shopify,
    test_ubl,
)
from tests.writing import written

X12_SETS = (
    x.ORDER,
    x.change("POC*1*QI*3**EA***VN*SHOVEL", "POC*2*DI*0**EA***VN*RAKE"),
    x.NOTICE,
    x.SHIP_THIS,
    x.SHIPPED,
    x.RECEIVED,
    x.TRANSFER,
    x.ADJUSTED,
    x.LEVELS,
)
EDIFACT_MESSAGES = (e.ORDER, e.CHANGED, e.DESPATCH, e.RECEIPT, e.LEVELS)
SAMPLES = {
    "x12": [x12(*X12_SETS), x12(*X12_SETS, end="~"), *(x12(text, text) for text in X12_SETS)],
    "edifact": [
        edifact(*EDIFACT_MESSAGES),
        edifact(*EDIFACT_MESSAGES, end="'"),
        *(edifact(text, text) for text in EDIFACT_MESSAGES),
    ],
    "shopify": [written(each) for each in test_shopify.samples()],
    "debezium": test_debezium.samples(),
    "epcis": [written(each) for each in test_epcis.samples()],
    "ubl": test_ubl.samples(),
    "idoc": test_idoc.samples(),
    "d365": [written(each) for each in test_d365.samples()],
    "csv": test_rows.files(),
    "json": test_rows.documents(),
}
BETWEEN_SITES: dict[str, Any] = {"shipments": "transfers", "received_as": "transfers", "inventory_is_all": True}
KNOWN = {
    "x12": [context(), context(mapping=X12Mapping(**BETWEEN_SITES))],
    "edifact": [context(), context(mapping=EdifactMapping(**BETWEEN_SITES))],
    "debezium": [context(mapping=test_debezium.mapping_of("wms"))],
    "ubl": [context(channel="web"), context(mapping=UblMapping(shipments="transfers", report_is_all=True))],
    "d365": [
        context(mapping=D365Mapping(settings_are="counts", time_header="at"), headers={"at": "2026-03-02T10:00Z"})
    ],
    "csv": [context(mapping=test_rows.built_in("netsuite").mapping, channel="web")],
    "json": [context(mapping=test_rows.context(test_rows.API).mapping, channel="web")],
}
#: a whole document takes some milliseconds; only what does not end takes a second
SECONDS_MAX = 1.0


def damage(kind: str, rounds: int, seed: int) -> None:
    """Change samples of a kind, and translate each change as that kind and as whatever it looks like."""
    chance = random.Random(seed)
    memory = Dictionary()
    for number in range(rounds):
        raw = mutated(chance, chance.choice(SAMPLES[kind]))
        known = chance.choice(KNOWN.get(kind, [context(channel="web")]))
        started = time.process_time()
        try:
            result = resolve(translate(raw, known, KINDS[kind] if number % 2 else None), "acme", memory)
            check(result)
        except Exception as error:
            raise AssertionError(f"{kind}, seed {seed}, round {number}: {raw!r}") from error
        took = time.process_time() - started
        assert took < SECONDS_MAX, f"{kind}, seed {seed}, round {number}: {took:.1f} s: {raw!r}"
        if number % 50 == 49:
            memory = Dictionary()


@pytest.mark.parametrize("kind", SAMPLES)
def test_damaged_documents_are_accounted_for(kind: str) -> None:
    damage(kind, 1500, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("seed", range(2, 7))
def test_a_million_damaged_documents_are_accounted_for(kind: str, seed: int) -> None:
    damage(kind, 20_000, seed)


def test_a_damaged_set_takes_nothing_from_the_whole_ones() -> None:
    chance = random.Random(7)
    whole = x12(x.ORDER, control="000000001")
    expected = resolve(translate(whole, context()), "acme", Dictionary()).bodies()
    for _ in range(300):
        broken = mutated(chance, x12(x.LEVELS.replace("INV-1", "INV-2"), x.NOTICE, control="000000002"))
        result = resolve(translate(whole + broken, context()), "acme", Dictionary())
        assert result.bodies()[: len(expected)] == expected, broken
