"""The servers that tests and demo stand on are real, keep their address, and end when they should."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from flows.embedded import KAFKA_ENV, REDIS_ENV, Servers
from flows.embedded import servers as embedded
from flows.embedded.child import HOST, ServerError, free_port

LOG_APPEND = {"message.timestamp.type": "LogAppendTime"}
LIBRARY = "#!lua name=probe\nredis.register_function('probe', function(keys) return redis.call('INCR', keys[1]) end)"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A pair for this file alone, because these tests end them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(KAFKA_ENV, raising=False)
        patch.delenv(REDIS_ENV, raising=False)
        with Servers(tmp_path_factory.mktemp("own")) as both:
            yield both


def make_topic(servers: Servers, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers, "log_level": 0})
    for made in admin.create_topics([NewTopic(name, 1, 1, config=LOG_APPEND)]).values():
        made.result(15)


def produce(servers: Servers, topic: str, value: bytes, timestamp_ms: int = 0) -> None:
    producer = Producer({"bootstrap.servers": servers.bootstrap_servers, "log_level": 0})
    errors: list[object] = []
    producer.produce(topic, value, timestamp=timestamp_ms, on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(20) == 0
    assert errors == [None]


def consume(servers: Servers, topic: str, count: int) -> list[tuple[bytes | None, tuple[int, int]]]:
    settings = {"bootstrap.servers": servers.bootstrap_servers, "group.id": "probe", "log_level": 0}
    consumer = Consumer(settings)
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        messages = consumer.consume(count, timeout=20)
    finally:
        consumer.close()
    assert [message.error() for message in messages] == [None] * count
    return [(message.value(), message.timestamp()) for message in messages]


def test_kafka_stamps_a_record_with_its_own_time(own: Servers) -> None:
    make_topic(own, "stamped")
    before = int(time.time() * 1000)
    produce(own, "stamped", b"hello", timestamp_ms=1_000)
    [(value, (kind, stamp))] = consume(own, "stamped", 1)
    assert value == b"hello"
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert before <= stamp <= int(time.time() * 1000)


def test_kafka_makes_no_topic_by_itself(own: Servers) -> None:
    producer = Producer({"bootstrap.servers": own.bootstrap_servers, "message.timeout.ms": 3000, "log_level": 0})
    errors: list[object] = []
    producer.produce("never-made", b"hello", on_delivery=lambda error, _: errors.append(error))
    producer.flush(10)
    assert len(errors) == 1 and errors[0] is not None


def test_a_killed_kafka_comes_back_at_its_address_with_its_records(own: Servers) -> None:
    address = own.bootstrap_servers
    make_topic(own, "kept")
    produce(own, "kept", b"before")
    own.kill_kafka()
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=1)
    own.restart_kafka()
    assert own.bootstrap_servers == address
    produce(own, "kept", b"after")
    assert [value for value, _ in consume(own, "kept", 2)] == [b"before", b"after"]


def test_valkey_runs_functions(own: Servers) -> None:
    with redis.Redis.from_url(own.redis_url) as client:
        assert client.function_load(LIBRARY, replace=True) == b"probe"
        assert client.fcall("probe", 1, "counter") == 1
        assert client.fcall("probe", 1, "counter") == 2


def test_a_killed_valkey_comes_back_with_what_it_acknowledged(own: Servers) -> None:
    address = own.redis_url
    with redis.Redis.from_url(address) as client:
        client.function_load(LIBRARY, replace=True)
        client.set("stays", "here")
    own.kill_redis()
    with redis.Redis.from_url(address) as client, pytest.raises(redis.ConnectionError):
        client.ping()
    own.restart_redis(empty=False)
    assert own.redis_url == address
    with redis.Redis.from_url(address) as client:
        assert client.get("stays") == b"here"
        assert client.fcall("probe", 1, "fresh") == 1


def test_a_valkey_restarted_empty_has_neither_keys_nor_functions(own: Servers) -> None:
    address = own.redis_url
    with redis.Redis.from_url(address) as client:
        client.function_load(LIBRARY, replace=True)
        client.set("goes", "away")
    own.restart_redis(empty=True)
    assert own.redis_url == address
    with redis.Redis.from_url(address) as client:
        assert client.dbsize() == 0
        assert client.function_list() == []


def test_what_has_ended_is_revived_and_what_runs_is_left_alone(own: Servers) -> None:
    with redis.Redis.from_url(own.redis_url) as client:
        run_id = client.info("server")["run_id"]
        own.revive()
        assert client.info("server")["run_id"] == run_id
    own.kill_redis()
    own.revive()
    with redis.Redis.from_url(own.redis_url) as client:
        assert client.info("server")["run_id"] != run_id


def test_given_servers_are_used_and_never_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(KAFKA_ENV, "kafka.example:9092")
    monkeypatch.setenv(REDIS_ENV, "redis://redis.example:6379/3")
    with Servers(tmp_path) as given:
        assert given.bootstrap_servers == "kafka.example:9092"
        assert given.redis_url == "redis://redis.example:6379/3"
        for end in (given.kill_kafka, given.restart_kafka, given.kill_redis, lambda: given.restart_redis(empty=True)):
            with pytest.raises(ServerError, match="was given, not started here"):
                end()
    assert list(tmp_path.iterdir()) == []


def test_a_server_switched_off_has_no_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(REDIS_ENV, raising=False)
    with Servers(tmp_path, kafka=False) as only_redis:
        with redis.Redis.from_url(only_redis.redis_url) as client:
            assert client.ping()
        with pytest.raises(ServerError, match="Kafka was switched off"):
            _ = only_redis.bootstrap_servers


def test_a_server_that_cannot_start_says_why_with_the_end_of_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(REDIS_ENV, raising=False)
    monkeypatch.setitem(embedded._VALKEY_OPTIONS, "appendfsync", "sometimes")
    with pytest.raises(ServerError, match=r"(?s)Valkey ended while starting\. The end of .*server\.log:.*sometimes"):
        Servers(tmp_path, kafka=False).start()


def test_a_port_taken_before_the_server_binds_it_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(REDIS_ENV, raising=False)
    with socket.socket() as squatter:
        squatter.bind((HOST, 0))
        squatter.listen()
        taken = squatter.getsockname()[1]
        ports = iter([taken, free_port()])
        monkeypatch.setattr("flows.embedded.child.free_port", lambda: next(ports))
        with Servers(tmp_path, kafka=False) as servers:
            assert str(taken) not in servers.redis_url


def test_kafka_that_cannot_be_fetched_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise OSError("no route")

    monkeypatch.delenv(KAFKA_ENV, raising=False)
    monkeypatch.setattr("jgo.build", refuse)
    monkeypatch.setattr(embedded.time, "sleep", lambda _: None)
    with pytest.raises(ServerError, match=r"could not be fetched after 3 attempts: no route.*ATP_KAFKA__BOOTSTRAP"):
        Servers(tmp_path, redis=False).start()


def started_from_a_shell(folder: Path) -> tuple[subprocess.Popen[str], dict[str, str], list[psutil.Process]]:
    """Run `python -m flows.embedded`; give it, what it printed, and its two servers."""
    environment = {name: value for name, value in os.environ.items() if name not in (KAFKA_ENV, REDIS_ENV)}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.embedded", "--folder", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(embedded.__file__).parents[2],
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    exports = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines if line)
    return process, exports, psutil.Process(process.pid).children()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_server_outlives_who_started_it(ending: signal.Signals, tmp_path: Path) -> None:
    process, exports, children = started_from_a_shell(tmp_path)
    try:
        assert set(exports) == {KAFKA_ENV, REDIS_ENV}
        assert sorted(child.name() for child in children) == ["java", "valkey-server"]
        process.send_signal(ending)
        status = process.wait(20)
        assert status == (-signal.SIGKILL if ending is signal.SIGKILL else 0)
        _, alive = psutil.wait_procs(children, timeout=5)
        assert alive == []
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
