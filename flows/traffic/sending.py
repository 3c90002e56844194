"""Sends generated traffic to the input topics at a given rate; returns when Kafka has acknowledged all of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flows.kafka.clients import partitions_of
from flows.kafka.sending import Sender
from flows.progress_bar import progress
from flows.runtime.run import now
from flows.traffic import day as traffic
from flows.traffic.profile import Message, Profile, reference
from schemas.settings import Settings
from schemas.topics import INPUTS, REFERENCE

#: Messages between looks at the clock: 10 ms of them, at most.
BURST_MAX = 500
BURSTS_PER_SECOND = 100


class Report(NamedTuple):
    """What was sent, and how long it took until it was acknowledged."""

    events: int
    seconds: float


def send(settings: Settings, profile: Profile, rate: int, with_reference: bool = True) -> Report:
    """Send `profile.events` messages at `rate` a second (0: as fast as Kafka takes them); a bar if it takes long."""
    partitions_of(settings, (*INPUTS, *REFERENCE))
    sender = Sender(settings)
    if with_reference:
        for topic, key, value in reference(profile):
            sender.send(topic, key, value)
        sender.flush()
    messages = traffic.events(profile, now(), rate)
    started = time.monotonic()
    with progress(profile.events, "sending") as advance:
        for count in _paced(sender, messages, rate, started):
            advance(count)
        sender.flush()
    return Report(profile.events, max(time.monotonic() - started, 1e-6))


def _paced(sender: Sender, messages: Iterable[Message], rate: int, started: float) -> Iterator[int]:
    """Send at the rate, in bursts; yield the size of each."""
    burst = max(1, min(BURST_MAX, rate // BURSTS_PER_SECOND)) if rate else BURST_MAX
    sent = 0
    send = sender.send
    for topic, key, value in messages:
        send(topic, key, value)
        sent += 1
        if sent % burst == 0:
            sender.poll()
            yield burst
            ahead = started + sent / rate - time.monotonic() if rate else 0.0
            if ahead > 0:
                time.sleep(ahead)
    yield sent % burst
