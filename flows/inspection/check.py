"""Decides whether configuration, Kafka, Redis and the state directory fit together, before anything runs on them."""

from __future__ import annotations

import fcntl
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its list of exports
    AdminClient,
    ConfigResource,
    ResourceType,
)

from flows.inspection.status import read_alive
from flows.kafka.clients import CONNECT_TIMEOUT_S, KafkaProblem, Reasons, client_config, resume_points
from flows.kafka.identity import ANEW, Inputs, changes, inputs_now, why_not
from flows.kafka.topics import plan
from flows.readmodel.problem import redis_problem
from flows.readmodel.store import Store, StoreError, library_version
from flows.recovery.earlier_run import earlier_run
from flows.recovery.start import refusal
from flows.storage.folder import FACTS, RECOVERY, RESTORE, Facts, StateRefused, read_facts
from flows.storage.recovery_store import StoreDamage, committed_epoch
from operators.ledger import FORMAT, FORMATS
from schemas.setting_values import duration_text, mask_url
from schemas.settings import Settings
from schemas.topics import INPUTS, REFERENCE

CREATE = "run: atp topics create"
REDIS_MAJOR_MIN = 7
REDIS_TIMEOUT_S = 5
#: A library under a name of its own, loaded, called and removed again: the only true test of rights.
PROBE = "#!lua name={name}\nredis.register_function('{name}', function() return 'usable' end)\n"


class Finding(NamedTuple):
    """One line of the answer: what was looked at, whether it is right, what was seen, what would do."""

    subject: str
    is_ok: bool
    seen: str
    remedy: str = ""
    #: right for now, and worth a thought
    is_warning: bool = False


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything; never raises for what is wrong."""
    yield Finding("configuration", True, "read, every setting known and in range")
    answers = True
    for finding in _kafka(settings):
        answers &= finding.subject != "kafka" or finding.is_ok
        yield finding
    yield from _redis(settings)
    yield from _state(settings, answers)
    yield running(settings)


def running(settings: Settings) -> Finding:
    """Say whether an engine runs: on this state directory, by its lock; with this Redis, by what it says of itself."""
    here = is_locked(settings.state.dir)
    said, _ = read_alive(settings)
    where = f"runs on {settings.state.dir}" if here else "runs with this Redis and prefix, on another state.dir"
    if said:
        ready = "ready" if said.get("ready") == "1" else "not ready"
        behind = f", {int(said['behind_ms']) / 1000:.1f} s behind" if said.get("behind_ms", "").isdigit() else ""
        version = f" {said['version']}" if said.get("version") else ""
        return Finding("engine", True, f"one{version} {where}: {ready}{behind}")
    if here:
        return Finding("engine", True, f"one {where}")
    silent = "" if said is None else ", and none says in Redis that it does"
    return Finding("engine", True, f"none runs on {settings.state.dir}{silent}")


def is_locked(folder: Path) -> bool:
    """Does a process hold the lock of a state directory? Takes nothing, and makes nothing."""
    try:
        with (folder / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    except OSError:
        pass  # no such folder, or not ours to look into: other findings say so
    return False


def _kafka(settings: Settings) -> Iterator[Finding]:
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
    yield from replicated(copies, len(cluster.brokers))
    yield from _reference(settings, configs, {name: len(known[name].partitions) for name in there})
    small = [
        f"{name} takes {configs[name]['max.message.bytes']} bytes a batch"
        for name in there
        if int(configs[name]["max.message.bytes"]) < settings.max_message_bytes
        and name in {settings.topic(n) for n in (*INPUTS, "inventory.dead_letters")}
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


def _inputs(settings: Settings, configs: dict[str, dict[str, str]]) -> Iterator[Finding]:
    for name in (settings.topic(name) for name in INPUTS):
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
    inputs = [name for name in (settings.topic(name) for name in INPUTS) if name in configs]
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


def replicated(copies: dict[str, int], brokers: int) -> Iterator[Finding]:
    """Say whether the loss of one broker would lose data; `copies`: of each topic, the fewest of any partition."""
    alone = sorted(name for name, count in copies.items() if count == 1)
    if alone and brokers > 1:
        yield Finding(
            "replication",
            True,
            f"one copy alone on a cluster of {brokers} brokers: {', '.join(alone)}. One broker lost, and it is gone",
            "kafka-reassign-partitions.sh adds copies; kafka.replication_factor is for topics yet to be made",
            is_warning=True,
        )
    elif copies:
        fewest, plural = min(copies.values()), "s" if brokers != 1 else ""
        yield Finding("replication", True, f"{fewest} of each partition, on a cluster of {brokers} broker{plural}")


def _reference(settings: Settings, configs: dict[str, dict[str, str]], partitions: dict[str, int]) -> Iterator[Finding]:
    for name in (settings.topic(name) for name in REFERENCE):
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


def _redis(settings: Settings) -> Iterator[Finding]:
    where = mask_url(settings.redis.url)
    client = redis.Redis.from_url(
        settings.redis.address(), socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
    )
    try:
        facts: dict[str, Any] = client.info()
    except (redis.RedisError, OSError) as error:
        problem = redis_problem(settings, error)
        yield Finding("redis", False, problem.seen, problem.remedy)
        return
    name, version = _product(facts)
    if int(str(facts.get("redis_version", "0")).partition(".")[0]) < REDIS_MAJOR_MIN:
        yield Finding(
            "redis", False, f"{name} {version} at {where} has no functions", "use Redis 7.0 or later, or Valkey"
        )
        return
    yield Finding("redis", True, f"{name} {version} at {where}")
    if int(facts.get("cluster_enabled", 0)):
        yield Finding("redis cluster", False, "cluster mode: a slice spans hash slots", "name a server without it")
    probe = f"atp_check_{uuid.uuid4().hex}"  # two checks at once must not remove each other's
    try:
        client.function_load(PROBE.format(name=probe), replace=True)
        client.fcall(probe, 0)
        client.function_delete(probe)
    except (redis.RedisError, OSError) as error:
        yield Finding(
            "redis functions",
            False,
            f"not usable ({error})",
            "name a primary, and give the user the rights of the line `user atp` in docs/security.md",
        )
    else:
        yield Finding("redis functions", True, "can be loaded and called")
        yield from _library(settings)
        yield _listing_rights(client, settings.redis.prefix)
    policy = str(facts.get("maxmemory_policy", "noeviction"))
    if policy.startswith("allkeys"):
        yield Finding("redis memory", False, f"maxmemory-policy {policy} throws numbers away", "set it to noeviction")
    client.close()


def _listing_rights(client: Any, prefix: str) -> Finding:
    """Ask for what `engine:items` and `engine:alive` are kept with, in ways that change nothing."""
    commands: tuple[tuple[str | int, ...], ...] = (
        ("EXISTS", f"{prefix}engine:items"),
        ("ZADD", f"{prefix}engine:items", "XX", 0, "a name with spaces is no item"),
        ("ZREM", f"{prefix}engine:items", "a name with spaces is no item"),
        ("PEXPIRE", f"{prefix}engine:nothing", 1),
        ("SCAN", 0, "COUNT", 1),
    )
    refused = []
    for command in commands:
        try:
            client.execute_command(*command)
        except (redis.RedisError, OSError) as error:
            refused.append(f"{command[0]}: {error}")
    if not refused:
        return Finding("redis rights", True, "engine:items and engine:alive can be kept")
    return Finding(
        "redis rights",
        False,
        f"engine:items or engine:alive cannot be kept ({'; '.join(refused)})",
        "give the user the rights that docs/security.md lists; engine:items has to be a sorted set, or absent",
    )


def _library(settings: Settings) -> Iterator[Finding]:
    store = Store(settings.redis.address(), settings.redis.prefix)
    try:
        held, ours = store.held_library(), library_version()
    except StoreError as error:
        yield Finding("redis library", False, f"cannot be asked for its version ({error})", "allow +fcall")
        return
    finally:
        store.close()
    if held is None:
        yield Finding("redis library", True, "not loaded yet: the start does it")
    elif held > ours:
        yield Finding(
            "redis library",
            False,
            f"version {held} is loaded, this engine has {ours}: a newer engine was here",
            "run that version, or remove the library: FUNCTION DELETE atp",
        )
    else:
        yield Finding("redis library", True, f"version {held}" + ("" if held == ours else f"; the start loads {ours}"))


def _product(facts: dict[str, Any]) -> tuple[str, str]:
    if "valkey_version" in facts:
        return "Valkey", str(facts["valkey_version"])
    return "Redis", str(facts.get("redis_version", "?"))


def _state(settings: Settings, kafka_answers: bool) -> Iterator[Finding]:
    path = settings.state.dir
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):  # the answer of the file system, not of its permission bits
            is_writable = place.is_dir()
    except OSError:
        is_writable = False
    if not is_writable:
        yield Finding(
            "state directory",
            False,
            f"{path} cannot be written",
            "name a directory that this user may write, on a local disk, in state.dir",
        )
        return
    yield Finding("state directory", True, f"{path} is writable" if path.exists() else f"{path} will be made")
    try:
        facts = read_facts(path / FACTS)
        epoch = committed_epoch(path / RECOVERY)
    except StateRefused as error:
        yield Finding("state", False, error.seen, error.remedy)
        return
    except StoreDamage as error:
        yield Finding("state", False, str(error), RESTORE)
        return
    yield from _kept(settings, facts, epoch)
    if epoch is None and kafka_answers and (facts is None or facts.scratch is None):
        yield from _earlier_run(settings, facts is not None and facts.is_first)
    if facts is not None and facts.inputs is not None and kafka_answers:
        yield from _belonging(settings, facts.inputs)


def _kept(settings: Settings, facts: Facts | None, epoch: int | None) -> Iterator[Finding]:
    path = settings.state.dir.absolute()
    if facts is None:
        if epoch is None:
            yield Finding("state", True, f"{path} holds none yet")
        else:
            seen = f"{path} holds state (epoch {epoch}), and its {FACTS} is missing"
            yield Finding("state", False, seen, RESTORE)
        return
    if facts.shards == settings.shards:
        until = f"epoch {epoch}" if epoch is not None else "no snapshot yet"
        yield Finding("state", True, f"{path}: made with shards={facts.shards}, of run {facts.token}, {until}")
    else:
        yield Finding(
            "state",
            False,
            f"made with shards={facts.shards}, set is shards={settings.shards}",
            f"set shards={facts.shards}, or {ANEW}",
        )
    if facts.format not in FORMATS:
        yield Finding(
            "state format",
            False,
            f"format {facts.format}, and this engine reads {FORMAT}",
            f"run the version that wrote it, or {ANEW}",
        )
    if facts.scratch is not None:
        yield Finding(
            "from scratch", True, f"begun; {len(facts.scratch.left)} of {facts.shards} shards have not said everything"
        )


def _earlier_run(settings: Settings, is_first: bool) -> Iterator[Finding]:
    """A start without the state of a run that is known would be refused."""
    try:
        with closing(Store(settings.redis.address(), settings.redis.prefix)) as store:
            known = earlier_run(settings, store)
    except (StoreError, KafkaProblem):
        return  # what is wrong with Redis, Kafka or the topics is said already
    if known.proves_state(is_first):
        yield Finding("earlier run", False, *refusal(settings, known))
    else:
        yield Finding("earlier run", True, "none is known whose state would be missing")


def _belonging(settings: Settings, known: Inputs) -> Iterator[Finding]:
    try:
        now = inputs_now(settings)
    except KafkaProblem:
        return  # what is wrong with Kafka or the topics is said already
    wrong = why_not(settings, known, now)
    if wrong is not None:
        yield Finding("state and topics", False, wrong.seen, wrong.remedy)
        return
    notes = "; ".join(changes(settings, known, now))
    yield Finding("state and topics", True, notes or "the topics are those it was made from")
    lost = [
        f"{part}: the next offset is {position}, and the oldest record there {oldest}"
        for part, position, oldest in resume_points(settings)
        if position < oldest
    ]
    if lost:
        yield Finding(
            "resume point",
            False,
            "; ".join(lost),
            f"raise the topics' retention; to go on without what is lost, {ANEW}",
        )
    else:
        yield Finding("resume point", True, "Kafka still holds everything that was not read")
