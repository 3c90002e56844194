"""Commands that send: generated traffic, and files of what other systems hold."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from flows.cli.options import Config, Decimal, Json, Kafka, Problems, Set, Thousands, load, reporting


def send_load(
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    rate: Annotated[int, typer.Option(min=0, help="Messages a second; 0: as fast as Kafka takes them.")] = 1000,
    events: Annotated[int | None, typer.Option(min=1, help="How many messages (default: 10 s of them).")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Or for how long, at --rate.")] = None,
    items: Annotated[int, typer.Option(min=1, max=10_000_000)] = 1000,
    locations: Annotated[int, typer.Option(min=1, max=1000)] = 5,
    channels: Annotated[int, typer.Option(min=1, max=1000)] = 4,
    seed: Annotated[
        int | None, typer.Option(help="The same seed sends the same traffic (default: another each time).")
    ] = None,
    zipf: Annotated[float, typer.Option(min=0.7, max=1.1, help="Exponent of the items' popularity.")] = 1.0,
    flash_sale: Annotated[str | None, typer.Option(metavar="ITEM", help="An item half of all orders want.")] = None,
    duplicates: Annotated[float, typer.Option(min=0, max=0.5, help="Share of messages sent twice.")] = 0.015,
    invalid: Annotated[float, typer.Option(min=0, max=0.5, help="Share of unusable messages.")] = 0.001,
    shuffled: Annotated[float, typer.Option(min=0, max=0.5, help="Share delivered out of order.")] = 0.02,
    reference: Annotated[
        bool, typer.Option("--reference/--no-reference", help="Send items, locations and channels first.")
    ] = True,
) -> None:
    """Send realistic traffic: orders that live and die, receipts, transfers, counts, and what goes wrong."""
    if events is not None and seconds is not None:
        raise typer.BadParameter("give --events or --seconds, not both")
    if seconds is not None and not rate:
        raise typer.BadParameter("--seconds needs a --rate above 0; without one, give --events")
    with reporting():
        loaded = load(config, kafka, settings=settings)
        from flows.traffic.profile import Profile
        from flows.traffic.sending import send

        # Not a fixed default: the same ids with other times, a minute later, would all be conflicts.
        chosen = seed if seed is not None else time.time_ns() % 1_000_000_007
        profile = Profile(
            events=events or int((seconds or 10.0) * (rate or 10_000)),
            items=items,
            locations=locations,
            channels=channels,
            seed=chosen,
            zipf=zipf,
            flash_sale=flash_sale,
            duplicates=duplicates,
            invalid=invalid,
            shuffled=shuffled,
        )
        report = send(loaded, profile, rate, reference)
        speed = report.events / report.seconds
        print(f"sent {report.events:,} events in {report.seconds:.1f} s ({speed:,.0f}/s), seed {chosen}")


def import_(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="stock.csv, orders.jsonl, or KIND=FILE.")],
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the numbers were true, such as 2025-01-31T06:00:00Z.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong.")] = False,
    source: Annotated[str, typer.Option(help="The source of the events.")] = "import",
    decimal: Decimal = None,
    thousands: Thousands = None,
    problems: Problems = 100,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the engine's verdict.")] = False,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Send opening stock, lots, open orders, expected receipts and reference data from CSV or JSON Lines files."""
    with reporting():
        loaded = load(config, kafka, settings=settings)
        from flows.adapters.files.run import Wishes, import_files

        wishes = Wishes(source, at, decimal, thousands, dry_run, problems, not no_wait, as_json)
        raise typer.Exit(import_files(loaded, files, wishes))
