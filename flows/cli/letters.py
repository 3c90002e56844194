"""Commands about messages that could not be used: list, summary, show, replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import FAILED, Config, Json, Kafka, Set, load, reporting

if TYPE_CHECKING:
    from flows.letters.reading import Wanted


Names = Annotated[list[str] | None, typer.Argument(help="Names as `list` gives them, such as 3:17.")]
Code = Annotated[str | None, typer.Option(help="Only this code, such as unknown_item.")]
Item = Annotated[str | None, typer.Option(help="Only what names this item.")]
Source = Annotated[str | None, typer.Option(help="Only what this source sent.")]
Since = Annotated[str | None, typer.Option(help="Only what was written since: 2h, or 2026-03-01T00:00:00Z.")]

letters_app = typer.Typer(
    help="What could not be used: look at it, and send it again after a fix.", no_args_is_help=True
)


@letters_app.command("list")
def list_letters(
    code: Code = None,
    item: Item = None,
    since: Since = None,
    source: Source = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only what nobody sent again.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="Instead of the newest first.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes, until Ctrl-C.")] = False,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """List what could not be used, newest first (--oldest-first turns it round)."""
    with reporting(is_view=True):
        from flows.cli import letter_output

        loaded = load(config, kafka, settings=settings)
        wanted = _wanted(None, code, item, since, source)
        if follow:
            if limit is not None or oldest_first or only_open:
                raise typer.BadParameter("--follow goes without --limit, --oldest-first and --open")
            letter_output.follow_list(loaded, wanted, as_json)
        else:
            letter_output.print_list(loaded, wanted, limit, oldest_first, only_open, as_json)


@letters_app.command("summary")
def sum_up(
    code: Code = None,
    item: Item = None,
    since: Since = None,
    source: Source = None,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Count what could not be used by code and source: how much is open and how old, and what could go again now."""
    with reporting(is_view=True):
        from flows.cli import letter_output

        loaded = load(config, kafka, settings=settings)
        letter_output.print_summary(loaded, _wanted(None, code, item, since, source), as_json)


@letters_app.command("show")
def show_letter(
    name: Annotated[str, typer.Argument(help="Its name as `list` gives it, such as 3:17.")],
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Show one of them whole: what is known of it, what would do, its bytes; of a conflict the event that stands."""
    with reporting(is_view=True):
        from flows.cli import letter_output

        loaded = load(config, kafka, settings=settings)
        if not letter_output.print_letter(loaded, name, as_json):
            typer.echo(f"atp: there is no dead letter {name}; `atp dead-letters list` names them", err=True)
            raise typer.Exit(FAILED)


@letters_app.command("replay")
def replay_letters(
    names: Names = None,
    code: Code = None,
    item: Item = None,
    since: Since = None,
    source: Source = None,
    known: Annotated[
        bool, typer.Option("--known", help="Only what is open and named what was unknown then, and is known now.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    accept_late: Annotated[
        bool, typer.Option("--accept-late", help="Count also what is late by now, where it is proved new.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
) -> None:
    """Send them again: same id, bytes, key and event time. What was applied already is a duplicate."""
    if not (names or code or item or since or source or known or everything):
        raise typer.BadParameter("say which: names, --known, --code, --item, --source, --since, or --all")
    with reporting():
        from msgspec.structs import replace

        from flows.letters.reading import read
        from flows.letters.replaying import decide, now_us, send
        from flows.letters.states import states_of, worth_sending

        wanted = _wanted(names, code, item, since, source)
        loaded = load(config, kafka, settings=settings)
        letters = read(loaded)
        missing = wanted.names - {letter.name for letter in letters}
        if known:
            worth = worth_sending(loaded, letters, states_of(loaded, letters))
            chosen = frozenset(letter.name for letter in worth if wanted.has(letter))
            wanted = replace(wanted, names=chosen or frozenset({"none"}))
        fates = decide(loaded, letters, wanted, accept_late, now_us())
        for fate in fates:
            accepted = f" (late, accepted: {len(fate.late_accepted)} units)" if fate.late_accepted else ""
            word = "refused " if fate.refusal else "would go" if dry_run else "sent    "
            why = f": {fate.refusal}" if fate.refusal else f", attempt {fate.attempts}{accepted}"
            print(f"{word} {fate.letter.name} {fate.letter.code}{why}")
        for name in sorted(missing):
            print(f"refused  {name}: there is no such dead letter")
        if not dry_run:
            send(loaded, fates)
        refused = sum(bool(fate.refusal) for fate in fates) + len(missing)
        print(f"{len(fates) + len(missing) - refused} {'would be ' if dry_run else ''}sent, {refused} refused")
        raise typer.Exit(FAILED if refused else 0)


def _wanted(
    names: list[str] | None, code: str | None, item: str | None, since: str | None, source: str | None
) -> Wanted:
    from flows.letters.reading import Wanted
    from schemas.codes import REFUSAL_CODES, near_match

    if code is not None and code not in REFUSAL_CODES:
        expected = ", ".join(REFUSAL_CODES)
        raise typer.BadParameter(f"--code: expected one of {expected}, got {code}{near_match(code, REFUSAL_CODES)}")
    return Wanted(frozenset(names or ()), code, item, _moment_ms(since) if since is not None else 0, source)


def _moment_ms(since: str) -> int:
    from flows.runtime.run import now
    from schemas.codes import parse_duration, parse_time

    try:
        return (now() - parse_duration(since)) // 1000
    except ValueError:
        pass
    try:
        return parse_time(since) // 1000
    except ValueError:
        expected = "a duration (2h) or a time (2026-03-01T00:00:00Z)"
        raise typer.BadParameter(f"--since: expected {expected}, got {since}") from None
