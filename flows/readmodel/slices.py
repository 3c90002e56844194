"""A slice of the read model as bytes: what one call of the engine's functions in Redis writes (contract section 7)."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from schemas.messages import ItemUpdate
from schemas.times import day_text

#: what an item's hash says beside its channels
META = ("_version", "_published_at", "_as_of", "_day0", "_scale")

# A slice is written as the bytes of Redis' protocol at once: 1.0 µs an item, against 7 by a list of arguments that the
# client packs (python -m benchmarks.writer --parts).


class Slice:
    """What one call writes: its keys and, for each, values and fields to delete, as Redis' protocol has them."""

    __slots__ = ("key_count", "keys", "word_count", "words")

    def __init__(self, key_count: int, keys: bytes, word_count: int, words: bytes) -> None:
        self.key_count, self.keys = key_count, keys
        self.word_count, self.words = word_count, words


def bulk(text: str) -> str:
    """Give one word, of ASCII alone."""
    return f"${len(text)}\r\n{text}\r\n"


def bulk_bytes(word: str | bytes | int) -> bytes:
    """Give one word of any kind."""
    raw = word if isinstance(word, bytes) else str(word).encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


#: numbers that most quantities are, as words
SMALL = 4096
_SMALL: list[str] = [bulk(str(number)) for number in range(SMALL)]
#: names of fields as words; there are a few for each location and channel
FIELDS_MAX = 100_000
_fields: dict[str, str] = {}
_VERSION, _PUBLISHED_AT, _AS_OF, _DAY0, _SCALE = (bulk(name) for name in META)
#: No line is named so.
_PLACEHOLDER = bulk("_")
_ALL_META = _VERSION + _PUBLISHED_AT + _AS_OF + _DAY0 + _SCALE


def _word(number: int) -> str:
    if 0 <= number < SMALL:
        return _SMALL[number]
    return bulk(str(number))


def _field(name: str) -> str:
    if len(_fields) >= FIELDS_MAX:
        _fields.clear()
    word = _fields[name] = bulk(name)
    return word


def pack_slice(updates: Sequence[ItemUpdate], prefix: str, version: int, published_at: int) -> Slice:
    """Give the keys of a slice and, for each, its values and the fields to delete.

    How many values is said below zero where they are all there is, and absent figures are 0.
    """
    keys: list[str] = []
    words: list[str] = []
    word_count = 0
    ours = f"{_VERSION}{bulk(str(version))}"
    meta = f"{ours}{_PUBLISHED_AT}{bulk(str(published_at // 1000))}"
    promises, figures, claims = f"{prefix}atp:", f"{prefix}position:", f"{prefix}claims:"
    promises_size, figures_size = len(promises.encode()), len(figures.encode())
    for update in updates:
        item, as_of = update.item, update.as_of
        since = "" if as_of < 0 else _as_of_words(as_of // 1000)
        if update.channels or update.day0 >= 0 or update.is_gone or update.is_first:
            keys.append(f"${promises_size + len(item)}\r\n{promises}{item}\r\n")
            word_count += _pack_promises(update, words, meta, since)
        if update.fields:
            keys.append(f"${figures_size + len(item)}\r\n{figures}{item}\r\n")
            word_count += _pack_figures(update, words, ours, since)
        if update.claims is not None and (update.claims or update.has_all_claims):
            keys.append(bulk(f"{claims}{item}"))
            word_count += _pack_claims(update, words)
    return Slice(len(keys), "".join(keys).encode(), word_count, "".join(words).encode())


def _pack_claims(update: ItemUpdate, words: list[str]) -> int:
    """Add what order lines claim of an item; give how many words that is.

    The hash has no other field, so that none is left where nothing is claimed.
    """
    assert update.claims is not None
    values = [bulk(field) + bulk(text) for field, text in update.claims.items() if text is not None]
    gone = [bulk(field) for field, text in update.claims.items() if text is None]
    if update.has_all_claims:
        # In place of all that is there; a field that goes again, for where that is nothing.
        values.append(_PLACEHOLDER + bulk(""))
        gone = [_PLACEHOLDER]
    words += [bulk(str(-len(values) if update.has_all_claims else len(values))), *values, bulk(str(len(gone))), *gone]
    return 2 + 2 * len(values) + len(gone)


def _as_of_words(millis: int) -> str:
    text = f"{millis}"
    return f"{_AS_OF}${len(text)}\r\n{text}\r\n"


def _pack_promises(update: ItemUpdate, words: list[str], meta: str, since: str) -> int:
    """Add what is said of an item's channels; give how many words that is."""
    fields = _fields
    at = len(words)
    words.append("")  # how many values: known when they are
    values = deleted = 0
    gone = ""
    for change in update.channels:
        channel = change.channel
        name = fields.get(channel)
        if name is None:
            name = _field(channel)
        if change.removed:
            gone += name + bulk(f"{channel}:by_day")
            deleted += 2
            continue
        atp = change.atp
        words.append(name)
        words.append(_word(atp))
        values += 1
        if change.by_day is not None:
            words.append(bulk(f"{channel}:by_day") + bulk(orjson.dumps(change.by_day).decode()))
            values += 1
        elif change.forced or change.previous_by_day is not None:
            gone += bulk(f"{channel}:by_day")
            deleted += 1
    if update.is_gone:
        del words[at + 1 :]
        words[at] = _word(0)
        words.append(_word(deleted + len(META)) + gone + _ALL_META)
        return 2 + deleted + len(META)
    words.append(meta)
    values += 2
    if since:
        words.append(since)
        values += 1
    day0 = update.day0
    if day0 >= 0:
        words.append(_DAY0 + bulk(day_text(day0)))
        values += 1
    else:
        gone += _DAY0
        deleted += 1
    if update.scale:
        words.append(_SCALE + bulk(str(update.scale)))
        values += 1
    else:
        gone += _SCALE
        deleted += 1
    words[at] = _word(-values if update.is_whole else values)
    words.append(_word(deleted))
    words.append(gone)
    return 2 + 2 * values + deleted


def _pack_figures(update: ItemUpdate, words: list[str], ours: str, since: str) -> int:
    """Add what is said of an item's position; give how many words that is."""
    fields = _fields
    at = len(words)
    words.append("")  # how many values: known when they are
    values = deleted = 0
    gone = ""
    is_gone = update.is_gone
    for field, quantity in update.fields.items():
        name = fields.get(field)
        if name is None:
            name = _field(field)
        if quantity is None or is_gone:
            gone += name
            deleted += 1
        elif quantity != 0 or not update.is_whole:
            words.append(name)
            words.append(_word(quantity))
            values += 1
    if is_gone:
        gone += _VERSION + _AS_OF
        deleted += 2
    else:
        words.append(ours)
        values += 1
        if since:
            words.append(since)
            values += 1
    words[at] = _word(-values if update.is_whole and not is_gone else values)
    words.append(_word(deleted))
    words.append(gone)
    return 2 + 2 * values + deleted
