"""The command that serves the console: console."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import Config, Kafka, Redis, Set, load, reporting, with_flags


def console(
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    settings: Set = None,
    host: Annotated[str | None, typer.Option("--host", help="console.host: the address that is listened on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="console.port.")] = None,
) -> None:
    """Show numbers, exceptions, dead letters and differences in a browser, until SIGTERM or Ctrl-C."""
    with reporting():
        flags: dict[str, object] = {"console.host": host, "console.port": port}
        loaded = load(config, kafka, redis, settings=with_flags(settings, flags))
        from flows.console.serve import serve

        raise typer.Exit(serve(loaded))
