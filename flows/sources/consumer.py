"""The one consumer of a process for all its partitions of event topics, and what waits of each."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.kafka.clients import Complaints, consumer_config
from flows.log import get_log
from flows.runtime.run import Run, now

log = get_log(__name__)

#: Measured sweet spot of confluent-kafka; larger is slower.
POLL_MAX = 1000
#: How often it is asked in a row while there is more, for each partition: in a backlog much is taken at once, so that
#: what a shard costs each time is spread over many messages, and changes of one item are evaluated and sent once.
#: Drain of 200,000 messages, 12 partitions, CPU a message: 8 polls for all of them 36 us, 24: 27, 48: 22, 96: 19.
POLLS_EACH = 8
COMMIT_EVERY = 1_000_000
READ_HELP = "reading goes on by itself; if this stays, see whether the brokers run: atp check"


class EventReader:
    """The consumer, and a queue for each partition."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._consumer: Consumer | None = None
        self._queues: dict[tuple[str, int], list[Any]] = {}
        self._commits: dict[tuple[str, int], int] = {}
        self._committed_at = 0
        self.complaints = Complaints()

    def open(self, topic: str, partition: int, offset: int) -> None:
        """Begin to read a partition at an offset."""
        if self._consumer is None:
            self._consumer = Consumer(consumer_config(self._run.settings, **{"auto.offset.reset": "error"}))
        self._queues[topic, partition] = []
        self._consumer.incremental_assign([TopicPartition(topic, partition, offset)])

    def poll(self) -> tuple[int, bool]:
        """Queue what has come; gives how much, and whether more is likely there."""
        assert self._consumer is not None
        count = 0
        for _ in range(POLLS_EACH * len(self._queues)):
            messages: list[Any] = self._consumer.consume(POLL_MAX, 0)
            if messages:
                self._sort(messages)
                count += len(messages)
            if len(messages) < POLL_MAX:
                break
        return count, count >= POLL_MAX

    def take(self, topic: str, partition: int) -> list[Any]:
        """Give what is queued of a partition."""
        queue = self._queues[topic, partition]
        if queue:
            self._queues[topic, partition] = []
        return queue

    def _sort(self, messages: list[Any]) -> None:
        last: tuple[str, int] | None = None
        queue: list[Any] = []
        for message in messages:
            where = (message.topic(), message.partition())
            if where != last:
                if where not in self._queues:
                    error = message.error()
                    is_wrong = error is not None and error.code() != KafkaError._PARTITION_EOF
                    if is_wrong and self.complaints.is_new(where, error):
                        log.warning(f"kafka: {error}", kind="kafka_read", next=READ_HELP)
                    continue  # of a partition that has ended for us
                last, queue = where, self._queues[where]
            queue.append(message)

    def commit(self, topic: str, partition: int, position: int) -> None:
        """Note a position that went through every sink; told to Kafka once a second."""
        self._commits[topic, partition] = position
        moment = now()
        if moment - self._committed_at >= COMMIT_EVERY:
            self._committed_at = moment
            self._send_commits()

    def _send_commits(self) -> None:
        if self._consumer is None or not self._commits:
            return
        offsets = [TopicPartition(*where, position) for where, position in self._commits.items()]
        self._commits = {}
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            log.warning(
                f"offsets could not be committed (lag shown by Kafka's tools will be too high): {error}",
                kind="offsets",
                next="recovery does not need them; allow the group kafka.group to be read if this stays",
            )

    def close(self, topic: str, partition: int) -> None:
        """Stop reading a partition; with the last one, the consumer goes."""
        self._queues.pop((topic, partition), None)
        if not self._queues and self._consumer is not None:
            self._send_commits()  # sent with the close
            self._consumer.close()
            self._consumer = None
