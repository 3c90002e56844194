"""Writes what was translated: events and statements, then dead letters, then the accounts; then the snapshot is made.

Rule 1: an account is written when Kafka has what it says: one that is there is true.
Rule 2: a snapshot is made when Kafka has the accounts. So whatever dies when, the run after it says again what was not
        accounted for, under the same ids, and the engine takes each once.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.adapters.translator.again import Place, RawReader, send_again
from flows.adapters.translator.shared import Shared
from flows.adapters.translator.words import SINK, Accounted, AliasRefused, Ready, TryAgain
from flows.kafka.sending import Header, Sender, SendError
from flows.log import get_log
from flows.publishing.letters import Letters
from operators.adapters.account import STATEMENT_TYPES, record_of
from operators.adapters.retelling import REPLAY
from schemas.codes import UNKNOWN_ALIAS
from schemas.documents import BECAME_HEADER, PLACE_HEADER
from schemas.event_table import EVENTS
from schemas.times import time_text
from schemas.topics import DEAD_LETTERS, DOCUMENTS, STATEMENTS
from schemas.units import Refusal

log = get_log(__name__)

#: What is said at once goes together; more would only be waited for (5 ms are the sender's own default).
LINGER_MS: Final = 1
_PROMPT: Final[dict[str, Any]] = {"linger.ms": LINGER_MS}


def document_key(source: str, value: bytes | None) -> bytes:
    """The key of a raw message's account."""
    return f"{source}:{hashlib.sha256(value or b'').hexdigest()[:32]}".encode()


class TranslatedPart(StatefulSinkPartition[Any, None]):
    """The one writer. Nothing of it is kept: what is not written when an epoch ends fails the epoch."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        # Each document waits for it once more than an event does; a snapshot's flush does not wait for it at all.
        self._sender = Sender(shared.settings, self._arrived, **_PROMPT)
        self._letters = Letters()
        self._accounts: list[Accounted] = []
        self._raw: RawReader | None = None
        #: for what is tried again: where Kafka refuses that, it is left refused, and the rest goes on
        self._again: Sender | None = None
        self._raw_topics: set[str] = set()

    def write_batch(self, values: list[Any]) -> None:
        """Send what can be sent at once; accounts wait for it."""
        for value in values:
            if type(value) is Accounted:
                self._say(value)
            elif type(value) is TryAgain:
                self._try_again(value)
            elif type(value) is AliasRefused:
                self._refuse([value.refusal])
            elif type(value) is Ready:
                self._sender.flush()
                self._settle_again()
                self._shared.unread.discard(value.source)
        self._sender.poll()

    def snapshot(self) -> None:
        """Wait until Kafka has everything, accounts last."""
        self._sender.flush()
        self._settle_again()
        accounts, self._accounts = self._accounts, []
        for accounted in accounts:
            self._account(accounted)
        if accounts:
            self._sender.flush()
        for accounted in accounts:
            self._shared.metrics.accounted(
                accounted.raw.source, accounted.whole, is_again=accounted.raw.again is not None
            )

    def close(self) -> None:
        """Let go of Kafka; what was not flushed is said again by the next run."""
        if self._raw is not None:
            self._raw.close()

    def _say(self, accounted: Accounted) -> None:
        for body in accounted.output:
            topic, key = place_of(body)
            self._sender.send(topic, key, msgspec.json.encode(body))
        self._refuse(accounted.refusals)
        self._accounts.append(accounted)

    def _refuse(self, refusals: list[Refusal]) -> None:
        for letter in self._letters.of(refusals):
            headers: list[Header] = [(name, value) for name, value in letter.headers]
            self._sender.send(DEAD_LETTERS, letter.key, letter.value, headers=headers)

    def _account(self, accounted: Accounted) -> None:
        raw, first = accounted.raw, accounted.raw.first
        received_at = raw.headers.get("received_at") or time_text(raw.origin.timestamp_ms * 1000)
        record = {"source": raw.source, **record_of(accounted.whole, received_at)}
        place = Place(first.topic, first.partition, first.offset, first.timestamp_ms)
        headers: list[Header] = [(PLACE_HEADER, msgspec.json.encode(place)), (BECAME_HEADER, accounted.became)]
        key = document_key(raw.source, raw.origin.value)
        self._sender.send(DOCUMENTS, key, msgspec.json.encode(record), headers=headers)

    def _try_again(self, value: TryAgain) -> None:
        waiting = value.waiting
        place = Place(waiting.topic, waiting.partition, waiting.offset, waiting.timestamp)
        if self._raw is None:
            self._raw = RawReader(self._shared.settings)
        if self._again is None:
            self._again = Sender(self._shared.settings, self._arrived)
        message = self._raw.at(place)
        if message is None:
            log.warning(
                f"{place.topic}/{place.partition}/{place.offset} waited for an alias, and is gone",
                kind="raw_gone",
                next="have the other system send it again; keep raw topics for ever (atp check)",
            )
            return
        self._raw_topics.add(place.topic)
        send_again(self._shared.settings, self._again, message, place, waiting.became, REPLAY, UNKNOWN_ALIAS)

    def _settle_again(self) -> None:
        if self._again is None:
            return
        if left := self._again.settle():
            raise SendError(f"Kafka did not take {left} raw messages that are to be tried again: look at its log")
        for topic, why in self._again.refused:
            log.warning(
                f"{topic} takes no message with the account of its lines ({why}): lines that waited for an alias stay "
                "refused",
                kind="again_refused",
                next=f"kafka-configs.sh --alter --topic {topic} --add-config max.message.bytes=..., as atp topics "
                "create makes it; then atp translate --replay --code unknown_alias",
            )
        self._again.refused.clear()

    def _arrived(self, topic: str, partition: int, offset: int) -> None:
        if topic in self._raw_topics:
            self._shared.later_ends[topic, partition] = offset + 1


def place_of(body: dict[str, Any]) -> tuple[str, bytes]:
    """Topic and key of an event or of a statement's message: what belongs together lies together."""
    if body["type"] in STATEMENT_TYPES:
        return STATEMENTS, str(body.get("item") or body["statement_id"]).encode()
    kind = EVENTS[body["type"]].kind
    return f"inventory.{kind}", str(body["order_id"] if kind == "orders" else body["item"]).encode()


class TranslatedSink(FixedPartitionedSink[Any, None]):
    """One part: inside the recovery frontier."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def list_parts(self) -> list[str]:
        """The one."""
        return [SINK]

    def part_fn(self, item_key: str) -> int:
        """The one."""
        return 0

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> TranslatedPart:
        """Begin to write."""
        return TranslatedPart(self._shared)
