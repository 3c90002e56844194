"""The engine through a Kafka and a Redis that demand TLS and a user, with no rights but those of docs/security.md."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from typer.testing import CliRunner

from flows.cli.app import app
from flows.embedded.child import HOST
from flows.inspection.check import examine
from flows.inspection.redis_findings import redis_findings
from flows.kafka.clients import client_config
from flows.kafka.topics import plan
from flows.readmodel.item_walk import ItemWalk
from flows.readmodel.port import Fenced, Outage
from flows.readmodel.store import Store
from flows.settings import load_settings, redis_address
from schemas.settings import Settings
from tests.conftest import ROOT
from tests.guarded import USER, GuardedKafka, GuardedRedis, Papers, redis_rights
from tests.running import until
from tests.shop import ago

#: A broker of its own is started, and the engine twice.
pytestmark = pytest.mark.timeout(300)

PREFIX = "eu."
KEYS = "shop:"
RUN_SECONDS_MAX = 90


class Fortress(NamedTuple):
    """Both servers, and the settings file of somebody who may come in."""

    papers: Papers
    kafka: GuardedKafka
    redis: GuardedRedis
    config: Path

    def settings(self) -> Settings:
        return load_settings(self.config)


@pytest.fixture(scope="module")
def fortress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    folder = tmp_path_factory.mktemp("guarded")
    papers = Papers(folder / "papers")
    redis = GuardedRedis(folder / "redis", papers, KEYS)
    kafka = GuardedKafka(folder / "kafka", papers)
    config = folder / "atp.toml"
    try:
        kafka.start_first()
        config.write_text(
            f"""
[kafka]
bootstrap_servers = "{HOST}:{kafka.port}"
group = "atp-guarded"
partitions = 2
[kafka.options]
"security.protocol" = "SASL_SSL"
"ssl.ca.location" = "{papers.ca}"
"sasl.mechanism" = "SCRAM-SHA-512"
"sasl.username" = "{USER}"
[kafka.option_files]
"sasl.password" = "{papers.password_file}"
[redis]
url = "rediss://{HOST}:{redis.port}/0"
prefix = "{KEYS}"
username = "{USER}"
password_file = "{papers.password_file}"
tls_ca_file = "{papers.ca}"
[topics]
prefix = "{PREFIX}"
[updates]
pubsub = true
[metrics]
port = 0
[state]
dir = "{folder / "state"}"
"""
        )
        yield Fortress(papers, kafka, redis, config)
    finally:
        kafka.stop()
        redis.stop()


def atp(fortress: Fortress, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments, "--config", str(fortress.config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )


def test_the_engine_gets_in_and_may_do_only_what_is_listed(fortress: Fortress) -> None:
    settings = fortress.settings()
    admin = AdminClient({**fortress.kafka.client(), "log_level": 0})
    topics = [
        NewTopic(name, num_partitions=count, replication_factor=1, config=config)
        for name, (count, config) in plan(settings).items()
    ]
    for made in admin.create_topics(topics).values():
        made.result(30)
    # Without a right it is refused; with those of the page everything works.
    missing = {finding.subject: finding for finding in examine(settings)}
    assert not missing["topics"].is_ok, "a user without rights sees no topic"
    fortress.kafka.allow(
        {"inventory.": f"{PREFIX}inventory.", "atp.updates.": f"{PREFIX}atp.updates.", "kafka.group": "atp-guarded"}
    )

    def wrong() -> list[Any]:
        return [finding for finding in examine(settings) if not finding.is_ok]

    until(lambda: not wrong(), 40, lambda: f"all is well: {wrong()}")

    sender = Producer({**fortress.kafka.client(), "log_level": 0})
    for topic, record in (
        ("locations", {"location": "DC1"}),
        ("channels", {"channel": "web", "locations": ["DC1"]}),
        ("items", {"item": "SHOVEL"}),
    ):
        sender.produce(f"{PREFIX}inventory.{topic}", json.dumps(record), next(iter(record.values())))
    event = {"event_id": "e1", "type": "stock_received", "source": "wms", "occurred_at": ago(), "item": "SHOVEL"}
    for message in ({**event, "location": "DC1", "quantity": 7}, {**event, "location": "MOON", "quantity": 7}):
        sender.produce(f"{PREFIX}inventory.warehouse", json.dumps(message))
    assert sender.flush(30) == 0
    store = fortress.redis.admin()
    listener = store.pubsub()
    listener.psubscribe(f"{KEYS}atp.*")
    for _ in range(2):  # the second one reads the ends of what the first has written
        done = atp(fortress, "run", "--until-caught-up")
        assert done.returncode == 0, done.stderr
        assert fortress.papers.password not in done.stderr + done.stdout
    assert store.hget(f"{KEYS}atp:SHOVEL", "web") == "7"
    assert "message" in until(lambda: listener.get_message(True, 0.2), 20, "a message by Pub/Sub")["type"]
    refused = {entry["object"] for entry in store.acl_log()}
    assert refused <= {"client|setinfo"}, "all that the engine wanted is on the page"


def test_get_items_and_status_work_with_the_rights_of_either_user_of_the_page(tmp_path: Path) -> None:
    papers = Papers(tmp_path / "papers")
    redis = GuardedRedis(tmp_path / "redis", papers, KEYS)
    config = tmp_path / "atp.toml"
    try:
        with redis.admin() as admin:
            rule = redis_rights(KEYS, "web").replace(">PASSWORD", f">{papers.password}")
            admin.execute_command("ACL", "SETUSER", "web", "on", *rule.split())
            admin.hset(f"{KEYS}atp:HOE", mapping={"web": 3, "_version": 1})
            admin.zadd(f"{KEYS}engine:items", {"HOE": 0})
            admin.hset(f"{KEYS}engine:fence", "items", "whole")
        for user, doubt in ((USER, ""), ("web", "it is not known whether")):
            config.write_text(
                f"""
[redis]
url = "rediss://{HOST}:{redis.port}/0"
prefix = "{KEYS}"
username = "{user}"
password_file = "{papers.password_file}"
tls_ca_file = "{papers.ca}"
[metrics]
port = 0
"""
            )
            number, items, status = (
                CliRunner().invoke(app, [*command, "--config", str(config)])
                for command in (("get", "HOE", "web"), ("items", "H"), ("status", "--json"))
            )
            assert (number.exit_code, number.stdout) == (0, "3\n"), (user, number.output)
            assert (items.exit_code, items.stdout) == (0, "HOE\n"), (user, items.output)
            assert doubt in items.stderr and bool(items.stderr) is bool(doubt), (user, items.stderr)
            assert "does not allow" not in status.output and "engine:alive in Redis" in status.output, status.output
        config.write_text(config.read_text().replace('"web"', f'"{USER}"'))
        with redis.admin() as admin:
            admin.execute_command("ACL", "SETUSER", USER, "-fcall")
        [finding] = [one for one in redis_findings(load_settings(config)) if not one.is_ok]
        assert finding.subject == "redis functions" and "docs/security.md" in finding.remedy
    finally:
        redis.stop()


def test_with_these_rights_an_older_run_is_turned_away_and_counted(fortress: Fortress) -> None:
    settings = fortress.settings()
    older, newer = (Store(redis_address(settings.redis), settings.redis.prefix, writer="7") for _ in range(2))
    try:
        older.claim(0)
        older.write([], [])
        newer.claim(0)
        for times in (1, 2):
            with pytest.raises(Fenced):
                older.write([], [])
            assert newer.rejected() == times
    finally:
        older.close()
        newer.close()


def test_check_shows_no_secret(fortress: Fortress) -> None:
    done = atp(fortress, "check", "--json")
    shown = json.loads(done.stdout)["settings"]
    assert shown["kafka"]["options"]["sasl.username"] == "***"
    assert shown["kafka"]["option_files"] == {"sasl.password": str(fortress.papers.password_file)}
    assert fortress.papers.password not in done.stdout + done.stderr


def test_the_servers_really_refuse_others(fortress: Fortress) -> None:
    plain = {"bootstrap.servers": f"{HOST}:{fortress.kafka.port}", "log_level": 0}
    tls = {**plain, "security.protocol": "SSL", "ssl.ca.location": str(fortress.papers.ca)}

    def gets_in(config: dict[str, Any]) -> bool:
        try:
            return bool(AdminClient(config).list_topics(timeout=5).brokers)
        except KafkaException:
            return False

    with ThreadPoolExecutor() as pool:  # each waits for its timeout
        answers = list(pool.map(gets_in, (plain, tls, {**fortress.kafka.client(USER), "log_level": 0})))
    assert answers == [False, False, True]


def test_a_client_certificate_lets_in_where_kafka_asks_for_one(fortress: Fortress) -> None:
    def gets_in(*certificate: str) -> bool:
        lines = [
            f'[kafka]\nbootstrap_servers = "{HOST}:{fortress.kafka.mutual_port}"\n[kafka.options]',
            '"security.protocol" = "SSL"',
            f'"ssl.ca.location" = "{fortress.papers.ca}"',
            *certificate,
        ]
        config = fortress.config.with_name("mutual.toml")
        config.write_text("\n".join(lines))
        try:
            options = client_config(load_settings(config), log_level=0)
            return bool(AdminClient(options).list_topics(timeout=10 if certificate else 3).brokers)
        except KafkaException:
            return False

    mine = (
        f'"ssl.certificate.location" = "{fortress.papers.certificate}"',
        f'"ssl.key.location" = "{fortress.papers.key}"',
    )
    until(lambda: gets_in(*mine), 30, "in with a certificate")
    assert not gets_in()


def test_a_client_certificate_lets_in_where_redis_asks_for_one(fortress: Fortress) -> None:
    def redis_is_well(config: Path) -> bool:
        settings = load_settings(config)
        store = Store(redis_address(settings.redis), settings.redis.prefix, writer="7")
        try:
            store.rejected()
        except Outage:
            return False
        finally:
            store.close()
        return True

    given = fortress.config.read_text()
    mine = fortress.config.with_name("certificate.toml")
    shown = f'tls_cert_file = "{fortress.papers.certificate}"\ntls_key_file = "{fortress.papers.key}"\n'
    mine.write_text(given.replace("tls_ca_file", shown + "tls_ca_file", 1))
    with fortress.redis.asking_for_certificates() as does_ask:
        assert redis_is_well(mine)
        assert redis_is_well(fortress.config) is not does_ask


def test_what_cannot_get_in_is_told_with_a_remedy_and_without_a_secret(fortress: Fortress) -> None:
    given = fortress.config.read_text()
    password = f'\n[kafka.option_files]\n"sasl.password" = "{fortress.papers.password_file}"'
    cases = {
        "redis user": ("\nusername =", "\nusername = 'other'  #", "redis.username and redis.password_file"),
        "redis password": (
            "\npassword_file =",
            "\npassword = 'wrong-secret'  #",
            "redis.username and redis.password_file",
        ),
        "redis certificate": ("\ntls_ca_file =", "\n#", "redis.tls_ca_file"),
        "kafka password": (password, "\n\"sasl.password\" = 'wrong-secret'", "kafka.option_files"),
        "kafka certificate": ('\n"ssl.ca.location" =', "\n#", "kafka.option_files"),
    }
    settings = []
    for right, wrong, _ in cases.values():
        assert right in given
        other = fortress.config.with_name("other.toml")
        other.write_text(given.replace(right, wrong, 1))
        settings.append(load_settings(other))
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda one: [finding for finding in examine(one) if not finding.is_ok], settings))
    for (name, (_, _, told)), findings in zip(cases.items(), answers, strict=True):
        assert [finding.subject for finding in findings] == [name.partition(" ")[0]], name
        assert told in findings[0].remedy, name
        assert "wrong-secret" not in f"{findings}"


def test_without_the_right_to_keep_the_set_of_items_numbers_go_on_and_check_names_it(fortress: Fortress) -> None:
    settings = fortress.settings()
    store = Store(redis_address(settings.redis), settings.redis.prefix, writer="8")
    with fortress.redis.admin() as admin:
        admin.execute_command("ACL", "SETUSER", USER, "-zadd", "-scan")
        try:
            store.claim(0)
            store.write([f"{KEYS}atp:HOE"], [1, "web", 3, 0])
            assert admin.hget(f"{KEYS}atp:HOE", "web") == "3"
            assert admin.zscore(f"{KEYS}engine:items", "HOE") is None
            walk = ItemWalk(store)
            assert walk.slice("") == "" and not walk.goes_on(""), "refused: it rests"
            [finding] = [one for one in examine(settings) if one.subject == "redis rights"]
            assert not finding.is_ok
            assert "ZADD" in finding.seen and "SCAN" in finding.seen and "docs/security.md" in finding.remedy
        finally:
            admin.execute_command("ACL", "SETUSER", USER, "+zadd", "+scan")
        assert ItemWalk(store).slice("") == "whole"
        assert admin.zscore(f"{KEYS}engine:items", "HOE") == 0
    store.close()
