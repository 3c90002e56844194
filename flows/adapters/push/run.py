"""`atp push shopify`: a thread for each source with [sources.<name>.push], until SIGTERM or Ctrl-C."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from flows.adapters.intake.poll import run_all
from flows.adapters.push.chain import Chain
from flows.adapters.push.counts import PushCounts
from flows.adapters.push.promised import Promised
from flows.adapters.push.pusher import Pusher
from flows.adapters.push.reader import Reader, since
from flows.adapters.push.shop import Shop
from flows.kafka.clients import KafkaProblem
from flows.log import configure, get_log
from flows.runtime.stop_signals import StopSignals
from operators.adapters.order_gate import Orders
from operators.adapters.pushing import Book
from schemas.codes import near_match
from schemas.push_settings import SourcePushSettings
from schemas.settings import Settings, SettingsError

log = get_log(__name__)

#: Kafka is asked again after so long, while its topics are not there.
RETRY_S: Final = 2.0


def push(settings: Settings, only: list[str], once: bool = False) -> int:
    """Do what `atp push shopify` says; the exit code. SettingsError where a shop cannot be told."""
    rules = {name: source.push for name, source in settings.sources.items() if source.push is not None}
    for name in only:
        if name not in rules:
            raise SettingsError(
                f"--source: expected a source with [sources.{name}.push], got {name}{near_match(name, rules)}"
            )
    chosen = {name: each for name, each in rules.items() if not only or name in only}
    if not chosen:
        raise SettingsError("sources: expected at least one source with [sources.<name>.push], got none to tell")
    configure(settings, process="push")
    # It says each request at the level that we use for what is worth reading.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    shops = {name: Shop(name, each) for name, each in chosen.items()}
    counts = PushCounts(chosen)
    signals = StopSignals()
    ended = threading.Event()
    try:
        counts.serve(settings)
        log.info(f"telling {', '.join(chosen)}", kind="telling")
        works = [_work(settings, name, chosen[name], shop, counts, ended, once) for name, shop in shops.items()]
        return run_all(works, "push", signals, ended, once)
    finally:
        ended.set()
        for shop in shops.values():
            shop.close()
        signals.restore()


def _work(
    settings: Settings,
    source: str,
    rules: SourcePushSettings,
    shop: Shop,
    counts: PushCounts,
    ended: threading.Event,
    once: bool,
) -> Callable[[], bool]:
    def work() -> bool:
        book = Book(rules.locations)
        orders = Orders(since(rules.orders_back))
        is_told = False
        while True:
            try:
                reader = Reader(settings, source, book, orders)
                break
            except KafkaProblem as error:
                if once:
                    raise
                if not is_told:
                    is_told = True
                    log.error(f"{error}; trying on", kind="kafka_away", next="start Kafka, or see: atp check")
                if ended.wait(RETRY_S):
                    return False
        chain, promised = Chain(settings, source), Promised(settings)
        try:
            pusher = Pusher(source, rules, book, orders, shop, reader, chain, promised.numbers, counts, ended.wait)
            return pusher.run(once)
        finally:
            reader.close()
            chain.close()
            promised.close()

    return work
