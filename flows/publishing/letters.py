"""Decides what dead letters hold, so that all letters of a message together cost at most `COST_MAX` times its size.

Size and cost are bytes of key, value and headers, before Kafka's compression. An event may have 1,000 lines, and each
may be refused by itself: with the whole event in each letter, 960 KB became 873 MB.

Rule 1: the first letter of a message has its key and value unchanged. All refusals of a message come to one place
        (`operators.route.desk_of`), so that one is enough, whichever shards refuse it.
Rule 2: the others have no value, a key only where there is room, and each line its share of what the message may cost.
Rule 3: lines too short for that (shorter than a twentieth of a kilobyte, so never right ones) share a letter.

After a crash refusals come again, and then the first one is the first again: what is repeated costs its size once more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import groupby
from typing import Final, NamedTuple

from flows.publishing.messages import dead_letter_headers
from schemas.units import Origin, Refusal

#: The contract's bound (section 7).
COST_MAX: Final = 8
#: Times its size for headers and keys; two are left for the value, which is sent again if it was forgotten that it was.
COST_OF_HEADERS: Final = 6
#: Bytes of a refusal's sentence. The longest of the engine's own (the types of a topic) are 330 under a long prefix.
TEXT_MAX: Final = 400
#: Fewer tell nothing: then lines share a letter.
TEXT_MIN: Final = 24
GAP: Final = b"..."
#: Messages of which is remembered that their bytes were sent: what waits for reference data is refused seconds later.
REMEMBERED_MAX: Final = 20_000

Headers = list[tuple[str, bytes]]


class Letter(NamedTuple):
    """What is written to the dead letters."""

    key: bytes | None
    value: bytes | None
    headers: Headers


class Letters:
    """One desk's memory: which messages' bytes are in the dead letters, and what their letters have cost."""

    def __init__(self) -> None:
        self._spent: OrderedDict[tuple[str, int, int], int] = OrderedDict()

    def of(self, refusals: Iterable[Refusal]) -> list[Letter]:
        """Give the letters for refusals, in their order."""
        letters: list[Letter] = []
        for _, group in groupby(refusals, key=lambda refusal: refusal.origin.place):
            of_message = list(group)
            letters += self._of_message(of_message[0].origin, of_message)
        return letters

    def _of_message(self, origin: Origin, refusals: list[Refusal]) -> list[Letter]:
        is_single = origin.lines == 1
        share = TEXT_MAX + origin.size if is_single else COST_OF_HEADERS * origin.size // origin.lines
        letters: list[Letter] = []
        crowded: list[Refusal] = []
        for refusal in refusals:
            headers = dead_letter_headers(refusal)
            left = share - _size(headers) + len(_text(headers))
            if left < TEXT_MIN and not is_single:
                crowded.append(refusal)
            else:
                self._add(letters, origin, _with_text(headers, TEXT_MAX if is_single else left), left)
        if crowded:
            self._add(letters, origin, _shared(crowded), 0)
        return letters

    def _add(self, letters: list[Letter], origin: Origin, headers: Headers, left: int) -> None:
        """Add a letter, with the bytes if it is the message's first; none where the message has cost its bound."""
        spent = self._spent.pop(origin.place, None)
        cost = _size(headers)
        if spent is None:
            letters.append(Letter(origin.key, origin.value, headers))
            cost += origin.size
        else:
            key = origin.key if len(origin.key or b"") + len(_text(headers)) <= left else None
            cost += spent + len(key or b"")
            if origin.lines > 1 and cost > COST_MAX * origin.size:
                cost = spent
            else:
                letters.append(Letter(key, b"", headers))
        self._spent[origin.place] = cost
        if len(self._spent) > REMEMBERED_MAX:
            self._spent.popitem(last=False)


def cut(text: bytes, size_max: int) -> bytes:
    """Give a text in UTF-8 of at most so many bytes: beginning and end, which has what came."""
    if len(text) <= size_max:
        return text
    tail = (size_max - len(GAP)) // 2
    head = size_max - len(GAP) - tail
    return _whole(text[:head]) + GAP + _whole(text[len(text) - tail :])


def _whole(text: bytes) -> bytes:
    """Leave out the half characters at both ends."""
    return text.decode("utf-8", "ignore").encode()


def _shared(refusals: list[Refusal]) -> Headers:
    """Give the headers of one letter for several lines: it names the first of them, and says how many there are.

    Named: a letter without line_id may mean that nothing of its event was applied (flows/letters/replaying.py).
    """
    first = refusals[0]
    if len(refusals) == 1:
        return _with_text(dead_letter_headers(first), TEXT_MAX)
    also = f"{first.message[:TEXT_MAX]} (one of {len(refusals)} lines that are too short for letters of their own)"
    one = Refusal(first.origin, first.code, also, first.line_id, first.source, first.type)
    return _with_text(dead_letter_headers(one), TEXT_MAX)


def _text(headers: Headers) -> bytes:
    return next(value for name, value in headers if name == "message")


def _with_text(headers: Headers, size_max: int) -> Headers:
    most = min(TEXT_MAX, size_max)
    return [(name, cut(value, most) if name == "message" else value) for name, value in headers]


def _size(headers: Headers) -> int:
    return sum([len(name) + len(value) for name, value in headers])
