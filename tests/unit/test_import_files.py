"""How files of a first load are read: forms, lines, ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.importing.columns import KINDS, table
from flows.importing.facts import Writer, id_of
from flows.importing.rows import ImportProblem, Row, file_of, rows
from schemas.codes import is_id
from schemas.settings import SettingsError

ROOT = Path(__file__).parents[2]


def read(folder: Path, text: str | bytes, name: str = "stock.csv") -> list[Row]:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(rows(file_of(str(folder / name))))


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_may_be_separated_as_spreadsheets_do(tmp_path: Path, mark: str) -> None:
    text = "\ufeffItem, Location ,quantity,lot\r\n SHOVEL ,DC1,5,\r\n\r\nSPADE,DC1,007,L1\r\n".replace(",", mark)
    assert read(tmp_path, text) == [
        Row(2, {"item": "SHOVEL", "location": "DC1", "quantity": 5}),
        Row(4, {"item": "SPADE", "location": "DC1", "quantity": "007", "lot": "L1"}),
    ]


def test_a_line_has_the_number_that_an_editor_shows(tmp_path: Path) -> None:
    found = read(tmp_path, 'item,lot,reason\nA,L1,"two\nlines"\nB,L2,one\n', "lots.csv")
    assert [row.line for row in found] == [2, 4]


def test_lists_maps_and_switches(tmp_path: Path) -> None:
    text = "item,conversions,safety_stock\nA,case=12 drum=2.5,*=1\nB,case,\n"
    assert [row.fields for row in read(tmp_path, text, "items.csv")] == [
        {"item": "A", "conversions": {"case": "12", "drum": "2.5"}, "safety_stock": {"*": "1"}},
        {"item": "B", "conversions": "case"},
    ]
    text = "location,sellable\nA,TRUE\nB,false\nC,yes\n"
    assert [row.fields["sellable"] for row in read(tmp_path, text, "locations.csv")] == [True, False, "yes"]
    assert read(tmp_path, "channel,locations\nweb,DC1  DC2\n", "channels.csv")[0].fields["locations"] == ["DC1", "DC2"]


def test_a_head_that_is_wrong_is_all_that_is_said(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "item,locaton,quantity,quantity\nA,B,1,2\n")
    assert [(problem.column, problem.code) for problem in row.problems] == [
        ("locaton", "bad_value"),
        ("quantity", "bad_value"),
        ("location", "missing_field"),
    ]
    assert "did you mean location?" in row.problems[0].sentence


def test_an_empty_file_misses_its_head(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "")
    assert {problem.column for problem in row.problems} == {"item", "location", "quantity"}


def test_a_quote_that_never_ends_is_found(tmp_path: Path) -> None:
    found = read(tmp_path, 'item,location,quantity\nA,B,1\n"C,B,1\n')
    assert found[-1].line == 3 and "CSV" in found[-1].problems[0].sentence


def test_other_encodings_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImportProblem, match="UTF-8"):
        read(tmp_path, "item,lot,reason\nA,L1,Rückruf\n".encode("latin-1"), "lots.csv")
    with pytest.raises(ImportProblem, match="UTF-8"):
        read(tmp_path, '{"reason": "Rückruf"}\n'.encode("latin-1"), "lots.jsonl")


def test_fractions_of_json_lines_stay_exact(tmp_path: Path) -> None:
    (row,) = read(tmp_path, '{"item": "A", "quantity": 0.10000000000000000001, "lot": null}\n', "stock.jsonl")
    assert row.fields == {"item": "A", "quantity": "0.10000000000000000001"}


def test_what_a_file_holds_is_told_by_its_name_or_by_the_command(tmp_path: Path) -> None:
    for name, kind in (
        ("channels-eu.csv", "channels"),
        ("channel_items.csv", "channel_items"),
        ("ORDERS.CSV", "orders"),
    ):
        (tmp_path / name).touch()
        assert file_of(str(tmp_path / name)).kind.name == kind
    (tmp_path / "export.csv").touch()
    assert file_of(f"stock={tmp_path / 'export.csv'}").kind.name == "stock"
    with pytest.raises(SettingsError, match="begins with one of"):
        file_of(str(tmp_path / "export.csv"))


@pytest.mark.parametrize("name", ["stock.csv", "Bestände März 2026.csv", "x" * 300 + ".csv", "stock:1.csv"])
def test_any_name_makes_ids(name: str) -> None:
    assert is_id(f"{id_of(name)}:99999999999:allocated")
    assert id_of(name) != id_of(name + "x")


def test_names_that_would_make_the_same_ids_do_not() -> None:
    assert id_of("stock.csv:1") != id_of("stock.csv") + ":1"


def test_an_order_line_that_is_allocated_is_two_events(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").touch()
    writer = Writer(file_of(str(tmp_path / "orders.csv")), "import", "2025-01-31T12:00:00Z")
    line = {"order_id": "SO-1", "line_id": "1", "channel": "web", "item": "A", "quantity": 2, "location": "DC1"}
    assert len(list(writer.messages(Row(2, line)))) == 1
    assert len(list(writer.messages(Row(2, {**line, "allocated": 0})))) == 1
    assert len(list(writer.messages(Row(2, {**line, "allocated": 1})))) == 2


def test_the_page_shows_every_column_and_there_is_an_example_of_every_kind() -> None:
    page = (ROOT / "docs" / "import.md").read_text("utf-8")
    assert table() in page, "docs/import.md is not current: python -m flows.importing.columns prints its tables"
    examples = {file.name.partition(".")[0] for file in (ROOT / "docs" / "examples" / "import").iterdir()}
    assert examples == set(KINDS)
    for name in examples:
        assert f"examples/import/{name}." in page
