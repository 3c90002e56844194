"""The dataflow's graph, and what one worker process needs to run it.

inputs ─┬─ to shards ─ shard (dedup, quantities, promises) ─┐
        └─ to listeners, to sources, past the shards ───────┴─ publish: Redis, then Kafka; desks: dead letters
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows.dataflow.steps import Listener, PublishSink, ShardStep, SourcesStep
from flows.monitoring.metrics import Metrics
from flows.publishing.publisher import Publisher
from flows.runtime.configs import shard_config
from flows.runtime.early_layers import EarlyLayers
from flows.runtime.epoch_end import EpochEnd
from flows.runtime.run import Run, Shared, desk_key, shard_key
from flows.sources.events import SharedReader
from flows.sources.inputs import InputSource
from flows.sources.words import ToListener, ToShard, ToSink, ToSources, Word
from flows.storage.folder import SEGMENTS
from flows.storage.segments import SegmentFiles
from operators.route import by_desk
from schemas.messages import Inbound, Outcome, Refused, SourcesSeen, TopologyRecord
from schemas.reconciled import Rules

FLOW_ID = "atp"


class Worker:
    """One worker process: its connections, its share of the state, and the dataflow over them."""

    def __init__(self, run: Run) -> None:
        settings = run.settings
        self.run = run
        self.shared = shared = Shared(run)
        self.stop, self.progress = shared.stop, shared.progress
        self.metrics = Metrics(
            settings.sources, [name for name, source in settings.sources.items() if source.stale_after]
        )
        self.publisher = Publisher(shared, self.metrics)
        self.segments = SegmentFiles(settings.state.dir / SEGMENTS, run.token, run.worker)
        self.metrics.watch("atp_segment_bytes", lambda: self.segments.written)
        self.epoch_end = EpochEnd(self.segments.sync)
        self.early = EarlyLayers(settings.state.epoch_interval)
        self.config = shard_config(settings, run.token, is_at_once=run.until_caught_up)
        self.flow = self._build()

    def _build(self) -> Dataflow:
        run = self.run
        flow = Dataflow(FLOW_ID)
        events = SharedReader(self.shared, self.metrics, self.early, self.publisher.prepare)
        words = op.input("inputs", flow, InputSource(events, self.shared))
        to_shards = op.flat_map_batch("to_shards", words, _to_shards)
        outcomes = op.stateful_batch(
            "shard",
            to_shards,
            self._shard_step,
        )
        listeners = op.flat_map_batch("to_listeners", words, _to_listeners)
        heard = op.stateful_batch("listener", listeners, lambda _: Listener(self.shared.known))
        stale_after = {
            name: source.stale_after for name, source in run.settings.sources.items() if source.stale_after is not None
        }
        seen = op.flat_map_batch("to_sources", words, _to_sources)
        quiet = op.stateful_batch("sources", seen, lambda resume: SourcesStep(stale_after, resume, run.until_caught_up))
        quiet = op.flat_map_batch("from_sources", quiet, _from_sources)
        told = op.flat_map_batch("to_sink", words, _to_sink)
        outcomes = op.flat_map_batch("to_desks", outcomes, _to_desks)
        # What listens ends in the sink as well: an epoch is over when they have heard it.
        op.output(
            "publish", op.merge("said", outcomes, heard, quiet, told), PublishSink(self.publisher, self.config.shards)
        )
        return flow

    def _shard_step(self, resume: bytes | None) -> ShardStep:
        """Make a shard's step. What it dies of is noted: of a cluster Bytewax tells only that a thread panicked."""
        with self._noting():
            step = ShardStep(
                self.run,
                self.config,
                self.segments,
                self.progress,
                self.publisher.published,
                self.metrics,
                self.early,
                self.epoch_end,
                resume,
            )
        for name in ("on_batch", "on_notify", "on_eof", "snapshot"):
            setattr(step, name, self._noted(getattr(step, name)))
        return step

    def _noted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except BaseException as error:
                self._note(error)
                raise

        return noted

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._note(error)
            raise

    def _note(self, error: BaseException) -> None:
        if self.failure() is None:
            self.stop.failure = error

    def failure(self) -> BaseException | None:
        """Give what a part of this process died of, if one did."""
        return self.stop.failure or self.segments.failure

    def close(self) -> None:
        """Let go of everything."""
        self.publisher.close()
        self.segments.close()


#: What the steps say; the key is that of the sink's part.
Saying = tuple[str, Any]


def _to_shards(words: list[Word]) -> list[tuple[str, Inbound]]:
    return [word for word in words if type(word) is ToShard]


def _to_sink(words: list[Word]) -> list[tuple[str, Outcome]]:
    return [word for word in words if type(word) is ToSink]


def _to_listeners(words: list[Word]) -> list[tuple[str, TopologyRecord | Rules]]:
    return [word for word in words if type(word) is ToListener]


def _to_sources(words: list[Word]) -> list[tuple[str, SourcesSeen]]:
    return [word for word in words if type(word) is ToSources]


def _to_desks(said: list[Saying]) -> list[Saying]:
    """Take what was refused out of what the shards say: all refusals of a message go to one desk."""
    desks: list[Saying] = []
    for _, outcome in said:
        if outcome.refusals:
            refusals, outcome.refusals = outcome.refusals, []
            desks += [(desk_key(desk), Refused(some)) for desk, some in by_desk(refusals).items()]
    return [*said, *desks] if desks else said


def _from_sources(said: list[Saying]) -> list[Saying]:
    return [(shard_key(0), outcome) for _, outcome in said]
