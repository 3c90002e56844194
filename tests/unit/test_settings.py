"""Settings: what wins over what, and that whoever writes a wrong one is told which, why and what would do."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, reset_tzpath

import pytest
from pydantic import ValidationError

from flows.runtime.configs import decoder_config
from flows.settings import client_options, load_settings, redis_address, take_settings
from schemas import topics
from schemas.codes import parse_duration
from schemas.setting_values import TOPIC_LENGTH_MAX, duration_text, mask_url
from schemas.settings import NAMES, Settings, SettingsError

SECOND = 1_000_000
DAY = 86_400 * SECOND


@pytest.fixture(autouse=True)
def bare_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No ATP_ variable and no atp.toml but the test's own."""
    for name in [name for name in os.environ if name.startswith("ATP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def load(text: str = "", overrides: Mapping[str, object] | None = None) -> Settings:
    path = Path("given.toml")
    path.write_text(text, "utf-8")
    return load_settings(path, overrides)


def fault(text: str = "", overrides: Mapping[str, object] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(text, overrides)
    return str(caught.value)


def test_without_anything_the_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert settings.kafka.bootstrap_servers == "localhost:9092"
    assert settings.kafka.group == "atp-engine"
    assert settings.kafka.options == {}
    assert (settings.kafka.replication_factor, settings.kafka.partitions) == (1, 8)
    assert (settings.redis.url, settings.redis.prefix) == ("redis://localhost:6379/0", "")
    assert (settings.state.dir, settings.state.epoch_interval) == (Path("state"), SECOND)
    assert settings.state.recovery_partitions == 1
    assert (settings.dedup_window, settings.max_clock_skew) == (DAY, 300 * SECOND)
    assert (settings.reference_grace, settings.closed_line_retention) == (SECOND, 7 * DAY)
    assert (settings.shards, settings.workers, settings.max_message_bytes) == (64, 1, 1_048_576)
    assert settings.time_zone == "UTC"
    assert (settings.metrics.port, settings.metrics.host) == (9464, "127.0.0.1")
    assert settings.topics.prefix == ""
    lanes = settings.lanes
    assert (lanes.linger_normal, lanes.linger_bulk, lanes.max_wait) == (50_000, SECOND, 5 * SECOND)
    assert lanes.linger_positions == 200_000
    assert (settings.updates.breakdown, settings.updates.pubsub) == (False, False)
    assert (settings.log.level, settings.log.format) == ("info", "auto")
    assert settings.sources == {}


def test_flags_win_over_environment_over_file_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'shards = 10\nworkers = 2\n[kafka]\ngroup = "file"\npartitions = 3\n'
    monkeypatch.setenv("ATP_WORKERS", "3")
    monkeypatch.setenv("ATP_KAFKA__GROUP", "environment")
    settings = load(text, {"kafka.group": "flag", "shards": None})
    assert settings.kafka.group == "flag"
    assert settings.workers == 3
    assert settings.shards == 10
    assert settings.kafka.partitions == 3
    assert settings.kafka.replication_factor == 1


def test_the_file_is_the_given_one_else_the_variables_else_the_one_that_lies_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("atp.toml").write_text("shards = 1\n")
    Path("other.toml").write_text("shards = 2\n")
    assert load_settings().shards == 1
    monkeypatch.setenv("ATP_CONFIG", "other.toml")
    assert load_settings().shards == 2
    assert load("shards = 3\n").shards == 3


def test_a_file_that_was_named_has_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"^--config: expected a file that can be read, got none\.toml: no such"):
        load_settings(Path("none.toml"))
    monkeypatch.setenv("ATP_CONFIG", "none.toml")
    with pytest.raises(SettingsError, match=r"^ATP_CONFIG: expected a file that can be read, got none\.toml"):
        load_settings()
    monkeypatch.setenv("ATP_CONFIG", ".")
    with pytest.raises(SettingsError, match="is a directory"):
        load_settings()


def test_a_file_that_is_not_toml_is_told_with_its_line() -> None:
    assert fault("shards = \n").startswith(
        "--config: expected TOML, got other text in given.toml: Invalid value (at line 1"
    )
    Path("latin.toml").write_bytes(b'[kafka]\ngroup = "caf\xe9"\n')
    with pytest.raises(SettingsError, match="expected TOML"):
        load_settings(Path("latin.toml"))


def test_a_byte_order_mark_does_no_harm() -> None:
    Path("mark.toml").write_bytes(b"\xef\xbb\xbfshards = 5\n")
    assert load_settings(Path("mark.toml")).shards == 5


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            {"state.epoch_interval": "2h"},
            'state.epoch_interval: expected a duration of 10ms to 60s, such as "1s", got "2h"',
        ),
        ({"state.epoch_interval": "9ms"}, 'got "9ms"'),
        ({"memory_limit": "2 GiB"}, 'memory_limit: expected a size of 50MB or more, such as "2GB", got "2 GiB"'),
        ({"memory_limit": "49999kB"}, 'got "49999kB"'),
        ({"memory_limit": True}, "expected a size of 50MB or more"),
        ({"memory_limit": "0.5"}, 'got "0.5"'),
        ({"dedup_window": "a day"}, 'dedup_window: expected a duration of 1ms to 400d, such as "24h", got "a day"'),
        ({"max_clock_skew": "-1s"}, 'got "-1s"'),
        ({"lanes.max_wait": True}, "lanes.max_wait: expected a duration of 0s to 1h"),
        (
            {"time_zone": "Europe/Berln"},
            'time_zone: expected an IANA time zone, such as Europe/Berlin or UTC, got "Europe/Berln"; did you mean '
            "Europe/Berlin or ",
        ),
        ({"time_zone": "new york"}, "did you mean America/New_York?"),
        ({"time_zone": "utc"}, 'got "utc"; did you mean UTC?'),
        ({"time_zone": "BERLIN "}, "did you mean Europe/Berlin?"),
        ({"time_zone": "+01:00"}, 'time_zone: expected an IANA time zone, such as Europe/Berlin or UTC, got "+01:00"'),
        ({"time_zone": "America"}, 'got "America"'),
        ({"time_zone": "../../etc/passwd"}, 'got "../../etc/passwd"'),
        ({"time_zone": ""}, 'got ""'),
        ({"time_zone": 1}, "got 1"),
        ({"shards": 0}, "shards: expected an integer of 1 to 4096, got 0"),
        ({"shards": 4097}, "got 4097"),
        ({"shards": "many"}, 'shards: expected an integer of 1 to 4096, got "many"'),
        ({"shards": 1.5}, "got 1.5"),
        ({"workers": True}, "workers: expected an integer of 1 to 64, got true"),
        ({"metrics.port": 65_536}, "metrics.port: expected an integer of 0 to 65535, got 65536"),
        ({"metrics.host": "a b"}, 'metrics.host: expected a host name or address, such as 127.0.0.1, got "a b"'),
        ({"state.recovery_partitions": 65}, "state.recovery_partitions: expected an integer of 1 to 64, got 65"),
        ({"max_message_bytes": 0}, "max_message_bytes: expected an integer of 1 to 100000000, got 0"),
        ({"log.level": "loud"}, 'log.level: expected one of debug, info, warning, error, got "loud"'),
        ({"log.format": 1}, "log.format: expected one of auto, json, text, got 1"),
        ({"updates.pubsub": "maybe"}, 'updates.pubsub: expected true or false, got "maybe"'),
        ({"updates.pubsub": 1.0}, "updates.pubsub: expected true or false, got 1.0"),
        ({"kafka.bootstrap_servers": ""}, "kafka.bootstrap_servers: expected host:port"),
        ({"kafka.bootstrap_servers": "a:9092,"}, 'got "a:9092,"'),
        ({"kafka.bootstrap_servers": "a:70000"}, 'got "a:70000"'),
        ({"kafka.bootstrap_servers": "user:secret@a:9092"}, 'got "user:***@a:9092"'),
        ({"kafka.group": "two words"}, "kafka.group: expected 1 to 200 printable ASCII characters without spaces"),
        ({"redis.url": "http://localhost"}, "redis.url: expected a URL such as redis://localhost:6379/0"),
        ({"redis.url": "redis://localhost:port/0"}, 'got "redis://localhost:port/0"'),
        ({"redis.url": "redis://localhost:6379/zero"}, "redis.url: expected a URL"),
        ({"redis.url": "unix://"}, 'got "unix://"'),
        ({"redis.url": "redis+sentinel://a:1,b:2"}, 'got "redis+sentinel://a:1,b:2"'),
        ({"redis.url": "redis+sentinel://a:1,b:70000/shop"}, 'got "redis+sentinel://a:1,b:70000/shop"'),
        ({"redis.prefix": "ü:"}, "redis.prefix: expected at most 200 printable ASCII characters without spaces"),
        ({"redis.prefix": "a b"}, 'got "a b"'),
        ({"topics.prefix": "eu:"}, "topics.prefix: expected at most 221 characters of A-Z a-z 0-9 . _ -"),
        ({"state.dir": ""}, 'state.dir: expected a folder such as "state"'),
    ],
)
def test_a_wrong_value_is_told_with_what_would_do(overrides: dict[str, object], told: str) -> None:
    message = fault("", overrides)
    assert told in message
    assert message.startswith(next(iter(overrides)) + ": expected ")
    assert "\n" not in message


def test_where_a_wrong_value_came_from_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fault("[kafka]\npartitions = 0\n").endswith("got 0 (in given.toml)")
    monkeypatch.setenv("ATP_KAFKA__PARTITIONS", "none")
    assert fault("[kafka]\npartitions = 0\n").endswith('got "none" (from ATP_KAFKA__PARTITIONS)')
    assert fault("[kafka]\npartitions = 0\n", {"kafka.partitions": -1}).endswith("got -1")


def test_all_faults_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATP_KAFKA_GROUP", "x")
    lines = fault("shards = 0\n", {"state.epoch_interval": "2h", "kafka.grup": "y"}).splitlines()
    names = [line.partition(":")[0] for line in lines]
    assert names == [
        "ATP_KAFKA_GROUP",
        "kafka.grup",
        "shards",
        "state.epoch_interval",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[kafka]\nbootstrap_serverz = "a:1"\n',
            "kafka.bootstrap_serverz: no such setting; did you mean kafka.bootstrap_servers?",
        ),
        ('[kafak]\ngroup = "a"\n', "kafak: no such setting; did you mean kafka?"),
        ("dedup_windows = 1\n", "dedup_windows: no such setting; did you mean dedup_window?"),
        (
            '[sources.WMS]\nmay_sent = ["stock_counted"]\n',
            "sources.WMS.may_sent: no such setting; did you mean sources.WMS.may_send?",
        ),
        ("zzz = 1\n", "zzz: no such setting"),
    ],
)
def test_an_unknown_name_in_the_file_is_refused_with_a_hint(text: str, told: str) -> None:
    assert fault(text) == f"{told} (in given.toml)"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ATP_KAFKA__BOOTSTRAP_SERVERZ", "; did you mean ATP_KAFKA__BOOTSTRAP_SERVERS?"),
        ("ATP_STATE_DIR", "; did you mean ATP_STATE__DIR?"),
        ("ATP_KAFKA", ""),
        ("ATP_NOTHING__LIKE_THAT", ""),
    ],
)
def test_an_unknown_name_in_the_environment_is_refused_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.setenv(name, "x")
    message = fault()
    assert message.startswith(f"{name}: no such setting")
    assert message.endswith(told)


def test_names_of_tests_and_demos_and_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ATP_TEST_SEED", "ATP_DEMO_SPEED", "ATP_BENCH_EVENTS", "ATPX", "atp_shards"):
        monkeypatch.setenv(name, "7")
    assert load_settings() == Settings()


def test_another_programs_variable_that_begins_like_ours_is_said_and_ignored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATP_QQ", "7")
    assert load_settings() == Settings()
    assert capsys.readouterr() == ("", "ATP_QQ: no such setting: ignored\n")


def test_an_unknown_flag_is_refused_with_a_hint() -> None:
    assert fault("", {"shard": 3}) == "shard: no such setting; did you mean shards?"
    assert fault("", {"kafka": {"group": "a"}}).startswith("kafka: no such setting")


def test_a_table_where_a_value_belongs_and_a_value_where_a_table_belongs() -> None:
    assert fault("kafka = 3\n") == "kafka: expected a table of settings, got 3 (in given.toml)"
    assert fault("[shards]\nx = 1\n") == "shards: expected an integer of 1 to 4096, got an object (in given.toml)"
    assert fault("[sources]\nWMS = 1\n") == "sources.WMS: expected a table of settings, got 1 (in given.toml)"


def test_every_setting_can_be_given_by_the_environment_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, tuple[str, Any]] = {
        "dedup_window": ("2h", 7_200 * SECOND),
        "max_clock_skew": ("90", 90 * SECOND),
        "reference_grace": ("0.5", SECOND // 2),
        "closed_line_retention": ("1d", DAY),
        "time_zone": ("Europe/Berlin", "Europe/Berlin"),
        "shards": ("128", 128),
        "workers": ("2", 2),
        "max_message_bytes": ("2000", 2000),
        "memory_limit": ("1.5GB", 1_500_000_000),
        "kafka.bootstrap_servers": ("a:1, b", "a:1,b"),
        "kafka.group": ("g", "g"),
        "kafka.options": ('{"security.protocol": "SSL", "retries": 3}', {"security.protocol": "SSL", "retries": "3"}),
        "kafka.replication_factor": ("3", 3),
        "kafka.partitions": ("16", 16),
        "kafka.option_files": ('{"sasl.password": "secret.txt"}', {"sasl.password": Path("secret.txt")}),
        "redis.url": ("rediss+sentinel://redis:26379/shop/1", "rediss+sentinel://redis:26379/shop/1"),
        "redis.prefix": ("eu:", "eu:"),
        "redis.username": ("atp", "atp"),
        "redis.password": ("", None),
        "redis.password_file": ("secret.txt", Path("secret.txt")),
        "redis.tls_ca_file": ("secret.txt", Path("secret.txt")),
        "redis.tls_cert_file": ("secret.txt", Path("secret.txt")),
        "redis.tls_key_file": ("secret.txt", Path("secret.txt")),
        "redis.sentinel_username": ("atp", "atp"),
        "redis.sentinel_password": ("", None),
        "redis.sentinel_password_file": ("secret.txt", Path("secret.txt")),
        "state.dir": ("elsewhere/state", Path("elsewhere/state")),
        "state.epoch_interval": ("10ms", 10_000),
        "state.recovery_partitions": ("4", 4),
        "state.remote": ("s3://stock/atp", "s3://stock/atp"),
        "state.remote_options": (
            '{"region": "eu", "skip_signature": true}',
            {"region": "eu", "skip_signature": "true"},
        ),
        "state.remote_every": ("1m", 60 * SECOND),
        "state.standby_after": ("2s", 2 * SECOND),
        "cluster.machines": ("a:7000", ("a:7000",)),
        "cluster.this": ("a", "a"),
        "cluster.port": ("7000", 7000),
        "cluster.bind": ("0.0.0.0", "0.0.0.0"),
        "cluster.silent_after": ("2s", 2 * SECOND),
        "metrics.port": ("0", 0),
        "metrics.host": ("::1", "::1"),
        "topics.prefix": ("eu.", "eu."),
        "lanes.linger_normal": ("0", 0),
        "lanes.linger_bulk": ("2s", 2 * SECOND),
        "lanes.max_wait": ("1h", 3_600 * SECOND),
        "lanes.linger_positions": ("1ms", 1_000),
        "updates.breakdown": ("true", True),
        "updates.claims": ("false", False),
        "updates.orders": ("false", False),
        "updates.pubsub": ("1", True),
        "trail.enabled": ("true", True),
        "dead_letters.replay_known": ("true", True),
        "receive.host": ("::", "::"),
        "receive.port": ("80", 80),
        "receive.kafka_timeout": ("2s", 2 * SECOND),
        "receive.metrics_port": ("0", 0),
        "pick_up.settle": ("1m", 60 * SECOND),
        "pick_up.look_every": ("50ms", 50_000),
        "pick_up.file_bytes_max": ("1000", 1000),
        "pick_up.metrics_port": ("0", 0),
        "poll.dir": ("elsewhere/polling", Path("elsewhere/polling")),
        "poll.metrics_port": ("0", 0),
        "push.metrics_port": ("0", 0),
        "console.host": ("::", "::"),
        "console.port": ("80", 80),
        "console.names": ("atp.example.com, B", ("atp.example.com", "b")),
        "console.token": ("", None),
        "console.token_file": ("secret.txt", Path("secret.txt")),
        "log.level": ("DEBUG", "debug"),
        "log.format": ("json", "json"),
        "log.payload": ("true", True),
        "translator.dir": ("elsewhere/translator", Path("elsewhere/translator")),
        "translator.metrics_port": ("0", 0),
        "reconciliation.enabled": ("true", True),
        "reconciliation.hold_alert": ("2h", 7_200 * SECOND),
    }
    assert set(given) == set(NAMES)
    Path("secret.txt").write_text("secret\n")
    # either this or its file
    del given["redis.password"], given["redis.sentinel_password"], given["console.token"]
    for name, (text, _) in given.items():
        monkeypatch.setenv("ATP_" + name.upper().replace(".", "__"), text)
    settings = load_settings()
    for name, (_, value) in given.items():
        read: Any = settings
        for part in name.split("."):
            read = getattr(read, part)
        assert read == value, name


# --- statements ------------------------------------------------------------------------------------------------------


def test_a_source_says_how_long_its_statements_settle_and_how_often_they_come() -> None:
    settings = load('[sources.erp]\nsettle = "30m"\nstatement_every = "24h"\n[sources.wms]\n')
    assert (settings.settle_of("erp"), settings.sources["erp"].statement_every) == (1_800 * SECOND, DAY)
    assert (settings.settle_of("wms"), settings.sources["wms"].statement_every) == (600 * SECOND, None)
    assert settings.settle_of("not-named") == 600 * SECOND
    assert settings.reconciliation.enabled and settings.reconciliation.hold_alert == DAY


def test_a_source_may_be_bound_to_statements_alone() -> None:
    said = load('[sources.erp]\nmay_send = ["statement_started", "stock_stated", "statement_ended"]\n')
    assert said.sources["erp"].may_send == {"statement_started", "stock_stated", "statement_ended"}
    assert "did you mean stock_stated?" in fault('[sources.erp]\nmay_send = ["stock_state"]\n')


def test_the_window_of_reconciliation_is_the_largest_by_itself() -> None:
    assert load("").window_of("reconciliation") == DAY
    settings = load('[sources.erp]\ndedup_window = "48h"\n')
    assert (settings.window_of("reconciliation"), settings.window_of("wms")) == (2 * DAY, DAY)
    assert decoder_config(settings).source_windows == {"erp": 2 * DAY, "reconciliation": 2 * DAY}
    assert decoder_config(load('[sources.erp]\ndedup_window = "1h"\n')).source_windows == {"erp": 3600 * SECOND}


def test_a_smaller_window_of_reconciliation_is_refused() -> None:
    told = fault('[sources.erp]\ndedup_window = "48h"\n[sources.reconciliation]\ndedup_window = "47h"\n')
    assert told.startswith("sources.reconciliation.dedup_window: expected the largest of all (2d, as sources.erp")
    assert "got 47h" in told and "leave it out" in told
    equal = load('[sources.erp]\ndedup_window = "48h"\n[sources.reconciliation]\ndedup_window = "2d"\n')
    assert equal.window_of("reconciliation") == 2 * DAY


def test_lines_are_kept_for_as_long_as_something_may_be_corrected() -> None:
    told = fault("", {"closed_line_retention": "23h"})
    assert told.startswith("closed_line_retention: expected at least 1d, the window of source reconciliation")
    assert "got 23h" in told and "reconciliation.enabled to false" in told
    assert load("", {"closed_line_retention": "24h"}).closed_line_retention == DAY
    longest = '[sources.erp]\ndedup_window = "8d"\n'
    assert fault('closed_line_retention = "7d"\n' + longest).startswith("closed_line_retention: expected at least 8d")


def test_where_nobody_says_how_long_lines_are_kept_it_follows_the_largest_window() -> None:
    settings = load('[sources.erp]\ndedup_window = "8d"\n')
    assert settings.closed_line_retention == 8 * DAY
    assert take_settings(settings.handed_on()) == settings
    assert load('[sources.erp]\ndedup_window = "3d"\n').closed_line_retention == 7 * DAY


def test_who_compares_nothing_may_keep_lines_for_less() -> None:
    off = "[reconciliation]\nenabled = false\n"
    assert load("closed_line_retention = 5\n" + off).closed_line_retention == 5 * SECOND
    assert load(off + '[sources.reconciliation]\ndedup_window = "1h"\n').window_of("reconciliation") == 3600 * SECOND


def test_where_an_unknown_time_zone_came_from_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fault('time_zone = "Mars/Olympus"\n').endswith('got "Mars/Olympus" (in given.toml)')
    monkeypatch.setenv("ATP_TIME_ZONE", "Asia/Tokio")
    told = fault()
    assert "; did you mean Asia/Tokyo or " in told and told.endswith("? (from ATP_TIME_ZONE)")


@pytest.fixture
def bare_system() -> Iterator[None]:
    """A system without time zones of its own, as small containers are."""
    reset_tzpath(to=())
    ZoneInfo.clear_cache()
    yield
    reset_tzpath()
    ZoneInfo.clear_cache()


@pytest.mark.usefixtures("bare_system")
@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
def test_time_zones_are_known_where_the_system_has_none(name: str) -> None:
    assert load(f'time_zone = "{name}"\n').time_zone == name
    assert ZoneInfo(name).key == name


def test_options_for_kafka_come_from_everywhere_and_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATP_KAFKA__OPTIONS__SASL_PASSWORD", "secret")
    # with quotes and without: TOML makes tables of the second
    text = '[kafka.options]\n"security.protocol" = "SASL_SSL"\nsasl.username = "atp"\nsasl.password = "old"\n'
    text += "log_level = 3\n"
    settings = load(text, {"kafka.options.sasl.mechanism": "PLAIN"})
    assert settings.kafka.options == {
        "security.protocol": "SASL_SSL",
        "sasl.username": "atp",
        "sasl.password": "secret",
        "log_level": "3",
        "sasl.mechanism": "PLAIN",
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ('"group.id" = "x"', "got group.id: set kafka.group"),
        ('"bootstrap.servers" = "x"', "got bootstrap.servers: set kafka.bootstrap_servers"),
        (
            '"enable.idempotence" = false',
            "expected options that no guarantee rests on, got enable.idempotence: leave",
        ),
        ('"acks" = 1', "got acks: leave it out"),
        ('"Security" = "x"', 'expected names of librdkafka settings, such as security.protocol, got "Security"'),
        ('"ssl.ca.pem" = ["secret"]', "expected text as the value of ssl.ca.pem, got another kind of value"),
    ],
)
def test_options_that_would_break_a_guarantee_are_refused(options: str, told: str) -> None:
    message = fault(f"[kafka.options]\n{options}\n")
    assert message == f"kafka.options: {message.removeprefix('kafka.options: ')}"
    assert told in message
    assert "secret" not in message


def test_options_in_the_environment_must_be_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATP_KAFKA__OPTIONS", "sasl.password=secret")
    assert fault() == "ATP_KAFKA__OPTIONS: expected a JSON object of librdkafka settings, got other text"
    monkeypatch.setenv("ATP_KAFKA__OPTIONS", '["secret"]')
    message = fault()
    assert message.startswith("kafka.options: expected a table")
    assert "secret" not in message


def test_a_source_is_bound_by_what_the_file_says_of_it() -> None:
    settings = load(
        'dedup_window = "12h"\n[sources.WMS-1]\ndedup_window = "48h"\nmay_send = ["stock_counted", "lot_held"]\n'
        'locations = ["DC-1", "ST/2"]\nstale_after = "15m"\n[sources."shop.eu"]\n'
    )
    assert settings.dedup_window == DAY // 2
    source = settings.sources["WMS-1"]
    assert source.dedup_window == 2 * DAY
    assert source.may_send == frozenset({"stock_counted", "lot_held"})
    assert source.locations == frozenset({"DC-1", "ST/2"})
    assert source.stale_after == 900 * SECOND
    free = settings.sources["shop.eu"]
    assert (free.dedup_window, free.may_send, free.locations, free.stale_after) == (None, None, None, None)


def test_an_empty_list_is_a_right_to_nothing() -> None:
    source = load("[sources.WMS]\nmay_send = []\n").sources["WMS"]
    assert source.may_send == frozenset()


def test_flags_may_speak_of_sources_too() -> None:
    text = '[sources."wms.eu"]\nstale_after = "1m"\n'
    given = {"sources.wms.eu.dedup_window": "1h", "sources": {"ERP": {"may_send": ["receipt_expected"]}}}
    settings = load(text, given)
    assert settings.sources["wms.eu"].dedup_window == 3_600 * SECOND
    assert settings.sources["wms.eu"].stale_after == 60 * SECOND
    assert settings.sources["ERP"].may_send == frozenset({"receipt_expected"})
    assert given["sources"] == {"ERP": {"may_send": ["receipt_expected"]}}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[sources.W]\nmay_send = ["stock_count"]',
            'expected event types, such as stock_counted, got "stock_count"; did you mean stock_counted?',
        ),
        ("[sources.W]\nmay_send = [1]", "sources.W.may_send: expected event types, such as stock_counted, got 1"),
        ('[sources.W]\nmay_send = "lot_held"', "expected an array of event types, such as stock_counted, got"),
        ('[sources.W]\nlocations = ["a b"]', "sources.W.locations: expected a code of 1 to 64 characters"),
        ('[sources.W]\nstale_after = "0s"', "sources.W.stale_after: expected a duration of 10ms to 400d"),
        ('[sources.W]\ndedup_window = "401d"', "sources.W.dedup_window: expected a duration of 1ms to 400d"),
        ('[sources."a b"]', 'sources: expected source codes as names of its tables, got "a b"'),
    ],
)
def test_a_source_that_cannot_be_is_refused(text: str, told: str) -> None:
    assert told in fault(text + "\n")


def test_sources_are_not_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATP_SOURCES__WMS__DEDUP_WINDOW", "1h")
    assert fault() == "ATP_SOURCES__WMS__DEDUP_WINDOW: sources are set in the file, as [sources.<name>]"


def test_fewer_shards_than_workers_contradict() -> None:
    assert load("shards = 4\nworkers = 4\n").workers == 4
    told = "shards, workers: expected at least one shard a worker, got 3 for 4 workers"
    assert fault("shards = 3\nworkers = 4\n") == told


def test_a_state_folder_that_is_a_file_or_beneath_one_contradicts(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    assert fault("", {"state.dir": "taken"}).endswith("got taken: taken is a file")
    assert fault("", {"state.dir": "taken/state"}).endswith(f"got taken/state: {tmp_path / 'taken'} is a file")
    (tmp_path / "folder").mkdir()
    assert load("", {"state.dir": tmp_path / "folder"}).state.dir == tmp_path / "folder"


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "redis://:6379",
        "rediss://user:p%40ss@redis.example.org:6380/15?ssl_cert_reqs=none",
        "redis://[::1]:6379/0",
        "unix:///run/redis.sock?db=1",
        "redis+sentinel://localhost/mymaster",
        "redis+sentinel://a:26379,b.example.org,[::1]:26380/mymaster/2",
        "rediss+sentinel://user:p%40ss@a:1,b:2/shop-1/0?ssl_cert_reqs=none",
    ],
)
def test_urls_that_redis_clients_understand(url: str) -> None:
    assert load("", {"redis.url": url}).redis.url == url


@pytest.mark.parametrize("servers", ["a", "a:9092", "10.0.0.1:9092,b.example.org:1", "[::1]:9092", "SSL://a:9093"])
def test_servers_that_kafka_clients_understand(servers: str) -> None:
    assert load("", {"kafka.bootstrap_servers": servers}).kafka.bootstrap_servers == servers


def test_a_prefix_is_put_in_front_as_it_stands_and_leaves_room_for_every_topic() -> None:
    assert load("", {"topics.prefix": "eu-1"}).topic("inventory.items") == "eu-1inventory.items"
    longest = "p" * (TOPIC_LENGTH_MAX - max(len(name) for name in topics.ALL))
    settings = load("", {"topics.prefix": longest})
    assert max(len(settings.topic(name)) for name in topics.ALL) == TOPIC_LENGTH_MAX
    assert fault("", {"topics.prefix": longest + "p"}).startswith("topics.prefix: expected at most 221")


def test_settings_are_frozen_and_travel_to_other_processes() -> None:
    settings = load(
        '[sources.WMS]\nmay_send = ["lot_held"]\n', {"redis.url": "redis://:secret@h:1/0", "state.dir": "s"}
    )
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(ValidationError):
        settings.shards = 3
    with pytest.raises(ValidationError):
        settings.kafka.group = "x"


def test_settings_made_without_the_loader_read_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATP_SHARDS", "7")
    Path("atp.toml").write_text("workers = 2\n")
    assert (Settings().shards, Settings().workers) == (64, 1)


def test_secrets_are_never_shown() -> None:
    given = {
        "redis.url": "redis://atp:secret@h:1/0?password=secret",
        "kafka.options": {"sasl.password": "secret", "security.protocol": "SSL"},
    }
    settings = load("", given)
    shown = settings.shown()
    assert shown["redis"]["url"] == "redis://atp:***@h:1/0?password=***"
    assert shown["kafka"]["options"] == {"sasl.password": "***", "security.protocol": "***"}
    assert "secret" not in f"{shown} {settings!r} {settings}"
    assert settings.redis.url == given["redis.url"]
    assert "secret" not in fault("", {"redis.url": "https://atp:secret@h/0"})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h/0", "redis://h/0"),
        ("redis://user@h/0", "redis://user@h/0"),
        ("redis://:a:b@c@h/0", "redis://:***@h/0"),
        ("unix://u:p@/run/r.sock", "unix://u:***@/run/r.sock"),
        ("redis+sentinel://u:p@a:1,b:2/shop/0", "redis+sentinel://u:***@a:1,b:2/shop/0"),
        ("redis+sentinel://a/shop?sentinel_password=p", "redis+sentinel://a/shop?sentinel_password=***"),
    ],
)
def test_only_the_password_of_a_url_is_masked(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_what_is_shown_can_be_loaded_again() -> None:
    text = '[sources.WMS]\ndedup_window = "36h"\nmay_send = ["lot_held", "lot_released"]\nstale_after = "90s"\n'
    settings = load(text, {"lanes.linger_normal": "1.5ms", "state.epoch_interval": 0.25})
    shown = settings.shown()
    sections = {name: value for name, value in shown.items() if isinstance(value, dict) and name != "sources"}
    flags = {f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()}
    flags |= {name: value for name, value in shown.items() if name not in sections}
    assert load("", flags) == settings


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0, "0s"),
        (1, "0.001ms"),
        (1_500, "1.500ms"),
        (50_000, "50ms"),
        (SECOND, "1s"),
        (90 * SECOND, "90s"),
        (3_600 * SECOND, "1h"),
        (DAY, "1d"),
        (DAY + SECOND // 2, "86400500ms"),
    ],
)
def test_a_duration_is_written_as_it_can_be_read(microseconds: int, text: str) -> None:
    assert duration_text(microseconds) == text
    assert parse_duration(text) == microseconds


def test_topic_names_are_storage() -> None:
    assert topics.ALL == (
        "inventory.warehouse",
        "inventory.orders",
        "inventory.supply",
        "inventory.statements",
        "inventory.decisions",
        "inventory.items",
        "inventory.locations",
        "inventory.channels",
        "inventory.channel_items",
        "inventory.reconciliation",
        "atp.updates.critical",
        "atp.updates.high",
        "atp.updates.normal",
        "atp.updates.bulk",
        "inventory.positions",
        "inventory.exceptions",
        "inventory.dead_letters",
        "inventory.variances",
        "inventory.statements.status",
        "inventory.statements.tallies",
    )


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_secrets_come_from_files_and_are_read_anew() -> None:
    Path("redis.txt").write_text("p@ss/wörd\n")
    Path("kafka.txt").write_text("first\r\n")
    settings = load(
        '[kafka.option_files]\nsasl.password = "kafka.txt"\n[kafka.options]\n"sasl.username" = "atp"\n',
        {"redis.url": "rediss://h:1/2", "redis.username": "atp", "redis.password_file": "redis.txt"},
    )
    assert redis_address(settings.redis) == "rediss://atp:p%40ss%2Fw%C3%B6rd@h:1/2"
    assert client_options(settings.kafka) == {"sasl.username": "atp", "sasl.password": "first"}
    Path("kafka.txt").write_text("second")
    assert client_options(settings.kafka)["sasl.password"] == "second"
    assert not any(word in f"{settings!r} {settings.shown()}" for word in ("p@ss", "first", "second"))
    assert settings.shown()["kafka"]["option_files"] == {"sasl.password": "kafka.txt"}


def test_a_password_that_was_given_as_such_is_masked() -> None:
    settings = load("", {"redis.password": "hush hush"})
    assert redis_address(settings.redis) == "redis://:hush%20hush@localhost:6379/0"
    assert settings.shown()["redis"]["password"] == "***" and "hush" not in f"{settings!r} {settings}"


def test_certificates_become_what_the_client_calls_them() -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        Path(name).write_text("x")
    given = {f"redis.tls_{name}_file": f"{name}.pem" for name in ("ca", "cert", "key")}
    settings = load("", {"redis.url": "rediss://h/0", **given})
    assert redis_address(settings.redis) == (
        "rediss://h/0?ssl_ca_certs=ca.pem&ssl_certfile=cert.pem&ssl_keyfile=key.pem"
    )


def test_what_the_sentinels_ask_for_goes_along_with_the_address() -> None:
    Path("sentinel.txt").write_text("a&b=c\n")
    given = {"redis.url": "redis+sentinel://a:1,b:2/shop/0", "redis.password": "p", "redis.sentinel_username": "atp"}
    settings = load("", {**given, "redis.sentinel_password_file": "sentinel.txt"})
    assert redis_address(settings.redis) == (
        "redis+sentinel://:p@a:1,b:2/shop/0?sentinel_username=atp&sentinel_password=a%26b%3Dc"
    )
    plain = load("", {**given, "redis.sentinel_password": "hush"})
    assert plain.shown()["redis"]["sentinel_password"] == "***" and "hush" not in f"{plain!r} {plain}"
    assert take_settings(plain.handed_on()) == plain
    Path("ca.pem").write_text("x")
    files = {"redis.url": "rediss+sentinel://a/shop", "redis.tls_ca_file": "ca.pem"}
    assert redis_address(load("", files).redis) == "rediss+sentinel://a/shop?ssl_ca_certs=ca.pem"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"redis.sentinel_password": "a"},
            "redis: expected a url that begins with redis+sentinel:// where sentinel_password is",
        ),
        (
            {"redis.url": "redis+sentinel://a/s", "redis.sentinel_password_file": "empty.txt"},
            "redis.sentinel_password_file: expected a file that holds a secret, got empty.t",
        ),
        (
            {
                "redis.url": "redis+sentinel://a/s",
                "redis.sentinel_password_file": "here.txt",
                "redis.sentinel_password": "a",
            },
            "redis: expected sentinel_password or sentinel_password_file, got both",
        ),
        (
            {"redis.password_file": "none.txt"},
            "redis.password_file: expected a file that can be read, got none.txt: no",
        ),
        ({"redis.password_file": "empty.txt"}, "redis.password_file: expected a file that holds a secret, got empty.t"),
        ({"redis.password_file": "here.txt", "redis.password": "a"}, "redis: expected password or password_file, got"),
        ({"redis.tls_ca_file": "here.txt"}, "redis: expected a url that begins with rediss:// where tls_ca_file is"),
        ({"redis.url": "rediss://h", "redis.tls_key_file": "here.txt"}, "redis: expected tls_cert_file and tls_key_f"),
        (
            {"redis.url": "redis://a:b@h", "redis.password": "c"},
            "redis: expected username and password in url or apart",
        ),
        ({"kafka.option_files": {"sasl.password": "none.txt"}}, "kafka.option_files: expected a file that can be read"),
        ({"kafka.option_files": {"acks": "here.txt"}}, "kafka.option_files: expected options that no guarantee rests"),
        (
            {"kafka.option_files": {"sasl.password": "here.txt"}, "kafka.options": {"sasl.password": "d"}},
            "kafka: expected sasl.password in options or in option_files, got both",
        ),
    ],
)
def test_secrets_that_cannot_be_used_are_told_without_them(given: dict[str, Any], told: str) -> None:
    Path("here.txt").write_text("hush")
    Path("empty.txt").write_text("\n")
    message = fault("", given)
    assert message.startswith(told)
    assert "hush" not in message and "a:b" not in message
