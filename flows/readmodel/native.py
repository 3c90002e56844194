"""The words of a slice of the read model, and a round trip, as plain Python.

`native.pxd` beside this says the same in C; compiled modules take that, uncompiled ones this. A test compares the two.
This module itself is never compiled.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import orjson

from schemas.messages import ItemUpdate
from schemas.times import day_text

#: What is read of an answer at first: those to all slices on their way.
FIRST_BYTES = 4096


def exchange(line: socket.socket, out: bytes) -> bytes:
    """Send all, and give what comes first of the answer."""
    line.sendall(out)
    return line.recv(FIRST_BYTES)


def bulk(text: str) -> str:
    """Give one word, of ASCII alone."""
    return f"${len(text)}\r\n{text}\r\n"


#: what an item's hash says beside its channels
_VERSION, _PUBLISHED_AT, _AS_OF, _DAY0, _SCALE = map(bulk, ("_version", "_published_at", "_as_of", "_day0", "_scale"))
_ALL_META = _VERSION + _PUBLISHED_AT + _AS_OF + _DAY0 + _SCALE
#: No line is named so.
_PLACEHOLDER = bulk("_")


def slice_of(
    updates: Sequence[ItemUpdate], promises: bytes, figures: bytes, claims: bytes, version: int, published_ms: int
) -> tuple[int, bytes, int, bytes]:
    """Give keys and words of a slice as Redis' protocol has them, and in front of each how many they are.

    `promises`, `figures`, `claims`: what stands before an item in its keys.
    """
    keys: list[bytes] = []
    words: list[str] = []
    count = 0
    ours = _VERSION + bulk(str(version))
    meta = ours + _PUBLISHED_AT + bulk(str(published_ms))
    for update in updates:
        since = "" if update.as_of < 0 else _AS_OF + bulk(str(update.as_of // 1000))
        if update.channels or update.day0 >= 0 or update.is_gone or update.is_first:
            keys.append(_key(promises, update))
            count += _add_promises(words, update, meta, since)
        if update.fields:
            keys.append(_key(figures, update))
            count += _add_figures(words, update, ours, since)
        if update.claims is not None and (update.claims or update.has_all_claims):
            keys.append(_key(claims, update))
            count += _add_claims(words, update)
    return len(keys), b"".join(keys), count, "".join(words).encode()


def _key(before: bytes, update: ItemUpdate) -> bytes:
    return b"$%d\r\n%b%b\r\n" % (len(before) + len(update.item), before, update.item.encode())


def _add_promises(words: list[str], update: ItemUpdate, meta: str, since: str) -> int:
    values: list[str] = []
    gone: list[str] = []
    for change in update.channels:
        days = f"{change.channel}:by_day"
        if change.removed:
            gone += (bulk(change.channel), bulk(days))
            continue
        values.append(bulk(change.channel) + bulk(str(change.atp)))
        if change.by_day is not None:
            values.append(bulk(days) + bulk(orjson.dumps(change.by_day).decode()))
        elif change.forced or change.previous_by_day is not None:
            gone.append(bulk(days))
    if update.is_gone:
        return _add(words, 0, "", len(gone) + 5, "".join(gone) + _ALL_META)
    count = len(values) + 2
    said = "".join(values) + meta
    if since:
        said += since
        count += 1
    if update.day0 >= 0:
        said += _DAY0 + bulk(day_text(update.day0))
        count += 1
    else:
        gone.append(_DAY0)
    if update.scale:
        said += _SCALE + bulk(str(update.scale))
        count += 1
    else:
        gone.append(_SCALE)
    return _add(words, -count if update.is_whole else count, said, len(gone), "".join(gone))


def _add_figures(words: list[str], update: ItemUpdate, ours: str, since: str) -> int:
    values: list[str] = []
    gone: list[str] = []
    for field, quantity in update.fields.items():
        if quantity is None or update.is_gone:
            gone.append(bulk(field))
        elif quantity != 0 or not update.is_whole:
            values.append(bulk(field) + bulk(str(quantity)))
    if update.is_gone:
        return _add(words, 0, "", len(gone) + 2, "".join(gone) + _VERSION + _AS_OF)
    values.append(ours)
    if since:
        values.append(since)
    return _add(words, -len(values) if update.is_whole else len(values), "".join(values), len(gone), "".join(gone))


def _add_claims(words: list[str], update: ItemUpdate) -> int:
    # The hash has no other field, so that none is left where nothing is claimed.
    assert update.claims is not None
    values = [bulk(field) + bulk(text) for field, text in update.claims.items() if text is not None]
    gone = [bulk(field) for field, text in update.claims.items() if text is None]
    if update.has_all_claims:
        # In place of all that is there; a field that goes again, for where that is nothing.
        values.append(_PLACEHOLDER + bulk(""))
        gone = [_PLACEHOLDER]
    return _add(
        words, -len(values) if update.has_all_claims else len(values), "".join(values), len(gone), "".join(gone)
    )


def _add(words: list[str], count: int, values: str, gone_count: int, gone: str) -> int:
    words += (bulk(str(count)), values, bulk(str(gone_count)), gone)
    return 2 + 2 * abs(count) + gone_count
