"""Commands that compute published numbers a second time: verify, audit."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import MISUSED, Config, Json, Kafka, Redis, Set, as_text, complain, load, reporting

Rate = Annotated[int, typer.Option(min=0, help="Read at most so many messages of Kafka a second; 0: no limit.")]


def verify(
    item: Annotated[str, typer.Argument(help="The item's code.", parser=as_text)],
    channel: Annotated[str | None, typer.Argument(help="Show this channel's numbers alone.", parser=as_text)] = None,
    rate: Rate = 0,
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Compute an item's numbers again from the events in Kafka, field by field; 1 where one differs."""
    with reporting(is_view=True):
        loaded = load(config, kafka, redis, settings=settings)
        from flows.cli.audit_output import show_verified

        raise typer.Exit(show_verified(loaded, item, channel, rate, as_json))


def audit(
    sample: Annotated[int | None, typer.Option(min=1, help="So many items, taken at random (default: 1000).")] = None,
    all_items: Annotated[bool, typer.Option("--all", help="Every item: 10,000 at a time.")] = False,
    seed: Annotated[int | None, typer.Option(help="The same seed takes the same items.")] = None,
    rate: Rate = 0,
    workers: Annotated[int, typer.Option(min=0, help="Processes that compute; 0: one a processor.")] = 0,
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Compute many items again, beside the running engine; 1 where a number differs."""
    with reporting():
        if sample is not None and all_items:
            complain("--sample and --all: expected one of them, got both")
            raise typer.Exit(MISUSED)
        loaded = load(config, kafka, redis, settings=settings)
        from flows.cli.audit_output import show_audit

        count = None if all_items else sample or 1000
        raise typer.Exit(show_audit(loaded, count, seed, rate, workers, as_json))
