"""Writes to the read model in slices, most urgent first, until it has taken them (step 2 of the protocol).

Each slice is all or nothing, checked against the run's token, and only after the one before it. An outage is waited
out; a read model that lost something is claimed again, and whoever answers for it is told; a newer run ends this one.
"""

from __future__ import annotations

from collections.abc import Callable

from flows.monitoring.metrics import Metrics
from flows.publishing.errors import PublisherError
from flows.publishing.patience import Patience, Wait
from flows.publishing.saved import pack_offsets
from flows.publishing.shards import Shards
from flows.readmodel.port import Behind, Fenced, Outage, Packed, Published, ReadModel
from flows.runtime.clock import Clock
from flows.runtime.run import Run
from operators.outbox import Outbox
from schemas.messages import ItemUpdate

#: Fields a slice writes: 100 to 200 keep Redis free for others (a call of 1000 holds it for 2 ms).
SLICE_FIELDS = 160
#: Slices that may be on their way together: what a more urgent one has to let pass, 1 ms. One by one, each waits for
#: the interpreter twice, up to half a millisecond each time, while the dataflow computes.
SLICES_AT_ONCE = 4
COUNTER_MAX = (1 << 32) - 1

#: What was taken, by shard, under which version, and when it was about to be written.
Forward = Callable[[list[tuple[int, ItemUpdate]], int, int], None]


class Writer:
    """One a process. Used by its thread alone."""

    def __init__(
        self,
        run: Run,
        shards: Shards,
        model: ReadModel,
        forward: Forward,
        newest_run: Callable[[], int],
        patience: Patience,
        metrics: Metrics,
        clock: Clock,
        slice_fields: int = SLICE_FIELDS,
    ) -> None:
        self.model = model
        #: what waits to be written
        self.outbox = Outbox()
        #: told of a loss, before what was to be written is written again
        self.on_loss: Callable[[str], None] = lambda _: None
        #: since the last heartbeat, which need not look then
        self.has_written = False
        self._run, self._shards, self._forward = run, shards, forward
        self._newest_run, self._patience, self._metrics = newest_run, patience, metrics
        self._clock, self._slice_fields = clock, slice_fields
        self._counter = 0

    def join(self) -> None:
        """Begin to write in this run."""
        try:
            self._patience.ask(self.model.join)
        except Behind:
            self._reclaim()

    # --- numbers -----------------------------------------------------------------------------------------------------

    def give(self, shard: int, updates: list[ItemUpdate], reached: dict[str, int] | None) -> None:
        """Take what is to be written; `reached`: which input offsets it includes, None: it adds nothing to them."""
        self.outbox.add(shard, updates, reached)

    def write_all_given(self) -> None:
        """Write until nothing of it waits."""
        while self.outbox:
            self.write_slices()

    def write_slices(self) -> None:
        """Write the most urgent of what waits, and hand it on."""
        moment = self._clock.now()
        written: list[tuple[list[tuple[int, ItemUpdate]], int]] = []
        slices: list[Packed] = []
        while self.outbox and len(slices) < SLICES_AT_ONCE:
            taken, reached = self.outbox.slice(self._slice_fields)
            version = self.next_version()
            offsets = self._packed(reached, version) if reached else {}
            slices.append(self.model.pack([update for _, update in taken], offsets, version, moment))
            written.append((taken, version))
        began = self._clock.monotonic()
        self.write_all(slices)
        seconds = self._clock.monotonic() - began
        arrived = self._clock.now()
        for taken, version in written:
            self._metrics.wrote(taken, arrived, seconds)
            self._forward(taken, version, moment)

    def write_all(self, slices: list[Packed]) -> None:
        """Write slices until Redis has taken them all."""
        self._until_taken(lambda: self.model.write_slices(slices))

    def close_flush(self) -> None:
        """Say in Redis which version a snapshot's numbers end with: a copy that says less has lost some of them."""
        newest = self._version()
        spoken: dict[int, dict[str, int]] = {}
        for number, shard in self._shards.items():
            if shard.has_news and shard.version < newest:
                spoken[number] = shard.reached
            shard.has_news = False
        if spoken:
            offsets = self._packed(spoken, self.next_version())
            self._until_taken(lambda: self.model.write_offsets(offsets))

    def next_version(self) -> int:
        """Give a version above all before it."""
        if self._counter >= COUNTER_MAX:
            raise PublisherError("this run has used up its versions: the next one goes on with new ones")
        self._counter += 1
        return self._version()

    def _version(self) -> int:
        return (self._run.token << 32) + self._counter

    def _packed(self, reached: dict[int, dict[str, int]], version: int) -> dict[int, bytes]:
        """Give which input offsets the numbers include, up to this version."""
        offsets: dict[int, bytes] = {}
        for shard, parts in reached.items():
            offsets[shard] = pack_offsets(parts, version)
            self._shards[shard].version = version
        return offsets

    # --- what is asked and told of shards ----------------------------------------------------------------------------

    def look(self) -> None:
        """Find out whether the read model has what this run wrote."""
        self._until_taken(self.model.look)

    def mark(self, shards: list[int]) -> None:
        """Write down that shards are whole in the read model's present life, not in one that begins on the way."""
        lives = dict.fromkeys(shards, self.model.life)
        self._until_taken(lambda: self.model.mark(lives))

    def unmark(self, shards: list[int]) -> None:
        """Write down that shards are not whole: a crash must not make the next run believe in them."""
        self._until_taken(lambda: self.model.mark(dict.fromkeys(shards, -1)))

    def reached(self, shard: int) -> tuple[bytes | None, bool]:
        """Read which offsets the published numbers include, and whether the shard is whole there."""
        return self._patience.ask(self.model.reached, shard)

    def versions(self, items: list[str]) -> list[int]:
        """Read the versions of items' numbers."""
        return self._patience.ask(self.model.versions, items)

    def published(self, items: list[str]) -> list[Published]:
        """Read all that channels read of items."""
        return self._patience.ask(self.model.published, items)

    def publish(self, messages: list[tuple[str, str]]) -> None:
        """Send updates by lane to whoever listens."""
        self._patience.ask(self.model.publish, messages)

    # --- until it is taken -------------------------------------------------------------------------------------------

    def _until_taken(self, write: Callable[[], None]) -> None:
        wait = Wait(self._patience)
        while True:
            wait.tries()
            try:
                write()
                self.be_newest()
                self.has_written = True
                wait.ends()
                return
            except Behind as error:
                self._take_back(error)
            except Outage as error:
                self._metrics.redis_retries += 1
                wait.goes_on(error)

    def be_newest(self) -> None:
        """End this run if a newer one has begun: Redis cannot tell, should it lose the token meanwhile."""
        newest = self._newest_run()
        if newest > self._run.token:
            raise Fenced(f"FENCED {newest}")

    def _reclaim(self) -> bool:
        self.be_newest()
        is_lost = self._patience.ask(self.model.reclaim)
        self.be_newest()  # a process may be frozen for as long as it likes between two lines
        return is_lost

    def _take_back(self, why: Behind) -> None:
        if self._run.until_caught_up and self._counter:
            raise PublisherError("Redis lost what was written while catching up: run again")
        if self._reclaim():
            self.on_loss(f"Redis lost what this run wrote ({why})")
