"""Shows dead letters to people, and as one JSON object a line to scripts."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any, NamedTuple

from flows.letters.reading import DeadLetter, Wanted, follow, newest, read
from flows.letters.standing import StandingEvent, find_standing
from flows.letters.states import APPLIED, OPEN, PENDING, REFUSED_AGAIN, SENT, STATES, State, states_of, worth_sending
from schemas.remedies import REMEDIES
from schemas.settings import Settings

HOUR_S, DAY_S = 3_600, 86_400
#: What a state means, where there is room to say it.
MEANINGS = {
    OPEN: "open: nobody has sent it again",
    PENDING: "sent again, and not read yet",
    SENT: "sent again; of a reference record nobody tells whether it was read",
    APPLIED: "sent again and not refused: it counts, or did so before",
    REFUSED_AGAIN: "sent again, and refused again",
}


def print_list(
    settings: Settings, wanted: Wanted, limit: int | None, oldest_first: bool, only_open: bool, as_json: bool
) -> None:
    """List what is wanted, newest first unless told otherwise."""
    if limit is not None and not oldest_first and not only_open:
        letters = newest(settings, wanted, limit)
    else:
        letters = read(settings, keeps_values=as_json or wanted.item is not None)
    states = states_of(settings, letters)
    found = [one for one in letters if wanted.has(one) and not (only_open and states[one.name].word != OPEN)]
    if not oldest_first:
        found.reverse()
    found = found[:limit]
    for letter in found:
        # The bytes of a message once: a thousand lines of one order would be as many copies of it.
        told = json.dumps(facts(letter, states[letter.name], letter.is_light)) if as_json else ""
        print(told or _line(letter, states[letter.name]))
    if as_json:
        return
    _say_remedies({letter.code for letter in found})
    is_open = sum(states[letter.name].word == OPEN for letter in found)
    order = "" if len(found) < 2 else ", oldest first" if oldest_first else ", newest first (--oldest-first turns it)"
    print(f"{len(found)} dead letters, {is_open} open{order}")


def follow_list(settings: Settings, wanted: Wanted, as_json: bool) -> None:
    """List the newest there are and then each as it comes, until Ctrl-C."""
    try:
        for letter in follow(settings, wanted):
            print(json.dumps(facts(letter, None, letter.is_light)) if as_json else _line(letter, None), flush=True)
    except KeyboardInterrupt:
        return


def print_letter(settings: Settings, name: str, as_json: bool) -> bool:
    """Show one whole; false where there is none of that name."""
    letters = read(settings)
    letter = next((one for one in letters if one.name == name), None)
    if letter is None:
        return False
    state = states_of(settings, letters)[name]
    standing = find_standing(settings, letter, letters)
    told = facts(letter, state) | _stands(letter, standing)
    if as_json:
        print(json.dumps(told))
        return True
    value = told.pop("value")
    told["state"] = f"{MEANINGS[state.word]}{f': see {state.again}' if state.again else ''}"
    differences = told.pop("differences", None)
    width = max(map(len, told))
    for field, shown in told.items():
        if shown not in (None, ""):
            print(f"{field.replace('_', ' '):<{width}}  {shown}")
    if differences is not None:
        print("what differs:")
        for one in differences:
            print(f"  {one['field']}: {_plain(one['stands'])} stands, {_plain(one['came'])} came")
    elif letter.code == "conflict":
        print("the event that stands was not found: the topics do not hold it any more, or it is too far back")
    print(f"\n{value}" if value is not None else "\n(a record that deletes: no value)")
    return True


def print_summary(settings: Settings, wanted: Wanted, as_json: bool) -> None:
    """Count by code and source."""
    letters = read(settings, keeps_values=wanted.item is not None)
    states = states_of(settings, letters)
    letters = [letter for letter in letters if wanted.has(letter)]
    worth = {letter.name for letter in worth_sending(settings, letters, states)}
    groups: dict[tuple[str, str], list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        groups[letter.code, letter.source].append(letter)
    rows = [_count(code, source, group, states, worth) for (code, source), group in groups.items()]
    rows.sort(key=lambda row: (-row.open, -row.replayed, row.code, row.source))
    if as_json:
        for row in rows:
            print(json.dumps(row.facts()))
        return
    for cells in (_HEAD, *(row.cells() for row in rows)) if rows else ():
        print(_ROW.format(*cells).rstrip())
    _say_remedies({row.code for row in rows if row.open})
    going = sum(row.could_go for row in rows)
    if going:
        print(f"{going} could go again now, for what they named has become known: atp dead-letters replay --known")
    print(f"{len(letters)} dead letters, {sum(row.open for row in rows)} open")


class _Count(NamedTuple):
    """What one source did wrong in one way."""

    code: str
    source: str
    by_state: Counter[str]
    #: open ones written within the last hour, the last day, before
    ages: tuple[int, int, int]
    could_go: int
    oldest_open_ms: int
    newest_ms: int

    @property
    def open(self) -> int:
        return self.by_state[OPEN]

    @property
    def replayed(self) -> int:
        return self.by_state.total() - self.open

    def facts(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "source": self.source,
            "open": self.open,
            "replayed": self.replayed,
            **{word: self.by_state[word] for word in STATES[1:]},
            "open_last_hour": self.ages[0],
            "open_last_day": self.ages[1],
            "open_older": self.ages[2],
            "could_go_now": self.could_go,
            "oldest_open_at": _time(self.oldest_open_ms) if self.oldest_open_ms else None,
            "newest_at": _time(self.newest_ms),
            "next": REMEDIES.get(self.code, ""),
        }

    def cells(self) -> tuple[Any, ...]:
        numbers = (self.open, *self.ages, self.could_go, self.replayed, self.by_state[REFUSED_AGAIN])
        return (self.code, self.source or "-", *numbers)


_HEAD = ("code", "source", "open", "last hour", "last day", "older", "could go", "replayed", "refused again")
_ROW = "{:<20} {:<16} {:>7} {:>10} {:>9} {:>7} {:>9} {:>9} {:>14}"


def _count(code: str, source: str, group: list[DeadLetter], states: dict[str, State], worth: set[str]) -> _Count:
    now_ms = int(time.time() * 1000)
    ages = [0, 0, 0]
    opened = [letter for letter in group if states[letter.name].word == OPEN]
    for letter in opened:
        age_s = (now_ms - letter.written_ms) / 1000
        ages[0 if age_s < HOUR_S else 1 if age_s < DAY_S else 2] += 1
    return _Count(
        code,
        source,
        Counter(states[letter.name].word for letter in group),
        (ages[0], ages[1], ages[2]),
        sum(letter.name in worth for letter in group),
        min((letter.written_ms for letter in opened), default=0),
        max(letter.written_ms for letter in group),
    )


def facts(letter: DeadLetter, state: State | None, is_brief: bool = False) -> dict[str, Any]:
    """Give all that is known of a letter; `state` None: nobody has looked; briefly: without the bytes."""
    topic, partition, offset = letter.origin
    told = {
        "name": letter.name,
        "written_at": _time(letter.written_ms),
        "code": letter.code,
        "message": letter.message,
        "next": REMEDIES.get(letter.code, ""),
        "source": letter.source,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "logged_at": _time(letter.logged_ms) if letter.logged_ms > 0 else None,
        "line_id": letter.line_id,
        "attempts": letter.attempts,
    }
    if state is not None:
        told |= {
            "state": state.word,
            "refused_again_by": state.again or None,
            "sent_again_at": _time(state.sent_ms) if state.sent_ms else None,
        }
    return told | {
        "key": None if letter.key is None else letter.key.decode("utf-8", "backslashreplace"),
        "value": None if is_brief or letter.value is None else letter.value.decode("utf-8", "backslashreplace"),
    }


def _stands(letter: DeadLetter, standing: StandingEvent | None) -> dict[str, Any]:
    if letter.code != "conflict":
        return {}
    if standing is None:
        return {"stands_at": None}
    topic, partition, offset = standing.place
    return {
        "stands_at": f"{topic}/{partition}/{offset}",
        "stands_since": _time(standing.logged_ms),
        "differences": [{"field": name, "stands": theirs, "came": ours} for name, theirs, ours in standing.differences],
    }


def _line(letter: DeadLetter, state: State | None) -> str:
    topic, partition, offset = letter.origin
    line = f" line {letter.line_id}" if letter.line_id is not None else ""
    tried = f" (tried {letter.attempts} times)" if letter.attempts > 1 else ""
    word = f"{state.word:<13} " if state is not None else ""
    written = datetime.fromtimestamp(letter.written_ms / 1000, UTC)
    return (
        f"{written:%Y-%m-%d %H:%M:%SZ}  {letter.name:<8} {word}{letter.code:<20} {letter.source or '-':<10} "
        f"{topic}/{partition}/{offset}{line}{tried}  {letter.message}"
    )


def _say_remedies(shown: set[str]) -> None:
    for code in sorted(shown):
        print(f"{code}: {REMEDIES.get(code, 'docs/runbook.md says what would do')}")
    sys.stdout.flush()


def _plain(value: Any) -> str:
    return "nothing" if value is None else str(value)


def _time(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
