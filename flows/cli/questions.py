"""Commands that answer questions about what is published: positions, orders, exceptions, sources."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.cli.options import MISUSED, Config, Json, Kafka, Redis, Set, as_text, complain, load, reporting

Watch = Annotated[bool, typer.Option("--watch", help="Go on, and show what changes; Ctrl-C ends it.")]
Item = Annotated[str | None, typer.Option(help="Only of this item.")]


def positions(
    item: Annotated[str, typer.Argument(help="The item's code.", parser=as_text)],
    watch: Watch = False,
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Show every quantity of an item at every location; of an unknown one, why nothing is published of it."""
    with reporting(is_view=True):
        loaded = load(config, kafka, redis, settings=settings)
        from flows.cli.question_output import show_positions

        raise typer.Exit(show_positions(loaded, item, watch, as_json))


def orders(
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID", help="The order's id.", parser=as_text)],
    watch: Watch = False,
    config: Config = None,
    redis: Redis = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Show an order's lines: what is wanted, given up, allocated, delivered and still claimed, and what said so."""
    with reporting(is_view=True):
        from flows.cli.order_output import show_order

        raise typer.Exit(show_order(load(config, redis=redis, settings=settings), order_id, watch, as_json))


def exceptions(
    code: Annotated[str | None, typer.Option(help="Only this code, such as oversold.")] = None,
    item: Item = None,
    location: Annotated[str | None, typer.Option(help="Only at this location; * for claims that name none.")] = None,
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    older: Annotated[str | None, typer.Option(metavar="AGE", help="Only those open for so long, such as 1h.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    watch: Watch = False,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """List what is wrong with numbers now, the longest open first."""
    from schemas.codes import near_match
    from schemas.outputs import EXCEPTION_CODES

    with reporting(is_view=True):
        if code is not None and code not in EXCEPTION_CODES:
            complain(
                f"--code: expected one of {', '.join(EXCEPTION_CODES)}, got {code!r}{near_match(code, EXCEPTION_CODES)}"
            )
            raise typer.Exit(MISUSED)
        from flows.cli.question_output import show_exceptions
        from flows.inspection.open_exceptions import Wanted

        wanted = Wanted(code, item, location, source, _seconds(older))
        raise typer.Exit(show_exceptions(load(config, kafka, settings=settings), wanted, limit, watch, as_json))


def sources(
    watch: Watch = False,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Show of each source when it was last heard, what of it was applied and refused, and its newest statements."""
    with reporting(is_view=True):
        from flows.cli.question_output import show_sources

        raise typer.Exit(show_sources(load(config, kafka, settings=settings), watch, as_json))


def _seconds(age: str | None) -> float:
    from schemas.codes import parse_duration

    if age is None:
        return 0.0
    try:
        return parse_duration(age) / 1e6
    except ValueError as error:
        complain(f"--older: {error}")
        raise typer.Exit(MISUSED) from None
