"""The page on the console: its settings are settings, its limits are those of the program, its pictures are small."""

from __future__ import annotations

import re
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

from flows.console import access
from flows.console.history import POINTS_MAX
from flows.console.tables import EXCEPTIONS_MAX, LETTERS_MAX
from flows.settings import load_settings
from schemas.console_settings import TOKEN_CHARACTERS_MIN
from tests.conftest import ROOT
from tests.console import Console
from tests.console_pictures import BYTES_MAX, FOLDER, IN_DARK, ON_PHONE, PAGES
from tests.running import until
from tests.snippets import blocks

PAGE = (ROOT / "docs" / "console.md").read_text("utf-8")


def test_the_command_serves_it_and_ends_well(world: Any) -> None:
    [block] = blocks("docs/console.md", "sh")
    assert block.text.split()[:2] == ["atp", "console"] and ":8490" in block.text
    assert world.settings().console.port == 8490
    with Console(world) as console:  # without topics, and without an engine
        with urllib.request.urlopen(console.url) as answer:
            text = answer.read().decode()
        assert "Are the numbers right?" in text and "no engine keeps them fresh" in text
        until(lambda: "run atp topics create" in urllib.request.urlopen(console.url).read().decode(), 60, console.text)
        assert console.stop() == 0, console.text()


def test_what_may_be_set_can_be_set(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x" * TOKEN_CHARACTERS_MIN)
    said = [block.text for block in blocks("docs/console.md", "toml")]
    assert len(said) == 2
    for block in said:
        text = block.replace("/run/secrets/console", str(secret))
        (tmp_path / "atp.toml").write_text(text)
        settings = load_settings(tmp_path / "atp.toml")
        for name, value in tomllib.loads(text)["console"].items():
            given = getattr(settings.console, name)
            assert (list(given) if isinstance(given, tuple) else str(given)) == value


def test_the_limits_are_those_of_the_program() -> None:
    for number, words in (
        (POINTS_MAX, "{:,} updates"),
        (LETTERS_MAX, "{:,} dead letters"),
        (EXCEPTIONS_MAX, "{:,} exceptions"),
        (TOKEN_CHARACTERS_MIN, "at least {} characters"),
        (access.SESSION_S // 3600, "after {} hours"),
    ):
        assert words.format(number) in PAGE.replace("\n", " ")
    assert access.WRONG_MAX == 10 and access.WRONG_S == 60


def test_each_picture_is_there_and_small_and_of_every_page() -> None:
    shown = set(re.findall(r"\(console/([\w-]+\.png)\)", PAGE))
    there = {path.name: path.stat().st_size for path in FOLDER.glob("*.png")}
    wanted = {*PAGES, *(f"{name}-dark" for name in IN_DARK), *(f"{name}-phone" for name in ON_PHONE)}
    assert shown <= there.keys() == {f"{name}.png" for name in wanted}
    assert all(size <= BYTES_MAX for size in there.values()), there
