"""Commands that look after a running engine: dead letters, and saying again what stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from flows.dead_letters import DeadLetter, Wanted
    from schemas.settings import Settings

FAILED = 1

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (default: ./atp.toml if it is there).")]
Kafka = Annotated[str | None, typer.Option("--kafka", help="kafka.bootstrap_servers, such as localhost:9092.")]
Redis = Annotated[str | None, typer.Option("--redis", help="redis.url, such as redis://localhost:6379/0.")]
StateDir = Annotated[str | None, typer.Option("--state-dir", help="state.dir: where the engine keeps its state.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as topics.prefix=test. (repeatable)."),
]
Json = Annotated[bool, typer.Option("--json", help="For a script: JSON.")]
Names = Annotated[list[str] | None, typer.Argument(help="Names as `list` gives them, such as 3:17.")]
Code = Annotated[str | None, typer.Option(help="Only this code, such as unknown_item.")]
Item = Annotated[str | None, typer.Option(help="Only what names this item.")]
Since = Annotated[str | None, typer.Option(help="Only what was written since: 2h, or 2026-03-01T00:00:00Z.")]

letters_app = typer.Typer(
    help="What could not be used: look at it, and send it again after a fix.", no_args_is_help=True
)

Load = Callable[..., "Settings"]
Reporting = Callable[..., AbstractContextManager[None]]
_load: Load
_reporting: Reporting


def add_to(app: typer.Typer, load: Load, reporting: Reporting) -> None:
    """Make these commands part of `atp`, with its way to read settings and to report errors."""
    global _load, _reporting
    _load, _reporting = load, reporting
    app.add_typer(letters_app, name="dead-letters")
    app.command("republish")(republish)
    from flows import looking  # which takes its options from here

    looking.add_to(app)


@letters_app.command("list")
def list_letters(
    code: Code = None,
    item: Item = None,
    since: Since = None,
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """List what could not be used, oldest first."""
    with _reporting():
        wanted = _wanted(None, code, item, since)
        found = [letter for letter in _read(config, kafka, settings) if wanted.has(letter)]
        if as_json:
            # The bytes of a message once: a thousand lines of one order would be as many copies of it.
            print(json.dumps([_facts(letter, letter.is_light) for letter in found], indent=2))
            return
        for letter in found:
            topic, partition, offset = letter.origin
            line = f" line {letter.line_id}" if letter.line_id is not None else ""
            tried = f" (tried {letter.attempts} times)" if letter.attempts > 1 else ""
            print(f"{letter.name:<8} {letter.code:<20} {topic}/{partition}/{offset}{line}{tried}  {letter.message}")
        print(f"{len(found)} dead letters")


@letters_app.command("show")
def show_letter(
    name: Annotated[str, typer.Argument(help="Its name as `list` gives it, such as 3:17.")],
    config: Config = None,
    kafka: Kafka = None,
    settings: Set = None,
) -> None:
    """Show one of them whole: all that is known of it, and its original bytes."""
    with _reporting():
        wanted = _wanted([name], None, None, None)
        for letter in _read(config, kafka, settings):
            if wanted.has(letter):
                print(json.dumps(_facts(letter), indent=2))
                return
        typer.echo(f"atp: there is no dead letter {name}; `atp dead-letters list` names them", err=True)
        raise typer.Exit(FAILED)


@letters_app.command("replay")
def replay_letters(
    names: Names = None,
    code: Code = None,
    item: Item = None,
    since: Since = None,
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
    if not (names or code or item or since or everything):
        raise typer.BadParameter("say which: names, --code, --item, --since, or --all")
    with _reporting():
        from flows.replaying import judge, now_us, send

        wanted = _wanted(names, code, item, since)
        loaded = _load(config, kafka, settings=settings)
        from flows.dead_letters import read

        letters = read(loaded)
        missing = wanted.names - {letter.name for letter in letters}
        fates = judge(loaded, letters, wanted, accept_late, now_us())
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


def republish(
    item: Annotated[str | None, typer.Option(help="One item.")] = None,
    channel: Annotated[str | None, typer.Option(help="One channel.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that stands.")] = False,
    config: Config = None,
    redis: Redis = None,
    settings: Set = None,
) -> None:
    """Have the running engine publish again what stands, to Redis and Kafka."""
    if not (item or channel or everything):
        raise typer.BadParameter("say what: --item, --channel, both, or --all")
    with _reporting():
        from flows.requests import ask_to_republish

        loaded = _load(config, redis=redis, settings=settings)
        ask_to_republish(loaded, item or "", channel or "")
        print("the engine has taken the request")


def _read(config: Path | None, kafka: str | None, settings: list[str] | None) -> list[DeadLetter]:
    loaded = _load(config, kafka, settings=settings)
    from flows.dead_letters import read

    return read(loaded)


def _wanted(names: list[str] | None, code: str | None, item: str | None, since: str | None) -> Wanted:
    from flows.dead_letters import Wanted
    from schemas.codes import REFUSAL_CODES, near_match

    if code is not None and code not in REFUSAL_CODES:
        expected = ", ".join(REFUSAL_CODES)
        raise typer.BadParameter(f"--code: expected one of {expected}, got {code}{near_match(code, REFUSAL_CODES)}")
    return Wanted(frozenset(names or ()), code, item, _moment_ms(since) if since is not None else 0)


def _moment_ms(since: str) -> int:
    from flows.runtime import now
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


def _facts(letter: DeadLetter, is_brief: bool = False) -> dict[str, Any]:
    """Give what is known of a letter; briefly: without the bytes, which another letter of the message has."""
    from datetime import UTC, datetime

    topic, partition, offset = letter.origin
    return {
        "name": letter.name,
        "written_at": datetime.fromtimestamp(letter.written_ms / 1000, UTC).isoformat(),
        "code": letter.code,
        "message": letter.message,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "line_id": letter.line_id,
        "attempts": letter.attempts,
        "key": None if letter.key is None else letter.key.decode("utf-8", "backslashreplace"),
        "value": None if is_brief or letter.value is None else letter.value.decode("utf-8", "backslashreplace"),
    }
