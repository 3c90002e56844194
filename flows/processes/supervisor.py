"""Runs the engine: one token a start, one process a worker, all of them started again when one dies.

Exit codes: 0 ended as asked, 1 failed while it ran, 2 a wrong configuration: a setting, a state directory that was
refused, or two engines on one Redis and prefix. Of those the one that a newer run has taken over from ends with 2: a
restart, by a service manager too, would throw the newer one out again. For the same reason it starts no workers again
where Redis holds a token above the last that it took itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing

from flows.letters.known_replay import KnownReplay
from flows.log import configure, get_log, is_json
from flows.monitoring.endpoint import Endpoint
from flows.monitoring.monitor import Member, Monitor
from flows.monitoring.report import ReportClient
from flows.monitoring.topic_watch import TopicWatch
from flows.processes.alive import Alive
from flows.processes.diary import Diary
from flows.processes.errand import Errand
from flows.processes.noise import after_death, keep_small
from flows.processes.parties import leads_here, party_of
from flows.processes.party import Awaited, Finished, StartError
from flows.processes.preparation import Preparation
from flows.processes.recruit import Recruit
from flows.processes.standby import Standby
from flows.processes.worker import CUT_SHORT, FENCED, GOES_ON, INCURABLE
from flows.readmodel.port import Fenced, StoreError
from flows.readmodel.store import Store
from flows.recovery.accepting import AcceptProblem, accept_now, take_request
from flows.remote.beginning import begin_with_newest, refuse_from_scratch
from flows.remote.copying import RemoteCopies
from flows.remote.objects import RemoteProblem
from flows.runtime.stop_signals import StopSignals
from flows.settings import redis_address
from flows.storage.facts import UMASK
from flows.storage.folder import Busy, StateFolder
from schemas.settings import Settings, SettingsError

log = get_log(__name__)

RESTART_PAUSES_S = (0.2, 1.0, 2.0, 5.0, 10.0)
#: A cluster that ran this long had recovered: the next death starts the pauses anew.
HEALTHY_AFTER_S = 60.0
#: Deaths in a row after which catching up is given up: a script waits for the answer.
CATCH_UP_TRIES = 5
WAIT_PAUSE_S = 1.0
#: Until it is looked again whether all machines are there.
AWAITED_PAUSE_S = 0.1
END_PATIENCE_S = 30.0
#: How often it is looked whether somebody left a request.
REQUESTS_EVERY_S = 0.5
#: How often it is looked whether the first epoch has ended.
FIRST_EPOCH_EVERY_S = 1.0
#: How often it is looked whether what libraries print takes too much room.
NOISE_EVERY_S = 30.0
#: The exit codes: failed while it ran, and what a restart does not cure.
FAILED, MISUSED = 1, 2
#: What runs one worker; its errand comes on the standard input.
WORKER = (sys.executable, "-m", "flows.processes.worker")


def run(
    settings: Settings,
    until_caught_up: bool = False,
    wait: bool = False,
    worker: Sequence[str] = WORKER,
    from_scratch: bool = False,
    standby: bool = False,
) -> int:
    """Run until SIGTERM or SIGINT, or until caught up; returns the exit code.

    `wait`: keep trying while Kafka or Redis is not there, instead of ending with a sentence. `worker`: the command of a
    worker process. `from_scratch`: begin without the state of the run that Redis or Kafka knows. `standby`: run only
    while no other engine does, and wait until then.
    """
    configure(settings)
    shared_umask = os.umask(UMASK)
    diary = Diary(settings)
    folder = StateFolder(settings)
    signals = StopSignals()
    monitor = Monitor(settings)
    endpoint = Endpoint(settings, monitor)
    alive = Alive(settings, monitor)
    code = FAILED
    try:
        diary.starts(until_caught_up, "")
        leads = leads_here(settings, standby)
        if from_scratch:
            refuse_from_scratch(settings)
        folder.open(from_scratch and leads)
        diary.starts(until_caught_up, folder.found())
        endpoint.start()
        waiting = Standby(settings, folder, signals, monitor) if standby else None
        while waiting is None or waiting.wait():
            one = _Supervisor(settings, folder, signals, monitor, alive, until_caught_up, wait, worker, diary)
            with closing(KnownReplay(settings)) as again:
                if settings.dead_letters.replay_known and not until_caught_up and leads:
                    again.start()
                code = one.run()
            if waiting is None or not one.is_followed:
                break
        else:
            code = 0
    except SettingsError as error:
        code = MISUSED
        diary.refuses(error)
    except (StartError, Busy, RemoteProblem) as error:
        diary.refuses(error)
    except Exception as error:
        diary.breaks(error)
    finally:
        endpoint.close()
        alive.close()
        monitor.close()
        signals.restore()
        folder.close()
        os.umask(shared_umask)
    diary.stopped(code, signals.name)
    return code


class _Supervisor:
    def __init__(
        self,
        settings: Settings,
        folder: StateFolder,
        signals: StopSignals,
        monitor: Monitor,
        alive: Alive,
        until_caught_up: bool,
        wait: bool,
        worker: Sequence[str],
        diary: Diary,
    ) -> None:
        self._diary = diary
        self._monitor = monitor
        self._alive = alive
        self._settings = settings
        self._folder = folder
        self._asked = signals
        self._until_caught_up = until_caught_up
        self._wait = wait
        self._worker = worker
        #: processes that wait for their errand
        self._recruits: list[Recruit] = []
        self._look_at = self._noise_at = 0.0
        #: the workers are to end and to be started again, for another topic in the place of one that they read
        self._is_anew = False
        self._topics = TopicWatch(settings, monitor.loses, monitor.confirms)
        self._preparation = Preparation(settings, folder, monitor, self._topics, until_caught_up)
        self._party = party_of(settings, folder, monitor, self._preparation, until_caught_up)
        self._copies = RemoteCopies(settings) if settings.state.remote is not None else None
        #: a newer run has taken over from this one
        self.is_followed = False
        #: when it is next looked whether the first epoch has ended; None: it has
        self._first_epoch_at: float | None = None

    def run(self) -> int:
        """Run clusters one after another until one ends well; gives the exit code."""
        code = FAILED
        try:
            code = self._run() if self._begin() else self._end()
            return code
        finally:
            self._party.close(code)
            self._topics.close()
            for recruit in self._recruits:
                recruit.dismiss()
            if self._copies is not None:
                self._copies.close(is_over=not self.is_followed)

    def _begin(self) -> bool:
        """Take up the newest state, wherever it is; False where the end was asked for before that was possible."""
        while not self._asked.is_set():
            try:
                begin_with_newest(self._settings, self._folder)
                return True
            except RemoteProblem as error:
                if not self._wait:
                    raise
                self._diary.begins()
                self._monitor.waits(str(error))
                log.warning(f"{error}; trying again", kind="start", next="it starts as soon as that is there")
                self._asked.wait(WAIT_PAUSE_S)
        return False

    def _run(self) -> int:
        deaths, has_run = 0, False
        # No more than can load side by side: whether so many can run at all is still to be found out.
        early = min(self._settings.workers, os.cpu_count() or 1)
        while not self._asked.is_set():
            self._recruit(early)
            try:
                errands = self._party.errands()
                self._first_epoch_at = 0.0 if self._folder.facts().is_first else None
            except Fenced:
                return self._taken_over()
            except Finished as end:
                return end.code
            except Awaited as error:  # who has to come is said where that is found out, once
                self._diary.begins()
                self._monitor.waits(str(error))
                self._asked.wait(AWAITED_PAUSE_S)
                self._is_anew = False
                continue
            except StartError as error:
                if not (self._wait or has_run):
                    raise
                self._diary.begins()
                self._monitor.waits(str(error))
                log.warning(f"{error}; trying again", kind="start", next="it starts as soon as that is there")
                self._asked.wait(WAIT_PAUSE_S)
                self._look_at_requests()
                self._is_anew = False  # it starts anew in any case
                continue
            self._diary.begins()
            if self._copies is not None:
                self._monitor.copies(self._copies)
                self._copies.start()
            started, has_run = time.monotonic(), True
            codes = self._cluster(errands)
            codes += self._party.ended(codes)
            self._look_at_first_epoch(is_over=True)
            is_anew, self._is_anew = self._is_anew and not self._asked.is_set(), False
            if GOES_ON in codes and set(codes) <= {0, GOES_ON} and not (is_anew or self._asked.is_set()):
                self._preparation.forget_ends()  # what was withheld and corrected is caught up with as well
                continue
            if all(code == 0 for code in codes) and not is_anew:
                if not (self._party.is_done() or self._asked.is_set()):
                    continue
                return self._end()
            if FENCED in codes:
                return self._taken_over()
            if INCURABLE in codes:
                return FAILED
            if self._asked.is_set():
                return self._end() or FAILED
            if is_anew:
                continue
            deaths = 1 if time.monotonic() - started > HEALTHY_AFTER_S else deaths + 1
            if self._until_caught_up and deaths >= CATCH_UP_TRIES:
                log.error(
                    f"the engine died {deaths} times while catching up: giving up",
                    kind="gave_up",
                    next="the lines above say why it died; atp check looks at everything it needs",
                )
                return FAILED
            # Who does not lead is ready for another run at once: the one that leads makes the pauses.
            pause = RESTART_PAUSES_S[min(deaths, len(RESTART_PAUSES_S)) - 1 if self._party.leads else 0]
            self._monitor.restarts()
            log.warning(
                f"a worker died (exit codes {codes}); starting again in {pause:.1f} s",
                kind="restart",
                next=after_death(self._settings, codes, self._party.first),
            )
            self._recruit(early)
            self._asked.wait(pause)
        return self._end()

    def _end(self) -> int:
        """Give the exit code of an end that was asked for, or of having caught up: not both."""
        if not (self._until_caught_up and self._asked.is_set()):
            return 0
        log.warning(
            "ended before it had caught up",
            kind="interrupted",
            next="nothing is lost: the same command goes on where this one ended",
        )
        return FAILED

    def _taken_over(self) -> int:
        """Say that a newer run holds the token, here and to that run; gives the exit code."""
        self.is_followed = True
        # What is turned away is counted where the newer run's operator looks, and these workers may have had nothing
        # to write.
        token = self._party.token()
        address, prefix = redis_address(self._settings.redis), self._settings.redis.prefix
        with contextlib.suppress(StoreError), closing(Store(address, prefix, token, "supervisor")) as store:
            store.write([], [])
        log.error(
            f"a newer run of the engine has taken over from run {token}: this one ends, nothing of it was written "
            "since",
            kind="fenced",
            next="find the other engine that uses this Redis and prefix, and stop one of the two; leave this one "
            "stopped",
        )
        return MISUSED

    def _recruit(self, count: int) -> None:
        """Start processes of the next cluster: they load what they need while it is found out what to run."""
        while len(self._recruits) < count:
            self._recruits.append(Recruit(self._worker, self._folder.lock_descriptor, is_json(self._settings)))

    def _cluster(self, errands: list[Errand]) -> list[int]:
        """Run one process an errand until they all end; when one fails the others are ended too."""
        for dead in [recruit for recruit in self._recruits if recruit.process.poll() is not None]:
            self._recruits.remove(dead)  # while it waited: one that cannot even load dies again, and is counted then
            dead.dismiss()
        self._recruit(len(errands))
        recruits, self._recruits = self._recruits, []
        children = [recruit.process for recruit in recruits]
        members: dict[int, Member] = {}
        run = errands[0].run
        try:
            for errand, recruit in zip(errands, recruits, strict=True):
                members[errand.run.worker] = Member(recruit.process.pid, ReportClient(recruit.told(errand)))
            self._monitor.begins(run.token, run.ends, members | self._party.members())
            if self._party.leads:
                self._alive.begins(run.token)
            if not self._until_caught_up:
                self._diary.awaits(self._monitor.ready)
            return self._watch(children)
        finally:
            self._diary.awaits(None)
            self._monitor.ends("the workers have ended and are started again, or the engine ends")
            for member in members.values():
                member.reports.close()
            for recruit in recruits:
                recruit.dismiss()

    def _watch(self, children: list[subprocess.Popen[bytes]]) -> list[int]:
        asked_at: float | None = None
        while True:
            codes = [child.poll() for child in children]
            if all(code is not None for code in codes):
                return [code for code in codes if code is not None]
            if self._alive.is_followed(self._party.token()):
                return [FENCED]  # a worker that waits for Kafka would not see it; to kill them is safe
            ended_elsewhere = self._party.verdict()
            if ended_elsewhere:
                return ended_elsewhere
            self._is_anew = self._is_anew or self._party.is_to_end()
            if any(code not in (None, 0, CUT_SHORT, GOES_ON) for code in codes):
                return [code if code is not None else 0 for code in codes] + [1]
            if self._asked.is_set():
                self._diary.stopping(self._asked.name)
            if self._asked.is_set() or self._is_anew:
                if asked_at is None:
                    asked_at = time.monotonic()
                    self._party.end(leaves=self._asked.is_set())
                    for child in children:
                        child.send_signal(signal.SIGTERM)
                elif time.monotonic() - asked_at > END_PATIENCE_S:
                    log.error(
                        f"workers did not end within {END_PATIENCE_S:.0f} s: ended by force",
                        kind="forced_end",
                        next="nothing is lost: the next start reads again from the last snapshot",
                    )
                    return [1]
                time.sleep(0.02)
            else:
                self._look_at_requests()
                self._look_at_first_epoch()
                self._look_at_noise()
                if self._until_caught_up and self._topics.lost:
                    return [INCURABLE]  # what is not there cannot be caught up with; which topic is said
                self._asked.wait(0.05)

    def _look_at_first_epoch(self, is_over: bool = False) -> None:
        """Note when the first epoch is kept: from then on a folder without it is a mistake."""
        if self._first_epoch_at is None or (time.monotonic() < self._first_epoch_at and not is_over):
            return
        self._first_epoch_at = time.monotonic() + FIRST_EPOCH_EVERY_S
        with contextlib.suppress(SettingsError, OSError):  # whatever is wrong is found, and said, at the next start
            self._folder.survey(is_thorough=False)
            if self._folder.epoch is not None:
                self._folder.note_first(False)
                self._first_epoch_at = None

    def _look_at_noise(self) -> None:
        if time.monotonic() >= self._noise_at:
            self._noise_at = time.monotonic() + NOISE_EVERY_S
            keep_small(self._settings)

    def _look_at_requests(self) -> None:
        """Accept a topic that somebody wants to go on with."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + REQUESTS_EVERY_S
        take_request(self._folder.path, self._accept)

    def _accept(self, topic: str) -> str:
        if not self._party.leads:
            raise AcceptProblem("this machine does not lead its cluster: say it on the first of cluster.machines")
        text, others = accept_now(self._settings, self._folder, topic)
        if others:
            return f"{text}; the engine starts its workers again when that is done for the others too: {others}"
        log.info(f"{text}; the workers are started again", kind="topic_accepted")
        self._preparation.forget_ends()
        self._is_anew = True
        return f"{text}; the engine starts its workers again"
