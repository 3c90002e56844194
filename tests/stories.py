"""Many random histories at once, told now: each about two items of its own, in one world of locations and channels."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Any
from zlib import crc32

from schemas.topics import INPUTS, REFERENCE
from tests.histories import CHANNELS, ITEMS, LOCATIONS, MINUTE, History
from tests.judging import now_us

Message = tuple[str, bytes, bytes | None]


class Stories:
    """Events of `count` histories, mixed; reference data that goes before them. The same seed tells the same.

    `policies`: what is said of single items and of channels' items changes on the way. Other changes would make the
    end depend on which of two topics was read first.
    """

    def __init__(self, count: int, length: int, seed: int = 1, policies: bool = False, **channel: Any) -> None:
        self._told: list[Iterator[Message]] = []
        self.reference: list[Message] = []
        self._random = random.Random(seed)
        for number in range(count):
            history = History(seed * 1000 + number, length)
            # The conditions are in all of them, the policies in the first, whose channels and locations all share.
            history.features |= {"jumps": False, "policies": policies, "horizon": True, "protection": True}
            history.now = now_us() - 20 * MINUTE
            told = history.actions()
            for topic, key, value in _reference(told):
                if topic == "inventory.items":
                    self.reference.append(_named((topic, key, value), number))
                elif not number:
                    if topic == "inventory.channels" and channel:
                        assert value is not None
                        value = json.dumps(json.loads(value) | channel).encode()
                    self.reference.append((topic, key, value))
            self._told.append(self._events(told, history, number))

    def _events(self, told: Iterator[Any], history: History, number: int) -> Iterator[Message]:
        for action, what in told:
            if action == "event":
                topic, value, _ = what
                yield _named((topic, json.loads(value)["event_id"].encode(), value), number)
            elif action == "reference" and _is_of_one_item(what):
                yield _named(what, number)
            history.now = min(history.now, now_us())

    def events(self) -> Iterator[Message]:
        """Give one event after the other, of any history."""
        told = list(self._told)
        while told:
            one = self._random.choice(told)
            try:
                yield next(one)
            except StopIteration:
                told.remove(one)

    def send_reference(self, world: Any) -> None:
        """Send locations, channels and items, and wait for Kafka."""
        for topic, key, value in self.reference:
            world.send(topic, value, key=key)
        world.flush()


def send(world: Any, messages: Iterator[Message], partitions: int) -> int:
    """Send events; those with one id to one partition, so that of two that conflict the same one is always first."""
    sent = 0
    for topic, key, value in messages:
        world.send(topic, value, key=key, partition=_partition(topic, key, partitions))
        sent += 1
    world.flush()
    return sent


class Feeder(threading.Thread):
    """Sends events at a pace beside the test. A context manager, which ends when all is sent."""

    def __init__(self, world: Any, messages: Iterator[Message], partitions: int, per_second: float) -> None:
        super().__init__(name="feeder", daemon=True)
        self._world, self._messages, self._partitions, self._per_second = world, messages, partitions, per_second
        self.sent = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        start = time.monotonic()
        try:
            for topic, key, value in self._messages:
                self._world.send(topic, value, key=key, partition=_partition(topic, key, self._partitions))
                self.sent += 1
                ahead = start + self.sent / self._per_second - time.monotonic()
                if ahead > 0.01:
                    time.sleep(ahead)
            self._world.flush()
        except BaseException as error:
            self.failure = error

    def finish(self) -> None:
        """Wait until all is sent."""
        self.join()
        if self.failure is not None:
            raise self.failure

    def __enter__(self) -> Feeder:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()


def _reference(told: Iterator[Any]) -> Iterator[Message]:
    """Take the locations, items and channels that a history begins with; what overrides them is left out."""
    for _ in range(len(LOCATIONS) + len(ITEMS) + len(CHANNELS)):
        action, record = next(told)
        assert action == "reference", action
        yield record


def _is_of_one_item(record: Message) -> bool:
    topic, _, value = record
    return topic == "inventory.channel_items" or (topic == "inventory.items" and value is not None)


def _partition(topic: str, key: bytes, partitions: int) -> int:
    return crc32(key) % partitions if topic in INPUTS else 0


def _named(message: Message, number: int) -> Message:
    topic, key, value = message
    for item in ITEMS:
        if value is not None:
            value = value.replace(f'"{item}"'.encode(), f'"{item}-{number}"'.encode())
        if topic in REFERENCE and key.endswith(item.encode()):
            key = key + f"-{number}".encode()
    return topic, key, value
