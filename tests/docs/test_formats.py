"""Each format has its page, and what a page says that a document becomes is what it becomes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from operators.adapters.kinds import KINDS, kind_of, read_mapping, translate
from operators.adapters.memory import Dictionary, resolve
from tests.conftest import ROOT
from tests.documents import context
from tests.snippets import blocks

FOLDER = ROOT / "docs" / "formats"
PAGES = sorted(FOLDER.glob("*.md"))
HEADS = ["What is read", "What it becomes", "What is ignored, and why", "What it cannot say"]
#: what a page's example needs to know beside its document
SAID: dict[str, dict[str, Any]] = {
    "d365": {"headers": {"received_at": "2024-01-10T12:00:00Z"}},
    "epcis": {"aliases": {("location", "urn:epc:id:sgln:4012345.00001.0"): "DC1"}},
    "shopify": {"channel": "web"},
}


def test_each_kind_has_its_page_and_the_overview_leads_there() -> None:
    linked = set(re.findall(r"\]\(formats/([a-z0-9-]+)\.md\)", (ROOT / "docs" / "connecting.md").read_text("utf-8")))
    assert {page.stem for page in PAGES} == set(KINDS) == linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_says_the_same_four_things(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    assert re.findall(r"^## (.*)$", text, re.M) == HEADS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_its_documents_become_what_it_says(page: Path) -> None:
    found = blocks(page.relative_to(ROOT).as_posix())
    documents = [block for block in found if block.language == "document"]
    events = [block for block in found if block.language == "events"]
    assert documents and len(documents) == len(events)
    mappings = [read_mapping(block.text)[1] for block in found if block.language == "mapping"]
    known = context(mapping=mappings[0] if mappings else None, **SAID.get(page.stem, {}))
    for document, said in zip(documents, events, strict=True):
        result = resolve(translate(document.text.encode(), known, KINDS[page.stem]), "acme", Dictionary())
        assert result.kind == page.stem
        if page.stem not in ("csv", "json"):  # of these nobody can tell by looking
            assert kind_of(document.text.encode(), {}) is KINDS[page.stem]
        assert result.bodies() == [json.loads(line) for line in said.text.splitlines()], document.line
