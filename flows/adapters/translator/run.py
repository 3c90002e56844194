"""One run of the translator: from its lock to its end.

A single process: whoever started it starts it again when it dies (systemd, a container's restart policy). Whatever it
was doing then is done again under the same ids.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from confluent_kafka import Consumer

from flows.adapters.translator.folder import TranslatorFolder
from flows.adapters.translator.graph import build
from flows.adapters.translator.metrics import MetricsEndpoint, TranslatorMetrics
from flows.adapters.translator.shared import Shared
from flows.adapters.translator.source import parts_there
from flows.errors import PlainError
from flows.kafka.clients import consumer_config, partitions_of
from flows.log import configure, get_log
from flows.runtime.run import Stop
from flows.storage.facts import UMASK
from schemas.settings import Settings, SettingsError
from schemas.topics import DEAD_LETTERS, INPUTS, RAW, STATEMENTS, TRANSLATION

log = get_log(__name__)

_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


def run(settings: Settings, until_caught_up: bool = False) -> bool:
    """Translate until SIGTERM or SIGINT; says whether all was done that was to be.

    SettingsError or another PlainError if it cannot start, PlainError if it cannot go on.
    """
    # Before any thread is made: all of them leave these to the one that waits for them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    configure(settings)
    os.umask(UMASK)
    shared = Shared(settings, TranslatorMetrics(settings), until_caught_up)
    for source in settings.raw_sources():
        shared.reader(source)  # what is wrong with its settings is said now
    _look(settings, shared)
    folder = TranslatorFolder(settings)
    goes_on = folder.open()
    endpoint = MetricsEndpoint(settings, shared.metrics)
    log.info(
        f"translating {settings.topic(RAW)}.* {'from where it was' if goes_on else 'from the beginning'}",
        kind="starting",
        sources=sorted(shared.unread),
        state=str(folder.path),
    )
    try:
        with _stopping(shared.stop):
            _execute(shared, folder)
    finally:
        endpoint.close()
        folder.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    is_done = not (until_caught_up and shared.stop.is_set())
    log.info("all is translated" if until_caught_up and is_done else "stopped", kind="stopped")
    return is_done


def _look(settings: Settings, shared: Shared) -> None:
    """See that the topics are there, and which sources send."""
    counts = partitions_of(settings, (*INPUTS, STATEMENTS, DEAD_LETTERS, *TRANSLATION))
    aliases = settings.topic(TRANSLATION[0])
    if counts[aliases] != 1:
        raise SettingsError(
            f"topic {aliases}: expected one partition (aliases are ordered by offset), got {counts[aliases]}: delete "
            "it, then run `atp topics create`"
        )
    consumer = Consumer(consumer_config(settings, log_level=0))
    try:
        parts = parts_there(settings, consumer)
    finally:
        consumer.close()
    shared.unread.update(topic.removeprefix(settings.topic(f"{RAW}.")) for topic, _ in parts)
    if not parts:
        # Some step has to say that aliases are read.
        shared.unread.update(settings.raw_sources())


def _execute(shared: Shared, folder: TranslatorFolder) -> None:
    from bytewax._bytewax import cli_main
    from bytewax.recovery import RecoveryConfig

    flow = build(shared)
    # What is loaded by now is never garbage; looked through each time with what messages leave, all of it stands still
    # for some 50 ms. Not switched off as in a worker: a refusal that is raised and kept is a cycle.
    gc.collect()
    gc.freeze()
    try:
        cli_main(  # type: ignore[no-untyped-call]  # Bytewax does not type it
            flow,
            workers_per_process=1,
            process_id=None,
            addresses=None,
            epoch_interval=timedelta(microseconds=shared.settings.state.epoch_interval),
            recovery_config=RecoveryConfig(  # type: ignore[no-untyped-call]  # Bytewax does not type it
                folder.store, timedelta(0)
            ),
        )
    except BaseException as error:
        plain = _plain(error)
        if plain is None:
            raise
        raise plain from error


def _plain(error: BaseException | None) -> PlainError | SettingsError | None:
    """Find the sentence in what Bytewax wraps what steps raise in."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, (PlainError, SettingsError)):
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def _stopping(stop: Stop) -> Iterator[None]:
    """Let a thread of its own wait for signals: Python's handlers would wait for the dataflow's next line of Python."""

    def wait() -> None:
        number = signal.sigwait(_SIGNALS)
        log.info(f"{signal.Signals(number).name}: ending when what was read is written", kind="stopping")
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    yield
