"""Ends a start from scratch: once all is said, removes what is no longer true, some at a time, and notes that it did.

`flows/publishing/removal.py` finds it. It leaves as all numbers do: Redis first, then Kafka; the state directory keeps
which shards are through, so that a kill at any point is gone on from.
"""

from __future__ import annotations

from collections.abc import Iterator

from flows.log import get_log
from flows.publishing.kafka_writer import OutgoingKafka
from flows.publishing.lanes import Lanes
from flows.publishing.patience import Patience
from flows.publishing.removal import Gone, Hashes, Removal, outgoing
from flows.publishing.restating import Restating
from flows.publishing.shards import Shards
from flows.publishing.tail import KnownTail, items_with_positions
from flows.publishing.trust import Trust
from flows.publishing.writer import Writer
from flows.runtime.clock import Clock
from flows.runtime.run import Run
from flows.storage.newest_run import scratch_is_through
from operators.route import shard_of

log = get_log(__name__)


class FromScratch:
    """Of one process; of a run that did not start so, nothing but three empty sets."""

    def __init__(
        self,
        run: Run,
        shards: Shards,
        trust: Trust,
        writer: Writer,
        lanes: Lanes,
        restating: Restating,
        tail: KnownTail,
        kafka: OutgoingKafka,
        hashes: Hashes,
        patience: Patience,
        clock: Clock,
    ) -> None:
        self._run, self._shards, self._trust, self._writer, self._lanes = run, shards, trust, writer, lanes
        self._restating, self._tail, self._kafka = restating, tail, kafka
        self._hashes, self._patience, self._clock = hashes, patience, clock
        #: shards that have not yet removed what is no longer true
        self._left: frozenset[int] = run.scratch[1] if run.scratch is not None else frozenset()
        #: those that do so now, and what they still have to do; None: nothing but to wait until Kafka has it
        self._removing: frozenset[int] = frozenset()
        self._removal: Removal | None = None
        self._steps: Iterator[Gone] | None = None
        #: (item, channel) of the last numbers that this sends, and items of the empty positions
        self._last_numbers: set[tuple[str, str]] = set()
        self._last_positions: set[str] = set()

    def left(self) -> int:
        """Give how many shards of this process are not through. From any thread."""
        return len(self._left & self._shards.numbers())

    @property
    def is_needed(self) -> bool:
        """Is any shard not through?"""
        return bool(self._left)

    @property
    def has_steps(self) -> bool:
        """Is there something to remove now?"""
        return bool(self._removing) and self._steps is not None

    def remove_some(self) -> bool:
        """Remove some of what is no longer true, once its shards have said everything; is there more to do?"""
        if not self._removing:
            mine = self._left & self._shards.numbers()
            if not (mine and self._trust.is_compared and self._trust.is_said(mine)):
                return False
            self._begin(mine)
        elif not self._trust.is_said(self._removing):
            self._removing = frozenset()  # Redis lost it meanwhile: from the beginning, when it is full again
            return False
        if self._steps is None:
            return False
        gone = next(self._steps, None)
        if gone is None:
            self._steps = None
            return False
        self._remove(gone)
        return True

    def _begin(self, shards: frozenset[int]) -> None:
        assert self._run.scratch is not None
        settings = self._run.settings
        self._removal = Removal(
            self._run.scratch[0],
            lambda item: shard_of(item, settings.shards) in shards,
            self._hashes,
            self._patience.ask,
            self._tail.all_updates,
            lambda: items_with_positions(settings),
        )
        self._removing, self._steps = shards, self._removal.steps()

    def _remove(self, gone: Gone) -> None:
        moment = self._clock.now()
        shards = self._run.settings.shards
        for update in gone.updates:
            self._restating.items.add(update.item)
            self._last_numbers.update((update.item, change.channel) for change in update.channels)
            if update.places is not None:
                self._last_positions.add(update.item)
            self._writer.give(shard_of(update.item, shards), [update], None)
        self._writer.write_all_given()
        if gone.outgoing or gone.positions:
            version = self._writer.next_version()
            for item, change in gone.outgoing:
                self._last_numbers.add((item, change.channel))
                self._lanes.add(outgoing(shard_of(item, shards), item, change, version, moment), moment)
            for update in gone.positions:
                self._last_positions.add(update.item)
                self._lanes.keep_position(update, version, moment)

    def end_if_sent(self) -> None:
        """Note that it is through, when nothing is left to remove and Kafka has all of it."""
        if not self._removing or self._steps is not None:
            return
        if not self._lanes.has_sent(self._last_numbers, self._last_positions):
            return
        self._kafka.flush()
        self._last_numbers, self._last_positions = set(), set()
        assert self._removal is not None
        items, numbers = self._removal.items, self._removal.numbers
        left = scratch_is_through(self._run.settings.state.dir, set(self._removing))
        self._left, self._removing = self._left - self._removing, frozenset()
        self._trust.is_from_scratch = bool(self._left)
        log.info(
            f"from scratch: everything is said; {items} hashes that are no longer true were removed from Redis, and "
            f"{numbers} numbers that Kafka alone had; {left} shards to go",
            kind="from_scratch",
        )
