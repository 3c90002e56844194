"""Plays the day from the first server's start to the audit, and stops everything it started, whatever happens."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from rich.console import Console

from flows.audit.compare import SHOWN_MAX, Report, audit, percentile
from flows.demo import night, scenario, world
from flows.demo.cluster import Cluster
from flows.demo.engine import Engine, EngineError
from flows.demo.scenario import Delivery, Scenario
from flows.demo.shoppers import Shoppers
from flows.demo.tail import Tail
from flows.demo.view import Picture, View
from flows.embedded import KAFKA_ENV, REDIS_ENV, Servers
from flows.kafka import topics
from flows.kafka.clients import client_config
from flows.kafka.sending import Sender
from flows.readmodel.connecting import client
from flows.runtime.run import now
from flows.settings import load_settings
from schemas.settings import Settings

READY_SECONDS_MAX = 60.0
CATCH_UP_SECONDS_MAX = 120.0
DOWN_S = 1.5
FRAME_S = 0.1
HOT_ITEMS = tuple(world.item_code(number) for number in range(world.FLASH_COUNT + 9))
CONFIG = '[sources.shop-plugin]\nmay_send = ["order_placed"]\n[sources.erp]\nsettle = "0s"\n'


def play(seconds: int, seed: int, keep: bool, machines: int = 1) -> int:
    """Play the day in that many seconds, with the engine on so many machines; 0 if every number is right at its end."""
    console = Console(highlight=False)
    began = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(_ended_by_sigterm())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atp-demo-")))
        servers = stack.enter_context(
            Servers(folder / "servers", progress=lambda text: console.print(text, style="dim"))
        )
        name = f"demo-{uuid.uuid4().hex[:8]}"
        config = folder / "atp.toml"
        config.write_text(CONFIG)
        overrides: dict[str, object] = {
            "kafka.bootstrap_servers": servers.bootstrap_servers,
            "kafka.group": name,
            "redis.url": servers.redis_url,
            "redis.prefix": f"{name}:",
            "topics.prefix": f"{name}.",
            "state.dir": str(folder / "state"),
            "metrics.port": 0,
        }
        settings = load_settings(config, overrides)
        if KAFKA_ENV in os.environ or REDIS_ENV in os.environ:
            stack.callback(_clear, settings)  # not our servers: leave them as they were
        topics.create(settings)
        alone = machines == 1
        engine = Engine(overrides, folder, config) if alone else Cluster(overrides, folder, config, machines)
        stack.callback(engine.close)
        stage = _Stage(settings, engine, console, seconds, seed)
        stack.callback(stage.close)
        report = stage.play()
        is_explained = night.play(settings, lambda: engine.catch_up(CATCH_UP_SECONDS_MAX), console)
        _tell(console, report, stage, time.monotonic() - began)
        if keep:
            _keep(console, settings, folder / "state" if alone else None)
        return 0 if report.is_right and is_explained else 1


class _Stage:
    """The play itself: feeder, shoppers, tail and view around one engine."""

    def __init__(self, settings: Settings, engine: Engine | Cluster, console: Console, seconds: int, seed: int) -> None:
        self._settings, self._engine, self._console = settings, engine, console
        self._seconds, self._seed = seconds, seed
        self._store = client(settings, 10)
        self._sender, self._shop_sender = Sender(settings), Sender(settings)
        self._tail = Tail(settings)
        self._halt = threading.Event()
        self._feeder: threading.Thread | None = None
        self._problem = ""
        self._state = "starting"
        self.shoppers: Shoppers | None = None
        self.killed_ms = self.back_ms = 0

    def play(self) -> Report:
        """Open, play, close, audit."""
        say = self._console.print
        for topic, key, value in world.reference():
            self._sender.send(topic, key, value)
        self._sender.flush()
        say("Starting the engine ...", style="dim")
        self._engine.start()
        self._wait_ready()
        self._tail.start()
        self._perform()
        say("The day is over: stopping the engine, then letting it catch up ...", style="dim")
        self._engine.stop()
        ended = self._catch_up()
        say("Auditing: every number again, from the Kafka topics alone ...", style="dim")
        return audit(self._settings, world.MAY_SEND, ended, self.killed_ms, self.back_ms)

    def close(self) -> None:
        """Send everybody home."""
        self._halt.set()
        self._tail.halt()
        threads: list[threading.Thread | None] = [self._feeder, self.shoppers, self._tail]
        if self.shoppers is not None:
            self.shoppers.halt()
        for thread in threads:
            if thread is not None and thread.is_alive():
                thread.join(10)
        self._store.close()

    def _wait_ready(self) -> None:
        """The engine is up when every item has its first numbers, all of them 0."""
        key = f"{self._settings.redis.prefix}atp:{world.item_code(world.ITEM_COUNT - 1)}"
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not self._store.exists(key):
            self._engine.require()
            if time.monotonic() > deadline:
                raise EngineError(f"the engine published nothing within {READY_SECONDS_MAX:.0f} s: {self._engine.log}")
            time.sleep(0.05)

    def _perform(self) -> None:
        play = Scenario(self._seconds, self._seed, now())
        deliveries = play.deliveries()
        curtain_at = time.monotonic()
        span = self._seconds
        self.shoppers = shoppers = Shoppers(
            self._shop_sender, self._store, self._settings.redis.prefix, play.clock, curtain_at, self._seed
        )
        shoppers.span = (scenario.SALE_FROM * span, scenario.SALE_UNTIL * span)
        shoppers.start()
        self._feeder = threading.Thread(target=self._feed, args=(deliveries, curtain_at), name="feeder", daemon=True)
        self._feeder.start()
        cues = self._cues()
        self._state = "running"
        with View(self._console) as view:
            while True:
                at = time.monotonic() - curtain_at
                clock = world.text(play.clock.occurred(at))[11:16]
                while cues and at >= cues[0][0]:
                    _, sentence, act = cues.pop(0)
                    if act is not None:
                        act(view, clock)
                    if sentence:
                        view.say(clock, sentence)
                self._watch(view, clock)
                view.show(self._picture(at, clock))
                if at >= span and not self._feeder.is_alive() and not shoppers.is_alive():
                    break
                time.sleep(FRAME_S)
        self._sender.flush()
        self._shop_sender.flush()
        if shoppers.problem:
            raise EngineError(shoppers.problem)

    def _cues(self) -> list[tuple[float, str, Callable[[View, str], None] | None]]:
        share = self._seconds
        return [
            (0.0, f"{world.ITEM_COUNT} items are counted at 5 locations in 2 regions", None),
            (scenario.OPENED * share, "the shops open: 40 orders a second, some twice, some out of order", None),
            (scenario.SALE_FROM * share, "flash sale: shoppers trust Redis, and buy until it says 0", None),
            (scenario.RESTOCKED * share, "the flash items are restocked: the promises come back", None),
            (scenario.HELD * share, "a quality hold: twelve items go to quarantine, a lot is recalled", None),
            (scenario.GARBAGE * share, f"garbage arrives: {scenario.GARBAGE_COUNT} messages nobody can use", None),
            (scenario.KILLED * share, "", self._kill),
            (scenario.KILLED * share + DOWN_S, "", self._restart),
            (scenario.RELEASED * share, "the hold is released", None),
            (scenario.SALE_UNTIL * share, "the flash sale ends", None),
            (scenario.CLOSED * share, "the shops close; picks and shipments go on", None),
        ]

    def _kill(self, view: View, clock: str) -> None:
        self.killed_ms = now() // 1000
        count = self._engine.kill()
        self._state = "KILLED"
        words = self._engine.killed_words
        view.say(clock, f"kill -9 of {count} processes: {words}; events keep coming", "bold red")

    def _restart(self, view: View, clock: str) -> None:
        self._engine.start()
        self._state = "restarting"
        view.say(clock, self._engine.started_words, "bold yellow")

    def _watch(self, view: View, clock: str) -> None:
        if self._state != "KILLED":
            self._engine.require()
        for problem in (self._problem, self._tail.problem):
            if problem:
                raise EngineError(problem)
        if self._state == "restarting" and self._tail.last_update_ms > self.killed_ms + int(DOWN_S * 1000):
            self._state, self.back_ms = "running", self._tail.last_update_ms
            pause = (self.back_ms - self.killed_ms) / 1000
            view.say(clock, f"the engine is back: first new number {pause:.1f} s after the kill", "bold green")

    def _feed(self, deliveries: list[Delivery], curtain_at: float) -> None:
        try:
            for delivery in deliveries:
                ahead = delivery.at - (time.monotonic() - curtain_at)
                if ahead > 0.002:
                    self._sender.poll()
                    if self._halt.wait(ahead):
                        return
                self._sender.send(delivery.topic, delivery.key, delivery.value)
        except Exception as error:  # a thread has nobody to tell: the main loop asks
            self._problem = f"the script could not be sent: {error}"

    def _picture(self, at: float, clock: str) -> Picture:
        tail, shoppers = self._tail, self.shoppers
        pipeline = self._store.pipeline(transaction=False)
        channels = tuple(world.CHANNELS)
        for item in HOT_ITEMS:
            pipeline.hmget(f"{self._settings.redis.prefix}atp:{item}", *channels)
        rows: list[list[bytes | None]] = pipeline.execute()
        recent = sorted(tail.latencies.copy())
        sold = sum(shoppers.bought.values()) if shoppers else 0
        return Picture(
            at=at,
            seconds=self._seconds,
            clock=clock,
            engine=self._state,
            channels=channels,
            promises={
                item: tuple(value.decode() if value is not None else "" for value in row)
                for item, row in zip(HOT_ITEMS, rows, strict=True)
            },
            events=tail.events,
            duplicates=tail.duplicates,
            lanes=dict(tail.lanes),
            dropped=dict(tail.dropped),
            exceptions=dict(tail.exceptions),
            p50_ms=percentile(recent, 0.5),
            p99_ms=percentile(recent, 0.99),
            flash=f"{sold} sold, {shoppers.sent_away if shoppers else 0} sent away",
        )

    def _catch_up(self) -> int:
        """Let the engine publish everything; give the time its numbers are of. Not across midnight: days turn then."""
        while True:
            began = now()
            self._engine.catch_up(CATCH_UP_SECONDS_MAX)
            ended = now()
            if began // world.DAY == ended // world.DAY:
                return ended


def _tell(console: Console, report: Report, stage: _Stage, seconds: float) -> None:
    """The result, one line a fact."""
    say = console.print
    say()
    for name, tally in (
        ("promises", report.promises),
        ("position figures", report.positions),
        ("dead letters", report.dead_letters),
    ):
        good = tally.agree == tally.total and tally.total > 0
        say(f"{name}: {tally.agree:,} of {tally.total:,} agree", style="bold green" if good else "bold red")
        for line in tally.differences[:SHOWN_MAX]:
            say(f"    {line}", style="red")
        if len(tally.differences) > SHOWN_MAX:
            say(f"    ... and {len(tally.differences) - SHOWN_MAX} more", style="red")
    dropped = ", ".join(f"{code} {count}" for code, count in report.dropped.most_common())
    lanes = ", ".join(f"{lane} {count:,}" for lane, count in report.lanes.items())
    say(f"events: {report.events:,}; duplicates dropped: {report.duplicates:,}")
    say(f"kept as dead letters: {report.dropped.total():,} ({dropped})")
    say(f"updates published: {lanes}")
    say(
        f"latency: p50 {percentile(report.latencies, 0.5)} ms, p99 {percentile(report.latencies, 0.99)} ms "
        f"({len(report.latencies):,} urgent updates; from the event's append time in Kafka until Redis has confirmed "
        "the number it caused; without the outage)"
    )
    if stage.back_ms:
        say(
            f"kill -9: first new number {(stage.back_ms - stage.killed_ms) / 1000:.1f} s later (1.5 s of it until "
            f"somebody started it again); {len(report.outage_latencies):,} urgent updates had waited, nothing was lost"
        )
    shoppers = stage.shoppers
    if shoppers is not None:
        waits = sorted(round(wait * 1000) for wait in shoppers.waits)
        say(
            f"flash sale: {shoppers.orders} orders for {sum(shoppers.bought.values())} units, {shoppers.sent_away} "
            f"shoppers sent away; order sent until seen in Redis: p50 {percentile(waits, 0.5)} ms"
        )
    say(f"oversold units: {report.oversold}", style="bold green" if report.oversold == 0 else "bold red")
    verdict = "Every number is right." if report.is_right else "The audit found differences."
    say(f"{verdict} ({seconds:.0f} s)", style="bold green" if report.is_right else "bold red")


def _clear(settings: Settings) -> None:
    """Remove the demo's topics and keys; all of them begin with its own prefix."""
    with contextlib.suppress(KafkaException):
        admin = AdminClient(client_config(settings, log_level=0))
        for done in admin.delete_topics(list(topics.plan(settings)), operation_timeout=10).values():
            with contextlib.suppress(KafkaException):
                done.result(15)
    with contextlib.suppress(redis.RedisError):
        store = client(settings, 10)
        for key in store.scan_iter(f"{settings.redis.prefix}*", count=1000):
            store.unlink(key)
        store.close()


def _keep(console: Console, settings: Settings, state: Path | None) -> None:
    """Leave everything as it is until Ctrl-C; `state`: where it is, if all of it is in one place."""
    lines = [
        f"\nKept until Ctrl-C: Kafka {settings.kafka.bootstrap_servers}, Redis {settings.redis.url}",
        f"  atp get FLASH-1 --redis {settings.redis.url} --set redis.prefix={settings.redis.prefix}",
    ]
    if state is not None:
        lines.append(
            f"  atp run --kafka {settings.kafka.bootstrap_servers} --redis {settings.redis.url} --state-dir {state} "
            f"--set topics.prefix={settings.topics.prefix} --set redis.prefix={settings.redis.prefix}"
        )
    console.print("\n".join(lines), soft_wrap=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            signal.pause()


@contextlib.contextmanager
def _ended_by_sigterm() -> Any:
    """SIGTERM ends the demo as Ctrl-C does: with everything it started."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
