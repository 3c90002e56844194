"""Decides which bytes a dead letter without any gets, and what is known of letters whose bytes are not kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from flows.letters import originals, replaying, standing
from flows.letters import reading as dead_letters
from flows.letters import states as letter_states
from flows.letters.originals import Original
from flows.letters.reading import DeadLetter, Wanted, parse, read, with_values
from flows.letters.states import OPEN, REFUSED_AGAIN, Mark, State, states_of, worth_sending
from flows.settings import load_settings
from schemas.settings import Settings
from tests.made_letters import Made

ORDERS = "inventory.orders"
ITEMS = ("A", "B", "C")
ORDER = json.dumps(
    {"source": "oms", "lines": [{"line_id": str(number), "item": item} for number, item in enumerate(ITEMS)]}
).encode()
OTHER = json.dumps({"source": "shop", "lines": [{"line_id": "0", "item": "Z"}]}).encode()


@pytest.fixture
def settings() -> Settings:
    return load_settings(None, {})


def made(line: int, value: bytes = b"", logged_ms: int = 7, offset: int = 0, place: int = 5, attempts: int = 1) -> Made:
    told = {"code": "unknown_item", "message": "m", "topic": ORDERS, "partition": "0", "offset": str(place)}
    told |= {"line_id": str(line), "attempts": str(attempts), "timestamp": str(logged_ms)}
    return Made(told, value, offset)


def letters(*messages: Made) -> list[DeadLetter]:
    return [letter for letter in map(parse, messages) if letter is not None]


class Told:
    """What the input topic has: nothing, until it is told so."""

    def __init__(self) -> None:
        self.messages: dict[Original, bytes] = {}
        self.asked: list[Original] = []

    def ask(self, _: Settings, wanted: Iterable[Original]) -> Iterator[tuple[Original, bytes | None, bytes | None]]:
        for original in wanted:
            self.asked.append(original)
            if original in self.messages:
                yield original, b"k", self.messages[original]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    one = Told()
    monkeypatch.setattr(dead_letters, "ask", one.ask)
    return one


Keep = Callable[..., None]


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch, settings: Settings, told: Told) -> Keep:
    """Give a function that says what the topic of dead letters holds, in the order of their offsets."""
    held: list[Made] = []

    class Reader:
        def __init__(self, _: Settings) -> None:
            pass

        def __enter__(self) -> Reader:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, spans: dict[tuple[str, int], tuple[int, int]], tell: Any = None) -> Iterator[Made]:
            [(low, end)] = spans.values()
            assert list(spans) == [(settings.topic("inventory.dead_letters"), 0)]
            yield from (one for one in held if low <= one.offset() < end)

    def keep(*messages: Made) -> None:
        held[:] = messages
        assert all(one.offset() < other.offset() for one, other in pairwise(messages))

    monkeypatch.setattr(dead_letters, "TopicReader", Reader)
    part = (settings.topic("inventory.dead_letters"), 0)
    monkeypatch.setattr(dead_letters, "bounds", lambda *_: {part: (0, len(held))})
    return keep


# --- whose bytes ------------------------------------------------------------------------------------------------------


def test_many_letters_about_one_message_may_leave_its_bytes_to_one_of_them(settings: Settings, told: Told) -> None:
    found = with_values(settings, letters(made(0, ORDER), made(1, offset=1)))
    assert [(one.value, one.source, one.needs) for one in found] == [
        (ORDER, "oms", (("items", "A"),)),
        (ORDER, "oms", (("items", "B"),)),
    ]
    assert found[0].content == found[1].content
    assert not told.asked


def test_bytes_of_another_message_at_the_same_place_of_a_topic_made_again_are_not_taken(
    settings: Settings, told: Told
) -> None:
    light, other = letters(made(1, logged_ms=7), made(0, OTHER, logged_ms=8, offset=1))
    lost, whole = with_values(settings, [light, other])
    assert (lost.value, lost.is_lost, lost.needs) == (b"", True, ())
    assert whole == other and whole.content != lost.content
    assert told.asked == [light.original] == [((ORDERS, 0, 5), 7)]
    [known] = with_values(settings, [light], {other.original: other})
    assert known.is_lost
    told.messages[light.original] = ORDER
    assert with_values(settings, [light])[0].needs == (("items", "B"),)


def test_letters_that_lost_their_bytes_are_alike_only_where_they_are_of_one_message() -> None:
    one, same, later, elsewhere = letters(made(0), made(1), made(0, logged_ms=8), made(0, place=6))
    assert one.content == same.content
    assert len({one.content, later.content, elsewhere.content}) == 3


class Consumer:
    """The input topic made again: one message at offset 5."""

    LOGGED_MS = 8

    def __init__(self, _: Any) -> None:
        pass

    def list_topics(self, topic: str, timeout: float) -> Any:
        facts = type("Topic", (), {"partitions": {0: None}})
        return type("Metadata", (), {"topics": {topic: facts}})

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, 6

    def assign(self, _: Any) -> None:
        pass

    def poll(self, _: float) -> Any:
        methods = {"error": None, "offset": 5, "key": b"k", "value": OTHER, "timestamp": (1, self.LOGGED_MS)}
        return type(
            "Message", (), {name: staticmethod(lambda answer=answer: answer) for name, answer in methods.items()}
        )

    def close(self) -> None:
        pass


def test_the_input_topic_gives_what_was_logged_when_the_original_was(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(originals, "Consumer", Consumer)
    place = (ORDERS, 0, 5)
    wanted = [(place, 7), (place, 8), (place, 0), ((ORDERS, 0, 6), 8), ((ORDERS, 3, 5), 8)]
    assert list(originals.ask(settings, wanted)) == [((place, 8), b"k", OTHER), ((place, 0), b"k", OTHER)]


# --- without the bytes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_hand", [0, 1_000_000])
@pytest.mark.parametrize("whole", [0, 1, 2])
def test_what_each_line_lacks_is_known_also_where_the_bytes_are_not_kept(
    settings: Settings, topic: Keep, told: Told, monkeypatch: pytest.MonkeyPatch, whole: int, at_hand: int
) -> None:
    monkeypatch.setattr(dead_letters, "AT_HAND_BYTES", at_hand)
    topic(*(made(line, ORDER if line == whole else b"", offset=line) for line in range(3)))
    found = read(settings, keeps_values=False)
    assert [(one.needs, one.source, one.value) for one in found] == [((("items", it),), "oms", None) for it in ITEMS]
    assert len({one.content for one in found}) == 1
    assert not told.asked
    known = {("items", item) for item in ITEMS}
    monkeypatch.setattr(letter_states, "known_now", lambda _, needs: known & set(needs))
    opened = {one.name: State(OPEN) for one in found}
    assert len(worth_sending(settings, found, opened)) == 3
    known.discard(("items", "B"))
    assert [one.line_id for one in worth_sending(settings, found, opened)] == ["0", "2"]


def test_bytes_that_only_the_input_topic_has_tell_what_is_lacking_too(
    settings: Settings, topic: Keep, told: Told
) -> None:
    topic(made(0), made(1, offset=1), made(0, OTHER, logged_ms=9, offset=2), made(2, place=6, offset=3))
    told.messages[(ORDERS, 0, 5), 7] = ORDER
    found = read(settings, keeps_values=False)
    assert [one.needs for one in found] == [(("items", "A"),), (("items", "B"),), (("items", "Z"),), ()]
    assert [one.value for one in found] == [None] * 4
    assert set(told.asked) == {((ORDERS, 0, 5), 7), ((ORDERS, 0, 6), 7)}


def test_with_and_without_bytes_the_same_is_known(settings: Settings, topic: Keep, told: Told) -> None:
    topic(made(0, ORDER), made(1, offset=1), made(0, OTHER, logged_ms=9, offset=2), made(2, place=6, offset=3))
    brief = [(one.name, one.needs, one.content, one.source) for one in read(settings, keeps_values=False)]
    assert brief == [(one.name, one.needs, one.content, one.source) for one in read(settings)]


# --- what became of them ----------------------------------------------------------------------------------------------


def test_a_letter_of_what_lies_there_since_a_topic_was_made_again_refuses_nothing_that_was_sent(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = letters(made(0, ORDER), made(0, OTHER, logged_ms=90, place=9, offset=1, attempts=2))
    monkeypatch.setattr(letter_states, "committed", lambda *_: {})

    def word(logged_ms: int) -> str:
        marks = {first.name: Mark(2, 1, ORDERS, 0, 9, logged_ms)}
        monkeypatch.setattr(letter_states, "read_marks", lambda _: marks)
        return states_of(settings, [first, other])[first.name].word

    assert word(90) == REFUSED_AGAIN
    assert word(0) == REFUSED_AGAIN, "a mark that does not say"
    assert word(80) == "pending"


def test_what_has_no_bytes_any_more_is_not_sent(settings: Settings) -> None:
    [fate] = replaying.decide(settings, letters(made(0)), Wanted(), False, 1)
    assert "bytes are nowhere" in fate.refusal


class Record:
    """A message of an input topic."""

    def __init__(self, event: dict[str, Any], offset: int, logged_ms: int) -> None:
        self._event, self._offset, self._logged_ms = event, offset, logged_ms

    def topic(self) -> str:
        return ORDERS

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, self._logged_ms

    def headers(self) -> None:
        return None

    def value(self) -> bytes:
        return json.dumps(self._event).encode()


EVENT = {"source": "oms", "event_id": "e", "type": "stock_received", "occurred_at": "2027-01-01T00:00:00Z"}


@pytest.mark.parametrize(("logged_ms", "is_proved"), [(7, True), (8, False), (0, True)])
def test_a_letter_of_a_topic_from_before_it_was_made_again_does_not_prove_that_a_record_was_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, logged_ms: int, is_proved: bool
) -> None:
    event = EVENT | {"item": "A"}
    monkeypatch.setattr(replaying, "accepted_at_ms", lambda _: {})
    monkeypatch.setattr(replaying, "bounds", lambda *_: {(ORDERS, 0): (0, 6)})
    monkeypatch.setattr(replaying, "read_topics", lambda *_: [Record(event, 5, 7)])
    told = {"code": "late", "message": "m", "topic": ORDERS, "partition": "0", "offset": "5"}
    [letter] = letters(Made(told | {"timestamp": str(logged_ms)}, json.dumps(event).encode()))
    history = replaying._History(settings, [letter], {("oms", "e")})
    late = replaying.read_event(letter.value)
    assert late is not None
    assert bool(history.proves(late)[0]) is is_proved


def test_what_stands_is_found_also_where_a_refused_message_lay_before_the_topic_was_made_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reader(standing.TopicReader):
        def __init__(self, _: Settings) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

        def since(self, parts: Any, moment_ms: int) -> Any:
            return parts

        def read_back(self, spans: Any, chunk: int, tell: Any = None) -> Iterator[Any]:
            yield {(ORDERS, 0): [Record(EVENT | {"item": "A", "quantity": 5}, 5, 7)]}

    monkeypatch.setattr(standing, "TopicReader", Reader)
    monkeypatch.setattr(standing, "bounds", lambda *_: {(ORDERS, 0): (0, 9)})
    told = {"code": "conflict", "message": "m", "topic": ORDERS, "partition": "0"}
    came = json.dumps(EVENT | {"item": "A", "quantity": 6}).encode()

    def found(logged_ms: int) -> bool:
        ours = Made(told | {"offset": "8", "timestamp": "9"}, came)
        before = Made(told | {"offset": "5", "timestamp": str(logged_ms)}, came, 1)
        [letter, other] = letters(ours, before)
        return standing.find_standing(settings, letter, [letter, other]) is not None

    assert found(6), "another message lay there"
    assert not found(7) and not found(0), "it was refused, or may have been"
