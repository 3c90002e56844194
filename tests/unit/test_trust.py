"""Decides when Redis is believed about a shard, and what the shard says again where it is not."""

from __future__ import annotations

from typing import Any

import pytest

from flows.monitoring.metrics import Metrics
from flows.publishing.errors import PublisherError
from flows.publishing.handover import Handover
from flows.publishing.patience import Patience
from flows.publishing.restating import Restating
from flows.publishing.saved import Saved, pack, pack_offsets
from flows.publishing.shards import OpenShard, Shards
from flows.publishing.tail import KnownTail, Tail
from flows.publishing.trust import Trust
from flows.publishing.writer import Writer
from flows.readmodel.port import Behind, ReadModel
from flows.runtime.clock import Clock
from flows.runtime.progress import PartProgress
from flows.runtime.run import Run, Shared
from flows.settings import load_settings
from operators.route import shard_of
from operators.rules.lanes import HIGH
from operators.rules.trust import IllegalStep, Standing, Step
from schemas.messages import ChannelUpdate, ItemUpdate, Outcome
from tests.fake_read_model import FakeReadModel

ORDERS = "inventory.orders/0"
TOKEN = 7
NEWEST = TOKEN << 32
SHARDS = 4
SHOVEL = shard_of("SHOVEL", SHARDS)
LOST = Behind("BEHIND flush 0")


class Desk:
    """What believes and what writes, over a read model in memory; requests of shards are read as words."""

    def __init__(self) -> None:
        settings = load_settings(None, {"shards": SHARDS})
        self.shared = Shared(Run(settings, TOKEN, ends={ORDERS: 10}))
        self.model, self.sent, self.shards = FakeReadModel(), Tail(), Shards()
        model: ReadModel = self.model
        metrics, clock = Metrics(), Clock()
        tail = KnownTail(settings, lambda _, since: self.sent)
        restating = Restating(self.shards, tail)
        self.forwarded: list[ItemUpdate] = []
        self.writer = Writer(
            self.shared.run, self.shards, model, self.forward, lambda: TOKEN,
            Patience(metrics, self.shared.stop, clock), metrics, clock,
        )  # fmt: skip
        self.trust = Trust(self.shared, self.shards, self.writer, restating, tail, Handover(), metrics, clock)

    def forward(self, taken: list[tuple[int, ItemUpdate]], version: int, moment: int) -> None:
        self.forwarded += [update for _, update in taken]

    def publishes(self, shard: int, offset: int, version: int = 5) -> None:
        """An earlier run has published numbers up to this offset."""
        self.model.offsets[shard] = pack_offsets({ORDERS: offset}, version)

    def resumes(self, shard: int = SHOVEL, offset: int = 3, **kept: Any) -> OpenShard:
        self.trust.open(shard, pack(Saved(1, [], {ORDERS: offset}, None, **kept)))
        return self.shards[shard]

    def says(self, shard: int, *updates: ItemUpdate, offset: int, ended: bool = False) -> None:
        one = self.shards[shard]
        one.has_spoken = True
        one.reached[ORDERS] = offset
        self.trust.hold(one, Outcome(shard, {ORDERS: offset}, list(updates), [], [], ended=ended))

    def is_read_up_to(self, position: int) -> None:
        self.shared.progress.note(ORDERS, PartProgress(position, 0, False))

    def asked(self) -> list[str]:
        return [asked.request.cause for asked in self.shared.mailbox.take()]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def update(item: str = "SHOVEL", atp: int = 5) -> ItemUpdate:
    return ItemUpdate(item, 0, 0, -1, "", [ChannelUpdate("web", atp, 3, None, HIGH, "order_placed")], {}, None)


# At a start


def test_a_shard_of_which_nothing_was_kept_or_published_is_whole_at_once(desk: Desk) -> None:
    desk.trust.open(0, None)
    assert desk.shards[0].standing is Standing.WHOLE
    assert not desk.shards.held_back and not desk.asked()


def test_a_shard_that_published_before_its_first_snapshot_is_held_back(desk: Desk) -> None:
    desk.publishes(0, offset=2)
    desk.trust.open(0, None)
    assert desk.shards[0].standing is Standing.HELD


def test_a_resumed_shard_is_held_back_until_it_is_as_far_as_redis(desk: Desk) -> None:
    desk.publishes(SHOVEL, offset=4)
    shard = desk.resumes(offset=3)
    desk.trust.compare()
    desk.trust.release_held()
    assert shard.standing is Standing.HELD
    desk.says(SHOVEL, update(), offset=4)
    desk.trust.release_held()
    assert shard.standing is Standing.WHOLE and len(desk.writer.outbox) == 1 and not desk.asked()


def test_it_is_not_released_before_it_was_compared_with_kafka(desk: Desk) -> None:
    shard = desk.resumes()
    desk.says(SHOVEL, offset=9)
    desk.trust.release_held()
    assert shard.standing is Standing.HELD
    desk.trust.compare()
    desk.trust.release_held()
    assert shard.standing is Standing.WHOLE


def test_nor_before_it_has_spoken(desk: Desk) -> None:
    shard = desk.resumes()
    desk.trust.compare()
    desk.trust.release_held()
    assert shard.standing is Standing.HELD


def test_a_shard_that_redis_has_not_in_full_is_doubted_and_asked_to_replay(desk: Desk) -> None:
    desk.model.lives[SHOVEL] = 0
    assert desk.resumes().standing is Standing.DOUBTED
    assert desk.asked() == ["replay"]


@pytest.mark.parametrize(("in_redis", "standing"), [(8, Standing.DOUBTED), (9, Standing.HELD), (10, Standing.HELD)])
def test_a_redis_behind_the_snapshot_is_an_older_copy(desk: Desk, in_redis: int, standing: Standing) -> None:
    desk.publishes(SHOVEL, offset=3, version=in_redis)
    assert desk.resumes(version=9).standing is standing
    assert desk.model.lives == ({SHOVEL: -1} if standing is Standing.DOUBTED else {})


@pytest.mark.parametrize(("in_redis", "standing"), [(11, Standing.DOUBTED), (12, Standing.HELD), (13, Standing.HELD)])
def test_a_redis_behind_kafka_is_an_older_copy(desk: Desk, in_redis: int, standing: Standing) -> None:
    shard, other = desk.resumes(), desk.resumes((SHOVEL + 1) % SHARDS)
    desk.sent["SHOVEL", "web"] = (12, (5, None))
    desk.model.numbers["SHOVEL"] = in_redis
    desk.trust.compare()
    assert shard.standing is standing
    assert other.standing is standing, "what goes for one item goes for all that is in this Redis"


def test_a_shard_that_is_opened_twice_ends_the_writer_and_changes_nothing(desk: Desk) -> None:
    shard = desk.resumes()
    with pytest.raises(PublisherError, match="spoke before what was kept"):
        desk.trust.open(SHOVEL, None)
    assert desk.shards[SHOVEL] is shard and shard.standing is Standing.HELD


# While it runs


def test_a_doubted_shard_is_past_all_inputs_then_says_everything_and_is_whole_when_that_is_written(desk: Desk) -> None:
    desk.model.lives[SHOVEL] = 0
    shard = desk.resumes()
    desk.trust.compare()
    desk.says(SHOVEL, update(), offset=8)
    desk.trust.release_held()
    assert shard.standing is Standing.DOUBTED, "the inputs ended at 10"
    desk.says(SHOVEL, offset=9)
    desk.trust.release_held()
    assert shard.standing is Standing.RESTATING and desk.asked() == ["replay", "refill"]
    assert not desk.trust.is_said([SHOVEL])
    desk.trust.hear_answers(SHOVEL, 1)
    desk.trust.mark_filled()
    assert desk.trust.is_said([SHOVEL]) and desk.model.lives == {SHOVEL: 1}


def whole(desk: Desk) -> OpenShard:
    desk.trust.open(SHOVEL, None)
    desk.writer.outbox.add(SHOVEL, [update()], {ORDERS: 1})
    desk.writer.write_slices()
    return desk.shards[SHOVEL]


def test_a_loss_has_a_whole_shard_say_everything_and_its_mark_is_of_the_new_life(desk: Desk) -> None:
    shard = whole(desk)
    desk.model.faults = [LOST]
    desk.writer.look()
    assert shard.standing is Standing.REFILLING and desk.asked() == ["refill"]
    desk.trust.hear_answers(SHOVEL, 1)
    desk.trust.mark_filled()
    assert shard.standing is Standing.WHOLE and desk.model.lives == {SHOVEL: 2}


def test_two_losses_take_two_answers(desk: Desk) -> None:
    shard = whole(desk)
    desk.model.faults = [LOST, LOST]
    desk.writer.look()
    assert desk.asked() == ["refill", "refill"] and shard.asked == 2
    desk.trust.hear_answers(SHOVEL, 1)
    desk.trust.mark_filled()
    assert shard.standing is Standing.REFILLING and not desk.model.lives
    desk.trust.hear_answers(SHOVEL, 1)
    desk.trust.mark_filled()
    assert shard.standing is Standing.WHOLE


def test_a_loss_between_an_answer_and_its_mark_takes_another_answer(desk: Desk) -> None:
    shard = whole(desk)
    desk.trust.lose("once")
    desk.trust.hear_answers(SHOVEL, 1)
    desk.trust.lose("and again")
    desk.trust.mark_filled()
    assert shard.standing is Standing.REFILLING and not desk.model.lives


def test_a_loss_that_is_found_while_a_shard_is_marked_leaves_a_mark_of_the_life_before(desk: Desk) -> None:
    shard = whole(desk)
    desk.trust.lose("once")
    desk.trust.hear_answers(SHOVEL, 1)
    desk.model.faults = [LOST]
    desk.trust.mark_filled()
    assert shard.standing is Standing.REFILLING
    assert desk.model.lives == {SHOVEL: 1} and desk.model.life == 2, "nobody believes in it after a crash"


def test_an_answer_that_nobody_waits_for_marks_the_shard_once_more(desk: Desk) -> None:
    shard = whole(desk)
    desk.trust.hear_answers(SHOVEL, 1)
    desk.trust.mark_filled()
    assert shard.standing is Standing.WHOLE and desk.model.lives == {SHOVEL: 1}


def test_a_redis_lost_while_a_shard_is_held_back_is_not_believed_about_it(desk: Desk) -> None:
    shard = desk.resumes()
    desk.trust.compare()
    desk.says(SHOVEL, update(), offset=4)
    desk.model.faults = [LOST]
    desk.trust.release_held()  # it looks whether what it read was what the last run wrote
    assert shard.standing is Standing.DOUBTED and not desk.writer.outbox
    desk.trust.lose("and again")
    assert shard.standing is Standing.DOUBTED and desk.asked() == ["replay", "replay"]
    desk.is_read_up_to(10)
    desk.trust.release_held()
    assert shard.standing is Standing.RESTATING and desk.asked() == ["refill"]


def test_a_loss_while_a_shard_restates_leaves_it_unsure(desk: Desk) -> None:
    desk.model.lives[SHOVEL] = 0
    shard = desk.resumes()
    desk.trust.compare()
    desk.says(SHOVEL, offset=9)
    desk.trust.release_held()
    desk.trust.lose("again")
    assert shard.standing is Standing.RESTATING and desk.shards.unsure == {SHOVEL} and shard.asked == 2


def test_what_a_held_shard_answers_when_its_input_ends_counts_when_it_is_released(desk: Desk) -> None:
    desk.model.lives[SHOVEL] = 0
    shard = desk.resumes()
    desk.trust.compare()
    desk.trust.hear_answers(SHOVEL, 1)
    desk.trust.mark_filled()
    assert shard.standing is Standing.DOUBTED and desk.model.lives == {SHOVEL: 0}
    desk.says(SHOVEL, offset=3, ended=True)
    desk.trust.release_held()
    desk.trust.mark_filled()
    assert shard.standing is Standing.WHOLE and desk.model.lives == {SHOVEL: 1}


@pytest.mark.parametrize("step", [Step.BEGIN, Step.RESUME, Step.DOUBT, Step.RELEASE])
def test_a_step_that_may_not_be_taken_changes_nothing(desk: Desk, step: Step) -> None:
    desk.trust.open(SHOVEL, None)
    desk.trust.lose("once")
    with pytest.raises(IllegalStep):
        desk.shards.take_step(SHOVEL, step)
    assert desk.shards[SHOVEL].standing is Standing.REFILLING
    assert (desk.shards.held_back, desk.shards.unsure, desk.shards.filling()) == ({}, set(), 1)
