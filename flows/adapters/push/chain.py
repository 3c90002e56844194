"""How far others are, by the positions that they commit when all they did because of it is written."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.adapters.translator.source import translator_group
from flows.kafka.clients import CONNECT_TIMEOUT_S, KafkaProblem, consumer_config
from operators.adapters.order_gate import Ends, Stage
from operators.adapters.pushing import Part
from schemas.settings import Settings
from schemas.topics import INPUTS, UPDATES, raw_topic


class Chain:
    """Asks Kafka for the positions of translator and engine. KafkaProblem where it does not tell."""

    def __init__(self, settings: Settings, source: str) -> None:
        #: which topics' ends have to be reached at each stage
        self.topics: Final = {
            Stage.TRANSLATED: {raw_topic(source)},
            Stage.APPLIED: set(INPUTS),
            Stage.READ: set(UPDATES),
        }
        self._groups = {
            Stage.TRANSLATED: Consumer(consumer_config(settings, **{"group.id": translator_group(settings)})),
            Stage.APPLIED: Consumer(consumer_config(settings, **{"group.id": settings.kafka.group})),
        }

    def positions(self, stage: Stage, ends: Ends) -> dict[Part, int]:
        """Give what the group of a stage has committed of these partitions."""
        places = [TopicPartition(*part) for part in ends]
        try:
            found = self._groups[stage].committed(places, timeout=CONNECT_TIMEOUT_S)
        except KafkaException as error:
            raise KafkaProblem(f"Kafka does not tell how far translator and engine are: {error}") from error
        return {(place.topic, place.partition): place.offset for place in found}

    def close(self) -> None:
        """Let go of Kafka."""
        for consumer in self._groups.values():
            consumer.close()
