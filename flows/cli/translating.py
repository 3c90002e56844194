"""Commands about other systems' messages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import FAILED, Config, Json, Kafka, Set, StateDir, load, reporting


def translate(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE...]", help="With --dry-run: documents as a system sends them.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what files would become; Kafka is not asked.")
    ] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Try again what was refused or ignored, and only that.")
    ] = False,
    redo: Annotated[
        bool, typer.Option("--redo", help="Take back what lines had become, and translate them anew.")
    ] = False,
    code: Annotated[
        str | None, typer.Option(help="Of --replay and --redo: what was refused with this code, or ignored so.")
    ] = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="Stop when what is in the raw topics now is translated.")
    ] = False,
    kind: Annotated[str | None, typer.Option(help="What they are, such as x12 (default: the content says it).")] = None,
    mapping: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="How they are read (see docs/connecting.md).")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Whose they are (default: the only one in the settings, if it is one).")
    ] = None,
    aliases: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Aliases as JSON Lines (default: their codes are ours).")
    ] = None,
    config: Config = None,
    kafka: Kafka = None,
    state_dir: StateDir = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Turn what other systems send into events and statements, each line accounted for, until SIGTERM or Ctrl-C.

    With --dry-run: show what files would become, line by line.
    """
    _agree(files, dry_run, replay, redo, until_caught_up, code, kind or mapping or aliases)
    if not dry_run:
        with reporting():
            loaded = load(config, kafka, state_dir=state_dir, settings=settings)
            if replay or redo:
                from flows.adapters.translator.asking import ask_again

                print(ask_again(loaded, "redo" if redo else "replay", source, code))
                return
            from flows.adapters.translator.run import run

            raise typer.Exit(0 if run(loaded, until_caught_up) else FAILED)
    with reporting(is_view=True):
        loaded = load(config, kafka, state_dir=state_dir, settings=settings)
        from datetime import UTC, datetime

        from flows.adapters.translating import view
        from flows.adapters.translating.dry_run import Wishes, documents

        received_at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        for document in documents(loaded, files or [], Wishes(source, kind, mapping, aliases)):
            if as_json:
                print(view.as_json(document, received_at))
            else:
                print("\n".join(view.as_text(document)))


def _agree(
    files: list[Path] | None,
    dry_run: bool,
    replay: bool,
    redo: bool,
    until_caught_up: bool,
    code: str | None,
    of_files: object,
) -> None:
    """Complain about options that do not go together."""
    chosen = [name for name, is_on in (("--dry-run", dry_run), ("--replay", replay), ("--redo", redo)) if is_on]
    if len(chosen) > 1:
        raise typer.BadParameter(f"expected one of --dry-run, --replay and --redo, got {' and '.join(chosen)}")
    if dry_run and not files:
        raise typer.BadParameter("expected FILE... with --dry-run, got none")
    if not dry_run and (files or of_files):
        raise typer.BadParameter(
            "FILE..., --kind, --mapping and --aliases go with --dry-run: what is translated comes from "
            "inventory.raw.*, and sources.<name> says how it is read"
        )
    if code is not None and not (replay or redo):
        raise typer.BadParameter("--code goes with --replay or --redo")
    if until_caught_up and chosen:
        raise typer.BadParameter(f"--until-caught-up goes without {chosen[0]}")
