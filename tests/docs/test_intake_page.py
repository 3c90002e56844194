"""The page on intake is run as it stands, with real servers; its settings are settings."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.embedded import Servers
from flows.embedded.child import HOST, free_port
from flows.settings import load_settings
from tests.place import Place
from tests.snippets import blocks

PAGE = "docs/intake.md"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def place(servers: Servers, tmp_path: Path) -> Iterator[Place]:
    servers.revive()
    one = Place(servers, tmp_path)
    yield one
    one.tidy()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl, see tests/needs.txt")
def test_the_page_is_done_as_it_stands(place: Place) -> None:
    port = free_port()
    place.variables["ATP_RECEIVE__PORT"] = str(port)
    reader = place.reader("intake", **{"localhost:8480": f"{HOST}:{port}"})
    reader.shell(PAGE)
    assert (reader.folder / "in" / "done" / "stock.csv").read_text() == "item,quantity\nLAMP,1\n"


def test_the_settings_of_the_page_are_settings(tmp_path: Path) -> None:
    found = blocks(PAGE, "toml")
    assert len(found) == 2
    for number, snippet in enumerate(found):
        file = tmp_path / f"{number}.toml"
        file.write_text(snippet.text)
        sources = load_settings(file).sources
        assert any(source.receive or source.poll for source in sources.values())
