"""Commands that only look: which items there are, and how the engine is."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli import letters as commands
from flows.cli.letters import Config, Json, Redis, Set, StateDir


def add_to(app: typer.Typer) -> None:
    """Make these commands part of `atp`."""
    app.command("items")(items)
    app.command("status")(status)


def items(
    prefix: Annotated[str, typer.Argument(help="How their codes begin; without it, all of them.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    config: Config = None,
    redis: Redis = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """List the items that are published, in the order of their codes."""
    with commands._reporting(is_view=True):
        from flows.inspection.items import show

        raise typer.Exit(show(commands._load(config, redis=redis, settings=settings), prefix, limit, as_json))


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 2 s, until Ctrl-C.")] = False,
    config: Config = None,
    redis: Redis = None,
    state_dir: StateDir = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Show how the engine is, on one screen: exit code 1 where none runs."""
    with commands._reporting(is_view=True):
        from flows.cli.status_view import show

        loaded = commands._load(config, redis=redis, state_dir=state_dir, settings=settings)
        raise typer.Exit(show(loaded, watch, as_json))
