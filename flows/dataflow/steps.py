"""The stateful steps: thin shells between Bytewax and what decides. Their ids are storage formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.monitoring.metrics import Metrics
from flows.publishing.publisher import Publisher
from flows.runtime.early_layers import EarlyLayers
from flows.runtime.run import KnownCodes, Run, desk_key, now, shard_key
from operators.reference import unpack_topology
from operators.route import DESKS
from operators.shard import Horizon, Segments, Shard, ShardConfig, number_in
from operators.stale_sources import StaleSources
from schemas.messages import Inbound, Outcome, Refused, SourcesSeen, TopologyRecord
from schemas.reconciled import Rules

Said = tuple[Iterable[Outcome], bool]
NOTHING: Said = ((), False)


def moment_of(microseconds: int | None) -> datetime | None:
    """Give UTC microseconds as Bytewax wants them."""
    return None if microseconds is None else datetime.fromtimestamp(max(0, microseconds) / 1e6, UTC)


class ShardStep(StatefulBatchLogic[Inbound, Outcome, bytes]):
    """One shard, from its first message or its last snapshot on."""

    def __init__(
        self,
        run: Run,
        config: ShardConfig,
        segments: Segments,
        horizon: Horizon,
        published: Callable[[int], dict[str, int]],
        metrics: Metrics,
        early: EarlyLayers,
        resume: bytes | None,
    ) -> None:
        self._metrics, self._early = metrics, early
        self._config, self._segments, self._horizon = config, segments, horizon
        self._published = published
        self._is_final = run.until_caught_up
        self._shard: Shard | None = None
        #: when the shard wants to be woken: UTC microseconds, and as Bytewax wants it
        self._due: int | None = None
        self._due_at: datetime | None = None
        if resume is not None:
            self._shard = self._build(number_in(resume), resume)

    def _build(self, number: int, resume: bytes | None) -> Shard:
        shard = Shard(number, self._config, self._segments, now, self._horizon, resume)
        shard.replay(self._published(number))
        self._metrics.watch_shard(shard.items, shard.ids)
        self._early.watch(shard)
        return shard

    def on_batch(self, values: list[Inbound]) -> Said:
        """Take what arrived since the last activation, in one go."""
        shard = self._shard
        if shard is None:
            # The topology is the first word to each shard: in the first epoch, before any event.
            first = next(value for value in values if type(value) is TopologyRecord)
            shard = self._shard = self._build(first.shard, None)
        outcome = shard.process(values)
        return NOTHING if outcome is None else ((outcome,), False)

    def on_notify(self) -> Said:
        """Do what time brings."""
        assert self._shard is not None
        outcome = self._shard.wake()
        return NOTHING if outcome is None else ((outcome,), False)

    def on_eof(self) -> Said:
        """When catching up, the end of input decides what still waits; when stopped, it goes on waiting."""
        if self._shard is None or not self._is_final:
            return NOTHING
        outcome = self._shard.finish()
        return NOTHING if outcome is None else ((outcome,), False)

    def notify_at(self) -> datetime | None:
        """One timer a shard."""
        due = self._shard.next_wake() if self._shard is not None else None
        if due != self._due:  # asked after every batch, and seldom another
            self._due, self._due_at = due, moment_of(due)
        return self._due_at

    def snapshot(self) -> bytes:
        """Give bytes: what is handed over is pickled later, in another operator."""
        assert self._shard is not None
        state = self._shard.snapshot()
        self._metrics.snapshot_bytes += len(state)
        return state


class SourcesStep(StatefulBatchLogic[SourcesSeen, Outcome, bytes]):
    """The one place that watches for sources that fall silent."""

    def __init__(self, stale_after: dict[str, int], resume: bytes | None, is_final: bool = False) -> None:
        self._sources = StaleSources(stale_after, resume)
        self._is_final = is_final
        #: whoever is resumed waits for its first word, as a shard does (Shard.next_wake)
        self._has_heard = False

    def _say(self, notes: list[Any]) -> Said:
        return ((Outcome(0, {}, [], [], notes),), False) if notes else NOTHING

    def on_batch(self, values: list[SourcesSeen]) -> Said:
        """Hear who spoke."""
        self._has_heard = True
        return self._say(self._sources.hear((value.seen for value in values), now()))

    def on_notify(self) -> Said:
        """Report who did not."""
        return self._say(self._sources.check(now()))

    def on_eof(self) -> Said:
        """When catching up: no timer comes any more."""
        return self._say(self._sources.check(now())) if self._is_final else NOTHING

    def notify_at(self) -> datetime | None:
        """When the next would be late."""
        return moment_of(self._sources.next_check()) if self._has_heard else None

    def snapshot(self) -> bytes:
        """Give what is needed to go on."""
        return self._sources.snapshot()


class Listener(StatefulBatchLogic[TopologyRecord | Rules, Outcome, None]):
    """Tells this process what codes there are; keeps nothing, so that there is nothing to recover."""

    def __init__(self, known: KnownCodes) -> None:
        self._known = known

    def on_batch(self, values: list[TopologyRecord | Rules]) -> Said:
        """Take the newest topology, and the newest rules about variances."""
        for value in values:
            if type(value) is Rules:
                self._known.rules = value.packed
            elif type(value) is TopologyRecord:
                topology = unpack_topology(value.tables)
                if self._known.topology is not topology:
                    self._known.update(topology)
        return ((), True)

    def snapshot(self) -> None:
        """Nothing."""


class PublishPart(StatefulSinkPartition[Outcome, bytes]):
    """One shard's part of the sink; all of a process share one writer."""

    def __init__(self, publisher: Publisher, shard: int, state: bytes | None) -> None:
        self._publisher, self._shard = publisher, shard
        publisher.open(shard, state)

    def write_batch(self, values: list[Outcome]) -> None:
        """Hand over what the shard said."""
        for outcome in values:
            if outcome.ended:
                self._publisher.drain()
            self._publisher.take(self._shard, outcome)

    def snapshot(self) -> bytes:
        """Wait until it is written; give what may still wait."""
        return self._publisher.snapshot(self._shard)


class DeskPart(StatefulSinkPartition[Refused, bytes]):
    """One desk's part of the sink, where dead letters are written."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def write_batch(self, values: list[Refused]) -> None:
        """Hand over what was refused."""
        for refused in values:
            self._publisher.refuse(refused.refusals)

    def snapshot(self) -> bytes:
        """Wait until it is written; nothing is kept."""
        self._publisher.settle()
        return b""


class PublishSink(FixedPartitionedSink[Outcome | Refused, bytes]):
    """Redis, then Kafka. Inside the recovery frontier: an epoch ends when its writes are confirmed."""

    def __init__(self, publisher: Publisher, shards: int) -> None:
        self._publisher, self._shards = publisher, shards

    def list_parts(self) -> list[str]:
        """One part a shard, so that state follows the shard wherever it is written, and one a desk."""
        return [*map(shard_key, range(self._shards)), *map(desk_key, range(DESKS))]

    def part_fn(self, item_key: str) -> int:
        """Route a shard's outcomes to its part, refusals to their desk's."""
        return int(item_key) if item_key <= "9" else self._shards + int(item_key[len(desk_key(0)) - 2 :])

    def build_part(self, step_id: str, for_part: str, resume_state: bytes | None) -> Any:
        """Go on where the last snapshot was."""
        if for_part > "9":
            return DeskPart(self._publisher)
        return PublishPart(self._publisher, int(for_part), resume_state)
