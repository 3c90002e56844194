"""How files of a first load are read: forms, lines, ids."""

from __future__ import annotations

import contextlib
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.adapters.files import advice
from flows.adapters.files.columns import KINDS, table
from flows.adapters.files.facts import Writer
from flows.adapters.files.places import Places
from flows.adapters.files.report import Report
from flows.adapters.files.rows import AMBIGUOUS, ImportProblem, Problem, Row, file_of, rows
from flows.adapters.files.run import check, plan
from schemas.codes import REFUSAL_CODES, UNKNOWN_TYPE, UNSUPPORTED_VERSION, is_id
from schemas.settings import Settings, SettingsError

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


def test_a_ratio_is_read_as_it_stands(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "item,conversions\nCOLA,can=1/12 tray=0.5\n", "items.csv")
    assert row.fields == {"item": "COLA", "conversions": {"can": "1/12", "tray": "0.5"}}


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


AT = "2025-01-31T12:00:00Z"


def messages(folder: Path, name: str, fields: dict[str, object], at: str | None = AT, line: int = 2) -> list[Any]:
    (folder / name).touch()
    writer = Writer(file_of(str(folder / name)), "import", at)
    return [json.loads(message.value) for message in writer.messages(Row(line, dict(fields)))]


def event_id(
    folder: Path, fields: dict[str, object], at: str | None = AT, name: str = "stock.csv", line: int = 2
) -> str:
    (event,) = messages(folder, name, fields, at, line)
    assert is_id(event["event_id"]) and is_id(event["correlation_id"])
    return str(event["event_id"])


COUNT: dict[str, object] = {"item": "SHOVEL", "location": "DC1", "quantity": 5}


def test_the_same_line_is_the_same_message_in_whatever_file_and_place(tmp_path: Path) -> None:
    first = event_id(tmp_path, COUNT)
    assert event_id(tmp_path, COUNT, name="stock-again.jsonl", line=77) == first
    assert event_id(tmp_path, COUNT, at="2025-01-31T13:00:00.000+01:00") == first, "the same instant"
    assert event_id(tmp_path, {**COUNT, "occurred_at": AT}, at=None) == first


def test_a_line_of_a_later_moment_is_another_message(tmp_path: Path) -> None:
    first = event_id(tmp_path, COUNT)
    assert event_id(tmp_path, COUNT, at="2025-01-31T12:00:01Z") != first
    assert event_id(tmp_path, {**COUNT, "lot": "L1"}) != first


def test_at_one_moment_a_corrected_line_contradicts_the_first(tmp_path: Path) -> None:
    assert event_id(tmp_path, {**COUNT, "quantity": 6}) == event_id(tmp_path, COUNT), "it shall be a conflict"


@pytest.mark.parametrize(
    "fields",
    [
        {"item": "I" * 64, "location": "L" * 64, "lot": "X" * 64, "quantity": 1},
        {"item": "Bestände März", "location": "DC 1"},
        {"item": ["SHOVEL"], "location": {"a": 1}, "occurred_at": [1]},
        {"item": "SHOVEL", "location": None, "occurred_at": "yesterday"},
    ],
)
def test_any_line_makes_ids(tmp_path: Path, fields: dict[str, object]) -> None:
    assert event_id(tmp_path, fields, name="stock-März 2026.csv")
    assert event_id(tmp_path, fields) != event_id(tmp_path, {**fields, "lot": "another"})


def test_a_message_tells_its_file_and_line(tmp_path: Path) -> None:
    assert messages(tmp_path, "stock-dc1.csv", COUNT, line=17)[0]["correlation_id"] == "stock-dc1.csv:17"


def test_an_order_line_that_is_allocated_is_two_events_and_is_allocated_once_whatever_the_moment(
    tmp_path: Path,
) -> None:
    line = {"order_id": "SO-1", "line_id": "1", "channel": "web", "item": "A", "quantity": 2, "location": "DC1"}
    assert len(messages(tmp_path, "orders.csv", line)) == 1
    assert len(messages(tmp_path, "orders.csv", {**line, "allocated": 0})) == 1
    placed, allocated = messages(tmp_path, "orders.csv", {**line, "allocated": 1})
    later, again = messages(tmp_path, "orders.csv", {**line, "allocated": 2}, at="2025-01-31T13:00:00Z")
    assert later["event_id"] != placed["event_id"], "the newest word on what is demanded stands"
    assert again["event_id"] == allocated["event_id"], "an allocation would add up"


def test_places_know_what_was_sent_and_what_is_left(tmp_path: Path) -> None:
    places = Places()
    for offset in (5, 6, 7, 10, 11, 9):
        places.add("t", 0, offset)
    places.add("t", 1, 0)
    assert [places.has("t", 0, offset) for offset in range(4, 13)] == [
        False, True, True, True, False, True, True, True, False,
    ]  # fmt: skip
    assert places.ends() == {("t", 0): 12, ("t", 1): 1}
    assert not places.has("t", 2, 0) and not places.has("u", 0, 5)
    assert places.beyond({}) == places.count == 7
    assert places.beyond({("t", 0): 10, ("t", 1): 1}) == 2
    assert places.beyond({("t", 0): 12, ("t", 1): 1}) == 0


@pytest.mark.parametrize("text", ['{"item": "A", "quantity": NaN}', '{"quantity": -Infinity}'])
def test_what_json_does_not_know_is_not_json(tmp_path: Path, text: str) -> None:
    (row,) = read(tmp_path, text, "stock.jsonl")
    assert [problem.code for problem in row.problems] == ["not_json"]


def test_what_no_message_can_hold_is_a_problem_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "stock.jsonl").write_text(
        '{"item": "\\ud800", "location": "DC1", "quantity": 1}\n'
        f'{{"item": "A", "location": "DC1", "quantity": {"9" * 30}}}\n'
        f'{{"item": "A", "location": "DC2", "quantity": {"[" * 300}{"]" * 300}}}\n'
    )
    problems: list[Problem] = []
    files = [str(tmp_path / "stock.jsonl")]
    settings = Settings()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.adapters.files.run.read_reference", lambda _: iter(()))
        at = datetime.now(UTC).isoformat()
        check(settings, plan(settings, files, "import", at), problems.append)
    assert [problem.line for problem in problems] == [1, 2, 3]
    assert [problem.code for problem in problems][::2] == ["bad_value", "bad_value"]


def checked(folder: Path, **files: str) -> list[str]:
    """Say what is wrong with files, each by the kind that it holds."""
    for kind, text in files.items():
        (folder / f"{kind}.csv").write_text(text)
    problems: list[Problem] = []
    settings = Settings()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flows.adapters.files.run.read_reference", lambda _: iter(()))
        named = [str(folder / f"{kind}.csv") for kind in files]
        check(settings, plan(settings, named, "import", datetime.now(UTC).isoformat()), problems.append)
    return [f"{problem.file} {problem.line} {problem.column} {problem.code}" for problem in problems]


def test_new_columns_of_reference_data_are_judged_as_the_engine_does(tmp_path: Path) -> None:
    assert (
        checked(
            tmp_path,
            locations="location\nDC1\n",
            channels="channel,locations,listing,min_days_left\nclub,DC1,explicit,30\nweb,DC1,,\nb2b,DC1,all,0\n",
            items="item,conversions,rounding,unit_value\nCOLA,can=1/12,safe,19.99\nTEA,,refuse,0\nSALT,,,\n",
            channel_items="channel,item,listed\nclub,COLA,true\nclub,TEA,\n",
        )
        == []
    )
    assert checked(
        tmp_path,
        locations="location\nDC1\n",
        channels="channel,locations,listing,min_days_left\nclub,DC1,explict,\nweb,DC1,,-1\n",
        items="item,conversions,rounding,unit_value\nCOLA,can=1/0,,\nTEA,,up,\nSALT,,,dear\n",
    ) == [
        "channels.csv 2 listing bad_value",
        "channels.csv 3 min_days_left bad_value",
        "items.csv 2 conversions bad_value",
        "items.csv 3 rounding bad_value",
        "items.csv 4 unit_value bad_value",
    ]


def test_a_quantity_that_is_not_exact_is_a_problem_only_where_the_item_refuses_it(tmp_path: Path) -> None:
    rows = [
        "COLA,DC1,30,can,7",
        "BEER,DC1,30,can,7",
        "BEER,DC2,24,can,7",
        f"COLA,DC2,{12 * 2**53 + 1},can,",
        "COLA,DC3,1,tray,",
    ]
    assert checked(
        tmp_path,
        locations="location\nDC1\nDC2\nDC3\n",
        items="item,conversions,rounding\nCOLA,can=1/12,safe\nBEER,can=1/12,\n",
        stock="\n".join(["item,location,quantity,uom,quarantined", *rows, ""]),
    ) == [
        "stock.csv 3 quantity quantity_not_exact",
        "stock.csv 4 quarantined quantity_not_exact",
        "stock.csv 5 quantity bad_value",
        "stock.csv 6 uom unknown_uom",
    ]


def report(problems: list[Problem], shown_max: int = 100, as_json: bool = False) -> list[str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        told = Report(shown_max, as_json)
        for problem in problems:
            told.problem(problem)
        told.problems()
    return said.getvalue().splitlines()


def test_problems_are_grouped_by_kind_with_number_example_and_hint_and_then_told_line_by_line() -> None:
    many = [Problem("stock.csv", line, "item", "unknown_item", f"no such item {line}") for line in range(2, 9)]
    few = [Problem("stock.csv", 9, "quantity", "bad_value", "1000 or 1", AMBIGUOUS)]
    said = report([*few, *many], shown_max=3)
    assert said[0].split() == ["7", "x", "stock.csv,", "item:", "unknown_item"]
    assert "line 2: no such item 2" in said[1]
    assert said[2].strip().startswith("-> ") and "items.csv" in said[2]
    assert "--decimal" in said[5]
    assert said[7].startswith("stock.csv, line 9, quantity: 1000 or 1 [bad_value]")
    assert said[10].startswith("... and 5 more")


def test_for_a_script_each_line_is_an_object() -> None:
    said = [json.loads(line) for line in report([Problem("a.csv", 1, "", "bad_value", "no")] * 3, 2, as_json=True)]
    assert [one["what"] for one in said] == ["problem", "problem", "problems"]
    assert said[2]["count"] == 3 and said[2]["hint"]


def test_every_code_has_its_advice() -> None:
    for code in REFUSAL_CODES:
        assert advice.for_a_refusal(code) or code in (UNKNOWN_TYPE, UNSUPPORTED_VERSION), code


def test_without_a_moment_the_command_says_which_option_why_and_how(tmp_path: Path) -> None:
    (tmp_path / "stock.csv").write_text("item;location;quantity\nA;B;1\n")
    with pytest.raises(SettingsError) as error:
        plan(Settings(), [str(tmp_path / "stock.csv")], "import", None)
    assert re.match(r"--at: expected the moment .* stock\.csv .*, got none: .*--at 20\d\d-\S+Z", str(error.value))
    (tmp_path / "stock.csv").write_text('"Item";location;quantity; "occurred_at"\nA;B;1;\n')
    assert plan(Settings(), [str(tmp_path / "stock.csv")], "import", None).at is None
    (tmp_path / "items.csv").write_text("item\nA\n")
    assert plan(Settings(), [str(tmp_path / "items.csv")], "import", None).at is None


def test_the_page_shows_every_column_and_there_is_an_example_of_every_kind() -> None:
    page = (ROOT / "docs" / "import.md").read_text("utf-8")
    assert table() in page, "docs/import.md is not current: python -m flows.adapters.files.columns prints its tables"
    examples = {file.name.partition(".")[0] for file in (ROOT / "docs" / "examples" / "import").iterdir()}
    assert examples == set(KINDS)
    for name in examples:
        assert f"examples/import/{name}." in page
