"""Sends dead letters again by itself whose unknown code has become known, where `dead_letters.replay_known` is on.

A thread of the supervisor, beside the dataflow. Delivery: at least once; what was applied already is a duplicate, so a
kill between the sending and its mark costs one more. It does not go round in circles: a letter is sent once (its mark
says so), and of a message that is refused again and again no more than `TRIES_MAX` letters are.
"""

from __future__ import annotations

import os
import threading
from itertools import islice

from flows.kafka.clients import KafkaProblem
from flows.kafka.reading import Part, Span, TopicReader, bounds
from flows.letters.known_codes import known_now
from flows.letters.reading import DeadLetter, Wanted, in_order, parse, with_values, without_values
from flows.letters.replaying import Fate, decide, now_us, send
from flows.letters.states import read_marks
from flows.log import get_log
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, REFERENCE

log = get_log(__name__)

#: How often it is looked whether reference data or dead letters have come.
EVERY_S = float(os.environ.get("ATP_TEST_REPLAY_KNOWN_EVERY_S", "15"))
#: Messages a second: what is sent again must not be in the way of what is new.
RATE = 100
#: Whoever is refused so often lacks something that reference data does not show.
TRIES_MAX = 5
#: Letters that are remembered while they wait for their code: some 60 MB. Beyond, the oldest are left to people.
WAITING_MAX = 100_000


class KnownReplay:
    """Looks at what has come since it last looked, and sends what can go."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ended = threading.Event()
        #: letters of an unknown code that nobody sent again, by name; without their bytes
        self._waiting: dict[str, DeadLetter] = {}
        #: up to where the dead letters are known
        self._read_to: dict[Part, int] = {}
        self._seen: dict[Part, Span] = {}
        self._thread = threading.Thread(target=self._look, name="replay", daemon=True)

    def start(self) -> None:
        """Begin looking."""
        self._thread.start()

    def close(self) -> None:
        """End; what is not sent yet, the next run sends."""
        self._ended.set()

    def look(self) -> int:
        """Look once; give how many messages were sent."""
        now = bounds(self._settings, [*REFERENCE, DEAD_LETTERS])
        if now == self._seen:
            return 0
        topic = self._settings.topic(DEAD_LETTERS)
        self._take({part: span for part, span in now.items() if part[0] == topic})
        sent = self._send_known() if self._waiting else 0
        self._seen = now
        return sent

    def _look(self) -> None:
        while not self._ended.wait(EVERY_S):
            try:
                sent = self.look()
            except KafkaProblem as error:
                log.warning(
                    f"dead letters were not sent again: {error}",
                    kind="replay_known",
                    next="it is tried again by itself; atp dead-letters replay --known does it by hand",
                )
                continue
            if sent:
                log.info(f"sent {sent} refused messages again: what they named is known now", kind="replay_known")

    def _take(self, spans: dict[Part, Span]) -> None:
        """Read the letters that are new."""
        fresh = {part: (max(low, self._read_to.get(part, 0)), end) for part, (low, end) in spans.items()}
        with TopicReader(self._settings) as reader:
            letters = without_values(self._settings, reader, fresh)
        self._read_to = {part: end for part, (_, end) in fresh.items()}
        for letter in letters:
            if letter.needs and letter.attempts < TRIES_MAX:
                self._waiting[letter.name] = letter
        for name in list(self._waiting)[: max(0, len(self._waiting) - WAITING_MAX)]:
            del self._waiting[name]

    def _send_known(self) -> int:
        for name in read_marks(self._settings).keys() & self._waiting.keys():
            del self._waiting[name]
        known = known_now(self._settings, {need for letter in self._waiting.values() for need in letter.needs})
        chosen = [letter for letter in self._waiting.values() if known.issuperset(letter.needs)]
        if not chosen:
            return 0
        fates = decide(
            self._settings, self._whole(chosen), Wanted(frozenset(letter.name for letter in chosen)), False, now_us()
        )
        going: list[Fate] = []
        for fate in fates:
            if fate.refusal:  # late by now, or superseded: a person may know better
                for name in fate.names:
                    self._waiting.pop(name, None)
            elif fate.attempts <= TRIES_MAX:
                going.append(fate)
        sent = 0
        rest = iter(going)
        while (some := list(islice(rest, RATE))) and not self._ended.is_set():
            send(self._settings, some)
            sent += len(some)
            for fate in some:
                for name in fate.names:
                    self._waiting.pop(name, None)
            self._ended.wait(1.0)
        return sent

    def _whole(self, chosen: list[DeadLetter]) -> list[DeadLetter]:
        """Read letters again, with their bytes."""
        topic = self._settings.topic(DEAD_LETTERS)
        originals = {letter.original for letter in chosen}
        offsets: dict[Part, list[int]] = {}
        for letter in chosen:
            offsets.setdefault((topic, letter.partition), []).append(letter.offset)
        spans = {part: (min(of), max(of) + 1) for part, of in offsets.items()}
        with TopicReader(self._settings) as reader:
            found = [one for message in reader.read(spans) if (one := parse(message)) is not None]
        return in_order(with_values(self._settings, [letter for letter in found if letter.original in originals]))
