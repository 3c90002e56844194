"""What an address of Sentinels means to the client, and whose word counts."""

from __future__ import annotations

from typing import Any

import pytest
from redis.connection import SSLConnection
from redis.sentinel import SentinelConnectionPool

from flows.readmodel.connecting import NoPrimary, _newest, pool


def word(port: int, epoch: int, flags: str = "master") -> dict[str, Any]:
    said = {"ip": "10.0.0.1", "port": port, "config-epoch": epoch}
    return said | {f"is_{flag}": flag in flags for flag in ("master", "sdown", "odown")}


def test_an_address_of_one_server_is_what_it_was() -> None:
    plain = pool("rediss://u:p@h:1/2?ssl_cert_reqs=none", socket_timeout=3)
    assert not isinstance(plain, SentinelConnectionPool)
    told = plain.connection_kwargs
    assert (told["host"], told["port"], told["db"], told["password"], told["socket_timeout"]) == ("h", 1, 2, "p", 3)


def test_an_address_of_sentinels_says_who_we_are_there_and_at_the_primary() -> None:
    found = pool(
        "redis+sentinel://u:p%40@a:1,b,[::1]:3/shop/2?health_check_interval=9&sentinel_username=s&sentinel_password=q",
        client_name="atp",
    )
    assert isinstance(found, SentinelConnectionPool) and found.service_name == "shop"
    told = found.connection_kwargs
    assert (told["username"], told["password"], told["db"], told["client_name"]) == ("u", "p@", 2, "atp")
    assert told["health_check_interval"] == 9 and not issubclass(found.connection_class, SSLConnection)
    asked = [one.connection_pool.connection_kwargs for one in found.sentinel_manager.sentinels]
    assert [(one["host"], one["port"]) for one in asked] == [("a", 1), ("b", 26_379), ("::1", 3)]
    assert {(one["username"], one["password"]) for one in asked} == {("s", "q")}


def test_with_tls_the_sentinels_are_spoken_to_in_the_same_way() -> None:
    found = pool("rediss+sentinel://a:1/shop?ssl_ca_certs=ca.pem")
    assert issubclass(found.connection_class, SSLConnection) and found.connection_kwargs["ssl_ca_certs"] == "ca.pem"
    [asked] = [one.connection_pool for one in found.sentinel_manager.sentinels]
    assert issubclass(asked.connection_class, SSLConnection) and asked.connection_kwargs["ssl_ca_certs"] == "ca.pem"


def test_the_newest_word_counts_whoever_is_heard_first() -> None:
    assert _newest("shop", [{"shop": word(1, 4)}, {"shop": word(2, 5)}]) == ("10.0.0.1", 2)
    assert _newest("shop", [{"shop": word(2, 5)}, {"shop": word(1, 4)}, {}]) == ("10.0.0.1", 2)


def test_one_who_cannot_reach_the_primary_is_not_believed_before_another_who_can() -> None:
    assert _newest("shop", [{"shop": word(2, 5, "master sdown")}, {"shop": word(2, 5)}]) == ("10.0.0.1", 2)


def test_an_older_primary_is_not_gone_back_to_while_the_newer_one_is_down() -> None:
    with pytest.raises(NoPrimary, match=r"shop at 10\.0\.0\.1:2 is down") as raised:
        _newest("shop", [{"shop": word(1, 4)}, {"shop": word(2, 5, "master sdown odown")}])
    assert raised.value.remedy is None, "to wait is all there is"


def test_a_name_that_nobody_knows_is_told_with_those_that_are_known() -> None:
    with pytest.raises(NoPrimary, match="no primary called store, but others, shop") as raised:
        _newest("store", [{"shop": word(1, 1), "others": word(2, 1)}])
    assert raised.value.remedy is not None and "redis.url" in raised.value.remedy
