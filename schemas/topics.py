"""The topics of the contract, sections 2 and 7. Names are storage: never rename one."""

from __future__ import annotations

from typing import Final

#: events in
INPUTS: Final = ("inventory.warehouse", "inventory.orders", "inventory.supply")
#: reference data: compacted, one partition each
REFERENCE: Final = ("inventory.items", "inventory.locations", "inventory.channels", "inventory.channel_items")
LANES: Final = ("critical", "high", "normal", "bulk")
#: numbers out, a topic a lane: compacted
UPDATES: Final = tuple(f"atp.updates.{lane}" for lane in LANES)
POSITIONS: Final = "inventory.positions"
EXCEPTIONS: Final = "inventory.exceptions"
DEAD_LETTERS: Final = "inventory.dead_letters"
#: which dead letters were sent again, and where to: written and read by commands, compacted; the engine needs it not
REPLAYS: Final = "inventory.replays"
ALL: Final = (*INPUTS, *REFERENCE, *UPDATES, POSITIONS, EXCEPTIONS, DEAD_LETTERS)
#: what other systems sent, byte for byte, a topic a source; the engine reads none of them
RAW: Final = "inventory.raw"


def raw_topic(source: str) -> str:
    """Name the topic of what a source sent; Kafka takes it unless the source's code has a `/`."""
    return f"{RAW}.{source}"
