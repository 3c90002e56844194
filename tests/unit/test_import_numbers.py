"""Numbers of a table: what is clear is read, what could be two numbers is asked about, and never guessed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.adapters.files.numbers import TwoMeaningsError, marks_of, of_table, read
from flows.adapters.files.rows import AMBIGUOUS, file_of, rows
from schemas.settings import SettingsError

TWO = "two meanings"


def meaning(text: str, delimiter: str = ";", decimal: str | None = None, thousands: str | None = None) -> object:
    try:
        return read(text, of_table(marks_of(decimal, thousands), delimiter))
    except TwoMeaningsError:
        return TWO


# What a cell means where nothing was said: in a table with semicolons or tabs, and in one with commas.
@pytest.mark.parametrize(
    ("text", "elsewhere", "with_commas"),
    [
        ("0", 0, 0),
        ("1000", 1000, 1000),
        ("1.000", TWO, "1.000"),
        ("1,000", TWO, 1000),
        ("-1.000", TWO, "-1.000"),
        ("999.999", TWO, "999.999"),
        ("1,5", "1.5", "1,5"),
        ("1.5", "1.5", "1.5"),
        ("12,50", "12.50", "12,50"),
        ("1,2345", "1.2345", "1,2345"),
        ("0,125", "0.125", "0,125"),
        ("0.125", "0.125", "0.125"),
        ("1234.500", "1234.500", "1234.500"),
        ("1.234,56", "1234.56", "1.234,56"),
        ("1,234.56", "1234.56", "1234.56"),
        ("1.234.567", 1234567, "1.234.567"),
        ("1,234,567", 1234567, 1234567),
        ("1.234.567,5", "1234567.5", "1.234.567,5"),
        ("1 000", 1000, 1000),
        ("1\u00a0000,5", "1000.5", "1\u00a0000,5"),
        ("1\u202f000\u202f000", 1000000, 1000000),
        ("1.5e3", "1.5e3", "1.5e3"),
        ("1,234E+03", "1.234E+03", "1,234E+03"),
        # no numbers: the engine's rule refuses them, and says what it expected
        ("007", "007", "007"),
        ("+1", "+1", "+1"),
        (".5", ".5", ".5"),
        ("5.", "5.", "5."),
        ("1.23.456", "1.23.456", "1.23.456"),
        ("1 00", "1 00", "1 00"),
        ("12,34,56", "12,34,56", "12,34,56"),
        ("many", "many", "many"),
        ("\u0661\u0662", "\u0661\u0662", "\u0661\u0662"),
    ],
)
def test_what_a_cell_means(text: str, elsewhere: object, with_commas: object) -> None:
    assert meaning(text, ";") == meaning(text, "\t") == elsewhere
    assert meaning(text, ",") == with_commas


@pytest.mark.parametrize(
    ("decimal", "thousands", "text", "number"),
    [
        (",", None, "1.000", 1000),
        (",", None, "1,000", "1.000"),
        (",", None, "1.234,56", "1234.56"),
        (",", None, "1.5", "1.5x"),
        (".", None, "1.000", "1.000"),
        (".", None, "1,000", 1000),
        (".", None, "1,5", "1,5x"),
        (None, ".", "1.000", 1000),
        (None, ".", "1,000", "1.000"),
        (None, ".", "1 000", "1 000x"),
        (None, ",", "1,000", 1000),
        (None, ",", "1.000", "1.000"),
        (None, "none", "1.000", "1.000"),
        (None, "none", "1,000", "1.000"),
        (None, "none", "1.234,56", "1.234,56x"),
        (None, "space", "1 000", 1000),
        (None, "space", "1\u00a0000,25", "1000.25"),
        (None, "space", "1.000", "1.000"),
        (",", "none", "1.000", "1.000x"),
        (",", "none", "1,000", "1.000"),
        (",", "space", "1 000,5", "1000.5"),
        (",", "space", "1.000,5", "1.000,5x"),
        (".", "space", "1 000.5", "1000.5"),
        (".", ",", "1,000.5", "1000.5"),
    ],
)
def test_what_the_command_says_holds(decimal: str | None, thousands: str | None, text: str, number: object) -> None:
    found = meaning(text, ";", decimal, thousands)
    if str(number).endswith("x"):
        assert found == text, "no number by these marks: left for the rule that says so"
    else:
        assert found == number
    assert meaning(text, ",", decimal, thousands) == found, "also in a table with commas, in quotes"


@pytest.mark.parametrize(
    ("decimal", "thousands", "told"),
    [(";", None, "--decimal"), (None, "'", "--thousands"), (",", ",", "another mark"), (".", ".", "another mark")],
)
def test_marks_that_cannot_be_are_misuse(decimal: str | None, thousands: str | None, told: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)):
        marks_of(decimal, thousands)


def test_a_number_with_two_meanings_is_a_problem_that_names_both_and_the_option(tmp_path: Path) -> None:
    (tmp_path / "stock.csv").write_text("item;location;quantity;quarantined\nSHOVEL;DC1;1.000;2,000\nHOE;DC1;1,5;1\n")
    file = file_of(str(tmp_path / "stock.csv"))
    first, second = rows(file)
    assert [(problem.column, problem.sort) for problem in first.problems] == [
        ("quantity", AMBIGUOUS),
        ("quarantined", AMBIGUOUS),
    ]
    for word in ("1.000", "1000", "--decimal ,", "--decimal ."):
        assert word in first.problems[0].sentence
    assert not second.problems and second.fields["quantity"] == "1.5"
    told = file_of(str(tmp_path / "stock.csv"), marks_of(",", None))
    assert [row.fields["quantity"] for row in rows(told)] == [1000, "1.5"]


def test_numbers_inside_of_maps_too(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item;safety_stock\nSHOVEL;DC1=1.000 *=2,5\n")
    (row,) = rows(file_of(str(tmp_path / "items.csv")))
    assert [problem.column for problem in row.problems] == ["safety_stock"]
    (row,) = rows(file_of(str(tmp_path / "items.csv"), marks_of(None, ".")))
    assert row.fields["safety_stock"] == {"DC1": "1000", "*": "2.5"}


def test_numbers_of_json_lines_are_never_ambiguous(tmp_path: Path) -> None:
    (tmp_path / "stock.jsonl").write_text('{"item": "A", "quantity": 1.000}\n{"item": "A", "quantity": "1.000"}\n')
    for marks in (marks_of(None, None), marks_of(",", None)):
        found = list(rows(file_of(str(tmp_path / "stock.jsonl"), marks)))
        assert [row.fields["quantity"] for row in found] == ["1.000", "1.000"]
        assert not any(row.problems for row in found)
