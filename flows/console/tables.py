"""Keeps in memory what pages show of Kafka's topics: the newest dead letters, open exceptions, variances, last values.

Each table has a limit, and what it does not hold is told on the page. One writer, the follower; readers take copies.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from itertools import islice
from typing import Any, Final

import msgspec

from flows.console.history import History
from flows.inspection.open_exceptions import Key, OpenException
from flows.letters.reading import DeadLetter, parse
from flows.letters.states import Mark
from flows.reconciling.reading import UNSETTLED, Variance, read_variance

#: The newest; older ones are for `atp dead-letters list`.
LETTERS_MAX: Final = 5_000
#: Items that are remembered of one letter: an order of a thousand lines is found by its first.
ITEMS_OF_LETTER_MAX: Final = 50
EXCEPTIONS_MAX: Final = 50_000
VARIANCES_MAX: Final = 50_000
MARKS_MAX: Final = 20_000
DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000


class Kept(msgspec.Struct, frozen=True):
    """A dead letter without its bytes, and the items that they named."""

    letter: DeadLetter
    items: frozenset[str]


class _Change(msgspec.Struct):
    """What of an update is kept."""

    atp: int
    previous: int | None = None


_read_change = msgspec.json.Decoder(_Change).decode
_read_exception = msgspec.json.Decoder(OpenException).decode
_read_mark = msgspec.json.Decoder(Mark).decode


class Tables:
    """All of them. What is none of the engine's is left out."""

    def __init__(self) -> None:
        self.history = History()
        #: updates seen by lane
        self.updates: Counter[str] = Counter()
        self._letters: OrderedDict[str, Kept] = OrderedDict()
        self._exceptions: OrderedDict[Key, OpenException] = OrderedDict()
        self._variances: OrderedDict[str, Variance] = OrderedDict()
        self._marks: OrderedDict[str, Mark] = OrderedDict()

    # --- by the follower ---------------------------------------------------------------------------------------------

    def take_update(self, message: Any, lane: str) -> None:
        """Take a message of an updates topic."""
        key, value = message.key(), message.value()
        if key is None or value is None:
            return
        try:
            change = _read_change(value)
        except msgspec.DecodeError:
            return
        self.history.add(key, message.timestamp()[1], change.atp, change.previous)
        self.updates[lane] += 1

    def take_letter(self, message: Any) -> None:
        """Take a dead letter."""
        letter = parse(message)
        if letter is None:
            return
        items = frozenset(islice(letter.items(), ITEMS_OF_LETTER_MAX))
        _put(self._letters, letter.name, Kept(msgspec.structs.replace(letter, value=None), items), LETTERS_MAX)

    def take_exception(self, message: Any) -> None:
        """Take a word on an exception; one that is over is forgotten."""
        try:
            one = _read_exception(message.value() or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if one.state != "open":
            self._exceptions.pop(one.key, None)
            return
        before = self._exceptions.get(one.key)
        if before is not None and one.code != "conflict":  # said again after a crash
            one = msgspec.structs.replace(one, first_seen=min(before.first_seen, one.first_seen))
        _put(self._exceptions, one.key, one, EXCEPTIONS_MAX)

    def take_variance(self, message: Any) -> None:
        """Take a word on a variance; a tombstone or a resolved one is forgotten."""
        key = (message.key() or b"").decode("utf-8", "replace")
        try:
            variance = read_variance(message.value() or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._variances.pop(key, None)
            return
        if variance.state == "resolved":
            self._variances.pop(key, None)
        else:
            _put(self._variances, key, variance, VARIANCES_MAX)

    def take_mark(self, message: Any) -> None:
        """Take where a dead letter was sent again."""
        name = (message.key() or b"").decode("utf-8", "replace")
        try:
            _put(self._marks, name, _read_mark(message.value() or b""), MARKS_MAX)
        except msgspec.DecodeError:
            self._marks.pop(name, None)

    # --- for pages ---------------------------------------------------------------------------------------------------

    def letters(self, code: str = "", source: str = "", item: str = "") -> list[Kept]:
        """Give the dead letters that are asked for, newest first."""
        found = [
            kept
            for kept in _copy(self._letters)
            if code in ("", kept.letter.code)
            and source in ("", kept.letter.source)
            and (not item or item in kept.items)
        ]
        return sorted(found, key=lambda kept: kept.letter.written_ms, reverse=True)

    def letters_since(self, moment_ms: int) -> Counter[str]:
        """Count those written since, by code."""
        return Counter(kept.letter.code for kept in _copy(self._letters) if kept.letter.written_ms >= moment_ms)

    def letter(self, name: str) -> Kept | None:
        """Give one by its name."""
        return self._letters.get(name)

    def mark(self, name: str) -> Mark | None:
        """Say where a letter was sent again."""
        return self._marks.get(name)

    def exceptions(self, code: str = "", item: str = "", location: str = "", source: str = "") -> list[OpenException]:
        """Give the open ones that are asked for, newest first; conflicts, which are never over, of the last day."""
        day_ago = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - DAY_MS / 1000))
        found = [
            one
            for one in _copy(self._exceptions)
            if code in ("", one.code)
            and item in ("", one.item)
            and location in ("", one.location)
            and source in ("", one.source)
            and not (one.code == "conflict" and one.last_seen < day_ago)
        ]
        return sorted(found, key=lambda one: one.last_seen, reverse=True)

    def variances(
        self, states: tuple[str, ...] = UNSETTLED, item: str = "", source: str = "", cause: str = ""
    ) -> list[tuple[str, Variance]]:
        """Give those that are asked for with their keys, the largest difference first."""
        found = [
            (key, one)
            for key, one in list(self._variances.items())
            if one.state in states
            and item in ("", one.item)
            and source in ("", one.source)
            and cause in ("", one.cause)
        ]
        return sorted(found, key=lambda pair: -abs(pair[1].difference))

    def variance(self, key: str) -> Variance | None:
        """Give one by its key."""
        return self._variances.get(key)


def _put(table: OrderedDict[Any, Any], key: Any, value: Any, limit: int) -> None:
    table[key] = value
    table.move_to_end(key)
    while len(table) > limit:
        table.popitem(last=False)


def _copy(table: OrderedDict[Any, Any]) -> list[Any]:
    """Give the values as they are now; the follower may change the table meanwhile."""
    while True:
        try:
            return list(table.values())
        except RuntimeError:  # it did, between two of them
            continue
