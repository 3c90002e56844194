"""Commands that tell other systems the numbers: push."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import Config, Kafka, Set, load, reporting

push_app = typer.Typer(no_args_is_help=True, help="Tell other systems the numbers.")


@push_app.command()
def shopify(
    source: Annotated[
        list[str] | None, typer.Option("--source", help="Tell this shop alone (repeatable; default: all that can be).")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when nothing is left to be set.")] = False,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
) -> None:
    """Set each shop's available quantities to what may be promised, until SIGTERM or Ctrl-C; never above it."""
    with reporting():
        loaded = load(config, kafka, settings=settings)
        from flows.adapters.push.run import push as run

        raise typer.Exit(run(loaded, source or [], once))
