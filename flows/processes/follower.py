"""A machine of a cluster that does not lead: it does what it is told, says how that goes, and ends what has no leader.

1. It takes up an order once, and only one that names this very process, of a machine that leads and is heard of.
2. It says that it has begun before it begins, and that it has ended when all its workers are dead.
3. A machine that leads and is not heard of, was started anew, or has gone on to another run ends the workers here.
"""

from __future__ import annotations

import time
from dataclasses import replace

from flows.log import get_log
from flows.monitoring.monitor import Member, Monitor
from flows.processes.agreement import REMEDY, difference
from flows.processes.errand import Errand
from flows.processes.link import Link
from flows.processes.party import Awaited, Finished, StartError
from flows.processes.words import Orders, Report, first_word, newest_of
from flows.runtime.machines import Machines
from flows.runtime.run import Run
from flows.storage.facts import Scratch
from flows.storage.folder import StateFolder
from flows.storage.membership import Membership
from schemas.settings import Settings, SettingsError

log = get_log(__name__)

LEADER = 0
#: How long it is waited for an order before it is looked whether the end was asked for.
WAIT_S = 0.5
LOOK_EVERY_S = 0.05


class Follower:
    """Asked by the supervisor's thread."""

    leads = False

    def __init__(self, settings: Settings, folder: StateFolder, machines: Machines, monitor: Monitor) -> None:
        self._settings, self._folder, self._machines = settings, folder, machines
        self.first = machines.numbers(machines.this)[0]
        self._silent_after_s = settings.cluster.silent_after / 1e6
        self._own = first_word(settings, folder)
        self._link = Link(settings, machines, self._own, lambda: reports_of(monitor))
        self._link.start()
        #: what is done, or was done last
        self._orders: Orders | None = None
        self._leaves = self._has_told = False

    # --- before a run ------------------------------------------------------------------------------------------------

    def errands(self) -> list[Errand]:
        """Take up the next order; Awaited while there is none, Finished where the engine has ended for good.

        SettingsError where this machine does not fit to the one that leads.
        """
        deadline = time.monotonic() + WAIT_S
        while (orders := self._next()) is None:
            if time.monotonic() > deadline:
                raise Awaited(self._waits_for())
            time.sleep(LOOK_EVERY_S)
        self._orders, self._has_told = orders, False
        self._link.say(run=orders.run, is_running=True, codes=[], reports={})
        try:
            return self._errands(orders)
        except (OSError, SettingsError) as error:
            self._tell([1])
            if isinstance(error, OSError):
                raise StartError(
                    f"state.dir: {self._folder.path} cannot be written ({error.strerror}): make room on its disk, and "
                    "see whether it is mounted for writing"
                ) from error
            raise

    def _next(self) -> Orders | None:
        self._link.refuse_twin()
        leader, orders = self._link.word_of(LEADER), self._link.orders
        if leader is None or self._link.silent_s(LEADER) > self._silent_after_s:
            return None
        wrong = difference(self._own, leader)
        if wrong and leader.version == self._own.version:
            raise SettingsError(f"cluster: {self._machines.called(LEADER)}, which leads, does not fit: {wrong}")
        if wrong or orders is None or orders.boot != leader.boot:
            return None
        if orders.exit_code is not None:
            raise Finished(orders.exit_code)
        is_done = self._orders is not None and orders.run <= self._orders.run
        if is_done or orders.is_over or orders.is_to_end or self._own.boot not in orders.boots:
            return None
        return orders

    def _waits_for(self) -> str:
        called, leader = self._machines.called(LEADER), self._link.word_of(LEADER)
        if leader is None or self._link.silent_s(LEADER) > self._silent_after_s:
            return f"{called}, which leads, has not come: start the engine there (atp run)"
        if leader.version != self._own.version:
            return f"{called}, which leads, does not fit: {difference(self._own, leader)}"
        return f"it waits for {called}, which leads, to say what to do"

    def _errands(self, orders: Orders) -> list[Errand]:
        folder, machines = self._folder, self._machines
        folder.survey(is_thorough=False)
        membership = Membership(orders.cluster, len(machines.names), machines.this, machines.workers)
        kept = folder.facts()
        if kept.cluster is not None and kept.cluster.id != orders.cluster:
            raise SettingsError(f"state.dir: {folder.where()} holds the state of another cluster: {REMEDY}")
        scratch = None
        if orders.scratch is not None:
            token, _ = orders.scratch
            is_same = kept.scratch is not None and kept.scratch.token == token
            scratch = kept.scratch if is_same else Scratch(token, list(range(self._settings.shards)))
        folder.keep_membership(orders.run, membership, scratch, orders.inputs)
        folder.make_store()
        run = Run(
            self._settings,
            orders.run,
            0,
            machines.total,
            orders.until_caught_up,
            orders.ends,
            orders.topic_ids,
            orders.ended,
            (orders.scratch[0], frozenset(orders.scratch[1])) if orders.scratch is not None else None,
            orders.has_statements,
        )
        addresses = machines.addresses(orders.run)
        return [Errand(replace(run, worker=worker), addresses) for worker in machines.numbers(machines.this)]

    def token(self) -> int:
        """Give the token of the newest run that was begun here."""
        return self._orders.run if self._orders is not None else 0

    # --- while it runs -----------------------------------------------------------------------------------------------

    def members(self) -> dict[int, Member]:
        """Give none: the one that leads asks."""
        return {}

    def verdict(self) -> list[int]:
        """End the run where nobody leads it any more."""
        assert self._orders is not None, "there is no run without an order"
        leader, orders, run = self._link.word_of(LEADER), self._link.orders, self._orders.run
        reason = ""
        if leader is None or self._link.silent_s(LEADER) > self._silent_after_s:
            reason = f"was not heard of for {self._silent_after_s:g} s"
        elif leader.boot != self._orders.boot:
            reason = "was started anew"
        if reason:
            log.warning(
                f"{self._machines.called(LEADER)}, which leads, {reason}: run {run} ends here",
                kind="machine_lost",
                next="nothing is lost; it starts again when all machines are there",
            )
            return [1]
        # A Redis that lost the orders, or has older ones, says nothing: they are written again in a moment.
        is_over = orders is not None and (orders.run > run or (orders.run == run and orders.is_over))
        return [1] if is_over else []

    def is_to_end(self) -> bool:
        """Does the one that leads let all workers end?"""
        orders = self._link.orders
        return orders is not None and orders.run == self.token() and orders.is_to_end

    def end(self, leaves: bool) -> None:
        """Say so where the engine is to end here: all workers have to, then."""
        if leaves and not self._leaves:
            self._leaves = True
            self._link.say(leaves=True)

    def ended(self, codes: list[int]) -> list[int]:
        """Tell the others that no worker is left here, how they ended, and what they have left."""
        self._tell(codes)
        return []

    def _tell(self, codes: list[int]) -> None:
        try:
            self._folder.survey(is_thorough=False)
            facts = self._folder.facts()
        except (SettingsError, OSError):  # said when it is read the next time
            self._link.say(is_running=False, codes=codes, reports={})
            return
        store = newest_of(self._folder.store)
        self._link.say(is_running=False, codes=codes, reports={}, facts=facts, store=store)

    def is_done(self) -> bool:
        """It is not for this machine to say: another run may follow."""
        return self._leaves

    def close(self, code: int) -> None:
        """Tell the others that the engine ends here."""
        self._link.say(leaves=True, is_running=False)
        self._link.close()


def reports_of(monitor: Monitor) -> dict[int, Report]:
    """Ask this machine's workers what the one that leads wants to know of them."""
    return {
        number: Report(report["state"], report["rows"])
        for number, report in monitor.reports().items()
        if report is not None
    }
