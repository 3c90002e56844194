"""The topics of the contract, sections 2, 7, 9 and 10. Names are storage: never rename one."""

from __future__ import annotations

from typing import Final

#: events in
WAREHOUSE: Final = "inventory.warehouse"
INPUTS: Final = ("inventory.warehouse", "inventory.orders", "inventory.supply")
#: what systems say they have, in: compared as of its moment, never counted
STATEMENTS: Final = "inventory.statements"
#: what people decided about variances, in: kept for ever, so that who did what can always be told
DECISIONS: Final = "inventory.decisions"
#: our codes for what sources write: reference data of the translator, compacted, one partition
ALIASES: Final = "inventory.aliases"
#: what became of each raw message: compacted
DOCUMENTS: Final = "inventory.documents"
#: of the translator; the engine needs none of them
TRANSLATION: Final = (ALIASES, DOCUMENTS)
#: reference data: compacted, one partition each
REFERENCE: Final = (
    "inventory.items",
    "inventory.locations",
    "inventory.channels",
    "inventory.channel_items",
    "inventory.reconciliation",
)
LANES: Final = ("critical", "high", "normal", "bulk")
#: numbers out, a topic a lane: compacted
UPDATES: Final = tuple(f"atp.updates.{lane}" for lane in LANES)
POSITIONS: Final = "inventory.positions"
EXCEPTIONS: Final = "inventory.exceptions"
DEAD_LETTERS: Final = "inventory.dead_letters"
#: where a statement and the engine differ, and why; what became of each statement: compacted
VARIANCES: Final = "inventory.variances"
STATUSES: Final = "inventory.statements.status"
#: what touched each item in the last day, for explanations alone; only where `trail.enabled` says so
TRAIL: Final = "inventory.trail"
#: what shards tell of statements to the one place that adds it up: of a run alone, nobody else reads it
TALLIES: Final = "inventory.statements.tallies"
#: which dead letters were sent again, and where to: written and read by commands, compacted; the engine needs it not
REPLAYS: Final = "inventory.replays"
ALL: Final = (
    *INPUTS,
    STATEMENTS,
    DECISIONS,
    *REFERENCE,
    *UPDATES,
    POSITIONS,
    EXCEPTIONS,
    DEAD_LETTERS,
    VARIANCES,
    STATUSES,
    TALLIES,
)
#: what other systems sent, byte for byte, a topic a source; the engine reads none of them
RAW: Final = "inventory.raw"


def raw_topic(source: str) -> str:
    """Name the topic of what a source sent; Kafka takes it unless the source's code has a `/`."""
    return f"{RAW}.{source}"
