"""Whether a state directory and the topics belong together: offsets mean nothing in other topics.

A topic that was deleted and made again has the same name and other records under the same offsets; Kafka gives it
another id. Without this, the engine would begin in its middle and say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from flows.kafka.clients import CONNECT_TIMEOUT_S, KafkaProblem, client_config, partitions_of
from flows.kafka.parts import part_name, place_of
from schemas.settings import Settings
from schemas.topics import ALL, INPUTS, REFERENCE, TRAIL

#: The way on without the state there is.
ANEW = "name an empty folder in state.dir and start with --from-scratch"


class Earlier(msgspec.Struct):
    """A topic of the same name that was read before: what it was, and when (UTC microseconds) its heir was accepted."""

    id: str
    partitions: int
    accepted_at: int


class TopicFacts(msgspec.Struct, omit_defaults=True):
    """What tells a topic from another of its name. An empty id: the brokers gave none."""

    id: str
    partitions: int
    #: the topics of this name before it, oldest first: as many as there are generations below its own
    earlier: list[Earlier] = []

    @property
    def generation(self) -> int:
        """How often the topic was made again, and that accepted."""
        return len(self.earlier)

    def is_another(self, other: TopicFacts) -> bool:
        """Is the other one certainly not this topic?"""
        return bool(self.id and other.id and self.id != other.id)


class Inputs(msgspec.Struct):
    """The topics that an engine reads, by full name."""

    cluster: str
    topics: dict[str, TopicFacts]

    def ids(self) -> dict[str, str]:
        """Map each topic to its id."""
        return {name: topic.id for name, topic in self.topics.items()}

    def carry(self, known: Inputs | None) -> None:
        """Take over what was kept of the topics' generations."""
        for name, topic in self.topics.items():
            before = known.topics.get(name) if known is not None else None
            if before is not None:
                topic.earlier = before.earlier

    def named(self, places: Mapping[str, int]) -> dict[str, int]:
        """Map parts, named with their generations, to what "topic/partition" is mapped to."""
        named = {}
        for place, value in places.items():
            topic, partition = place_of(place)
            known = self.topics.get(topic)
            named[part_name(topic, partition, known.generation if known is not None else 0)] = value
        return named

    def ended(self, names: Iterable[str]) -> tuple[str, ...]:
        """Name the parts of these topics' earlier generations, which recovered state still speaks of."""
        return tuple(
            part_name(name, partition, generation)
            for name in names
            if name in self.topics
            for generation, before in enumerate(self.topics[name].earlier)
            for partition in range(before.partitions)
        )


def inputs_now(settings: Settings) -> Inputs:
    """Ask Kafka; KafkaProblem if it does not say."""
    # First, because it tells a Kafka that is away, or that lets nobody in, from a topic that is missing.
    partitions_of(settings, (*ALL, TRAIL) if settings.trail.enabled else ALL)
    names = [settings.topic(name) for name in (*INPUTS, *REFERENCE)]
    admin = AdminClient(client_config(settings, log_level=0))
    try:
        cluster = admin.list_topics(timeout=CONNECT_TIMEOUT_S).cluster_id or ""
        told: dict[str, Any] = admin.describe_topics(TopicCollection(names), request_timeout=CONNECT_TIMEOUT_S)
        found = {name: one.result(CONNECT_TIMEOUT_S) for name, one in told.items()}
    except (KafkaException, TimeoutError) as error:
        raise KafkaProblem(
            f"Kafka at {settings.kafka.bootstrap_servers} does not describe its topics ({error}): run `atp topics "
            "create`, and allow Describe on them"
        ) from error
    return Inputs(cluster, {name: facts_of(one) for name, one in found.items()})


def facts_of(topic: Any) -> TopicFacts:
    """Give what Kafka's description of a topic says."""
    return TopicFacts(_id(topic), len(topic.partitions))


def _id(topic: Any) -> str:
    text = str(topic.topic_id) if topic.topic_id is not None else ""
    return "" if set(text) <= set("A=") else text  # all zero: a Kafka too old for ids


class WhyNot(NamedTuple):
    """Why state cannot go on with what there is: the setting, what was seen, what would do."""

    setting: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.seen}: {self.remedy}"


def why_not(settings: Settings, known: Inputs, now: Inputs) -> WhyNot | None:
    """Say why state that was made with `known` cannot go on with `now`; None if it can."""
    folder = settings.state.dir
    if known.cluster and now.cluster and known.cluster != now.cluster:
        seen = f"{folder} belongs to the Kafka cluster {known.cluster}, and these are servers of {now.cluster}"
        return WhyNot("kafka.bootstrap_servers", seen, f"name the servers of that one, or {ANEW}")
    missing = sorted(name for name in known.topics if name not in now.topics)
    if missing:
        seen = f"{folder} was made from {', '.join(missing)}, and {settings.topics.prefix or '(none)'} leads elsewhere"
        return WhyNot("topics.prefix", seen, f"set it as it was, or {ANEW}")
    for name in (settings.topic(name) for name in INPUTS):
        before, after = known.topics.get(name), now.topics[name]
        if before is None:
            continue
        if before.is_another(after):
            seen = (
                f"topic {name} was deleted and made again since {folder} was written, whose offsets mean other records"
            )
            return WhyNot(
                "state.dir",
                seen,
                f"`atp topics accept {name}` reads the new one from its beginning and keeps all that is counted; or "
                f"{ANEW}, and count from what the topics hold now",
            )
        if after.partitions < before.partitions:
            seen = (
                f"topic {name} had {before.partitions} partitions when {folder} was written, and has {after.partitions}"
            )
            return WhyNot("state.dir", seen, ANEW)
    return None


def changes(settings: Settings, known: Inputs, now: Inputs) -> list[str]:
    """Say what changed that the engine can go on with."""
    said = []
    for name in (settings.topic(name) for name in (*INPUTS, *REFERENCE)):
        before, after = known.topics.get(name), now.topics[name]
        if before is None:
            continue
        if after.partitions > before.partitions:
            said.append(f"{name} has {after.partitions} partitions now, {before.partitions} before: all are read")
        if before.is_another(after):
            said.append(f"{name} was deleted and made again: it is read from its beginning")
    return said
