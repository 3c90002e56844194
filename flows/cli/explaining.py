"""The commands that say why a number is what it is, and what moved it: explain, diff."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import FAILED, MISUSED, Config, Json, Kafka, Redis, Set, as_text, complain, load, reporting

if TYPE_CHECKING:
    from schemas.settings import Settings

Item = Annotated[str, typer.Argument(metavar="ITEM", help="The item.", parser=as_text)]
Channel = Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel whose number it is.", parser=as_text)]
Day = Annotated[str, typer.Option(help="A day of the horizon: 0 is today, 1 tomorrow; or a date, as 2026-11-30.")]

At = Annotated[str | None, typer.Option(metavar="TIME", help="As it was at this moment: 2026-03-01T02:00:00Z.")]
From = Annotated[str, typer.Option("--from", metavar="TIME", help="From which moment on: 2026-03-01T02:00:00Z.")]
To = Annotated[str, typer.Option("--to", metavar="TIME", help="Up to which moment.")]


def explain(
    item: Item,
    channel: Channel,
    day: Day = "0",
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    settings: Set = None,
    at: At = None,
    verifies: Annotated[
        bool, typer.Option("--verify", help="Compute it again from the events in Kafka too; 1 where that differs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say why a number is what it is, or was, as a tree whose terms add up to it."""
    with reporting(is_view=True):
        if verifies and at is not None:
            complain("--verify and --at: expected one of them, got both: what stands now is compared with the events")
            raise typer.Exit(MISUSED)
        loaded = load(config, kafka, redis, settings=settings)
        from flows.inspection.explained_view import day_of, moment_of, show
        from flows.inspection.explaining import explain as found
        from flows.inspection.trailed import NoTrail

        try:
            moment = None if at is None else moment_of(at, "at")
            said = found(loaded, item, channel, day_of(day, loaded.time_zone, moment), moment)
        except NoTrail as problem:
            raise typer.Exit(_untold(loaded, item, problem, as_json)) from None
        except ValueError as error:
            complain(str(error))
            raise typer.Exit(MISUSED) from None
        code = show(said, as_json)
        if verifies:
            from flows.cli.audit_output import show_verified

            code = max(code, show_verified(loaded, item, channel, 0, as_json))
        raise typer.Exit(code)


def diff(
    item: Item,
    channel: Channel,
    since: From,
    until: To,
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Say which events and which policy moved a number between two moments, and by how much each."""
    with reporting(is_view=True):
        loaded = load(config, kafka, redis, settings=settings)
        from flows.inspection.explained_view import moment_of, show_difference
        from flows.inspection.trailed import NoTrail, difference

        try:
            found = difference(loaded, item, channel, moment_of(since, "from"), moment_of(until, "to"))
        except NoTrail as problem:
            raise typer.Exit(_untold(loaded, item, problem, as_json)) from None
        except ValueError as error:
            complain(str(error))
            raise typer.Exit(MISUSED) from None
        raise typer.Exit(show_difference(found, as_json))


def _untold(settings: Settings, item: str, problem: Exception, as_json: bool) -> int:
    """Say that the trail does not tell it, and where the item is none that is published, what is known of it."""
    from flows.cli.question_output import say_standing
    from flows.inspection.lookup import hashes

    complain(str(problem))
    if not any(hashes(settings, [f"atp:{item}", f"position:{item}"])):
        say_standing(settings, item, as_json)
    return FAILED
