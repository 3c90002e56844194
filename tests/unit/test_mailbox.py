"""Decides that what the sink asks of shards arrives once, in the order in which it was asked."""

from __future__ import annotations

from flows.runtime.mailbox import Mailbox, ShardRequest
from schemas.messages import Republish


def test_what_is_asked_is_taken_once_and_in_order() -> None:
    mailbox = Mailbox()
    assert mailbox.take() == []
    first, second = ShardRequest(3, Republish("SHOVEL")), ShardRequest(1, Republish(cause="refill"))
    mailbox.put([first])
    mailbox.put(iter([second, first]))
    assert len(mailbox) == 3
    assert mailbox.take() == [first, second, first]
    assert mailbox.take() == [] and len(mailbox) == 0
