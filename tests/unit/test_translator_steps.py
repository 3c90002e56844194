"""The translator's steps without Kafka: what waits, what is measured, what a whole order says when it comes again."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from flows.adapters.intake.raw import raw_message, refused_of
from flows.adapters.translator import steps
from flows.adapters.translator.metrics import MetricsEndpoint, TranslatorMetrics
from flows.adapters.translator.shared import Shared
from flows.adapters.translator.steps import AccountStep, AliasStep, MemoryStep, open_message
from flows.adapters.translator.words import (
    ACCOUNTS,
    Accounted,
    AliasNews,
    AliasRefused,
    Opened,
    Raw,
    Ready,
    TryAgain,
)
from flows.embedded.child import free_port
from flows.settings import load_settings
from operators.adapters.account import Fact, record_of
from operators.adapters.cutting import cut
from operators.adapters.memory import Dictionary
from schemas.units import Origin
from tests.documents import x12

RECEIVED = """944
W17*F*20240115*WR-{number}*TR-1*SHIP-1
N1*WH*North*92*DC1
W07*40*EA**VN*{item}
"""


def shared_of(tmp_path: Path, more: str = "", **overrides: object) -> Shared:
    (tmp_path / "atp.toml").write_text(
        '[sources.acme]\nkind = "x12"\ntime_zone = "UTC"\ntime_of_day = "12:00"\naliases = "only"\n' + more
    )
    settings = load_settings(tmp_path / "atp.toml", overrides)
    return Shared(settings, TranslatorMetrics(settings, now=lambda: 1000.0))


class Line:
    """The dataflow of one source, without Kafka."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.aliases = AliasStep(shared, None)
        self.accounts = AccountStep()
        self.memory = MemoryStep(None)
        self.offset = 0

    def raw(self, value: bytes | None, source: str = "acme", headers: Mapping[str, str] | None = None) -> Accounted:
        raw = Raw(source, Origin("inventory.raw.acme", 0, self.offset, 1, None, value), dict(headers or {}))
        self.offset += 1
        out: list[Any] = []
        for key, said in open_message(self.shared, raw):
            out += [said] if key == ACCOUNTS else [answer for _, answer in self.memory.on_batch([said])[0]]
        [(_, accounted)] = self.accounts.on_batch(out)[0]
        return accounted

    def wait(self, *accounted: Accounted) -> list[Any]:
        return [said for _, said in self.aliases.on_batch(list(accounted))[0]]

    def alias(self, theirs: str, ours: str | None, is_read: bool = False) -> list[Any]:
        value = None if ours is None else json.dumps({"ours": ours}).encode()
        origin = Origin("inventory.aliases", 0, self.offset, 1, f"acme:{theirs}".encode(), value)
        return [said for _, said in self.aliases.on_batch([AliasNews("acme", [origin], is_read)])[0]]


def received(item: str, number: int = 1) -> bytes:
    return x12(RECEIVED.format(item=item, number=number))


@pytest.fixture
def line(tmp_path: Path) -> Line:
    one = Line(shared_of(tmp_path))
    one.alias("location:DC1", "DC1")
    one.alias("uom:EA", "EA")
    return one


# --- what waits for aliases ------------------------------------------------------------------------------------------


def test_a_message_waits_for_its_alias_and_for_no_other(line: Line) -> None:
    accounted = line.raw(received("RAKE"))
    assert accounted.whole.refused() == {"unknown_alias": 1}
    assert line.wait(accounted) == []
    assert line.alias("item:HOE", "HOE-1") == []
    [tried] = line.alias("item:RAKE", "RAKE-1")
    assert isinstance(tried, TryAgain) and tried.waiting.offset == 0
    assert line.alias("item:RAKE", "RAKE-1") == []


def test_an_alias_that_came_between_a_message_and_its_account_has_it_tried_again(line: Line) -> None:
    accounted = line.raw(received("RAKE"))
    line.alias("item:RAKE", "RAKE-1")
    assert [type(said) for said in line.wait(accounted)] == [TryAgain]


def test_what_waits_is_kept_by_the_snapshot_with_the_aliases(line: Line) -> None:
    line.wait(line.raw(received("RAKE")))
    line.aliases = AliasStep(line.shared, line.aliases.snapshot())
    assert [type(said) for said in line.alias("item:RAKE", "RAKE-1")] == [TryAgain]
    assert line.raw(received("RAKE", 2)).output[0]["item"] == "RAKE-1"


def test_a_tombstone_of_a_database_is_ignored_and_of_nobody_else(tmp_path: Path) -> None:
    """Behind each deletion Debezium sends the row's key without a value, for compaction."""
    more = '[sources.erp]\nkind = "debezium"\nmapping = "wms"\n'
    line = Line(shared_of(tmp_path, more))
    assert line.raw(None, "erp").whole.ignored() == {"tombstone": 1}
    assert line.raw(None).whole.refused() == {"bad_value": 1}


@pytest.mark.parametrize(("most", "tried"), [(1, 1), (2, 2), (3, 2)])
def test_no_more_wait_than_may(line: Line, monkeypatch: pytest.MonkeyPatch, most: int, tried: int) -> None:
    monkeypatch.setattr(steps, "WAITING_MAX", most)
    line.wait(line.raw(received("RAKE", 1)), line.raw(received("RAKE", 2)))
    assert len(line.alias("item:RAKE", "RAKE-1")) == tried


@pytest.mark.parametrize(("room", "tried"), [(0, 1), (1, 2)])
def test_no_more_bytes_of_accounts_wait_than_may(
    line: Line, monkeypatch: pytest.MonkeyPatch, room: int, tried: int
) -> None:
    first, second = line.raw(received("RAKE", 1)), line.raw(received("RAKE", 2))
    both = len(first.became) + len(second.became)
    monkeypatch.setattr(steps, "WAITING_BYTES_MAX", both - 1 + room)
    line.wait(first, second)
    assert len(line.alias("item:RAKE", "RAKE-1")) == tried


def test_an_alias_acts_on_the_next_message_also_where_another_was_looked_up_before(line: Line) -> None:
    line.alias("item:RAKE", "RAKE-1")
    assert line.raw(received("RAKE")).output[0]["item"] == "RAKE-1"
    line.alias("item:RAKE", "RAKE-2")
    assert line.raw(received("RAKE", 2)).output[0]["item"] == "RAKE-2"
    line.alias("item:RAKE", None)
    assert line.raw(received("RAKE", 3)).whole.refused() == {"unknown_alias": 1}


def test_a_wrong_record_is_refused_and_the_older_one_stands(line: Line) -> None:
    line.alias("item:RAKE", "RAKE-1")
    [refused] = line.alias("item:RAKE", "no code")
    assert isinstance(refused, AliasRefused) and refused.refusal.code == "bad_value"
    assert line.raw(received("RAKE")).output[0]["item"] == "RAKE-1"


def test_that_aliases_are_read_is_said_last(line: Line) -> None:
    said = line.alias("item:RAKE", "no code", is_read=True)
    assert [type(one) for one in said] == [AliasRefused, Ready]


# --- messages --------------------------------------------------------------------------------------------------------


def test_a_message_that_is_too_large_or_empty_is_one_line_refused(tmp_path: Path) -> None:
    line = Line(shared_of(tmp_path, max_message_bytes=300))
    assert line.raw(b"x" * 301).whole.refused() == {"too_large": 1}
    assert line.raw(None).whole.refused() == {"bad_value": 1}
    assert line.raw(b"").whole.refused() == {"bad_value": 1}


def test_what_no_message_could_hold_is_one_line_refused_by_its_first_bytes(tmp_path: Path) -> None:
    """It stands where all documents do, and not only in a note beside the file."""
    file = x12(*(RECEIVED.format(number=number, item="SHOVEL" * size) for number, size in ((1, 1), (2, 900))))
    found = cut(file, 2_000)
    assert len(found.parts) == 1 and [one.place for one in found.refused] == ["set 2 (ST*944*0002)"]
    message = refused_of(raw_message("acme", file, 0, "application/edi-x12", "day.edi"), found.refused[0])
    line = Line(shared_of(tmp_path))
    accounted = line.raw(message.value, headers=dict(message.headers))
    assert record_of(accounted.whole, None)["refused"] == {"too_large": 1}
    (letter,) = accounted.refusals
    assert (letter.code, letter.line_id) == ("too_large", "set_2_(ST*944*0002)")
    assert "bytes with what has to stand before it" in letter.message
    assert len(message.value) <= 4_096 and message.value in file


def test_a_document_that_an_adapter_fails_at_is_refused_aloud_and_stops_no_other(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = steps.translate

    def failing(raw: bytes, *more: Any) -> Any:
        if b"BROKEN" in raw:
            raise RecursionError("BROKEN")
        return whole(raw, *more)

    monkeypatch.setattr(steps, "translate", failing)
    line.alias("item:RAKE", "RAKE-1")
    with capture_logs() as said:
        accounted = line.raw(received("BROKEN"))
    (letter,) = accounted.refusals
    assert (letter.code, letter.line_id) == ("bad_value", "message") and "RecursionError" in letter.message
    assert [(one["kind"], one["log_level"]) for one in said] == [("adapter_failed", "error")]
    assert "BROKEN" not in str(said) + letter.message, "what messages hold is in no log line"
    assert line.raw(received("RAKE", 2)).whole.refused() == {}


def test_a_source_without_settings_is_read_by_content(tmp_path: Path) -> None:
    accounted = Line(shared_of(tmp_path)).raw(received("RAKE"), source="other")
    assert accounted.whole.kind == "x12" and accounted.whole.lines


def test_an_account_that_is_not_whole_at_the_end_of_an_epoch_is_a_broken_invariant(line: Line) -> None:
    raw = Raw(
        "acme", Origin("inventory.raw.acme", 0, 9, 1, None, x12("850\nBEG*00*SA*P**20240110\nPO1*1*5*EA***VN*A\n")), {}
    )
    line.alias("item:A", "A")
    line.alias("channel:ACME", "ACME")
    [opened] = [said for _, said in open_message(line.shared, raw) if type(said) is Opened]
    assert line.accounts.on_batch([opened]) == ([], False)
    with pytest.raises(AssertionError, match="without an account"):
        line.accounts.snapshot()


def test_what_nobody_spoke_of_for_longer_than_any_window_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    fact = Fact("seen", "K", "1", "D", {"content": "C", "events": []}, (0,))
    step = MemoryStep(None)
    step.on_batch([steps.ToMemory("m", 0, "acme", fact)])
    today = steps.day_now()
    monkeypatch.setattr(steps, "day_now", lambda: today + 400)
    assert len(MemoryStep(step.snapshot())._known) == 1
    monkeypatch.setattr(steps, "day_now", lambda: today + 401)
    assert len(MemoryStep(step.snapshot())._known) == 0


# --- a whole order again ---------------------------------------------------------------------------------------------


def whole(order: str, *lines: tuple[str, int]) -> Fact:
    head = {"order_id": "SO-1", "channel": "web", "source": "shop", "occurred_at": f"{order}Z"}
    rows = [{"line_id": name, "item": f"I-{name}", "quantity": quantity} for name, quantity in lines]
    return Fact(
        "whole_order", "SO-1", order, f"order:SO-1:{order}", {"head": head, "lines": rows}, tuple(range(len(rows)))
    )


def test_a_line_that_could_not_be_read_at_first_is_placed_when_it_can() -> None:
    memory = Dictionary()
    memory.settle("shop", whole("2024-01-01T00:00:00", ("1", 5)))
    again = memory.settle("shop", whole("2024-01-01T00:00:00", ("1", 5), ("2", 7)))
    assert again.fates == [("ignored", "repeated", ""), ("event", "", "")]
    assert [[line["line_id"] for line in message.body["lines"]] for message in again.messages] == [["2"]]


def test_a_line_that_was_left_out_for_want_of_an_alias_is_reopened_when_it_can_be_read() -> None:
    memory = Dictionary()
    memory.settle("shop", whole("2024-01-01T00:00:00", ("1", 5), ("2", 7)))
    gone = memory.settle("shop", whole("2024-01-02T00:00:00", ("1", 5)))
    assert [message.body["type"] for message in gone.messages] == ["order_cancelled"]
    again = memory.settle("shop", whole("2024-01-02T00:00:00", ("1", 5), ("2", 7)))
    back, placed = (message.body for message in again.messages)
    assert (back["type"], placed["type"]) == ("order_reopened", "order_placed")
    # of one moment the greater id is the newer
    assert back["event_id"] > gone.messages[0].body["event_id"]


def test_the_same_order_with_another_quantity_is_a_conflict_of_that_line() -> None:
    memory = Dictionary()
    memory.settle("shop", whole("2024-01-01T00:00:00", ("1", 5), ("2", 7)))
    again = memory.settle("shop", whole("2024-01-01T00:00:00", ("1", 6), ("2", 7)))
    assert [fate for fate, _, _ in again.fates] == ["refused", "ignored"] and not again.messages


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_what_is_measured_is_served(tmp_path: Path) -> None:
    port = free_port()
    line = Line(shared_of(tmp_path, 'document_every = "12h"\n', **{"translator.metrics_port": port}))
    line.alias("location:DC1", "DC1")
    line.alias("uom:EA", "EA")
    accounted = line.raw(received("RAKE"))
    line.wait(accounted)
    line.shared.metrics.accounted("acme", accounted.whole, is_again=False)
    line.shared.metrics.accounted("acme", accounted.whole, is_again=True)
    endpoint = MetricsEndpoint(line.shared.settings, line.shared.metrics)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    finally:
        endpoint.close()
    for row in (
        'atp_translate_documents_total{kind="x12",source="acme"} 1.0',
        'atp_translate_again_documents_total{source="acme"} 1.0',
        'atp_translate_lines_total{fate="refused",source="acme"} 1.0',
        'atp_translate_lines_total{fate="event",source="acme"} 0.0',
        'atp_translate_refused_lines_total{code="unknown_alias",source="acme"} 1.0',
        'atp_translate_waiting_documents{source="acme"} 1.0',
        'atp_translate_document_last_timestamp_seconds{source="acme"} 1000.0',
        'atp_translate_document_every_seconds{source="acme"} 43200.0',
    ):
        assert row in text, text
