"""What the writer knows of each shard of its process: one record a shard, changed by the writer's thread alone."""

from __future__ import annotations

from flows.publishing.saved import Saved
from operators.holdback import HeldShard
from operators.rules.trust import FILLING, HELD_BACK, UNSURE, Standing, Step, after


class OpenShard:
    """One shard, from its opening on."""

    __slots__ = (
        "answers",
        "asked",
        "has_news",
        "has_spoken",
        "held",
        "is_resumed",
        "open",
        "reached",
        "saved_version",
        "standing",
        "version",
    )

    def __init__(self, saved: Saved, held: HeldShard | None, is_resumed: bool) -> None:
        #: what Redis' word about it is worth; changed by `Shards.take_step` alone
        self.standing = Standing.NEW
        #: what it says while it is held back; None: it is not
        self.held = held
        #: was there a snapshot of it?
        self.is_resumed = is_resumed
        self.reached = saved.reached
        #: under which Redis last took `reached`
        self.version = self.saved_version = saved.version
        #: exceptions open now, by code
        self.open = saved.open
        #: in this run; every shard does at its start
        self.has_spoken = False
        #: said something since the last snapshot
        self.has_news = False
        #: how often it was asked to say everything and was not marked as whole since, and what of that it answered
        self.asked = self.answers = 0


class Shards:
    """Those of a process, by number, in the order in which they were opened."""

    def __init__(self) -> None:
        self._by_number: dict[int, OpenShard] = {}
        # Beside the standings, for what is asked once a slice:
        #: those that are read again, up to what is published
        self.held_back: dict[int, OpenShard] = {}
        #: those of which Redis cannot tell what was published
        self.unsure: set[int] = set()

    def __contains__(self, number: int) -> bool:
        return number in self._by_number

    def __getitem__(self, number: int) -> OpenShard:
        return self._by_number[number]

    def numbers(self) -> frozenset[int]:
        """Give which are open. From any thread."""
        return frozenset(self._by_number)

    def items(self) -> list[tuple[int, OpenShard]]:
        """Give each with its number. From any thread."""
        return list(self._by_number.items())

    def add(self, number: int, shard: OpenShard, step: Step) -> None:
        """Take one in: it begins, or it resumes."""
        after(shard.standing, step)  # may raise, and then it is not taken in
        self._by_number[number] = shard
        self.take_step(number, step)

    def take_step(self, number: int, step: Step) -> None:
        """Change a standing; IllegalStep, and nothing changed, where the step may not be taken."""
        shard = self._by_number[number]
        standing = shard.standing = after(shard.standing, step)
        if standing in HELD_BACK:
            self.held_back[number] = shard
        elif self.held_back.pop(number, None) is not None:
            shard.held = None
        if standing in UNSURE:
            self.unsure.add(number)
        else:
            self.unsure.discard(number)

    def filling(self) -> int:
        """Give how many have not yet said everything again for a Redis that lost it. From any thread."""
        return sum(shard.standing in FILLING for _, shard in self.items())
