"""One worker process: reads what to run from its standard input, runs it to its end, watches its supervisor.

Exit codes: 0 ended as asked, 1 failed and may be started again, 3 failed in a way that a restart cannot cure, 4 a newer
run has taken over (the supervisor says so, once for all workers), 5 was to catch up and was ended before it had, 6 has
caught up and has written events because of statements, which are to be caught up with as well.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flows.kafka.clients import KafkaProblem
from flows.log import get_log
from flows.monitoring.clock_watch import ClockWatch, end_worker
from flows.monitoring.memory import MemoryWatch, share_of
from flows.monitoring.metrics import elapsed
from flows.monitoring.report import answer_on
from flows.processes.errand import Errand, UnknownErrand, read_errand
from flows.processes.noise import keep_trace, noise_file, set_apart
from flows.readmodel.port import Fenced
from flows.runtime.run import Stop
from flows.storage.facts import RESTORE, UMASK
from flows.storage.recovery_store import recovery_folder
from flows.storage.segments import SegmentError
from schemas.settings import Settings, SettingsError

if TYPE_CHECKING:
    from flows.dataflow.graph import Worker

log = get_log(__name__)

INCURABLE, FENCED, CUT_SHORT, GOES_ON = 3, 4, 5, 6
INCURABLE_HELP = "do what the sentence says, then start the engine: a restart alone does not help"
#: The writer's thread gets the interpreter within this; at the default 5 ms it would add that to every latency.
SWITCH_INTERVAL_S = 0.0005
#: What SQLite says of a file that is not, or no longer, a whole database.
SQLITE_DAMAGE = ("database disk image is malformed", "file is not a database")
#: From when on an end that was asked for counts as slow: before the supervisor ends it by force.
SLOW_END_S = 20.0


class LastWord:
    """Says once what this process dies of, whichever thread finds it first; the others wait for its end."""

    def __init__(self, settings: Settings, worker: int) -> None:
        self._settings, self._worker = settings, worker
        self._is_said = threading.Lock()

    def say(self, error: BaseException) -> int:
        """Log it and give the exit code; the first caller alone comes back, and has to end the process."""
        self._is_said.acquire()
        for cause in causes(error):
            if isinstance(cause, Fenced):
                return FENCED
            if isinstance(cause, (SegmentError, KafkaProblem)):
                log.error(str(cause), kind="incurable", next=INCURABLE_HELP)
                return INCURABLE
            if is_store_damage(cause):
                where = recovery_folder(self._settings.state.dir).absolute()
                log.error(f"the recovery store in {where} is damaged: {cause}", kind="incurable", next=RESTORE)
                return INCURABLE
        keep_trace(error)
        kept = noise_file(self._settings, self._worker).absolute()
        log.error(
            f"worker {self._worker} failed: {_in_a_line(error)}",
            kind="worker_failed",
            next="it is started again by itself; if it fails again and again, see what atp check says, and report it "
            f"with {kept}",
        )
        return 1

    def end(self, error: BaseException) -> None:
        """End the process where it stands, as safe as a kill: the dataflow may wait for input that never comes.

        Not through the dataflow either: what is raised in it Bytewax prints with its own stack.
        """
        leave(self.say(error))


def leave(code: int) -> NoReturn:
    """End the process, what was logged written.

    Not through the interpreter's own end: daemon threads inside librdkafka and Bytewax make that slow and noisy.
    """
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def execute(
    errand: Errand, stop_signals: bool = True, on_failure: Callable[[BaseException], None] | None = None
) -> int:
    """Run the dataflow of one worker to its end; gives the exit code.

    `on_failure`: told at once of what a thread of it died of.
    """
    from bytewax._bytewax import cli_main
    from bytewax.recovery import RecoveryConfig

    from flows.dataflow.graph import Worker

    run = errand.run
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # The publisher looks for cycles once an epoch, among what is new; Python's own timing paused for 0.2 s.
    gc.disable()
    worker = Worker(run)
    worker.stop.on_failure = on_failure
    if stop_signals:
        _stop_on_signals(worker.stop)
    if errand.report_descriptor >= 0:
        answer_on(socket.socket(fileno=errand.report_descriptor), lambda: worker_report(worker))
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
    except BaseException as error:
        failure = worker.failure()
        if failure is None:
            raise
        raise failure from error
    finally:
        worker.close()
    if not run.until_caught_up:
        return 0
    if worker.stop.is_set():
        return CUT_SHORT
    return GOES_ON if worker.publisher.has_written_events else 0


def worker_report(worker: Worker) -> dict[str, Any]:
    """Give what the supervisor wants to know: samples, what health is judged by, how far each partition is."""
    metrics = worker.metrics
    moment = time.monotonic()
    samples = metrics.report()
    return {
        "samples": samples,
        "state": {
            "held_shards": worker.publisher.held_shards(),
            "filling_shards": worker.publisher.filling_shards(),
            "from_scratch_shards": sum(value for *_, value in samples.get("atp_from_scratch_shards", ())),
            "redis_waits_s": elapsed(metrics.redis_waits_since, moment),
            "kafka_waits_s": elapsed(metrics.kafka_waits_since, moment),
            "epoch_age_s": None if metrics.epoch_at is None else moment - metrics.epoch_at[1],
            "epoch_ends_s": elapsed(metrics.commits_since, moment),
            "is_fenced": metrics.is_fenced,
        },
        "rows": {part: (row.position, row.clock) for part, row in worker.progress.rows().items()},
    }


def _stop_on_signals(stop: Stop) -> None:
    """Let a thread of its own wait for signals: Python's handlers would wait for the dataflow's next line of Python."""
    wanted = {signal.SIGTERM, signal.SIGINT}

    def wait() -> None:
        signal.sigwait(wanted)
        stop.set()
        while signal.sigtimedwait(wanted, SLOW_END_S) is not None:
            pass
        log.warning(
            f"the end was asked for {SLOW_END_S:.0f} s ago, and the worker still runs",
            kind="slow_end",
            threads=where_threads_are(),
            next="see whether Kafka and Redis answer: atp check; the supervisor ends it by force soon, nothing is lost",
        )

    threading.Thread(target=wait, name="signals", daemon=True).start()


def where_threads_are() -> dict[str, list[str]]:
    """Map each thread's name to the lines it stands at, the innermost last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return {
        names.get(ident, str(ident)): [
            f"{Path(line.filename).name}:{line.lineno} {line.name}" for line in traceback.extract_stack(frame)
        ]
        for ident, frame in sys._current_frames().items()
    }


def _die_with_supervisor() -> None:
    """End at once when standard input closes: an orphan would hold the state directory and write beside its heir."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()


def _errand() -> Errand | None:
    """Read what to run; None where the supervisor has ended before."""
    start = sys.stdin.buffer.read(1)
    if not start:
        return None
    # A line is not waited for where none comes: what is not JSON may have no end, and stays open.
    return read_errand(start + sys.stdin.buffer.readline() if start == b"{" else start)


def main() -> int:
    """Run one errand."""
    # Before any thread is made: all of them must leave these to the one that waits for them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    gc.disable()  # see `execute`; what is loaded here is never garbage either
    # All that it will need, while the supervisor finds out what to run: half a second of a restart.
    import flows.dataflow.graph  # noqa: F401
    from flows.log import configure

    try:
        errand = _errand()
    except UnknownErrand as error:
        configure(Settings())
        log.error(str(error), kind="incurable", next=INCURABLE_HELP)
        return INCURABLE
    except SettingsError as error:
        configure(Settings())
        log.error(str(error), kind="worker_failed", next="mend that; it is started again by itself")
        return 1
    if errand is None:
        return 1  # the supervisor has ended before
    os.umask(UMASK)
    set_apart(errand.run.settings, errand.run.worker)
    configure(errand.run.settings, worker=errand.run.worker, run=errand.run.token)
    _die_with_supervisor()
    # All workers have to end together, as if an operator had asked for it: the supervisor sees to that.
    supervisor = os.getppid()
    memory = MemoryWatch(share_of(errand.run.settings), lambda: os.kill(supervisor, signal.SIGTERM))
    memory.start()
    ClockWatch(end_worker).start()
    last_word = LastWord(errand.run.settings, errand.run.worker)
    try:
        code = execute(errand, on_failure=last_word.end)
    except BaseException as error:
        return last_word.say(error)
    if memory.has_ended_it:
        return INCURABLE
    return code


def causes(error: BaseException | None) -> list[BaseException]:
    """Give an error and what led to it: Bytewax wraps what steps raise."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def is_store_damage(error: BaseException) -> bool:
    """Does Bytewax say that its recovery store cannot be read? No restart helps."""
    from bytewax.recovery import InconsistentPartitionsError, MissingPartitionsError, NoPartitionsError

    kinds = (InconsistentPartitionsError, MissingPartitionsError, NoPartitionsError)
    return isinstance(error, kinds) or any(words in str(error) for words in SQLITE_DAMAGE)


def _in_a_line(error: BaseException) -> str:
    """Give what went wrong first and, where Bytewax says so, in which step."""
    found = causes(error)
    steps = [str(one).partition("): ")[2] for one in found if _is_of_bytewax(one)]
    own = [one for one in found if not _is_of_bytewax(one)] or [error]
    # What one of our parts died of is raised before all else; else it is at the end of Bytewax' chain.
    first = own[-1] if _is_of_bytewax(error) else error
    where = f" ({steps[0]})" if steps and steps[0] else ""
    return " ".join(f"{type(first).__name__}: {first}{where}".split())


def _is_of_bytewax(error: BaseException) -> bool:
    return str(error).startswith("(src/")


if __name__ == "__main__":
    leave(main())
