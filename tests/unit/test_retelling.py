"""A raw message that is read again: what was refused is tried, what was said is taken back, no line counts twice."""

from __future__ import annotations

from typing import Any

import pytest

from operators.adapters.account import Translation
from operators.adapters.context import Context
from operators.adapters.kinds import translate
from operators.adapters.memory import Dictionary, resolve
from operators.adapters.retelling import (
    REDO,
    REPLAY,
    Became,
    Retold,
    became_of,
    first_told,
    pack_became,
    refused_lines,
    retell,
    settle_kept,
    unpack_became,
)
from tests.documents import check, context, fates, x12

RECEIVED = x12("""944
W17*F*20240115*WR-5*TR-1*SHIP-1
N1*WH*North*92*DC1
W07*40*EA**VN*SHOVEL
W07*6*EA**VN*RAKE
W07*0*EA**VN*HOE
""")
ORDER = x12("""850
BEG*00*SA*PO-1**20240110
PO1*1*5*EA***VN*SHOVEL
PO1*2*7*EA***VN*RAKE
""")
LEVELS = x12("""846
BIA*08*SI*INV-1*20240110
DTM*007*20240110*0600*UT
N1*WH*North*92*DC1
LIN*1*VN*SHOVEL
QTY*17*100*EA
LIN*2*VN*RAKE
QTY*17*7*EA
""")
ADJUSTED = x12("""947
W15*20240110*ADJ-1
N1*WH*North*92*DC1
W19*AU*-5*EA**VN*SHOVEL
""")


def known(**aliases: str) -> Context:
    return context({("item", theirs): ours for theirs, ours in aliases.items()}, alias_modes={"item": "only"})


SHOVEL, BOTH, ALL = (
    known(SHOVEL="SPADE"),
    known(SHOVEL="SPADE", RAKE="RAKE-1"),
    known(SHOVEL="SPADE", RAKE="RAKE-1", HOE="HOE-1"),
)


class Reader:
    """Reads messages as the dataflow does, one after the other with one memory."""

    def __init__(self) -> None:
        self.memory = Dictionary()
        self.letters: list[tuple[str, str]] = []

    def first(self, raw: bytes, how: Context) -> Became:
        return self._end(first_told(translate(raw, how)), how, None)

    def again(self, raw: bytes, how: Context, before: Became, does: str, code: str | None = None) -> Became:
        return self._end(retell(translate(raw, how), before, does, code), how, before)

    def _end(self, retold: Retold, how: Context, before: Became | None) -> Became:
        whole = settle_kept(resolve(retold.translation, how.source, self.memory), retold)
        check(Translation(whole.kind, whole.documents, whole.lines, whole.output))
        self.fates = fates(whole)
        self.output: list[dict[str, Any]] = retold.reversals + [
            message.body for message in whole.output[len(retold.standing) :]
        ]
        self.letters = [(code, place) for place, code, _ in refused_lines(whole, retold, before)]
        became = unpack_became(pack_became(became_of(whole, retold)))
        assert became is not None
        return became


# --- replay ----------------------------------------------------------------------------------------------------------


def test_a_replay_tries_what_was_refused_and_says_nothing_else() -> None:
    reader = Reader()
    before = reader.first(RECEIVED, SHOVEL)
    assert reader.fates == ["event", "unknown_alias", "unknown_alias"]
    now = reader.again(RECEIVED, BOTH, before, REPLAY)
    assert reader.fates == ["event", "event", "unknown_alias"]
    assert [body["item"] for body in reader.output] == ["RAKE-1"]
    assert [line.fate for line in now.lines] == ["event", "event", "refused"]


def test_what_is_refused_as_before_has_its_letter_already() -> None:
    reader = Reader()
    before = reader.first(RECEIVED, SHOVEL)
    assert len(reader.letters) == 2
    reader.again(RECEIVED, SHOVEL, before, REPLAY)
    assert reader.letters == []


def test_a_replay_of_one_code_leaves_the_others_alone() -> None:
    reader = Reader()
    before = reader.first(RECEIVED, SHOVEL)
    reader.again(RECEIVED, ALL, before, REPLAY, "bad_value")
    assert reader.fates == ["event", "unknown_alias", "unknown_alias"] and not reader.output


def test_a_replay_after_a_replay_finds_nothing_more_to_do() -> None:
    reader = Reader()
    before = reader.first(RECEIVED, SHOVEL)
    now = reader.again(RECEIVED, BOTH, before, REPLAY)
    reader.again(RECEIVED, BOTH, now, REPLAY)
    assert not reader.output


def test_a_line_of_an_order_is_placed_later_beside_those_that_were() -> None:
    reader = Reader()
    before = reader.first(ORDER, SHOVEL)
    reader.again(ORDER, BOTH, before, REPLAY)
    assert reader.fates == ["event", "event"]
    assert [line["item"] for body in reader.output for line in body["lines"]] == ["RAKE-1"]


def test_a_statement_that_was_sent_stays_as_it_is_for_it_said_how_many_rows_it_has() -> None:
    reader = Reader()
    before = reader.first(LEVELS, SHOVEL)
    assert [body["type"] for body in reader.output] == ["statement_started", "stock_stated", "statement_ended"]
    reader.again(LEVELS, BOTH, before, REPLAY)
    assert reader.fates == ["statement", "unknown_alias"] and not reader.output


def test_a_statement_of_which_nothing_was_sent_is_sent_whole() -> None:
    reader = Reader()
    before = reader.first(LEVELS, known())
    reader.again(LEVELS, BOTH, before, REPLAY)
    assert reader.fates == ["statement", "statement"] and len(reader.output) == 4


def test_what_could_not_be_divided_is_tried_line_by_line() -> None:
    reader = Reader()
    before = reader.first(b"rubbish", ALL)
    assert reader.fates == ["bad_value"]
    reader.again(RECEIVED, BOTH, before, REPLAY)
    assert reader.fates == ["event", "event", "unknown_alias"]


# --- redo ------------------------------------------------------------------------------------------------------------


def test_a_redo_takes_back_what_a_line_became_and_tells_it_anew() -> None:
    reader = Reader()
    before = reader.first(RECEIVED, SHOVEL)
    [old] = reader.output
    reader.again(RECEIVED, known(SHOVEL="SHOVEL-2"), before, REDO)
    back, new = reader.output
    assert back == {**old, "event_id": f"{old['event_id']}:undo:1", "reversal": True}
    assert new == {**old, "event_id": f"{old['event_id']}:redo:1", "item": "SHOVEL-2"}


def test_a_redo_of_a_redo_takes_back_what_that_one_said() -> None:
    reader = Reader()
    before = reader.first(RECEIVED, SHOVEL)
    now = reader.again(RECEIVED, known(SHOVEL="SHOVEL-2"), before, REDO)
    told = reader.output[1]
    reader.again(RECEIVED, known(SHOVEL="SHOVEL-3"), now, REDO)
    back, new = reader.output
    assert back == {**told, "event_id": f"{told['event_id']}:undo:2", "reversal": True}
    assert new["item"] == "SHOVEL-3" and new["event_id"].endswith(":redo:2")


def test_a_line_that_becomes_the_same_again_is_left_alone() -> None:
    reader = Reader()
    before = reader.first(RECEIVED, SHOVEL)
    reader.again(RECEIVED, SHOVEL, before, REDO)
    assert not reader.output and reader.fates == ["event", "unknown_alias", "unknown_alias"] and not reader.letters


def test_a_redo_refuses_a_line_that_became_what_has_no_reversal_and_it_stands() -> None:
    reader = Reader()
    before = reader.first(ADJUSTED, SHOVEL)
    now = reader.again(ADJUSTED, known(SHOVEL="SHOVEL-2"), before, REDO)
    assert not reader.output
    assert [code for code, _ in reader.letters] == ["conflict"]
    assert [line.fate for line in now.lines] == ["event"]
    assert [body["item"] for body, _ in now.output] == ["SPADE"]


def test_a_redo_refuses_a_line_that_a_memory_spoke_for() -> None:
    reader = Reader()
    before = reader.first(ORDER, BOTH)
    reader.again(ORDER, known(SHOVEL="SHOVEL-2", RAKE="RAKE-1"), before, REDO)
    assert not reader.output and {code for code, _ in reader.letters} == {"conflict"}


def test_a_line_that_an_earlier_message_said_is_not_told_anew() -> None:
    reader = Reader()
    reader.first(ORDER, BOTH)
    before = reader.first(ORDER, BOTH)
    assert reader.fates == ["repeated", "repeated"]
    reader.again(ORDER, known(SHOVEL="SHOVEL-2", RAKE="RAKE-2"), before, REDO)
    assert not reader.output and {code for code, _ in reader.letters} == {"conflict"}


def test_a_statement_is_not_redone() -> None:
    reader = Reader()
    before = reader.first(LEVELS, BOTH)
    reader.again(LEVELS, known(SHOVEL="SHOVEL-2", RAKE="RAKE-1"), before, REDO)
    assert not reader.output and reader.fates == ["statement", "statement"]


def test_a_redo_tries_refused_lines_too() -> None:
    reader = Reader()
    before = reader.first(RECEIVED, SHOVEL)
    reader.again(RECEIVED, BOTH, before, REDO)
    assert reader.fates == ["event", "event", "unknown_alias"]
    assert [body["item"] for body in reader.output] == ["RAKE-1"]


# --- what is stored --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [b"", b"no base64!", b"eJw=", b"AAAA"])
def test_an_account_that_cannot_be_read_is_none(raw: bytes) -> None:
    assert unpack_became(raw) is None


def test_an_account_is_small_beside_its_message() -> None:
    lines = "\n".join(f"W07*{number}*EA**VN*SHOVEL" for number in range(1, 1001))
    raw = x12(f"944\nW17*F*20240115*WR-5*TR-1*SHIP-1\nN1*WH*North*92*DC1\n{lines}\n")
    reader = Reader()
    became = reader.first(raw, SHOVEL)
    assert len(became.lines) == 1000
    assert len(pack_became(became)) < 2 * len(raw)
