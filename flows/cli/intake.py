"""Commands that bring in what other systems send: receive, pick-up, poll."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Config, Kafka, Set, load, reporting, with_flags

Source = Annotated[str, typer.Option("--source", help="Whose files they are: the code of a source.")]
Once = Annotated[bool, typer.Option("--once", help="End when what is there has been sent.")]


def receive(
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    host: Annotated[str | None, typer.Option("--host", help="receive.host: the address that is listened on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="receive.port.")] = None,
) -> None:
    """Take what other systems send by HTTP (POST /SOURCE) until SIGTERM or Ctrl-C; answered when Kafka has it."""
    with reporting():
        flags: dict[str, object] = {"receive.host": host, "receive.port": port}
        loaded = load(config, kafka, settings=with_flags(settings, flags))
        from flows.adapters.intake.receive import receive as run

        raise typer.Exit(run(loaded))


def pick_up(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where others leave files.")],
    source: Source,
    once: Once = False,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
) -> None:
    """Send the files of a folder as they are finished, until SIGTERM or Ctrl-C; what Kafka has goes to FOLDER/done."""
    with reporting():
        loaded = load(config, kafka, settings=settings)
        from flows.adapters.intake.pick_up import pick_up as run

        raise typer.Exit(run(loaded, folder, source, once))


def poll(
    source: Annotated[
        list[str] | None, typer.Option("--source", help="Ask this source alone (repeatable; default: all that can be).")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after one round of each.")] = False,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
) -> None:
    """Ask other systems by HTTP, again and again, until SIGTERM or Ctrl-C; how far it is, is kept in poll.dir."""
    with reporting():
        loaded = load(config, kafka, settings=settings)
        from flows.adapters.intake.poll import poll as run

        raise typer.Exit(run(loaded, source or [], once))
