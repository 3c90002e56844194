"""`atp translate --dry-run`: what files would become, for people and for scripts; what is misused ends with 2."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.adapters.translating.mappings import built_in, load_mapping
from flows.cli.app import app
from tests.documents import edifact, x12

ORDER = "850\nBEG*00*SA*PO-1**20240110\nPO1*1*5*EA***VN*SHOVEL\nPO1*2*7*EA***VN*RA KE\n"
LEVELS = "846\nBIA*08*SI*INV-1*20240110*0600\nLIN*1*SK*SHOVEL\nQTY*17*100*EA\nLIN*2*SK*HOE\nQTY*63*1*EA\n"
SOURCE = '[sources.acme]\ntime_zone = "UTC"\ntime_of_day = "12:00"\nlocation = "DC1"\n'
FIELDS = {
    "kind", "documents", "received_at", "lines", "event_lines", "statement_lines", "ignored", "refused", "events",
    "statements", "output", "refusals",
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a partner's settings and two of its files."""
    for name in [name for name in os.environ if name.startswith("ATP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "atp.toml").write_text(SOURCE)
    (tmp_path / "order.edi").write_bytes(x12(ORDER))
    (tmp_path / "levels.edi").write_bytes(x12(LEVELS))
    return tmp_path


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["translate", *arguments])
    return result.exit_code, result.stdout, result.stderr


def shown(*arguments: str) -> list[dict[str, Any]]:
    code, out, err = invoke("--dry-run", "--json", *arguments)
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def test_each_file_is_an_object_with_the_fields_of_a_document(here: Path) -> None:
    order, levels = shown("order.edi", "levels.edi")
    assert set(order) >= FIELDS
    assert (order["kind"], order["documents"]) == ("x12", ["850:PO-1:00"])
    assert (order["lines"], order["event_lines"], order["refused"]) == (2, 1, {"unknown_alias": 1})
    assert [body["type"] for body in order["output"]] == ["order_placed"] and order["events"] == 1
    assert [(one["code"], one["line_id"]) for one in order["refusals"]] == [("unknown_alias", "0001:6:PO1")]
    assert (levels["statement_lines"], levels["ignored"], levels["statements"]) == (1, {"no_measure": 1}, 3)


def test_people_see_line_by_line_what_becomes_of_it(here: Path) -> None:
    code, out, _ = invoke("--dry-run", "order.edi", "levels.edi")
    assert code == 0
    assert "0001:5:PO1  order_placed PO-1 1 SHOVEL quantity=5 uom=EA" in out
    assert "0001:6:PO1  refused, unknown_alias: PO107: expected an item with an alias acme:item:RA KE" in out
    assert "stock_stated 846:INV-1:08 SHOVEL DC1 uom=EA on_hand=100" in out and "ignored, no_measure" in out
    assert "2 lines, 1 in 1 events, 0 in 0 messages of statements, 0 ignored, 1 (unknown_alias 1) refused" in out


def test_files_are_read_one_after_the_other(here: Path) -> None:
    change = "860\nBCH*04*SA*PO-1**1*20240110*****20240111\nPOC*1*QI*2**EA***VN*SHOVEL\n"
    (here / "change.edi").write_bytes(x12(change))
    assert shown("order.edi", "change.edi")[1]["output"][0]["lines"][0]["quantity"] == 7
    assert shown("change.edi", "order.edi")[0]["refused"] == {"missing_field": 1}
    again = here / "renamed.edi"
    again.write_bytes((here / "order.edi").read_bytes())
    assert shown("order.edi", "renamed.edi")[1]["output"] == []


def test_a_file_of_aliases_says_what_theirs_are_and_then_nothing_else_is(here: Path) -> None:
    (here / "aliases.jsonl").write_text('{"kind": "item", "theirs": "RA KE", "ours": "RAKE"}\n\n')
    (order,) = shown("order.edi", "--aliases", "aliases.jsonl")
    assert order["refused"] == {"unknown_alias": 1} and order["output"][0]["lines"][0]["item"] == "RAKE"
    (here / "atp.toml").write_text(SOURCE + 'aliases = "first"\n')
    assert shown("order.edi", "--aliases", "aliases.jsonl")[0]["refused"] == {}
    (here / "atp.toml").write_text(SOURCE + 'aliases = {item = "only"}\n')
    assert shown("order.edi")[0]["refused"] == {"unknown_alias": 2}


def test_the_content_says_what_a_file_is_and_the_command_may(here: Path) -> None:
    (here / "orders.edi").write_bytes(edifact("ORDERS\nBGM+220+PO-1+9\nDTM+137:20240110:102\nLIN+1++HOE:SA\nQTY+21:5"))
    assert [one["kind"] for one in shown("orders.edi", "order.edi")] == ["edifact", "x12"]
    assert shown("--kind", "x12", "orders.edi")[0]["kind"] == "x12"
    (here / "note.txt").write_text("hello")
    (note,) = shown("note.txt")
    assert (note["kind"], note["lines"], note["refused"]) == ("unknown", 1, {"bad_value": 1})


def test_a_mapping_says_how(here: Path) -> None:
    (here / "levels.toml").write_text('kind = "x12"\n[measures]\n63 = "expected"\n')
    (levels,) = shown("levels.edi", "--mapping", "levels.toml")
    assert [body.get("expected") for body in levels["output"] if body["type"] == "stock_stated"] == [1]
    (here / "atp.toml").write_text(SOURCE + 'mapping = "levels.toml"\n')
    assert shown("levels.edi")[0]["statement_lines"] == 1


def test_without_a_source_dates_alone_are_refused(here: Path) -> None:
    (here / "atp.toml").write_text("")
    (order,) = shown("order.edi")
    assert order["refused"] == {"missing_field": 2} and "time_of_day" in order["refusals"][0]["message"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("order.edi",), "--dry-run"),
        (("--dry-run", "nothing.edi"), "expected a file, got nothing.edi"),
        (("--dry-run", "--kind", "x13", "order.edi"), "did you mean x12?"),
        (("--dry-run", "--source", "no code", "order.edi"), "--source: expected a source's code"),
        (("--dry-run", "--mapping", "nowhere.toml", "order.edi"), "--mapping: expected"),
        (("--dry-run", "--mapping", "wrong.toml", "order.edi"), "wrong.toml: measuers: no such field"),
        (("--dry-run", "--mapping", "words.toml", "order.edi"), "expected TOML"),
        (("--dry-run", "--mapping", "other.toml", "order.edi"), "other.toml: kind: expected one of"),
        (("--dry-run", "--mapping", "wrong.toml", "--kind", "edifact", "order.edi"), "wrong.toml"),
        (("--dry-run", "--aliases", "words.toml", "order.edi"), "words.toml, line 1: expected an object"),
        (("--dry-run", "--aliases", "kinds.jsonl", "order.edi"), "expected a kind of item, location"),
        (("--dry-run", "--aliases", "codes.jsonl", "order.edi"), "expected ours to be a code"),
        (("--dry-run", "--set", "sources.acme.time_of_day=25:00", "order.edi"), "sources.acme.time_of_day: expected"),
        (("--dry-run", "--set", "sources.acme.aliases=always", "order.edi"), "sources.acme.aliases: expected only"),
        (("--dry-run", "--set", "sources.acme.kind=x13", "order.edi"), "sources.acme.kind: expected one of"),
    ],
)
def test_what_is_misused_ends_with_2_and_a_sentence(here: Path, arguments: tuple[str, ...], said: str) -> None:
    (here / "wrong.toml").write_text('kind = "x12"\n[measuers]\n17 = "on_hand"\n')
    (here / "words.toml").write_text("many words\n")
    (here / "other.toml").write_text('kind = "letters"\n')
    (here / "kinds.jsonl").write_text('{"kind": "color", "theirs": "red", "ours": "RED"}\n')
    (here / "codes.jsonl").write_text('{"kind": "item", "theirs": "red", "ours": "R D"}\n')
    code, out, err = invoke(*arguments)
    assert code == 2 and said in err.replace("\n", " "), err
    assert not out


def test_the_mappings_that_come_with_the_program_can_be_used() -> None:
    for name in built_in():
        load_mapping(name)
