"""Decides whether decoder, shards, import and replay go by the same settings."""

from __future__ import annotations

from flows.runtime.configs import decoder_config, shard_config, windows_of
from operators.rules.admission import Windows
from schemas.settings import Settings, TopicSettings
from schemas.source_settings import SourceSettings

HOUR = 3_600_000_000


SETTINGS = Settings(
    dedup_window="12h",
    max_clock_skew="1m",
    topics=TopicSettings(prefix="eu."),
    sources={
        "CARRIER": SourceSettings(dedup_window="72h"),
        "TILL": SourceSettings(may_send=["stock_counted"], locations=["DC1"]),
    },
)


def test_all_go_by_the_same_windows() -> None:
    decoder, shard, windows = decoder_config(SETTINGS), shard_config(SETTINGS), windows_of(SETTINGS)
    for source, window in (("CARRIER", 72 * HOUR), ("TILL", 12 * HOUR), ("WMS", 12 * HOUR)):
        assert windows.of(source) == window
        assert Windows(decoder.dedup_window, decoder.source_windows).of(source) == window
        assert Windows(shard.dedup_window, shard.source_windows).of(source) == window
    assert shard.widest_window == windows.widest() == 72 * HOUR


def test_the_decoder_knows_what_a_source_may_say_and_nothing_of_those_that_are_free() -> None:
    decoder = decoder_config(SETTINGS)
    assert decoder.may_send == {"TILL": frozenset({"stock_counted"})}
    assert decoder.source_locations == {"TILL": frozenset({"DC1"})}
    assert decoder.max_clock_skew == HOUR // 60
    assert decoder.topic_kinds == {f"eu.inventory.{kind}": kind for kind in ("warehouse", "orders", "supply")}
