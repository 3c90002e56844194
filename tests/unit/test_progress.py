"""How far input partitions are: each process tells of its own and hears of the others'."""

from __future__ import annotations

from typing import Any

from flows.monitoring.metrics import Metrics
from flows.publishing.heartbeat import Heartbeat
from flows.publishing.patience import Patience
from flows.runtime.clock import Clock
from flows.runtime.progress import PartProgress, Progress
from flows.runtime.run import Run, Shared
from flows.settings import load_settings

MINE, ITS = "inventory.orders/0", "inventory.orders/1"


class Board:
    """What processes of a run tell each other, in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    def tell_progress(self, rows: dict[str, bytes]) -> None:
        self.rows |= rows

    def progress(self) -> dict[str, bytes]:
        return dict(self.rows)

    def rejected(self) -> int:
        return 0

    def take_requests(self, shards: int, clock: Any) -> list[Any]:
        return []


class Written:
    """A writer to which Redis loses nothing."""

    has_written = True

    def look(self) -> None:
        """Find nothing wrong."""


class Process:
    """One of two, with its heart."""

    def __init__(self, number: int, board: Board, token: int = 7) -> None:
        run = Run(load_settings(None, {}), token, worker=number, workers=2, ends={MINE: 9, ITS: 9})
        shared, metrics, clock = Shared(run), Metrics(), Clock()
        self.progress = shared.progress
        self.progress.expect(run.ends)
        writer: Any = Written()
        queue: Any = ()
        metrics.look_at = lambda queue, moment: None  # type: ignore[method-assign]
        patience = Patience(metrics, shared.stop, clock)
        self.heart = Heartbeat(shared, board, writer, queue, patience, clock, metrics)

    def reads_to(self, part: str, position: int, clock: int = 0) -> None:
        self.progress.note(part, PartProgress(position, clock, False))


def test_what_another_process_goes_on_reading_is_heard_each_time() -> None:
    """Each told what it had heard as well: the second to speak wrote the first one's old row over its new one."""
    board = Board()
    one, other = Process(0, board), Process(1, board)
    for position in range(1, 6):
        one.reads_to(MINE, position, clock=position)
        other.reads_to(ITS, position, clock=position)
        one.heart.beat()
        other.heart.beat()
        assert other.progress.rows()[MINE].position == position
        assert other.progress.recorded() == position, "ids are kept for ever"
    one.heart.beat()
    assert one.progress.rows()[ITS].position == 5


def test_a_process_tells_of_its_own_partitions_alone() -> None:
    progress = Progress()
    progress.note(MINE, PartProgress(3, 0, False))
    progress.hear(ITS, PartProgress(4, 0, False))
    assert list(progress.own_rows()) == [MINE] and sorted(progress.rows()) == [MINE, ITS]


def test_what_an_older_run_told_is_not_heard() -> None:
    board = Board()
    older, newer = Process(0, board, token=6), Process(1, board)
    older.reads_to(MINE, 9)
    older.heart.beat()
    newer.heart.beat()
    assert MINE not in newer.progress.rows()


def test_a_row_that_is_behind_what_is_known_is_old_news() -> None:
    progress = Progress()
    progress.hear(ITS, PartProgress(4, 0, False))
    progress.hear(ITS, PartProgress(3, 0, True))
    assert progress.rows()[ITS] == PartProgress(4, 0, False)
