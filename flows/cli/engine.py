"""Commands that run an engine and look after it: run, topics, check, health, status, republish."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.cli.options import FAILED, Config, Json, Kafka, Redis, Set, StateDir, load, reporting

topics_app = typer.Typer(help="The topics that the engine reads and writes.", no_args_is_help=True)


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
    standby: Annotated[
        bool, typer.Option("--standby", help="Wait while another engine runs; take over when it is not heard of.")
    ] = False,
) -> None:
    """Run the engine until SIGTERM or Ctrl-C."""
    if standby and (until_caught_up or from_scratch):
        raise typer.BadParameter("--standby goes with neither --until-caught-up nor --from-scratch: leave one out")
    with reporting():
        loaded = load(config, kafka, redis, state_dir, settings, workers)
        from flows.processes import supervisor

        code = supervisor.run(
            loaded, until_caught_up=until_caught_up, wait=wait, from_scratch=from_scratch, standby=standby
        )
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
        from flows.inspection.check import examine
        from flows.inspection.finding import Finding

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


def health(
    config: Config = None,
    settings: Set = None,
    ready: Annotated[bool, typer.Option("--ready", help="Ask whether its numbers can be trusted now.")] = False,
    standby: Annotated[
        bool, typer.Option("--standby", help="As --ready, and well where it stands by and could take over.")
    ] = False,
) -> None:
    """Ask the engine on this machine whether it is alive: exit code 0, or 1 with the reasons."""
    with reporting(is_view=True):
        loaded = load(config, settings=settings)
        from flows.monitoring.endpoint import STANDBY
        from flows.monitoring.health_client import ask

        is_well, said = ask(loaded, f"/readyz?{STANDBY}" if standby else "/readyz" if ready else "/healthz")
        print(said)
        raise typer.Exit(0 if is_well else FAILED)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 2 s, until Ctrl-C.")] = False,
    config: Config = None,
    redis: Redis = None,
    state_dir: StateDir = None,
    settings: Set = None,
    as_json: Json = False,
) -> None:
    """Show how the engine is, on one screen: exit code 1 where none runs."""
    with reporting(is_view=True):
        from flows.cli.status_view import show

        loaded = load(config, redis=redis, state_dir=state_dir, settings=settings)
        raise typer.Exit(show(loaded, watch, as_json))


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
    with reporting():
        from flows.readmodel.requests import ask_to_republish

        loaded = load(config, redis=redis, settings=settings)
        ask_to_republish(loaded, item or "", channel or "")
        print("the engine has taken the request")
