"""The command line `atp`: reads flags, hands them to the room that does the work, turns what came of it into words.

What a command needs is imported inside it, so that `--help` does not wait for Kafka's client.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.cli import (
    auditing,
    console,
    engine,
    explaining,
    feed,
    intake,
    letters,
    numbers,
    pushing,
    questions,
    reconciling,
    translating,
)
from flows.cli.options import MISUSED, complain, reporting

app = typer.Typer(
    name="atp",
    help="Keeps available-to-promise right: events in, what each channel may still promise out.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"atp-engine {version('atp-engine')}")
        raise typer.Exit(0)


@app.callback()
def every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is, and end.")
    ] = False,
) -> None:
    """Keeps available-to-promise right: events in, what each channel may still promise out."""


def schema(
    name: Annotated[str | None, typer.Argument(help="One shape; without it, all of them.")] = None,
) -> None:
    """Print the JSON Schema of every event, reference record, output and setting."""
    from schemas.codes import near_match
    from schemas.outputs import all_schemas

    schemas = all_schemas()
    with reporting(is_view=True):
        if name is None:
            print(json.dumps(schemas, indent=2))
        elif name in schemas:
            print(json.dumps(schemas[name], indent=2))
        else:
            complain(f"no shape is called {name}{near_match(name, schemas)}; there are: {', '.join(schemas)}")
            raise typer.Exit(MISUSED)


def demo(
    seconds: Annotated[int, typer.Option(min=20, max=600, help="How long the trading day takes.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed plays the same day.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Keep servers and data until Ctrl-C, to look around.")] = False,
    machines: Annotated[
        int,
        typer.Option(
            min=1, max=9, help="On how many machines the engine runs; one of several is lost in the middle of the day."
        ),
    ] = 1,
) -> None:
    """Play a hard trading day on a real Kafka and Valkey, and check every number at its end."""
    with reporting():
        from flows.demo.run import play

        raise typer.Exit(play(seconds, seed, keep, machines))


def _gather() -> None:
    """Make all commands part of `atp`, in the order in which `--help` names them."""
    app.command()(engine.run)
    app.command()(engine.check)
    app.command()(engine.health)
    app.command()(schema)
    app.command("load")(feed.send_load)
    app.command("import")(feed.import_)
    app.command()(intake.receive)
    app.command("pick-up")(intake.pick_up)
    app.command()(intake.poll)
    app.command()(translating.translate)
    app.command()(numbers.get)
    app.command()(numbers.watch)
    app.command()(demo)
    app.command()(engine.republish)
    app.command()(numbers.items)
    app.command()(explaining.explain)
    app.command()(explaining.diff)
    app.command()(engine.status)
    app.command()(questions.positions)
    app.command()(questions.orders)
    app.command()(questions.exceptions)
    app.command()(questions.sources)
    app.command()(auditing.verify)
    app.command()(auditing.audit)
    app.command()(console.console)
    app.command()(reconciling.reconcile)
    app.command()(reconciling.statements)
    app.command()(reconciling.state)
    app.add_typer(engine.topics_app, name="topics")
    app.add_typer(letters.letters_app, name="dead-letters")
    app.add_typer(pushing.push_app, name="push")
    app.add_typer(reconciling.variances_app, name="variances")


_gather()


def main() -> None:
    """Entry point of the `atp` command."""
    app(prog_name="atp")
