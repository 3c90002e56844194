"""`atp poll`: asks every source with [sources.<name>.poll], each in a thread of its own, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from flows.adapters.intake.checkpoints import Checkpoints
from flows.adapters.intake.counts import POLL, Counts
from flows.adapters.intake.poller import Poller
from flows.adapters.intake.raw import KafkaWatch, RawSender, RawTopics, wait_for_topics
from flows.kafka.topics import plan_of_raw
from flows.log import configure, get_log
from flows.runtime.stop_signals import StopSignals
from schemas.codes import near_match
from schemas.settings import Settings, SettingsError

log = get_log(__name__)

#: A page waits for Kafka so long; then it is asked for again.
SEND_SECONDS_MAX: Final = 30.0
#: How often the main thread looks whether all is done.
LOOK_S: Final = 0.2
#: A request on its way may still be answered when it is over.
END_SECONDS_MAX: Final = 10.0


def poll(settings: Settings, only: list[str], once: bool = False) -> int:
    """Do what `atp poll` says; the exit code. SettingsError where a source cannot be asked."""
    rules = {name: source.poll for name, source in settings.sources.items() if source.poll is not None}
    for name in only:
        if name not in rules:
            raise SettingsError(
                f"--source: expected a source with [sources.{name}.poll], got {name}{near_match(name, rules)}"
            )
    chosen = {name: each for name, each in rules.items() if not only or name in only}
    if not chosen:
        raise SettingsError("sources: expected at least one source with [sources.<name>.poll], got none to ask")
    plan_of_raw(settings, chosen)
    configure(settings, process="poll")
    # It says each request at the level that we use for what is worth reading; parameters may be secret.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    counts = Counts(POLL, chosen)
    signals = StopSignals()
    ended = threading.Event()
    sender = RawSender(settings, SEND_SECONDS_MAX)
    pollers: list[Poller] = []
    try:
        for name, each in chosen.items():
            kept = Checkpoints(settings.poll.dir, name)
            pollers.append(
                Poller(settings, name, each, kept, lambda all_: sender.send_all(all_, ended.is_set), ended.wait, counts)
            )
        counts.serve(settings, settings.poll.metrics_port)
        raw = RawTopics(settings, chosen)
        if once:
            raw.make()
        else:
            wait_for_topics(raw, signals.is_set, signals.wait)
        log.info(f"asking {', '.join(chosen)}", kind="asking")
        works = [partial(poller.run, once) for poller in pollers]
        return run_all(works, "poll", signals, ended, once, KafkaWatch(sender.probe, counts.kafka_is_up))
    finally:
        ended.set()
        sender.close()
        for poller in pollers:
            poller.close()
        signals.restore()


def run_all(
    works: Sequence[Callable[[], bool]],
    name: str,
    signals: StopSignals,
    ended: threading.Event,
    once: bool,
    watch: KafkaWatch | None = None,
) -> int:
    """Run each in its thread until a signal comes, all are through, or one broke; the exit code."""
    outcomes: list[bool | BaseException | None] = [None] * len(works)

    def work(place: int) -> None:
        try:
            outcomes[place] = works[place]()
        except KeyboardInterrupt:
            outcomes[place] = False
        except BaseException as error:  # raised again below, in the thread that ends the process
            outcomes[place] = error

    threads = [threading.Thread(target=work, args=(place,), name=f"{name}-{place}") for place in range(len(works))]
    for thread in threads:
        thread.start()
    while not signals.is_set() and any(thread.is_alive() for thread in threads):
        if any(isinstance(outcome, BaseException) for outcome in outcomes):
            break
        if watch is not None:
            watch.look()
        signals.wait(LOOK_S)
    ended.set()
    deadline = time.monotonic() + END_SECONDS_MAX
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    if signals.is_set():
        log.info(f"ended by {signals.name}", kind="ended")
        return 1 if once else 0
    return 0 if all(outcomes) else 1
