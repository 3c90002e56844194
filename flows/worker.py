"""One worker process: reads what to run from its standard input, runs it to its end, watches its supervisor.

Exit codes: 0 ended as asked, 1 failed and may be started again, 3 failed in a way that a restart cannot cure.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import sys
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from flows.kafka import KafkaProblem
from flows.memory import MemoryWatch, share_of
from flows.metrics import Metrics
from flows.runtime import Run, Stop
from flows.segments import SegmentError
from flows.store import Fenced

log = logging.getLogger(__name__)

INCURABLE = 3
#: The writer's thread gets the interpreter within this; at the default 5 ms it would add that to every latency.
SWITCH_INTERVAL_S = 0.0005


#: A worker that was killed a moment ago may still hold its port.
PORT_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Errand:
    """What a supervisor tells a worker."""

    run: Run
    addresses: tuple[str, ...]


def recovery_folder(state: Path) -> Path:
    """Give where Bytewax keeps its snapshots."""
    return state / "recovery"


def execute(errand: Errand, stop_signals: bool = True) -> None:
    """Run the dataflow of one worker to its end."""
    from bytewax._bytewax import cli_main
    from bytewax.recovery import RecoveryConfig

    from flows.wiring import Worker

    run = errand.run
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # The publisher looks for cycles once an epoch, among what is new; Python's own timing paused for 0.2 s.
    gc.disable()
    worker = Worker(run)
    if stop_signals:
        _stop_on_signals(worker.stop)
    if run.settings.metrics.port:
        _serve_metrics(worker.metrics, run.settings.metrics.host, run.settings.metrics.port + run.worker)
    recovery = RecoveryConfig(  # type: ignore[no-untyped-call]  # Bytewax does not type it
        recovery_folder(run.settings.state.dir), timedelta(0)
    )
    is_cluster = len(errand.addresses) > 1
    try:
        cli_main(  # type: ignore[no-untyped-call]  # Bytewax does not type it
            worker.flow,
            workers_per_process=1,
            process_id=run.worker if is_cluster else None,
            addresses=list(errand.addresses) if is_cluster else None,
            epoch_interval=timedelta(microseconds=run.settings.state.epoch_interval),
            recovery_config=recovery,
        )
    finally:
        worker.close()


def _serve_metrics(metrics: Metrics, host: str, port: int) -> None:
    """Serve metrics; without them, loudly, where the port is taken: numbers are worth more than their counters."""
    deadline = time.monotonic() + PORT_WAIT_S
    while True:
        try:
            return metrics.serve(host, port)
        except OSError as error:
            if time.monotonic() > deadline:
                log.error("metrics.port: %s:%d cannot be used (%s): running without metrics", host, port, error)
                return None
            time.sleep(0.1)


def _stop_on_signals(stop: Stop) -> None:
    """Let a thread of its own wait for signals: Python's handlers would wait for the dataflow's next line of Python."""
    wanted = {signal.SIGTERM, signal.SIGINT}

    def wait() -> None:
        while True:
            signal.sigwait(wanted)
            stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _die_with_supervisor() -> None:
    """End at once when standard input closes: an orphan would hold the state directory and write beside its heir."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()


def main() -> int:
    """Run one errand."""
    # Before any thread is made: all of them must leave these to the one that waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    errand: Errand = pickle.load(sys.stdin.buffer)
    from flows.log import configure

    configure(errand.run.settings)
    _die_with_supervisor()
    # All workers have to end together, as if an operator had asked for it: the supervisor sees to that.
    supervisor = os.getppid()
    memory = MemoryWatch(share_of(errand.run.settings), lambda: os.kill(supervisor, signal.SIGTERM))
    memory.start()
    try:
        execute(errand)
    except BaseException as error:
        for cause in causes(error):
            if isinstance(cause, (Fenced, SegmentError, KafkaProblem)):
                log.error("%s", _sentence(cause))
                return INCURABLE
        log.error("worker %d failed: %s", errand.run.worker, error, exc_info=error)
        return 1
    return INCURABLE if memory.has_ended_it else 0


def causes(error: BaseException | None) -> list[BaseException]:
    """Give an error and what led to it: Bytewax wraps what steps raise."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _sentence(error: BaseException) -> str:
    if isinstance(error, Fenced):
        return f"a newer run of the engine has taken over ({error}): this one ends, nothing of it was written since"
    return str(error)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    # Not through the interpreter's own end: daemon threads inside librdkafka and Bytewax make that slow and noisy.
    os._exit(code)
