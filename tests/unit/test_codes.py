"""How codes, ids, times, numbers and durations are read."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from schemas import codes
from schemas.codes import (
    NESTING_MAX,
    NUMBER_DIGITS_MAX,
    JsonNumber,
    is_code,
    is_id,
    near_match,
    parse_code,
    parse_date,
    parse_decimal,
    parse_duration,
    parse_id,
    parse_integer,
    parse_json,
    parse_number,
    parse_text,
    parse_time,
    show,
)

SECOND = 1_000_000
HOUR = 3600 * SECOND


def micros(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * SECOND  # type: ignore[arg-type, misc]


# --- codes and ids ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["a", "7", "RETRO-CLOCK", "dc/1_a.b-c", "A" * 63, "A" * 64])
def test_a_code_is_1_to_64_of_its_characters_and_begins_with_a_letter_or_digit(code: str) -> None:
    assert parse_code(code) == code
    assert is_code(code)


@pytest.mark.parametrize(
    "wrong", ["", "A" * 65, "-a", ".a", "_a", "/a", "a b", "a\n", "\u00e9", "a:b", "\u0661", None, 7, True, ["a"], b"a"]
)
def test_no_other_code_passes(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a code of 1 to 64 .*, got "):
        parse_code(wrong)
    assert not (isinstance(wrong, str) and is_code(wrong))


@pytest.mark.parametrize("id_", ["!", "~", "order:7#1", "x" * 127, "x" * 128])
def test_an_id_is_1_to_128_printable_ascii_characters(id_: str) -> None:
    assert parse_id(id_) == id_


@pytest.mark.parametrize(
    "wrong", ["", "x" * 129, " ", "a b", "a\t", "a\x7f", "a\n", "\u00e9", "\ud800", None, 7, False]
)
def test_no_other_id_passes(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^expected an id of 1 to 128 .*, got "):
        parse_id(wrong)
    assert not (isinstance(wrong, str) and is_id(wrong))


@pytest.mark.parametrize("text", ["", "drop damage", "gr\u00fcn \U0001f600"])
def test_text_is_anything_that_can_be_written_again(text: str) -> None:
    assert parse_text(text) == text


@pytest.mark.parametrize("wrong", ["\ud800", "a\udfffb", None, 7])
def test_half_a_character_is_not_text(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected text"):
        parse_text(wrong)


# --- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("2025-01-31T12:00:00Z", micros(2025, 1, 31, 12)),
        ("2025-01-31t12:00:00z", micros(2025, 1, 31, 12)),
        ("2025-01-31T12:00:00+00:00", micros(2025, 1, 31, 12)),
        ("2025-01-31T12:00:00-00:00", micros(2025, 1, 31, 12)),
        ("2025-01-31T12:00:00+05:30", micros(2025, 1, 31, 6, 30)),
        ("2025-01-31T12:00:00-12:00", micros(2025, 2, 1)),
        ("2025-01-31T12:00:00.5Z", micros(2025, 1, 31, 12) + 500_000),
        ("2025-01-31T12:00:00.123Z", micros(2025, 1, 31, 12) + 123_000),
        ("2025-01-31T12:00:00.123456Z", micros(2025, 1, 31, 12) + 123_456),
        ("2025-01-31T12:00:00.123456+01:00", micros(2025, 1, 31, 11) + 123_456),
        ("2024-02-29T23:59:59Z", micros(2024, 2, 29, 23, 59, 59)),
        ("2016-12-31T23:59:60Z", micros(2017, 1, 1)),
        ("2017-01-01T00:59:60.5+01:00", micros(2017, 1, 1) + 500_000),
    ],
)
def test_a_time_is_an_instant_in_microseconds(text: str, instant: int) -> None:
    assert parse_time(text) == instant


@pytest.mark.parametrize("fraction", ["1234560", "1234569", "12345699999999999999"])
def test_what_is_finer_than_a_microsecond_is_cut_off(fraction: str) -> None:
    assert parse_time(f"2025-01-31T12:00:00.{fraction}Z") == parse_time("2025-01-31T12:00:00.123456Z")


def test_every_way_to_write_an_instant_gives_the_same_one() -> None:
    ways = [
        "2025-01-31T12:00:00Z",
        "2025-01-31T12:00:00.000Z",
        "2025-01-31T12:00:00.000000+00:00",
        "2025-01-31T12:00:00.0Z",
        "2025-01-31T14:00:00+02:00",
        "2025-01-31T00:00:00.00-12:00",
    ]
    assert len({parse_time(way) for way in ways}) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        "2025-01-31T12:00:00",
        "2025-01-31 12:00:00Z",
        "2025-01-31",
        "20250131T120000Z",
        "2025-W05-5T12:00:00Z",
        "2025-W05-5T12:00:00.000Z",
        "2025-01-31T12:00:00,5Z",
        "2025-01-31T12:00:00,123Z",
        "2025-01-31T12:00:00.Z",
        "2025-01-31T12:00Z",
        "2025-01-31T24:00:00Z",
        "2025-01-31T12:60:00Z",
        "2025-01-31T12:00:60Z",
        "2025-01-31T12:00:61Z",
        "2025-02-29T12:00:00Z",
        "2025-13-01T12:00:00Z",
        "2025-00-01T12:00:00Z",
        "2025-01-31T12:00:00+24:00",
        "2025-01-31T12:00:00+01:60",
        "2025-01-31T12:00:00+0100",
        "2025-01-31T12:00:00+01",
        "2025-01-31T12:00:00Z+00:00",
        "2025-01-31T12:00:00ZZ",
        "2025-01-31T12:00:00Z\n",
        " 2025-01-31T12:00:00Z",
        "2025-01-31T12:00:0\u0661Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
        "now",
        "",
        None,
        1_738_324_800,
        True,
    ],
)
def test_no_other_time_passes(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^expected an RFC 3339 time with an offset, .*, got "):
        parse_time(wrong)


def test_the_first_and_the_last_instant_are_times() -> None:
    assert parse_time("0001-01-01T00:00:00Z") < parse_time("9999-12-31T23:59:59.999999Z")


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1970-01-01", 0),
        ("1969-12-31", -1),
        ("2025-01-31", 20_119),
        ("2024-02-29", 19_782),
        ("0001-01-01", -719_162),
        ("9999-12-31", 2_932_896),
    ],
)
def test_a_date_is_a_day_since_1970(text: str, day: int) -> None:
    assert parse_date(text) == day == (date.fromisoformat(text) - date(1970, 1, 1)).days


@pytest.mark.parametrize(
    "wrong",
    ["2025-02-29", "2025-13-01", "2025-00-01", "2025-01-00", "2025-01-32", "0000-12-31", "2025-1-31", "25-01-31",
     "20250131", "2025-W05-5", "2025-031", "2025-01-31T00:00:00Z", " 2025-01-31", "2025-01-31\n", "+2025-01-31",
     "\u0662\u0660\u0662\u0665-01-31", "", "tomorrow", 20_119, None, True, ["2025-01-31"]],
)  # fmt: skip
def test_what_is_no_day_of_the_calendar_is_no_date(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected a date of the calendar as YYYY-MM-DD, such as 2025-01-31, got "):
        parse_date(wrong)


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (-7, -7),
        (2**53, 2**53),
        ("5", 5),
        ("-0", 0),
        ("5.0", 5),
        ("5.00", 5),
        ("2.5", "2.5"),
        ("2.50", "2.5"),
        ("-2.5", "-2.5"),
        ("0.001", "0.001"),
        ("50e-1", 5),
        ("25e-1", "2.5"),
        ("1e3", 1000),
        ("1E+3", 1000),
        ("0e999999999999", 0),
        ("0.0", 0),
        (JsonNumber("2.50"), "2.5"),
        (JsonNumber("1e2"), 100),
        (2.5, "2.5"),
        (5.0, 5),
        (Decimal("2.50"), "2.5"),
        ("0." + "0" * 63 + "1", "0." + "0" * 63 + "1"),
        ("9" * NUMBER_DIGITS_MAX, int("9" * NUMBER_DIGITS_MAX)),
        ("1e63", 10**63),
        ("1" + "0" * 100 + "e-100", 1),
    ],
)
def test_a_number_keeps_its_exact_value(value: object, number: int | str) -> None:
    parsed = parse_number(value)
    assert parsed == number
    assert type(parsed) is type(number)
    assert parse_decimal(value) == Decimal(number)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        " 5",
        "5 ",
        "+5",
        "05",
        ".5",
        "5.",
        "1_000",
        "1,5",
        "0x10",
        "\u0665",
        "five",
        "NaN",
        "Infinity",
        "1e",
        "e1",
        "--1",
        "5\n",
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        None,
        True,
        False,
        [],
        {},
        10**70,
        "9" * 65,
        "1e64",
        "0." + "0" * 64 + "1",
        "1e999999999",
        "1e-999999999",
        "1e" + "9" * 1000,
    ],
)
def test_no_other_number_passes(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^expected an integer, or a decimal .*, got "):
        parse_number(wrong)


@pytest.mark.parametrize(("value", "number"), [(3, 3), ("3", 3), (JsonNumber("3.0"), 3)])
def test_an_integer_is_a_whole_number_however_written(value: object, number: int) -> None:
    assert parse_integer(value) == number


@pytest.mark.parametrize("wrong", ["2.5", JsonNumber("0.1"), None, True])
def test_a_fraction_is_not_an_integer(wrong: object) -> None:
    with pytest.raises(ValueError, match="expected an integer"):
        parse_integer(wrong)


@pytest.mark.parametrize(
    ("left", "right", "is_more"),
    [
        (2, 1, True),
        (1, 1, False),
        (0, 1, False),
        ("1.1", 1, True),
        ("0.9", 1, False),
        ("2.5", "2.4", True),
        ("10.5", "9.5", True),
    ],
)
def test_numbers_compare_by_value(left: int | str, right: int | str, is_more: bool) -> None:
    assert codes.exceeds(left, right) is is_more


@pytest.mark.parametrize(("number", "negative"), [(-1, True), (0, False), (1, False), ("-0.5", True), ("0.5", False)])
def test_a_number_below_zero_is_negative(number: int | str, negative: bool) -> None:
    assert codes.is_negative(number) is negative


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_fractions_and_long_integers_stay_text() -> None:
    parsed = parse_json(b'{"a": 2.50, "b": 7, "c": ' + b"9" * 5000 + b"}")
    assert isinstance(parsed, dict)
    assert parsed["a"].text == "2.50"
    assert parsed["b"] == 7
    assert parsed["c"].text == "9" * 5000


def test_the_last_of_a_repeated_key_counts() -> None:
    assert parse_json(b'{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b" ",
        b"{",
        b"{}x",
        b"nul",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":"\n"}',
        b'{"a":NaN}',
        b"Infinity",
        b"-Infinity",
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xff\xfe{\x00}\x00",
        b"{}\x00",
        b'"\\x"',
    ],
)
def test_what_is_not_strict_json_in_utf8_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"^expected JSON in UTF-8, got "):
        parse_json(wrong)


@pytest.mark.parametrize(("depth", "passes"), [(NESTING_MAX - 1, True), (NESTING_MAX, True), (NESTING_MAX + 1, False)])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_nesting_has_a_limit(depth: int, passes: bool, brackets: tuple[str, str]) -> None:
    value = (brackets[0] * depth + "1" + brackets[1] * depth).encode()
    if passes:
        parse_json(value)
    else:
        with pytest.raises(ValueError, match="100 levels of nesting"):
            parse_json(value)


def test_brackets_in_text_and_side_by_side_are_not_nesting() -> None:
    assert parse_json(b'"' + b"[" * 500 + b'"') == "[" * 500
    assert parse_json(b'["\\"[[", ' + b"{}," * 500 + b"{}]") == ['"[[', *[{}] * 501]


@pytest.mark.parametrize(
    "hostile",
    [
        b"[" * 1_000_000,
        b'"\\' * 500_000 + b"[" * 200,
        b'{"a":' * 200_000,
        b"[1e" + b"9" * 1_000_000 + b"]",
        b"9" * 1_000_000,
        b'"' * 1_000_000 + b"[" * 200,
    ],
    ids=["arrays", "escapes", "objects", "exponent", "digits", "quotes"],
)
def test_no_input_costs_more_than_its_length(hostile: bytes) -> None:
    started = time.process_time()  # of this process: others on the machine cost nothing
    try:
        parsed = parse_json(hostile)
    except ValueError:
        parsed = None
    if parsed is not None:
        with pytest.raises(ValueError, match="expected"):
            parse_number(parsed)
    assert time.process_time() - started < 2


# --- durations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "microseconds"),
    [
        ("24h", 24 * HOUR),
        ("5m", 300 * SECOND),
        ("50ms", 50_000),
        ("2s", 2 * SECOND),
        ("7d", 168 * HOUR),
        ("1.5s", 1_500_000),
        ("0.001ms", 1),
        ("0", 0),
        (0, 0),
        (30, 30 * SECOND),
        ("30", 30 * SECOND),
        (0.25, 250_000),
        (" 5m ", 300 * SECOND),
    ],
)
def test_a_duration_is_microseconds(value: object, microseconds: int) -> None:
    assert parse_duration(value) == microseconds


@pytest.mark.parametrize(
    "wrong", ["", "h", "-1s", "5 m", "5M", "1h30m", "1e3", "nan", "0.0001ms", "40000d", None, True, -1, [], "9" * 30]
)
def test_no_other_duration_passes(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration"):
        parse_duration(wrong)


# --- what errors say -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (10**200, "an integer of more than 150 digits"),
        (2.5, "2.5"),
        (Decimal("2.50"), "2.50"),
        (JsonNumber("1e3"), "1e3"),
        ("a", '"a"'),
        ("\u00e9\n", '"\\u00e9\\n"'),
        ({}, "an object"),
        ([], "an array"),
        (b"", "a bytes"),
    ],
)
def test_what_came_is_shown_on_one_short_line_of_ascii(value: object, shown: str) -> None:
    assert show(value) == shown


@pytest.mark.parametrize(
    "long", ["x" * 1_000_000, "\U0001f600" * 1000, JsonNumber("9" * 1000)], ids=["text", "faces", "digits"]
)
def test_what_came_is_cut_where_it_is_long(long: object) -> None:
    assert len(show(long)) < 90


def test_a_number_kept_as_text_shows_itself_in_brief() -> None:
    assert repr(JsonNumber("2.50")) == "JsonNumber('2.50')"
    assert len(repr(JsonNumber("9" * 1000))) < 100


def test_a_near_word_is_suggested() -> None:
    assert near_match("stock_recieved", ["stock_received", "lot_held"]) == "; did you mean stock_received?"
    assert near_match("banana", ["stock_received", "lot_held"]) == ""


@pytest.mark.parametrize(
    "parse", [parse_code, parse_id, parse_time, parse_date, parse_number, parse_integer, parse_duration]
)
def test_every_parser_says_what_was_expected_and_what_came(parse: Callable[[object], object]) -> None:
    with pytest.raises(ValueError, match=r"^expected .*, got an object$"):
        parse({})


def test_refusal_codes_are_those_of_the_contract() -> None:
    assert set(codes.REFUSAL_CODES) == set(
        [
            "not_json",
            "not_an_object",
            "unknown_type",
            "unsupported_version",
            "missing_field",
            "bad_value",
            "too_large",
            "unknown_item",
            "unknown_location",
            "unknown_channel",
            "unknown_uom",
            "quantity_not_exact",
            "not_allowed",
            "unknown_alias",
            "late",
            "in_the_future",
            "conflict",
        ]
    )
