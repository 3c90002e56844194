"""What dead letters hold: the bytes of a message once, and never more than eight times its size in all."""

from __future__ import annotations

import pytest

from flows.publishing import letters
from flows.publishing.letters import COST_MAX, TEXT_MAX, Letter, Letters, cut
from flows.publishing.messages import dead_letter_headers
from schemas.units import Origin, Refusal

VALUE, KEY = b"v" * 40_000, b"SO-1"


def origin(offset: int = 0, value: bytes | None = VALUE, key: bytes | None = KEY, lines: int = 1_000) -> Origin:
    return Origin("inventory.orders", 0, offset, 1_750_000_000_000, key, value, lines=lines)


def refusals(of: Origin, count: int | None = None, message: str = "item: expected one, got X") -> list[Refusal]:
    numbers = range(of.lines if count is None else count)
    return [Refusal(of, "unknown_item", message, str(number), "oms", "order_placed") for number in numbers]


def cost(found: list[Letter]) -> int:
    return sum(
        len(one.key or b"") + len(one.value or b"") + sum(len(name) + len(text) for name, text in one.headers)
        for one in found
    )


def texts(found: list[Letter]) -> list[str]:
    return [dict(one.headers)["message"].decode() for one in found]


def test_the_first_letter_of_a_message_has_its_bytes_and_the_others_have_none() -> None:
    desk = Letters()
    found = desk.of(refusals(origin(lines=3), 2)) + desk.of(refusals(origin(lines=3), 1))  # from two shards
    assert [(one.key, one.value) for one in found] == [(KEY, VALUE), (KEY, b""), (KEY, b"")]
    assert desk.of(refusals(origin(offset=1, lines=3), 1))[0].value == VALUE, "each message"


def test_a_desk_that_starts_anew_sends_the_bytes_again() -> None:
    assert [Letters().of(refusals(origin(), 1))[0].value for _ in range(2)] == [VALUE, VALUE]


def test_a_message_of_which_it_was_forgotten_that_it_was_sent_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "REMEMBERED_MAX", 2)
    desk = Letters()
    for offset in range(3):
        desk.of(refusals(origin(offset), 1))
    assert [desk.of(refusals(origin(offset), 1))[0].value for offset in (2, 0)] == [b"", VALUE]


@pytest.mark.parametrize("size", [900_000, 100_000, 40_000, 20_000, 3_000])
@pytest.mark.parametrize("key", [None, KEY, b"k" * 100_000])
@pytest.mark.parametrize("message", ["no", "item: expected one, got X", "ü" * 300])
def test_a_thousand_lines_cost_eight_times_their_message_at_most(size: int, key: bytes | None, message: str) -> None:
    of = origin(value=b"v" * size, key=key)
    desk = Letters()
    found = [one for at in range(0, 1_000, 100) for one in desk.of(refusals(of, message=message)[at : at + 100])]
    assert cost(found) <= COST_MAX * of.size
    assert (found[0].key, found[0].value) == (key, of.value)
    if size >= 40_000:
        assert [dict(one.headers)["line_id"] for one in found] == [b"%d" % number for number in range(1_000)]


def test_a_key_that_is_too_large_is_in_the_first_letter_alone() -> None:
    of = origin(key=b"k" * 100_000)
    assert [one.key for one in Letters().of(refusals(of, 2))] == [of.key, None]


def test_lines_too_short_for_letters_of_their_own_share_one_that_says_so() -> None:
    (one,) = Letters().of(refusals(origin(value=b"v" * 3_000)))
    assert (one.value, dict(one.headers)["line_id"]) == (b"v" * 3_000, b"0")
    assert texts([one]) == ["item: expected one, got X (one of 1000 lines that are too short for letters of their own)"]


def test_all_that_the_headers_have_to_say_is_said_of_every_line() -> None:
    for one in Letters().of(refusals(origin(value=b"v" * 50_000))):
        assert dict(one.headers).keys() == dict(dead_letter_headers(refusals(origin(), 1)[0])).keys()


def test_an_event_of_one_unit_has_its_bytes_however_small_it_is() -> None:
    (one,) = Letters().of([Refusal(origin(value=b"{", key=None, lines=1), "not_json", "value: expected JSON")])
    assert (one.value, texts([one])) == (b"{", ["value: expected JSON"])
    (gone,) = Letters().of([Refusal(origin(value=None, lines=1), "not_json", "value: nothing")])
    assert gone.value is None, "a null value is not an empty one"


@pytest.mark.parametrize(
    ("length", "cut_to"), [(TEXT_MAX - 1, TEXT_MAX - 1), (TEXT_MAX, TEXT_MAX), (TEXT_MAX + 1, TEXT_MAX)]
)
def test_a_sentence_is_cut_in_its_middle(length: int, cut_to: int) -> None:
    message = "a" * (length - 1) + "z"
    (text,) = texts(Letters().of([Refusal(origin(lines=1), "bad_value", message)]))
    assert (len(text), text[0], text[-1], "..." in text) == (min(length, TEXT_MAX), "a", "z", length > TEXT_MAX)


def test_no_character_is_cut_in_half() -> None:
    assert cut("üüüüü".encode(), 9).decode() == "ü...ü"
