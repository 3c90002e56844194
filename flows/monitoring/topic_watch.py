"""Whether the topics that a run reads are still those that it began with: deleted, made again, grown.

A topic that is made again under its name has other records under the same offsets. Kafka's client goes on with it by
name, if the old offset happens to exist; so the ids are compared. Nothing of this ends the engine: the other topics
are read on, and an operator decides.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from flows.kafka.clients import client_config
from flows.kafka.identity import Inputs, TopicFacts, facts_of
from flows.log import get_log
from schemas.settings import Settings
from schemas.topics import INPUTS

log = get_log(__name__)

EVERY_S = float(os.environ.get("ATP_TEST_PARTITIONS_EVERY_S", "10"))
#: A broker that starts may not know a topic for a moment: what is gone is looked at again before it is said.
AGAIN_S = min(2.0, EVERY_S)
TIMEOUT_S = 5.0
#: How soon a wait for Kafka notices that the engine ends.
WAIT_S = 0.1
DELETED, MADE_AGAIN = "deleted", "made_again"


def sentence(topic: str, fate: str) -> str:
    """Say what became of a topic."""
    if fate == DELETED:
        return f"topic {topic} was deleted: nothing comes from it, and all that was counted stays"
    return f"topic {topic} was deleted and made again: the new one is not read, and all that was counted stays"


def remedy(topic: str, fate: str) -> str:
    """Say what would do."""
    first = "make it again (atp topics create), then " if fate == DELETED else ""
    return f"{first}atp topics accept {topic}: it is read from its beginning, and what was counted before counts once"


def describe(settings: Settings, names: Iterable[str], is_over: Callable[[], bool]) -> dict[str, TopicFacts | None]:
    """Ask Kafka for topics by full name; None: there is none. Those of which it does not tell are left out."""
    admin = AdminClient(client_config(settings, log_level=0))  # who is away says it elsewhere
    found: dict[str, TopicFacts | None] = {}
    told: dict[str, Any] = admin.describe_topics(TopicCollection(list(names)), request_timeout=TIMEOUT_S)
    deadline = time.monotonic() + TIMEOUT_S
    for name, answer in told.items():
        while not is_over():
            try:
                found[name] = facts_of(answer.result(WAIT_S))
            except TimeoutError:
                if time.monotonic() < deadline:
                    continue
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    found[name] = None
            break
    return found


def fates(known: Mapping[str, TopicFacts], found: Mapping[str, TopicFacts | None]) -> dict[str, str]:
    """Map each topic that is not what it was to what became of it."""
    lost = {}
    for name, now in found.items():
        if now is None:
            lost[name] = DELETED
        elif known[name].is_another(now):
            lost[name] = MADE_AGAIN
    return lost


def unchanged(known: Mapping[str, TopicFacts], found: Mapping[str, TopicFacts | None]) -> set[str]:
    """Name the topics that are certainly the same: their ids are known."""
    return {name for name, now in found.items() if now is not None and now.id and now.id == known[name].id}


class TopicWatch:
    """Looks every ten seconds, and says once what it sees."""

    def __init__(
        self,
        settings: Settings,
        tell: Callable[[Mapping[str, str]], None],
        confirm: Callable[[Collection[str], float], None] = lambda _, __: None,
    ) -> None:
        """`tell`: given what is lost, by topic, whenever that changes.

        `confirm`: given at every look which topics are certainly the same, and since when (wall clock, seconds).
        """
        self._settings, self._tell, self._confirm = settings, tell, confirm
        self._known: dict[str, TopicFacts] = {}
        #: topic -> partitions that were spoken of
        self._partitions: dict[str, int] = {}
        self._doubted: dict[str, str] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="topics", daemon=True)
        #: topic -> what became of it
        self.lost: dict[str, str] = {}

    def begin(self, inputs: Inputs) -> None:
        """A run begins with these."""
        self._partitions = {name: topic.partitions for name, topic in inputs.topics.items()}
        self._known = inputs.topics
        self._take({})
        if not self._thread.is_alive():
            self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)

    def _look(self) -> None:
        while not self._ended.wait(AGAIN_S if self._doubted != self.lost else EVERY_S):
            known, asked_at = self._known, time.time()
            found = describe(self._settings, known, self._ended.is_set)
            if known is self._known:
                self._compare(known, found)
                self._confirm(unchanged(known, found), asked_at)

    def _compare(self, known: Mapping[str, TopicFacts], found: Mapping[str, TopicFacts | None]) -> None:
        if not found:
            return  # Kafka is away: the workers say so
        seen = {name: fate for name, fate in self.lost.items() if name not in found} | fates(known, found)
        doubted, self._doubted = self._doubted, seen
        # Another id is certain at once; what is gone has to be so twice.
        self._take({name: fate for name, fate in seen.items() if fate == MADE_AGAIN or doubted.get(name) == DELETED})
        for name, now in found.items():
            if now is not None and name not in seen:
                self._count_partitions(name, now.partitions)

    def _take(self, lost: dict[str, str]) -> None:
        before, self.lost = self.lost, lost
        for name, fate in lost.items():
            if before.get(name) != fate:
                log.error(sentence(name, fate), kind="topic_lost", topic=name, next=remedy(name, fate))
        for name in before.keys() - lost.keys():
            if before[name] == DELETED:
                log.info(f"topic {name} is there", kind="topic_back", topic=name)
        if before != lost:
            self._tell(lost)

    def _count_partitions(self, name: str, count: int) -> None:
        known = self._partitions[name]
        if name in map(self._settings.topic, INPUTS) and count > known:
            self._partitions[name] = count
            log.warning(
                f"{name} has {count} partitions now, {known} when this run began: nobody reads the new ones",
                kind="new_partitions",
                next="restart the engine; what is in them waits in Kafka",
            )


class Doubts:
    """Finds out, beside the dataflow, whether topics are still those that a run began with."""

    def __init__(self, settings: Settings, ids: Mapping[str, str]) -> None:
        self._settings, self._ids = settings, ids
        self._answers: dict[str, bool | None] = {}

    def is_another(self, topic: str) -> bool | None:
        """Was the topic deleted, or made again? None: not known yet."""
        if topic not in self._answers:
            self._answers[topic] = None
            threading.Thread(target=self._ask, args=(topic,), name="doubt", daemon=True).start()
        return self._answers[topic]

    def _ask(self, topic: str) -> None:
        known = {topic: TopicFacts(self._ids.get(topic, ""), 0)}
        while not (found := describe(self._settings, [topic], lambda: False)):
            time.sleep(1.0)
        self._answers[topic] = bool(fates(known, found))
