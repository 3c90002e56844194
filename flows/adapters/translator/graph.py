"""How the translator's steps hang together.

aliases, raw ─┬─ aliases of a source, and what waits for them ──────────────┐
              └─ open ─┬─ memory by shards ─┐                               ├─ translated: events, then accounts
                       └────────────────────┴─ accounts ─┬──────────────────┘
                                                         └─ to what waits
"""

from __future__ import annotations

from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.adapters.translator.shared import Shared
from flows.adapters.translator.sink import TranslatedSink
from flows.adapters.translator.source import TranslatorSource, Word
from flows.adapters.translator.steps import AccountStep, AliasStep, MemoryStep, open_message
from flows.adapters.translator.words import Accounted, AliasNews, Opened, Raw, ToMemory

FLOW_ID = "translator"
#: Names on disk: a step that is renamed begins without its state.
STEPS = ("translator_inputs", "memory", "accounts", "aliases", "translated")


def build(shared: Shared) -> Dataflow:
    """Give the dataflow of one run."""
    flow = Dataflow(FLOW_ID)
    words = op.input(STEPS[0], flow, TranslatorSource(shared))

    def opened(batch: list[Word]) -> list[tuple[str, Any]]:
        return [said for word in batch if type(word) is Raw for said in open_message(shared, word)]

    said = op.flat_map_batch("open", words, opened)
    settled = op.stateful_batch(STEPS[1], op.flat_map_batch("to_memory", said, _to_memory), MemoryStep)
    known = op.flat_map_batch("from_memory", settled, _values)
    messages = op.flat_map_batch("to_accounts", said, _to_accounts)
    accounts = op.stateful_batch(STEPS[2], op.merge("of_messages", messages, known), lambda _: AccountStep())
    accounted = op.flat_map_batch("from_accounts", accounts, _values)
    waiting = op.flat_map_batch("to_aliases", accounted, _to_aliases)
    news = op.flat_map_batch("news", words, _news)
    tried = op.stateful_batch(STEPS[3], op.merge("of_sources", news, waiting), lambda state: AliasStep(shared, state))
    op.output(
        STEPS[4], op.merge("said", accounted, op.flat_map_batch("from_aliases", tried, _values)), TranslatedSink(shared)
    )
    return flow


def _to_memory(said: list[tuple[str, Any]]) -> list[tuple[str, ToMemory]]:
    return [one for one in said if type(one[1]) is ToMemory]


def _to_accounts(said: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [one for one in said if type(one[1]) is Opened]


def _values(said: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Take the key of the step off: what it says has its own."""
    return [value for _, value in said]


def _to_aliases(said: list[tuple[str, Accounted]]) -> list[tuple[str, Any]]:
    return [
        (accounted.raw.source, accounted)
        for _, accounted in said
        if accounted.missing or accounted.raw.again is not None
    ]


def _news(words: list[Word]) -> list[tuple[str, Any]]:
    return [(word.source, word) for word in words if type(word) is AliasNews]
