"""What `atp check` finds out about Kafka: whether it answers, which topics there are, and how they are set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its list of exports
    AdminClient,
    ConfigResource,
    ResourceType,
)

from flows.inspection.finding import Finding
from flows.kafka.clients import CONNECT_TIMEOUT_S, Reasons, client_config
from flows.kafka.topics import COPIES_SAFE, plan
from schemas.setting_values import duration_text
from schemas.settings import Settings
from schemas.topics import ALIASES, DECISIONS, INPUTS, REFERENCE, STATEMENTS, raw_topic

CREATE = "run: atp topics create"


def kafka_findings(settings: Settings) -> Iterator[Finding]:
    """Look at Kafka and at all topics that the engine uses."""
    reasons = Reasons()
    admin = AdminClient(client_config(settings, log_level=0, error_cb=reasons))
    try:
        cluster = admin.list_topics(timeout=CONNECT_TIMEOUT_S)
        known = cluster.topics
    except KafkaException as error:
        problem = reasons.unreachable(settings, admin, error)
        yield Finding("kafka", False, problem.seen, problem.remedy)
        return
    yield Finding("kafka", True, f"{settings.kafka.bootstrap_servers} answers")
    wanted = plan(settings)
    missing = [name for name in wanted if name not in known]
    if missing:
        yield Finding("topics", False, f"missing: {', '.join(missing)}", CREATE)
    else:
        yield Finding("topics", True, f"all {len(wanted)} exist")
    there = [name for name in wanted if name in known]
    try:
        configs = _configs(admin, there)
    except KafkaException as error:
        yield Finding("topic settings", False, f"cannot be read ({error})", "allow DescribeConfigs on the topics")
        return
    yield from _inputs(settings, configs)
    yield from kept(settings, configs)
    copies = {name: min((len(part.replicas) for part in known[name].partitions.values()), default=0) for name in there}
    yield from replicated(copies, len(cluster.brokers), configs)
    yield from _reference(settings, configs, {name: len(known[name].partitions) for name in there})
    small = [
        f"{name} takes {configs[name]['max.message.bytes']} bytes a batch"
        for name in there
        if int(configs[name]["max.message.bytes"]) < settings.max_message_bytes
        and name in {settings.topic(n) for n in (*INPUTS, STATEMENTS, "inventory.dead_letters")}
    ]
    if small:
        yield Finding(
            "largest message", False, "; ".join(small), f"set max.message.bytes above {settings.max_message_bytes}"
        )


def _configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, str]] = {}
    for resource, answer in admin.describe_configs(resources, request_timeout=CONNECT_TIMEOUT_S).items():
        entries: dict[str, Any] = answer.result(CONNECT_TIMEOUT_S)
        found[str(resource.name)] = {name: str(entry.value) for name, entry in entries.items()}
    return found


def _logged(settings: Settings) -> list[str]:
    """Full names of what is told and kept for ever: events, statements, decisions, what other systems send."""
    return [settings.topic(name) for name in (*INPUTS, STATEMENTS, DECISIONS, *map(raw_topic, settings.raw_sources()))]


def _inputs(settings: Settings, configs: dict[str, dict[str, str]]) -> Iterator[Finding]:
    for name in _logged(settings):
        if name not in configs:
            continue
        kind = configs[name]["message.timestamp.type"]
        if kind == "LogAppendTime":
            yield Finding(name, True, "log-append time")
        else:
            yield Finding(
                name,
                False,
                f"message.timestamp.type is {kind}: one record dated too late makes all later events late",
                f"kafka-configs.sh --alter --topic {name} --add-config message.timestamp.type=LogAppendTime",
            )


def kept(settings: Settings, configs: dict[str, dict[str, str]]) -> Iterator[Finding]:
    """Say whether Kafka deletes events by itself; `configs` by full topic name."""
    inputs = [name for name in _logged(settings) if name in configs]
    compacted = [name for name in inputs if "compact" in configs[name]["cleanup.policy"]]
    if compacted:
        yield Finding(
            "kept events",
            False,
            f"{', '.join(compacted)}: compaction deletes all but the last event of each key",
            "kafka-configs.sh --alter --topic ... --add-config cleanup.policy=delete",
        )
    deleted = []
    for name in inputs:
        age, size = int(configs[name]["retention.ms"]), int(configs[name]["retention.bytes"])
        limits = [duration_text(age * 1000)] if age >= 0 else []
        limits += [f"{size:,} bytes a partition"] if size >= 0 else []
        deleted += [f"{name} after {' or '.join(limits)}"] if limits else []
    if deleted:
        yield Finding(
            "kept events",
            True,
            f"Kafka deletes what it was sent: {'; '.join(deleted)}. Lost state could not be made anew from that",
            "kafka-configs.sh --alter --topic ... --add-config retention.ms=-1,retention.bytes=-1 where there is room; "
            "else back up state.dir at least that often",
            is_warning=True,
        )
    elif inputs and not compacted:
        yield Finding("kept events", True, "the inputs are kept for ever")


def replicated(copies: dict[str, int], brokers: int, configs: dict[str, dict[str, str]]) -> Iterator[Finding]:
    """Say whether the loss of one broker would lose data; `copies`: of each topic, the fewest of any partition."""
    alone = sorted(name for name, count in copies.items() if count == 1)
    hasty = sorted(
        name for name, count in copies.items() if count >= COPIES_SAFE and configs[name]["min.insync.replicas"] == "1"
    )
    unclean = sorted(name for name in copies if configs[name].get("unclean.leader.election.enable") == "true")
    if alone and brokers > 1:
        yield Finding(
            "replication",
            True,
            f"one copy alone on a cluster of {brokers} brokers: {', '.join(alone)}. One broker lost, and it is gone",
            "kafka-reassign-partitions.sh adds copies; kafka.replication_factor is for topics yet to be made",
            is_warning=True,
        )
    elif hasty:
        yield Finding(
            "replication",
            True,
            f"acknowledged when one copy alone has it: {', '.join(hasty)}. That broker lost, and it is gone",
            "kafka-configs.sh --alter --topic ... --add-config min.insync.replicas=2",
            is_warning=True,
        )
    elif unclean:
        yield Finding(
            "replication",
            True,
            f"a copy that lags may become the leader: {', '.join(unclean)}. What it lacks is gone then",
            "kafka-configs.sh --alter --topic ... --add-config unclean.leader.election.enable=false",
            is_warning=True,
        )
    elif copies:
        fewest, plural = min(copies.values()), "s" if brokers != 1 else ""
        yield Finding("replication", True, f"{fewest} of each partition, on a cluster of {brokers} broker{plural}")


def _reference(settings: Settings, configs: dict[str, dict[str, str]], partitions: dict[str, int]) -> Iterator[Finding]:
    for name in map(settings.topic, (*REFERENCE, ALIASES)):
        if name not in partitions:
            continue
        if partitions[name] != 1:
            yield Finding(
                name,
                False,
                f"{partitions[name]} partitions: reference data is ordered by offset and wants one",
                f"delete the topic, then {CREATE}",
            )
        elif "compact" not in configs[name]["cleanup.policy"]:
            yield Finding(
                name,
                False,
                f"cleanup.policy is {configs[name]['cleanup.policy']}: records would expire",
                f"kafka-configs.sh --alter --topic {name} --add-config cleanup.policy=compact",
            )
        else:
            yield Finding(name, True, "one partition, compacted")
