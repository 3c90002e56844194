"""Decides how long the dataflow waits for the writer: while too much waits, until all is written, and never in vain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from flows.publishing import handover as module
from flows.publishing.errors import PublisherError
from flows.publishing.handover import Handover, Opening, Refusals


@contextmanager
def elsewhere(work: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run on the dataflow's thread, as it were."""
    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    thread.join(10)
    assert not thread.is_alive()


def waits(thread: threading.Thread) -> bool:
    thread.join(0.05)
    return thread.is_alive()


def snapshot(handover: Handover) -> object:
    """Wait for the barrier; give what still waits for Kafka."""
    with handover.settled() as waiting:
        return waiting


def test_what_is_handed_over_is_taken_once_and_in_order() -> None:
    handover = Handover()
    first, second = Opening(0, None), Refusals(3, [])
    handover.post(first)
    handover.post(second)
    assert len(handover) == 2
    assert handover.take() == [first, second]
    assert handover.take() == []


def test_who_hands_over_too_much_waits_until_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INBOX_MAX", 2)
    handover = Handover()
    handover.post(Opening(0, None))
    handover.post(Opening(1, None))
    with elsewhere(lambda: handover.post(Opening(2, None))) as thread:
        assert waits(thread)
        assert len(handover.take()) == 2
    assert handover.take() == [Opening(2, None)]


def test_who_refuses_too_many_bytes_waits_until_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFUSED_BYTES_MAX", 10)
    handover = Handover()
    handover.take_bytes(11)  # one message may be larger than the bound
    with elsewhere(lambda: handover.take_bytes(1)) as thread:
        assert waits(thread)
        handover.free_bytes(11)


def test_a_barrier_is_wanted_while_something_is_not_written_and_only_then() -> None:
    handover = Handover()
    with handover.settled():
        assert not handover.is_barrier_wanted
    handover.post(Opening(0, None))
    seen: list[object] = []
    with elsewhere(lambda: seen.append(snapshot(handover))) as thread:
        assert waits(thread)
        assert handover.is_barrier_wanted
        handover.take()
        handover.settle({3: []})
    assert seen == [{3: []}]
    assert not handover.is_barrier_wanted


def test_what_came_during_a_barrier_is_for_the_next() -> None:
    handover = Handover()
    handover.post(Opening(0, None))
    handover.settle({})
    with elsewhere(lambda: snapshot(handover)) as thread:
        assert waits(thread)
        handover.take()
        handover.settle({})


def test_a_change_of_what_a_snapshot_sees_has_to_be_written_first() -> None:
    handover = Handover()
    with handover.changing():
        pass
    with elsewhere(lambda: snapshot(handover)) as thread:
        assert waits(thread)
        handover.settle({})


def test_a_failure_of_the_writer_is_raised_by_whoever_waits_or_comes_next() -> None:
    handover = Handover()
    handover.post(Opening(0, None))
    raised: list[PublisherError] = []

    def fails() -> None:
        try:
            snapshot(handover)
        except PublisherError as error:
            raised.append(error)

    reason = OSError("the disk is gone")
    with elsewhere(fails) as thread:
        assert waits(thread)
        handover.fail(reason)
    assert raised[0].__cause__ is reason
    with pytest.raises(PublisherError, match="the disk is gone"):
        handover.post(Opening(1, None))


def test_the_writer_waits_as_long_as_it_says_and_ends_when_all_is_taken() -> None:
    handover = Handover()
    assert handover.wait(lambda: 0.0), "its patience is over: there is something to do by the clock"
    handover.post(Opening(0, None))
    handover.close()
    assert handover.wait(lambda: 60.0), "something is there"
    handover.take()
    assert not handover.wait(lambda: 60.0)


def test_what_will_be_waited_for_is_begun_before_and_waits_for_nobody() -> None:
    handover = Handover()
    handover.prepare()
    assert not handover.is_barrier_wanted, "nothing was handed over"
    handover.post(Opening(0, None))
    handover.prepare()
    assert handover.is_barrier_wanted
    handover.take()
    handover.settle({})
    assert snapshot(handover) == {} and not handover.is_barrier_wanted
