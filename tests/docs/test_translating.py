"""What docs/translating.md shows runs here as it stands: its settings, its alias, its commands in their order."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import Any

import pytest

from flows.settings import load_settings
from operators.adapters.alias_records import judge_alias
from tests.documents import x12
from tests.integration.test_translator import (
    LEVELS,
    PROCESS_SECONDS_MAX,
    RECEIVED,
    accounts,
    key_of,
    send_alias,
    send_raw,
)
from tests.running import Engine, until
from tests.snippets import blocks

pytestmark = pytest.mark.timeout(900)
PAGE = "docs/translating.md"


def test_the_settings_are_settings(tmp_path: Any) -> None:
    [snippet] = blocks(PAGE, "toml")
    (tmp_path / "atp.toml").write_text(snippet.text)
    settings = load_settings(tmp_path / "atp.toml", {})
    assert settings.raw_sources() == ["acme"]
    assert settings.sources["acme"].document_every == 12 * 3600 * 1_000_000


def test_the_alias_is_an_alias() -> None:
    [snippet] = blocks(PAGE, "alias")
    key, value = (line.split(maxsplit=1)[1] for line in snippet.text.strip().splitlines())
    said = json.loads(value)
    assert judge_alias(key.encode(), value.encode(), 1000) == (
        said["source"],
        said["kind"],
        said["theirs"],
        said["ours"],
    )


def test_the_commands_do_what_the_page_says(world: Any) -> None:
    [settings] = blocks(PAGE, "toml")
    world.config.write_text(settings.text)
    commands = [
        line.partition("#")[0].split() for block in blocks(PAGE, "sh") for line in block.text.strip().splitlines()
    ]
    assert commands.pop(0) == ["atp", "topics", "create"]
    assert run(world, "topics", "create").returncode == 0
    document, nowhere = x12(RECEIVED), x12(LEVELS.replace("INV-1*20240110", "INV-1*"))
    assert commands.pop(0) == ["atp", "translate"]
    with Engine(world, command="translate") as translator:
        send_raw(world, document)
        until(lambda: key_of(document) in accounts(world), 30, translator.text)
        assert translator.stop() == 0, translator.text()
    again = commands.pop(0)
    assert again == ["atp", "translate", "--until-caught-up"]
    for command in commands:
        send_raw(world, nowhere)
        if "--redo" in command:
            send_alias(world, "SHOVEL", "SPADE")
            world.flush()
        assert run(world, *again[1:]).returncode == 0
        assert run(world, *command[1:]).returncode == 0
        assert run(world, *again[1:]).returncode == 0
    back = [one for one in (record.json() for record in world.read("inventory.warehouse")) if one.get("reversal")]
    assert [one["item"] for one in back] == ["SHOVEL"]


def run(world: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        world.command(*arguments),
        env=world.env(),
        cwd=world.folder,
        capture_output=True,
        text=True,
        timeout=PROCESS_SECONDS_MAX,
        check=False,
    )
    assert ended.returncode == 0, f"{shlex.join(arguments)}: {ended.stderr}"
    return ended
