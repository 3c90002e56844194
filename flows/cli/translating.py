"""Commands about other systems' messages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Config, Json, Set, load, reporting


def translate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Documents as another system sends them.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what the files would become; Kafka is not asked.")],
    kind: Annotated[str | None, typer.Option(help="What they are, such as x12 (default: the content says it).")] = None,
    mapping: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="How they are read (see docs/connecting.md).")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Whose they are (default: the only one of [sources], if it is one).")
    ] = None,
    aliases: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Aliases as JSON Lines (default: their codes are ours).")
    ] = None,
    config: Config = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Show what documents of other systems become: events, statements, and what is ignored or refused, line by line."""
    if not dry_run:
        raise typer.BadParameter("translate reads files with --dry-run only")
    with reporting(is_view=True):
        loaded = load(config, settings=settings)
        from datetime import UTC, datetime

        from flows.adapters.translating import view
        from flows.adapters.translating.dry_run import Wishes, documents

        received_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        for document in documents(loaded, files, Wishes(source, kind, mapping, aliases)):
            if as_json:
                print(view.as_json(document, received_at))
            else:
                print("\n".join(view.as_text(document)))
