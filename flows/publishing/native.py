"""The text of what goes to Kafka for every number, as plain Python.

`native.pxd` beside this says the same in C; compiled modules take that, uncompiled ones this. A test compares the two.
This module itself is never compiled.
"""

from __future__ import annotations

from functools import lru_cache

from schemas.messages import ItemUpdate, Outgoing
from schemas.times import time_text

#: the text of a moment that many messages share
_shared_time = lru_cache(maxsize=64)(time_text)

# Codes need no escaping: letters, digits and . _ - / alone. So JSON is a template.


def update_text(update: Outgoing, lane: str, more: str) -> str:
    """Give one number for one channel as JSON; `more`: further fields, each behind a comma."""
    change, as_of = update.change, update.as_of
    since = "null" if as_of < 0 else f'"{time_text(as_of)}"'
    previous = "null" if change.previous is None else str(change.previous)
    return (
        f'{{"item":"{update.item}","channel":"{change.channel}","atp":{change.atp},"previous":{previous},'
        f'"lane":"{lane}","cause":"{change.cause}","as_of":{since},'
        f'"processed_at":"{_shared_time(update.processed_at)}","version":{update.version}{more}}}'
    )


def position_text(update: ItemUpdate, version: int, processed_at: int) -> str:
    """Give an item's whole position as JSON."""
    since = "null" if update.as_of < 0 else f'"{time_text(update.as_of)}"'
    return (
        f'{{"item":"{update.item}","version":{version},"as_of":{since},"processed_at":"{_shared_time(processed_at)}",'
        f'"scale":{update.scale},"locations":{{{update.places}}},'
        f'"unlocated":{{"soft_allocated":{update.unlocated}}}}}'
    )
