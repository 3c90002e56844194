"""All inputs as one source: the reference data, and every partition of the event topics.

One source, because Bytewax ends the epochs of each source by a timer of its own, and a source that has ended its epoch
waits until all others have: with two sources whose timers drift apart, one reads in the rest of the epoch only
(measured: stalls of 0.7 s in each second). The partitions of one source end theirs together.
"""

from __future__ import annotations

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.runtime.run import Shared
from flows.sources.events import EndedPart, EventPart, SharedReader
from flows.sources.reference import ReferencePart
from flows.sources.statements import StatementsPart
from flows.sources.words import Word

REFERENCE_PART = "reference"
STATEMENTS_PART = "statements"


class InputSource(FixedPartitionedSource[Word, bytes]):
    """inventory.warehouse, .orders and .supply by partition; reference topics as one, judged together; statements."""

    def __init__(self, events: SharedReader, shared: Shared) -> None:
        self._events, self._shared = events, shared

    def list_parts(self) -> list[str]:
        """Name the partitions as the run found them: all workers must see the same ones."""
        # What recovered state holds has to be named, or Bytewax does not start.
        return [REFERENCE_PART, STATEMENTS_PART, *self._events.run.ends, *self._events.run.ended]

    def build_part(
        self, step_id: str, for_part: str, resume_state: bytes | None
    ) -> StatefulSourcePartition[Word, bytes]:
        """Go on where the last snapshot was."""
        if for_part == REFERENCE_PART:
            return ReferencePart(self._events.run, self._events.stop, resume_state)
        if for_part == STATEMENTS_PART:
            return StatementsPart(self._shared, resume_state)
        if for_part in self._events.run.ended:
            return EndedPart(self._events, for_part, resume_state)
        return EventPart(self._events, for_part, resume_state)
