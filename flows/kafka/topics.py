"""Makes the topics of the contract; what exists is left as it is (`atp check` says if it is wrong)."""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not in its list of exports

from flows.kafka.clients import CONNECT_TIMEOUT_S, KafkaProblem, Reasons, client_config
from schemas.setting_values import TOPIC_LENGTH_MAX
from schemas.settings import Settings, SettingsError
from schemas.topics import (
    ALIASES,
    ALL,
    DEAD_LETTERS,
    DECISIONS,
    DOCUMENTS,
    EXCEPTIONS,
    INPUTS,
    POSITIONS,
    REFERENCE,
    REPLAYS,
    STATEMENTS,
    STATUSES,
    TALLIES,
    TRAIL,
    TRANSLATION,
    UPDATES,
    VARIANCES,
    raw_topic,
)

CREATE_TIMEOUT_S = 30.0
#: So many copies bear the loss of one: the others are two, and can tell that a third is missing.
COPIES_SAFE = 3
#: Kafka limits a batch, not a value: room for the key, headers and framing of the largest message.
FRAMING_BYTES = 64 * 1024
#: A limit on batches as compressed by their sender; what we send on may compress worse than what came.
DEAD_LETTER_FACTOR = 16
#: Somebody has to look at them; a week is a holiday.
KEPT_MS = 30 * 86_400_000
#: Of use to the run that wrote them alone.
TALLIES_KEPT_MS = 3_600_000
#: What stood a day ago follows from a frame of the day before it, of 25 hours where clocks change; and an hour more for
#: the look at all items in which frames are written.
TRAIL_KEPT_MS = 50 * 3_600_000


def plan(settings: Settings) -> dict[str, tuple[int, dict[str, str]]]:
    """Map each full topic name to its number of partitions and its configuration."""
    partitions = settings.kafka.partitions
    largest = settings.max_message_bytes + FRAMING_BYTES
    # recorded_at is the broker's clock: a sender's wrong one could make every later event late.
    # For ever: a state that is lost is made anew from them, and from nothing else.
    inputs = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(largest),
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
    }
    compacted = {"cleanup.policy": "compact", "max.message.bytes": str(largest)}
    kept = {"cleanup.policy": "delete", "retention.ms": str(KEPT_MS)}
    topics: dict[str, tuple[int, dict[str, str]]] = {}
    for name in (*INPUTS, STATEMENTS, DECISIONS):
        topics[name] = (partitions, inputs)
    for name in (*REFERENCE, ALIASES):
        topics[name] = (1, compacted)
    for name in (*UPDATES, POSITIONS, VARIANCES, STATUSES, DOCUMENTS):
        topics[name] = (partitions, {"cleanup.policy": "compact", "max.message.bytes": str(16 * 1024 * 1024)})
    topics[TALLIES] = (1, {"cleanup.policy": "delete", "retention.ms": str(TALLIES_KEPT_MS)})
    topics[EXCEPTIONS] = (partitions, kept)
    topics[DEAD_LETTERS] = (partitions, {**kept, "max.message.bytes": str(DEAD_LETTER_FACTOR * largest)})
    made = {settings.topic(name): topics[name] for name in (*ALL, *TRANSLATION)}
    if settings.trail.enabled:
        # A partition a shard: what is looked up by its moment is found among few others.
        form = {
            "cleanup.policy": "delete",
            "retention.ms": str(TRAIL_KEPT_MS),
            "segment.ms": str(TRAIL_KEPT_MS // 25),
            "max.message.bytes": str(16 * 1024 * 1024),
        }
        made[settings.topic(TRAIL)] = (settings.shards, form)
    return made | plan_of_raw(settings, settings.raw_sources())


def plan_of_replays(settings: Settings) -> dict[str, tuple[int, dict[str, str]]]:
    """Map the topic that says where dead letters were sent again to its form: made when the first one is."""
    form = {"cleanup.policy": "compact,delete", "retention.ms": str(KEPT_MS)}
    return {settings.topic(REPLAYS): (1, form)}


def plan_of_raw(settings: Settings, sources: Collection[str]) -> dict[str, tuple[int, dict[str, str]]]:
    """Map the topics of what these sources send to their form; SettingsError where Kafka allows no such name."""
    form = {
        "message.timestamp.type": "LogAppendTime",
        # Sent again, a message carries the account of its lines as well: about 50 bytes a line, however short they are.
        "max.message.bytes": str(8 * (settings.max_message_bytes + FRAMING_BYTES)),
        "cleanup.policy": "delete",
        # For ever: a mapping that is corrected reads them again.
        "retention.ms": "-1",
        "retention.bytes": "-1",
    }
    planned = {}
    for source in sources:
        name = settings.topic(raw_topic(source))
        if not re.fullmatch(rf"[A-Za-z0-9._-]{{1,{TOPIC_LENGTH_MAX}}}", name):
            raise SettingsError(
                f"sources.{source}: expected a source with whose name Kafka can call a topic (A-Z a-z 0-9 . _ -, with "
                f"all before it at most {TOPIC_LENGTH_MAX} characters), got {name}: name it otherwise"
            )
        planned[name] = (settings.kafka.partitions, form)
    return planned


def create_raw(settings: Settings, sources: Collection[str]) -> list[str]:
    """Make the raw topics that are missing; give the full names of what was made. KafkaProblem if that fails."""
    return _create(settings, plan_of_raw(settings, sources))


def create(settings: Settings, only: Collection[str] = ()) -> list[str]:
    """Make what is missing (of `only`, if given); give the full names of what was made. KafkaProblem if that fails."""
    plans = plan(settings) | plan_of_replays(settings)
    return _create(settings, {name: plans[name] for name in (map(settings.topic, only) if only else plan(settings))})


def _create(settings: Settings, wanted: dict[str, tuple[int, dict[str, str]]]) -> list[str]:
    reasons = Reasons()
    admin = AdminClient(client_config(settings, log_level=0, error_cb=reasons))  # what fails is said once, by us
    try:
        known = admin.list_topics(timeout=CONNECT_TIMEOUT_S).topics
    except KafkaException as error:
        raise reasons.unreachable(settings, admin, error) from error
    copies = settings.kafka.replication_factor
    missing = [
        NewTopic(name, num_partitions=count, replication_factor=copies, config=config | acknowledged(copies))
        for name, (count, config) in wanted.items()
        if name not in known
    ]
    if not missing:
        return []
    made = []
    results: dict[str, Any] = admin.create_topics(missing, operation_timeout=CREATE_TIMEOUT_S)
    for name, done in results.items():
        try:
            done.result(CREATE_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue  # somebody else was quicker
            raise KafkaProblem(f"topic {name} could not be created: {text_of(error)}") from error
        made.append(name)
    _wait_until_shown(admin, set(wanted))
    return made


def acknowledged(copies: int) -> dict[str, str]:
    """Say how many copies have to have what Kafka acknowledges: most of them, so that a lost broker loses nothing.

    Kafka's own default is one, and where there are fewer than three copies, two would stand still with one broker away.
    """
    return {"min.insync.replicas": str(copies // 2 + 1)} if copies >= COPIES_SAFE else {}


def _wait_until_shown(admin: AdminClient, wanted: set[str]) -> None:
    """A topic that is made is listed a moment later; who asks at once would be told that it is missing."""
    deadline = time.monotonic() + CREATE_TIMEOUT_S
    while time.monotonic() < deadline:
        listed = admin.list_topics(timeout=CONNECT_TIMEOUT_S).topics
        if all(name in listed and listed[name].partitions and not listed[name].error for name in wanted):
            return
        time.sleep(0.05)


def text_of(error: KafkaException) -> str:
    """Give Kafka's own words."""
    inner = error.args[0] if error.args else error
    return inner.str() if isinstance(inner, KafkaError) else str(inner)
