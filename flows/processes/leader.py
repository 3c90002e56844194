"""The machine that leads a cluster: it waits for all others, finds out what to run, and says so; a death ends the run.

1. A run begins when every other machine is there, fits, and has ended every run before: so all workers of a run that is
   over are dead before the next one's token is taken. Only a whole set of machines can run, never a half.
2. What the others are to do names the supervisors that are meant. One that was started anew since does not do it.
3. A machine that is not heard of, was started anew, or whose worker died ends the run on all of them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from flows.log import get_log
from flows.monitoring.monitor import Member
from flows.processes.agreement import difference, epoch_of_all, id_of_all, scratch_of_all, token_of_all
from flows.processes.errand import Errand
from flows.processes.link import Link
from flows.processes.party import Awaited
from flows.processes.preparation import Preparation
from flows.processes.words import PROTOCOL, Orders, Word, first_word
from flows.processes.worker import CUT_SHORT, GOES_ON
from flows.runtime.machines import Machines
from flows.storage.folder import StateFolder
from flows.storage.membership import Membership
from schemas.settings import Settings

log = get_log(__name__)

#: From the order to begin until every machine has begun: its disk may be slow.
TAKE_UP_S = 60.0
#: After the workers here have ended well, those of the others do so within this.
END_S = 45.0
LOOK_EVERY_S = 0.05
#: How old what is told of a worker may be, to count as of now.
REPORT_S = 5.0
#: No epoch has ended for so long, and nobody waits for Redis or Kafka: a link is cut. The kernel would need 15 minutes.
STUCK_S = 60.0
WELL = (0, CUT_SHORT, GOES_ON)


class Leader:
    """Asked by the supervisor's thread."""

    leads, first = True, 0

    def __init__(
        self,
        settings: Settings,
        folder: StateFolder,
        machines: Machines,
        preparation: Preparation,
        until_caught_up: bool,
    ) -> None:
        self._settings, self._folder, self._machines = settings, folder, machines
        self._preparation, self._until_caught_up = preparation, until_caught_up
        self._silent_after_s = settings.cluster.silent_after / 1e6
        self._own = first_word(settings, folder)
        self._link = Link(settings, machines, self._own, lambda: {})
        self._orders = Orders(PROTOCOL, self._own.boot, 0)
        self._given_at = 0.0
        self._said = ""
        self._link.order(self._orders)
        self._link.start()

    # --- before a run ------------------------------------------------------------------------------------------------

    def errands(self) -> list[Errand]:
        """Wait for all machines (Awaited), and give them what they are to do; gives what this one's workers are."""
        try:
            words = self._others()
        except Awaited as error:
            if str(error) != self._said:
                log.warning(f"{error}", kind="machines", next="it starts as soon as all machines are there")
            self._said = str(error)
            raise
        self._said = ""
        self._folder.survey(is_thorough=False)
        facts = self._folder.facts()
        everyone = {0: msgspec.structs.replace(self._own, facts=facts, store=self._folder.store), **words}
        self._folder.epoch = epoch_of_all(self._machines, everyone)
        self._keep(facts, everyone)
        self._preparation.epoch = self._folder.epoch
        errands = self._preparation.errands()
        self._give(errands[0], words)
        return [errands[number] for number in self._machines.numbers(self._machines.this)]

    def _others(self) -> dict[int, Word]:
        """Give the words of all other machines; Awaited where one is missing, busy or another one than it has to be."""
        self._link.refuse_twin()
        words = {}
        for machine in self._machines.others:
            word, called = self._link.word_of(machine), self._machines.called(machine)
            if word is None or self._link.silent_s(machine) > self._silent_after_s or word.leaves:
                raise Awaited(f"{called} has not come: start the engine there (atp run)")
            wrong = difference(self._own, word)
            if wrong:
                raise Awaited(f"{called} does not fit: {wrong}")
            if word.is_running:
                raise Awaited(f"{called} is still ending run {word.run}")
            words[machine] = word
        return words

    def _keep(self, facts: Any, everyone: Mapping[int, Word]) -> None:
        """Note whose part this machine has, and what is to be done still from scratch; before anything is made."""
        now = Membership(id_of_all(everyone) or uuid.uuid4().hex, len(self._machines.names), 0, self._machines.workers)
        scratch = scratch_of_all(facts.scratch, everyone)
        token = max(facts.token, token_of_all(everyone))
        if (facts.cluster, facts.scratch, facts.token) != (now, scratch, token):
            self._folder.keep_membership(token, now, scratch)

    def _give(self, errand: Errand, words: Mapping[int, Word]) -> None:
        run, facts = errand.run, self._folder.facts()
        assert facts.cluster is not None, "it was kept before"
        self._orders = Orders(
            PROTOCOL,
            self._own.boot,
            run.token,
            [self._own.boot, *(word.boot for _, word in sorted(words.items()))],
            until_caught_up=run.until_caught_up,
            ends=run.ends,
            topic_ids=run.topic_ids,
            ended=run.ended,
            scratch=(run.scratch[0], sorted(run.scratch[1])) if run.scratch is not None else None,
            has_statements=run.has_statements,
            inputs=facts.inputs,
            cluster=facts.cluster.id,
        )
        self._given_at = time.monotonic()
        self._link.order(self._orders)
        self._link.say(run=run.token, is_running=True)

    def token(self) -> int:
        """Give the token of the newest run."""
        return self._preparation.token

    # --- while it runs -----------------------------------------------------------------------------------------------

    def members(self) -> dict[int, Member]:
        """Give the workers of the other machines: what they tell comes with their machine's word."""
        return {
            number: Member(0, _Remote(self._link, machine, number, self._orders.run))
            for machine in self._machines.others
            for number in self._machines.numbers(machine)
        }

    def verdict(self) -> list[int]:
        """End the run where a machine is lost or a worker there has died."""
        for machine in self._machines.others:
            codes, reason = self._judge(machine)
            if codes:
                if reason:
                    log.warning(
                        f"{self._machines.called(machine)} {reason}: run {self._orders.run} ends on all machines",
                        kind="machine_lost",
                        next="nothing is lost; it starts again when all machines are there",
                    )
                return codes
        return []

    def _judge(self, machine: int) -> tuple[list[int], str]:
        word = self._link.word_of(machine)
        if word is not None and word.boot == self._orders.boots[machine] and _has_ended(word, self._orders.run):
            return (word.codes, "") if any(code not in WELL for code in word.codes) else ([], "")
        if word is None or self._link.silent_s(machine) > self._silent_after_s:
            return [1], f"was not heard of for {self._silent_after_s:g} s"
        if word.boot != self._orders.boots[machine]:
            return [1], "was started anew"
        if word.run != self._orders.run and time.monotonic() - self._given_at > TAKE_UP_S:
            return [1], f"has not begun within {TAKE_UP_S:g} s"
        if is_stuck(word):
            return [1], f"has ended no epoch for {STUCK_S:g} s and waits for no server: a link is cut"
        return [], ""

    def is_to_end(self) -> bool:
        """Is another machine asked to end?"""
        words = (self._link.word_of(machine) for machine in self._machines.others)
        return any(word is not None and word.leaves for word in words)

    def end(self, leaves: bool) -> None:
        """Let the workers of all machines end."""
        self._orders = msgspec.structs.replace(self._orders, is_to_end=True)
        self._link.order(self._orders)

    def ended(self, codes: list[int]) -> list[int]:
        """Give how the others' workers ended: wait for that where they end well, else end them."""
        theirs: list[int] = []
        deadline = time.monotonic() + END_S
        if all(code in WELL for code in codes):
            theirs = self._wait_for_codes(deadline)
        self._over()
        return theirs

    def _wait_for_codes(self, deadline: float) -> list[int]:
        while time.monotonic() < deadline:
            bad = self.verdict()
            if bad:
                return bad
            words = [self._link.word_of(machine) for machine in self._machines.others]
            if all(word is not None and _has_ended(word, self._orders.run) for word in words):
                return [code for word in words if word is not None for code in word.codes]
            time.sleep(LOOK_EVERY_S)
        return [1]

    def _over(self, code: int | None = None) -> None:
        self._orders = msgspec.structs.replace(self._orders, is_over=True, exit_code=code)
        self._link.order(self._orders)
        self._link.say(is_running=False)

    def is_done(self) -> bool:
        """They have ended on all machines."""
        return True

    def close(self, code: int) -> None:
        """Tell the others that the engine ends here; for good where it was to catch up."""
        self._over(code if self._until_caught_up else None)
        self._link.say(leaves=True)
        self._link.close()


def _has_ended(word: Word, run: int) -> bool:
    return word.run == run and not word.is_running and bool(word.codes)


def is_stuck(word: Word) -> bool:
    """Does a machine's work stand still for no reason of its own?"""
    states = [report.state for report in word.reports.values()]
    ages = [state["epoch_age_s"] for state in states if state["epoch_age_s"] is not None]
    waits = any(state[name] > 0 for state in states for name in ("redis_waits_s", "kafka_waits_s"))
    return bool(ages) and max(ages) > STUCK_S and not waits


class _Remote:
    """What a worker on another machine tells, as its machine's word has it."""

    def __init__(self, link: Link, machine: int, number: int, run: int) -> None:
        self._link, self._machine, self._number, self._run = link, machine, number, run
        self.answered_at = time.monotonic()

    def ask(self, patience_s: float, /) -> dict[str, Any] | None:
        """Give what it said last; None if that is not of now, or of another run."""
        word = self._link.word_of(self._machine)
        if (
            word is None
            or word.run != self._run
            or not word.is_running
            or self._link.silent_s(self._machine) > REPORT_S
        ):
            return None
        report = word.reports.get(self._number)
        if report is None:
            return None
        self.answered_at = time.monotonic()
        return {"samples": {}, "state": report.state, "rows": report.rows}

    def close(self) -> None:
        """There is nothing to let go of."""
