"""Each thing that was refused has a remedy of its own, and it is the same sentence wherever somebody looks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flows.monitoring.metrics import Metrics
from flows.publishing import notices
from schemas.codes import REFUSAL_CODES
from schemas.remedies import REMEDIES
from schemas.units import Origin, Refusal
from tests.conftest import ROOT


def test_every_code_has_a_sentence_of_its_own() -> None:
    assert tuple(REMEDIES) == REFUSAL_CODES
    assert len(set(REMEDIES.values())) == len(REFUSAL_CODES)


def test_the_runbook_has_the_same_sentences() -> None:
    page = (ROOT / "docs" / "runbook.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", page, re.M))
    assert {code: rows.get(code) for code in REFUSAL_CODES} == REMEDIES


@pytest.mark.parametrize("code", REFUSAL_CODES)
def test_the_log_says_what_would_do_about_this_very_code(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(notices.log, "warning", lambda _, **fields: said.append(fields), raising=False)
    origin = Origin("inventory.orders", 2, 17, 0, b"key", b"{}")
    notices.Notices(Metrics(), shows_payload=False).refused(Refusal(origin, code, "got 4711", None, "wms", "x"))
    assert [line["next"] for line in said] == [REMEDIES[code]]
