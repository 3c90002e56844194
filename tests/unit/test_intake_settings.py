"""Settings of the raw intake: what is wrong is said with its name, and no secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.adapters.intake.secrets import Secrets
from flows.kafka.topics import plan_of_raw
from flows.settings import load_settings
from schemas.settings import Settings, SettingsError

SECOND = 1_000_000


def load(folder: Path, text: str) -> Settings:
    (folder / "given.toml").write_text(text)
    return load_settings(folder / "given.toml")


def fault(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(folder, text)
    return str(caught.value).replace(f" (in {folder / 'given.toml'})", "")


def test_a_source_that_sends_and_one_that_is_asked(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [sources.shop]
        heading_rows = 2
        [sources.shop.receive]
        signature = "HMAC"
        secret_files = ["/run/secrets/old", "/run/secrets/new"]
        signature_header = "X-Sig"
        timestamp_header = "X-Time"
        replay_window = "1m"
        headers = ["X-Shop"]
        [sources."erp.eu".poll]
        url = "https://erp.example:8443/api/orders?limit=250"
        every = "10s"
        next = "page.next"
        cursor_parameter = "cursor"
        header_files = { "Authorization" = "/run/secrets/erp" }
        """,
    )
    shop = settings.sources["shop"].receive
    assert shop is not None
    assert (shop.signature, shop.signature_header, shop.timestamp_header) == ("hmac", "x-sig", "x-time")
    assert (shop.replay_window, shop.headers, settings.sources["shop"].heading_rows) == (60 * SECOND, ("x-shop",), 2)
    assert shop.secret_files == (Path("/run/secrets/old"), Path("/run/secrets/new"))
    erp = settings.sources["erp.eu"].poll
    assert erp is not None
    assert (erp.every, erp.throttle, erp.header_files) == (
        10 * SECOND,
        SECOND // 2,
        {"authorization": Path("/run/secrets/erp")},
    )


RECEIVE = "[sources.shop.receive]\n"
POLL = '[sources.erp.poll]\nurl = "https://erp.example/"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (RECEIVE, "sources.shop.receive: expected signature, which says how the source signs, got none"),
        (
            RECEIVE + 'signature = "md5"',
            'sources.shop.receive.signature: expected one of shopify, hmac, none, got "md5"',
        ),
        (RECEIVE + 'signature = "hmac"', "sources.shop.receive: expected one secret or two"),
        (RECEIVE + 'signature = "none"\nsecret_files = ["a"]', "expected no secrets where signature is none"),
        (RECEIVE + 'signature = "hmac"\nsecret_files = ["a", "b", "c"]', "secret_files: expected at most 2"),
        (RECEIVE + 'signature = "hmac"\nsecret_files = ["a", "b"]\nsecret_variables = ["C"]', "got 3"),
        (RECEIVE + 'signature = "shopify"\nsecret_files = ["a"]\ntimestamp_header = "x-t"', "which signs no time"),
        (RECEIVE + 'signature = "none"\nheaders = ["Cookie"]', "headers that say something of the message, got cookie"),
        (RECEIVE + 'signature = "none"\nheaders = ["a b"]', "expected the name of an HTTP header"),
        (RECEIVE + 'signatur = "none"', "sources.shop.receive.signatur: no such setting; did you mean"),
        ("[sources.erp.poll]\n", "sources.erp.poll: expected url, which says what to ask for, got none"),
        ('[sources.erp.poll]\nurl = "ftp://erp/"', "expected an address such as https://"),
        ('[sources.erp.poll]\nurl = "https://u:geheim@erp/"', "expected an address without a password"),
        ('[sources.erp.poll]\nurl = "https://erp:70000/"', "expected an address such as https://"),
        ('[sources.erp.poll]\nurl = "https://erp/a b"', "expected an address such as https://"),
        ('[sources.erp.poll]\nurl = "https://u:geheim@"', "expected an address such as https://"),
        (POLL + 'checkpoint = "a.b"', "expected checkpoint and checkpoint_parameter together"),
        (POLL + 'cursor_parameter = "c"', "got cursor_parameter without it"),
        (POLL + 'cursor_parameter = "c"\nnext = "link"', "got cursor_parameter without it"),
        (POLL + 'checkpoint_start = "c"', "expected checkpoint where checkpoint_start is set"),
        (POLL + 'headers = {a = "1"}\nheader_files = {A = "b"}', "expected a in headers or in header_files, got both"),
        (POLL + 'headers = {a = "geheim\\n"}', "expected printable ASCII characters as the value of a, got other"),
        ('[sources."a/b".receive]\nsignature = "none"', "sources.a/b: expected a name without /"),
    ],
)
def test_what_is_wrong_is_said_with_its_name(tmp_path: Path, text: str, told: str) -> None:
    said = fault(tmp_path, text)
    assert told in said
    assert "geheim" not in said


def test_a_secret_in_the_place_of_its_variables_name_is_not_shown(tmp_path: Path) -> None:
    said = fault(tmp_path, RECEIVE + 'signature = "hmac"\nsecret_variables = ["s3cr3t!"]')
    assert "expected names of environment variables" in said and "s3cr3t" not in said
    assert "do not begin with ATP_" in fault(
        tmp_path, RECEIVE + 'signature = "hmac"\nsecret_variables = ["ATP_SECRET"]'
    )


def test_a_header_that_is_sent_is_masked_where_people_read_and_handed_on_where_not(tmp_path: Path) -> None:
    settings = load(tmp_path, POLL + 'headers = {"x-key" = "geheim"}')
    assert settings.shown()["sources"]["erp"]["poll"]["headers"] == {"x-key": "***"}
    assert "geheim" not in f"{settings.shown()} {settings!r} {settings}"
    assert settings.handed_on()["sources"]["erp"]["poll"]["headers"] == {"x-key": "geheim"}
    from flows.settings import take_settings

    assert take_settings(settings.handed_on()) == settings


def test_a_secret_that_cannot_be_had_is_a_wrong_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(text: str) -> str:
        rules = load(tmp_path, f"{RECEIVE}signature = 'hmac'\n{text}").sources["shop"].receive
        assert rules is not None
        with pytest.raises(SettingsError) as caught:
            Secrets("shop", rules)
        return str(caught.value)

    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "expected a file that can be read" in told(f'secret_files = ["{tmp_path / "none"}"]')
    assert "which is empty" in told(f'secret_files = ["{tmp_path / "empty"}"]')
    assert "it is not UTF-8" in told(f'secret_files = ["{tmp_path / "binary"}"]')
    monkeypatch.delenv("SHOP_SECRET", raising=False)
    assert "expected SHOP_SECRET in the environment with a secret in it, got none" in told(
        'secret_variables = ["SHOP_SECRET"]'
    )


def test_raw_topics_are_kept_for_ever_under_kafkas_clock(tmp_path: Path) -> None:
    settings = load(tmp_path, '[topics]\nprefix = "eu."\n')
    ((name, (partitions, form)),) = plan_of_raw(settings, ["acme.edi"]).items()
    assert (name, partitions) == ("eu.inventory.raw.acme.edi", 8)
    assert (form["retention.ms"], form["retention.bytes"], form["cleanup.policy"]) == ("-1", "-1", "delete")
    assert form["message.timestamp.type"] == "LogAppendTime"
    assert int(form["max.message.bytes"]) > settings.max_message_bytes


@pytest.mark.parametrize(("prefix", "source"), [("", "a/b"), ("p" * 220, "s" * 64)])
def test_a_source_whose_topic_kafka_would_not_take_is_said(tmp_path: Path, prefix: str, source: str) -> None:
    settings = load(tmp_path, f'[topics]\nprefix = "{prefix}"\n')
    with pytest.raises(SettingsError, match="expected a source with whose name Kafka can call a topic"):
        plan_of_raw(settings, [source])
