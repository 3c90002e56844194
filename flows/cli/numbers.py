"""Commands that read what is published: get, items, watch."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import Config, Json, Kafka, Redis, Set, as_text, load, reporting


def get(
    items: Annotated[
        list[str],
        typer.Argument(metavar="ITEM... | ITEM CHANNEL", help="Items, or one and a channel.", parser=as_text),
    ],
    channel: Annotated[str | None, typer.Option(help="Print this channel's numbers alone.")] = None,
    claims: Annotated[bool, typer.Option("--claims", help="List what order lines claim, oldest first.")] = False,
    config: Config = None,
    redis: Redis = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Read what may be promised of items, as a channel would."""
    with reporting(is_view=True):
        loaded = load(config, redis=redis, settings=settings)
        if claims:
            from flows.inspection.claims import show_claims

            raise typer.Exit(show_claims(loaded, items, channel, as_json))
        from flows.inspection.lookup import show

        raise typer.Exit(show(loaded, items, channel, as_json))


def items(
    prefix: Annotated[str, typer.Argument(help="How their codes begin; without it, all of them.", parser=as_text)] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    config: Config = None,
    redis: Redis = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """List the items that are published, in the order of their codes."""
    with reporting(is_view=True):
        from flows.inspection.items import show

        raise typer.Exit(show(load(config, redis=redis, settings=settings), prefix, limit, as_json))


def watch(
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    lane: Annotated[list[str] | None, typer.Option(help="Only this lane (repeatable).")] = None,
    item: Annotated[str | None, typer.Option(help="Only this item.")] = None,
    channel: Annotated[str | None, typer.Option(help="Only this channel.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after that many.")] = None,
    as_json: Json = False,
) -> None:
    """Follow what is published, live, by lane; Ctrl-C ends it."""
    from schemas.topics import LANES

    for name in lane or ():
        if name not in LANES:
            raise typer.BadParameter(f"--lane: expected one of {', '.join(LANES)}, got {name}")
    with reporting(is_view=True):
        loaded = load(config, kafka, settings=settings)
        from flows.inspection.follow import follow

        try:
            follow(loaded, tuple(lane or LANES), item, channel, limit, as_json)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None
