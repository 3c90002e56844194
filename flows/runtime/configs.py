"""What of the settings decides about single messages, and what a shard needs of them."""

from __future__ import annotations

from flows.runtime.run import Run
from operators.decode import DecoderConfig
from operators.shard import ShardConfig
from schemas.settings import Settings
from schemas.topics import INPUTS


def decoder_config(settings: Settings) -> DecoderConfig:
    """Give what of the settings decides about single messages."""
    sources = settings.sources
    return DecoderConfig(
        topic_kinds={settings.topic(name): name.removeprefix("inventory.") for name in INPUTS},
        max_message_bytes=settings.max_message_bytes,
        max_clock_skew=settings.max_clock_skew,
        dedup_window=settings.dedup_window,
        source_windows={
            name: source.dedup_window for name, source in sources.items() if source.dedup_window is not None
        },
        may_send={name: source.may_send for name, source in sources.items() if source.may_send is not None},
        source_locations={name: source.locations for name, source in sources.items() if source.locations is not None},
    )


def shard_config(run: Run) -> ShardConfig:
    """Give what of the settings a shard needs."""
    settings = run.settings
    return ShardConfig(
        shards=settings.shards,
        dedup_window=settings.dedup_window,
        source_windows={
            name: source.dedup_window for name, source in settings.sources.items() if source.dedup_window is not None
        },
        closed_line_retention=settings.closed_line_retention,
        reference_grace=settings.reference_grace,
        breakdown=settings.updates.breakdown,
    )
