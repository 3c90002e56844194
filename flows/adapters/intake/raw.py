"""What goes to a raw topic, and the one way there: handed over with a word for when Kafka has it, or will not.

Delivery: at least once. A message is told to have arrived only after all in-sync replicas have it.
"""

from __future__ import annotations

import hashlib
import mimetypes
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from flows.kafka import topics
from flows.kafka.clients import CONNECT_TIMEOUT_S, KafkaProblem, Reasons, client_config
from flows.kafka.sending import SendError
from flows.log import get_log
from operators.adapters.cutting import Cut, Part, TooLarge
from schemas.documents import REFUSED_HEADER, STOOD_HEADER
from schemas.settings import Settings
from schemas.times import time_text
from schemas.topics import raw_topic

log = get_log(__name__)

#: What may wait for Kafka before senders are told to come again: a minute of 500 webhooks a second of 2 kB.
QUEUE_KILOBYTES_MAX: Final = 65_536
#: A header is to be read; a path or name may be as long as somebody likes.
HEADER_CHARACTERS_MAX: Final = 1_000
POLL_S: Final = 0.2
#: How often Kafka is asked whether it is there, while nothing is sent.
PROBE_S: Final = 5.0
UNKNOWN_TYPE: Final = "application/octet-stream"
#: Of what is too large so much is named: a sentence is to be read.
NAMED_MAX: Final = 20

Told = Callable[[KafkaError | None], None]


class RawMessage(NamedTuple):
    """One message of a source as it came."""

    source: str
    value: bytes
    headers: tuple[tuple[str, str], ...]


def raw_message(
    source: str, value: bytes, received_at: int, content_type: str, name: str = "", own: Mapping[str, str] | None = None
) -> RawMessage:
    """Make one; `received_at` in UTC microseconds, `own`: headers of the sender's own that are kept."""
    headers = [("received_at", time_text(received_at)), ("content_type", readable(content_type) or UNKNOWN_TYPE)]
    if name:
        headers.append(("name", readable(name)))
    headers += [(key, readable(said)) for key, said in (own or {}).items()]
    return RawMessage(source, value, tuple(headers))


def parts_of(message: RawMessage, whole: bytes, parts: list[Part]) -> list[RawMessage]:
    """Make the messages of a document that was cut; of one that was not, it is `message` itself."""
    if len(parts) == 1 and parts[0].value == whole:
        return [message]
    document = hashlib.sha256(whole).hexdigest()
    return [
        RawMessage(
            message.source,
            part.value,
            (
                *message.headers,
                ("document", document),
                ("part", str(number)),
                ("parts", str(len(parts))),
                ("heading", str(part.heading)),
            ),
        )
        for number, part in enumerate(parts, 1)
    ]


def refused_of(message: RawMessage, refused: TooLarge) -> RawMessage:
    """Make the message that stands for what no message can hold: its first bytes, and what the translator says of it.

    So it is accounted for where all documents are, and not only in a note beside the file.
    """
    headers = (*message.headers, (REFUSED_HEADER, refused.sentence), (STOOD_HEADER, refused.place))
    return RawMessage(message.source, refused.head, headers)


def messages_of(message: RawMessage, whole: bytes, found: Cut) -> list[RawMessage]:
    """Make all messages of a document: its parts, and one for each piece that no message can hold."""
    return [*parts_of(message, whole, found.parts), *(refused_of(message, one) for one in found.refused)]


def told_of(refused: list[TooLarge]) -> str:
    """Say what of a document no message can hold; nothing where all of it can go."""
    more = len(refused) - NAMED_MAX
    return "; ".join(one.sentence for one in refused[:NAMED_MAX]) + (f"; and {more} more" if more > 0 else "")


def readable(text: str) -> str:
    """Give text that UTF-8 can say and a terminal can show: whatever a file's name or a header is made of."""
    if text.isascii() and text.isprintable():
        return text[:HEADER_CHARACTERS_MAX]  # nearly all are, and this is read for each header of each webhook
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return shown.encode("utf-8", "backslashreplace").decode()[:HEADER_CHARACTERS_MAX]


def type_of(name: str, head: bytes) -> str:
    """Tell a file's content type: by its name, else by what it begins with."""
    guessed, _ = mimetypes.guess_type(name)
    if guessed is not None:
        return guessed
    begin = head[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
    for first, kind in _BEGINS:
        if begin.startswith(first):
            return kind
    return UNKNOWN_TYPE


_BEGINS: Final = (
    (b"ISA", "application/edi-x12"),
    (b"UNA", "application/edifact"),
    (b"UNB", "application/edifact"),
    (b"<", "application/xml"),
    (b"{", "application/json"),
    (b"[", "application/json"),
)


class RawTopics:
    """The raw topics of some sources: made where they are missing, as soon as Kafka answers."""

    def __init__(self, settings: Settings, sources: Iterable[str]) -> None:
        self._settings, self._sources = settings, tuple(sources)
        self.are_there = False

    def make(self) -> None:
        """See that all are there; KafkaProblem says why they are not."""
        if not self.are_there:
            try:
                made = topics.create_raw(self._settings, self._sources)
            except KafkaException as error:
                raise KafkaProblem(f"Kafka does not say whether the raw topics are there: {error}") from error
            for name in made:
                log.info(f"topic {name} was made: it keeps what came, for ever", kind="topic_made")
            self.are_there = True


class RawSender:
    """Sends messages, and tells of each what became of it; from any thread.

    1. A message is handed over (`send`), and librdkafka tries until `timeout_s` is over.
    2. Its word comes in a thread of our own: Kafka has it (None), or an error. Nobody is left without one.
    3. `close` waits for those on their way, then drops the rest, and each gets its word.
    """

    def __init__(self, settings: Settings, timeout_s: float) -> None:
        self._settings = settings
        self._reasons = Reasons()
        self._names: dict[str, str] = {}
        self._producer = Producer(
            client_config(
                settings,
                **{
                    "linger.ms": 1,
                    "acks": "all",
                    "enable.idempotence": True,
                    "compression.type": "lz4",
                    "message.max.bytes": 1_000_000_000,
                    # What has not arrived by then is said to have not, so that its sender comes again.
                    "message.timeout.ms": max(100, int(timeout_s * 1000)),
                    "queue.buffering.max.kbytes": QUEUE_KILOBYTES_MAX,
                    "error_cb": self._reasons,
                    "log_level": 2,
                },
            )
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._hear, name="kafka-words", daemon=True)
        self._thread.start()

    def send(self, message: RawMessage, told: Told) -> None:
        """Hand over one message; BufferError where too much waits for Kafka already. `told` is called from a thread."""

        def report(error: KafkaError | None, _: Message) -> None:
            told(error)

        headers: list[tuple[str, str | bytes | None]] = [(name, said.encode()) for name, said in message.headers]
        # One key, one partition: a change of an order is read behind the order, if it was sent so.
        self._producer.produce(
            self._topic_of(message.source),
            message.value,
            message.source.encode(),
            headers=headers,
            on_delivery=report,
        )

    def _topic_of(self, source: str) -> str:
        found = self._names.get(source)
        if found is None:
            found = self._names[source] = self._settings.topic(raw_topic(source))
        return found

    def send_all(self, messages: list[RawMessage], is_over: Callable[[], bool]) -> None:
        """Send them, wait until Kafka has all; SendError if it does not take one, KeyboardInterrupt if it is over."""
        waiting = threading.Semaphore(0)
        errors: list[KafkaError] = []

        def told(error: KafkaError | None) -> None:
            if error is not None:
                errors.append(error)
            waiting.release()

        handed = 0
        while handed < len(messages) and not errors:
            try:
                self.send(messages[handed], told)
                handed += 1
            except BufferError:
                self._look(is_over)
                time.sleep(POLL_S / 4)
        for _ in range(handed):
            while not waiting.acquire(timeout=POLL_S):
                self._look(is_over)
        if errors:
            where = self._settings.topic(raw_topic(messages[0].source))
            raise SendError(f"{where} did not take a message: {errors[0].str()}")

    def probe(self) -> None:
        """Ask Kafka whether it is there; KafkaProblem says why not. Waits some seconds at most."""
        try:
            self._producer.list_topics(timeout=CONNECT_TIMEOUT_S)
        except KafkaException as error:
            raise self._reasons.unreachable(self._settings, self._producer, error) from error

    def close(self, seconds: float = 5.0) -> None:
        """Wait so long for what is on its way, drop the rest."""
        self._producer.flush(seconds)
        self._producer.purge()
        self._producer.flush(seconds)
        self._ended.set()
        self._thread.join(seconds)

    @staticmethod
    def _look(is_over: Callable[[], bool]) -> None:
        if is_over():
            raise KeyboardInterrupt

    def _hear(self) -> None:
        while not self._ended.is_set():
            try:
                self._producer.poll(POLL_S)
            except Exception as error:  # of a callback; without this thread nobody would hear of anything again
                log.exception(f"a word of Kafka was lost: {error}", kind="kafka_word", next="report it")


class KafkaWatch:
    """Asks Kafka from time to time whether it is there: what waits for others to send would else not know."""

    def __init__(self, probe: Callable[[], None], tell: Callable[[bool], None]) -> None:
        self._probe, self._tell = probe, tell
        self._asked_at = time.monotonic()
        self._is_up = True

    def look(self) -> None:
        """Ask, if it is time to; waits some seconds at most, where Kafka is away."""
        if time.monotonic() - self._asked_at < PROBE_S:
            return
        try:
            self._probe()
            self.note("")
        except KafkaProblem as error:
            self.note(str(error))
        self._asked_at = time.monotonic()

    def note(self, problem: str) -> None:
        """Kafka answers, or this is why not."""
        self._tell(not problem)
        if problem and self._is_up:
            log.error(f"{problem}; trying on", kind="kafka_away", next="start Kafka, or see: atp check")
        elif not problem and not self._is_up:
            log.info("Kafka answers again", kind="kafka_away")
        self._is_up = not problem


def wait_for_topics(raw: RawTopics, is_over: Callable[[], bool], wait: Callable[[float], Any]) -> None:
    """Wait until the topics are there: who is started together with Kafka is not to be started again for that."""
    is_told = False
    while not is_over():
        try:
            raw.make()
        except KafkaProblem as error:
            if not is_told:
                is_told = True
                log.error(f"{error}; trying on", kind="kafka_away", next="start Kafka, or see: atp check")
            wait(1.0)
            continue
        return
