"""Finds out what the next run of workers is to do: that none newer has taken over, its token, its inputs and state."""

from __future__ import annotations

from contextlib import closing

from flows.kafka.clients import KafkaProblem, has_messages, input_ends
from flows.kafka.identity import Inputs, changes, inputs_now, why_not
from flows.log import get_log
from flows.monitoring.monitor import Monitor
from flows.monitoring.topic_watch import TopicWatch
from flows.processes.addresses import free_ports
from flows.processes.errand import Errand
from flows.processes.party import StartError
from flows.readmodel.port import Fenced, Outage, StoreError
from flows.readmodel.problem import redis_problem
from flows.readmodel.store import Store
from flows.recovery.start import look_for_earlier_run, take_token
from flows.runtime.machines import machines_of
from flows.runtime.run import Run
from flows.settings import redis_address
from flows.storage.folder import StateFolder
from schemas.settings import Settings, SettingsError
from schemas.topics import DECISIONS, INPUTS, STATEMENTS

log = get_log(__name__)


class Preparation:
    """One a supervisor. What it asks is asked again for every run; what it remembers is of those before."""

    def __init__(
        self, settings: Settings, folder: StateFolder, monitor: Monitor, topics: TopicWatch, until_caught_up: bool
    ) -> None:
        self._machines = machines_of(settings)
        #: of all machines' state together, where there are several: what is here is a part of it
        self.epoch: int | None = None
        self._settings = settings
        self._folder = folder
        self._monitor = monitor
        self._topics = topics
        self._until_caught_up = until_caught_up
        self._ends: dict[str, int] | None = None
        self._has_statements = False
        #: the last token that was taken here, and whether another one may have been: its answer was lost
        self.token, self._may_hold_more = 0, False
        #: the state is looked at once with all its pages
        self._has_looked = False

    def forget_ends(self) -> None:
        """Ask anew where the inputs end: there is another topic among them."""
        self._ends = None

    def errands(self) -> list[Errand]:
        """Take a token and find out what there is to read; gives an errand for each worker, of other machines too."""
        settings = self._settings
        self._be_newest()  # before it waits for Kafka, which may take long; it is looked at again
        inputs = self._inputs()
        self._look_at_state()
        token = self._claim()
        # Earlier runs can write no more: what they have read ends here.
        if self._ends is None or not self._until_caught_up:
            try:
                self._ends = inputs.named(input_ends(settings))
                self._has_statements = self._reconciles() and has_messages(settings, (STATEMENTS, DECISIONS))
            except KafkaProblem as error:
                raise StartError(str(error)) from error
        ends, workers = self._ends, settings.workers if self._machines is None else self._machines.total
        if workers > len(ends):
            raise SettingsError(
                f"workers: expected at most the number of input partitions ({len(ends)}), got {workers}: a worker more "
                "would have nothing to read; set fewer, or add partitions"
            )
        try:
            self._folder.keep_token(token, inputs)
        except OSError as error:
            raise StartError(self._unwritten(error)) from error
        self._topics.begin(inputs)
        ended = inputs.ended(map(settings.topic, INPUTS))
        if self._machines is None:
            addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(workers))
        else:
            addresses = self._machines.addresses(token)
        facts = self._folder.facts()
        scratch = (facts.scratch.token, frozenset(facts.scratch.left)) if facts.scratch is not None else None
        return [
            Errand(
                Run(
                    settings,
                    token,
                    worker,
                    workers,
                    self._until_caught_up,
                    ends,
                    inputs.ids(),
                    ended,
                    scratch,
                    self._has_statements,
                ),
                addresses,
            )
            for worker in range(workers)
        ]

    def _reconciles(self) -> bool:
        """Are statements to be caught up with?"""
        return self._until_caught_up and self._settings.reconciliation.enabled

    def _look_at_state(self) -> None:
        """Find out what is kept, and refuse to begin without what an earlier run has kept."""
        if self._has_looked:
            self._folder.survey(is_thorough=False)
        if self._machines is not None:
            self._folder.epoch = self.epoch
        try:
            look_for_earlier_run(self._settings, self._folder)
            self._folder.make_store()
        except (KafkaProblem, Outage) as error:
            raise StartError(self._without(error)) from error
        except StoreError as error:
            raise StartError(f"Redis does not say what it knows of an earlier run: {error}") from error
        except OSError as error:
            raise StartError(self._unwritten(error)) from error
        if not self._has_looked:
            self._monitor.finds(self._folder.epoch is not None)
        self._has_looked = True

    def _without(self, error: Exception) -> str:
        return str(error if isinstance(error, KafkaProblem) else redis_problem(self._settings, error))

    def _unwritten(self, error: OSError) -> str:
        return (
            f"state.dir: {self._folder.path} cannot be written ({error.strerror}): make room on its disk, and see "
            "whether it is mounted for writing"
        )

    def _inputs(self) -> Inputs:
        """Find out whether the state belongs to these topics; SettingsError if it does not."""
        try:
            inputs = inputs_now(self._settings)
        except KafkaProblem as error:
            raise StartError(str(error)) from error
        known = self._folder.facts().inputs
        if known is not None:
            wrong = why_not(self._settings, known, inputs)
            if wrong is not None:
                raise SettingsError(str(wrong))
            for change in changes(self._settings, known, inputs):
                log.warning(change, kind="topics_changed")
        inputs.carry(known)
        return inputs

    def _claim(self) -> int:
        self._be_newest()
        self._may_hold_more = True
        try:
            self.token = take_token(self._settings, self._folder)
            self._may_hold_more = False
            return self.token
        except Outage as error:
            raise StartError(self._without(error)) from error
        except StoreError as error:
            raise StartError(f"Redis did not give a run token: {error}") from error

    def _be_newest(self) -> None:
        """Do not take over from a run that has taken over from this one: Fenced. StartError if Redis does not say."""
        if not self.token or self._may_hold_more:
            return
        try:
            with closing(Store(redis_address(self._settings.redis), self._settings.redis.prefix)) as store:
                newest = store.held_token()
        except Outage as error:
            raise StartError(self._without(error)) from error
        except StoreError as error:
            raise StartError(f"Redis does not say which run is the newest: {error}") from error
        if newest > self.token:
            raise Fenced(f"FENCED {newest}")
