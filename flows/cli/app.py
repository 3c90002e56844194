"""The command line `atp`: reads flags, hands them to the module that does the work, turns what came of it into words.

Exit codes: 0 done, 1 failed while running, 2 wrong configuration or usage. What a command needs is imported inside it,
so that `--help` does not wait for Kafka's client.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli import letters as commands
from flows.errors import PlainError

if TYPE_CHECKING:
    from schemas.settings import Settings

FAILED, MISUSED = 1, 2
#: The modules of clients whose errors may come through as they are: named, so that none is loaded for this.
CLIENTS = {"cimpl": "Kafka", "redis": "Redis"}

app = typer.Typer(
    name="atp",
    help="Keeps available-to-promise right: events in, what each channel may still promise out.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
topics_app = typer.Typer(help="The topics that the engine reads and writes.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")

Config = Annotated[Path | None, typer.Option("--config", help="Settings file (default: ./atp.toml if it is there).")]
Kafka = Annotated[str | None, typer.Option("--kafka", help="kafka.bootstrap_servers, such as localhost:9092.")]
Redis = Annotated[str | None, typer.Option("--redis", help="redis.url, such as redis://localhost:6379/0.")]
StateDir = Annotated[str | None, typer.Option("--state-dir", help="state.dir: where the engine keeps its state.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as topics.prefix=test. (repeatable)."),
]
Json = Annotated[bool, typer.Option("--json", help="For a script: one JSON object a line.")]


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


@app.command()
def run(
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    state_dir: StateDir = None,
    settings: Set = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Worker processes.")] = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="Stop when what is in the topics now is published.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Keep trying while Kafka or Redis is not there.")] = False,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Begin anew although the state of an earlier run is not here.")
    ] = False,
) -> None:
    """Run the engine until SIGTERM or Ctrl-C."""
    with reporting():
        loaded = load(config, kafka, redis, state_dir, settings, workers)
        from flows.processes import supervisor

        code = supervisor.run(loaded, until_caught_up=until_caught_up, wait=wait, from_scratch=from_scratch)
        raise typer.Exit(code)


@topics_app.command("create")
def create_topics(config: Config = None, kafka: Kafka = None, settings: Set = None) -> None:
    """Make the topics that are missing; what exists is left as it is."""
    with reporting():
        loaded = load(config, kafka, settings=settings)
        from flows.kafka import topics

        made = topics.create(loaded)
        for name in made:
            print(f"created {name}")
        print(f"{len(made)} created, {len(topics.plan(loaded)) - len(made)} were there")


@topics_app.command("accept")
def accept_topic(
    topic: Annotated[str, typer.Argument(help="Such as inventory.orders.")],
    config: Config = None,
    kafka: Kafka = None,
    state_dir: StateDir = None,
    settings: Set = None,
) -> None:
    """Go on with an input topic that was deleted and made again: read it from its beginning, keep what is counted."""
    with reporting():
        loaded = load(config, kafka, state_dir=state_dir, settings=settings)
        from flows.recovery.accepting import accept

        print(accept(loaded, topic))


@app.command()
def check(
    config: Config = None,
    kafka: Kafka = None,
    redis: Redis = None,
    state_dir: StateDir = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Say whether configuration, Kafka, Redis and state fit together."""
    with reporting(is_view=True):
        loaded = load(config, kafka, redis, state_dir, settings)
        from flows.inspection.check import Finding, examine

        findings: list[Finding] = []
        for finding in examine(loaded):
            findings.append(finding)
            if not as_json:
                mark = "WRONG" if not finding.is_ok else "warn " if finding.is_warning else "ok   "
                remedy = f"\n        -> {finding.remedy}" if finding.remedy else ""
                print(f"{mark}  {finding.subject}: {finding.seen}{remedy}", flush=True)
        wrong = [finding for finding in findings if not finding.is_ok]
        if as_json:
            facts = {
                "ok": not wrong,
                "findings": [
                    {"subject": f.subject, "ok": f.is_ok, "warning": f.is_warning, "seen": f.seen, "remedy": f.remedy}
                    for f in findings
                ],
                "settings": loaded.shown(),
            }
            print(json.dumps(facts))
        raise typer.Exit(FAILED if wrong else 0)


@app.command()
def health(
    config: Config = None,
    settings: Set = None,
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether its numbers can be trusted now.")] = False,
) -> None:
    """Ask the engine on this machine whether it is alive: exit code 0, or 1 with the reasons."""
    with reporting(is_view=True):
        loaded = load(config, settings=settings)
        from flows.monitoring.health_client import ask

        is_well, said = ask(loaded, "/readyz" if ready else "/healthz")
        print(said)
        raise typer.Exit(0 if is_well else FAILED)


@app.command()
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


@app.command("load")
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


@app.command("import")
def import_(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="stock.csv, orders.jsonl, or KIND=FILE.")],
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When the numbers were true, such as 2025-01-31T06:00:00Z.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong.")] = False,
    source: Annotated[str, typer.Option(help="The source of the events.")] = "import",
    decimal: Annotated[
        str | None, typer.Option(metavar="MARK", help="What tables have before decimals: , or . (see docs/import.md).")
    ] = None,
    thousands: Annotated[
        str | None, typer.Option(metavar="MARK", help="What they have between thousands: . or , or space or none.")
    ] = None,
    problems: Annotated[int, typer.Option(min=0, help="Show at most so many problems; 0: all.")] = 100,
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


@app.command()
def get(
    items: Annotated[list[str], typer.Argument(metavar="ITEM... | ITEM CHANNEL", help="Items, or one and a channel.")],
    channel: Annotated[str | None, typer.Option(help="Print this channel's numbers alone.")] = None,
    config: Config = None,
    redis: Redis = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Read what may be promised of items, as a channel would."""
    with reporting(is_view=True):
        loaded = load(config, redis=redis, settings=settings)
        from flows.inspection.lookup import show

        raise typer.Exit(show(loaded, items, channel, as_json))


@app.command()
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


@app.command()
def demo(
    seconds: Annotated[int, typer.Option(min=20, max=600, help="How long the trading day takes.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed plays the same day.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Keep servers and data until Ctrl-C, to look around.")] = False,
) -> None:
    """Play a hard trading day on a real Kafka and Valkey, and check every number at its end."""
    with reporting():
        from flows.demo.run import play

        raise typer.Exit(play(seconds, seed, keep))


def load(
    config: Path | None = None,
    kafka: str | None = None,
    redis: str | None = None,
    state_dir: str | None = None,
    settings: list[str] | None = None,
    workers: int | None = None,
) -> Settings:
    """Read the settings: file, environment, then these flags; a flag of its own wins over --set."""
    from flows.settings import load_settings

    overrides: dict[str, object] = {}
    for pair in settings or ():
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"--set: expected NAME=VALUE such as workers=2, got {pair}")
        overrides[name.strip()] = value
    flags = {"kafka.bootstrap_servers": kafka, "redis.url": redis, "state.dir": state_dir, "workers": workers}
    overrides |= {name: value for name, value in flags.items() if value is not None}
    for name, given in overrides.items():
        if holds_password(name, str(given)):
            complain(
                f"{name} was given with a password on the command line, which everybody on this machine can read in "
                "its list of processes: name a file with it (redis.password_file, kafka.option_files), or set it in "
                "atp.toml or the environment"
            )
    return load_settings(config, overrides)


def holds_password(name: str, value: str) -> bool:
    """Does a setting's value hold a password? As far as its name or the form of an address tells."""
    if name.endswith(("password", "secret", "sasl.jaas.config", "ssl.key.pem")):
        return True
    return bool(re.search(r"(^|/)[^:/@,]*:[^@/,]+@|[?&]password=.", value))


@contextmanager
def reporting(is_view: bool = False) -> Iterator[None]:
    """Turn what went wrong into one sentence and the exit code that the contract gives it.

    A command that only shows something (`is_view`) has done its work when its reader wants no more; any other whose
    reader goes away was cut short, and fails.
    """
    from schemas.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        complain(str(error))
        raise typer.Exit(MISUSED) from None
    except KeyboardInterrupt:
        complain("interrupted")
        raise typer.Exit(FAILED) from None
    except BrokenPipeError:
        # `atp watch | head`: the reader has what it wanted. Python would complain once more at exit.
        sys.stdout = None
        raise typer.Exit(0 if is_view else FAILED) from None
    except PlainError as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None
    except Exception as error:
        # What a client raised and nobody put into words: no fault of ours, and no stack for people.
        client = CLIENTS.get(type(error).__module__.partition(".")[0])
        if client is None:
            raise
        complain(f"{client} cannot be used ({error}): atp check looks at it")
        raise typer.Exit(FAILED) from None


def complain(sentence: str) -> None:
    """Say what is wrong, where errors go."""
    print(f"atp: {sentence}", file=sys.stderr, flush=True)


commands.add_to(app, load, reporting)


def main() -> None:
    """Entry point of the `atp` command."""
    app(prog_name="atp")
