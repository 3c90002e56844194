"""What of the settings decides about events, in the form in which the decoder, the shards and the rules take it."""

from __future__ import annotations

from operators.coordinator import CoordinatorConfig
from operators.decode import DecoderConfig
from operators.rules.admission import Windows
from operators.shard import ShardConfig
from schemas.settings import Settings
from schemas.topics import INPUTS
from schemas.variances import OWN_SOURCE


def windows_of(settings: Settings) -> Windows:
    """Give how late an event may be, by source."""
    return Windows(settings.dedup_window, _source_windows(settings))


def decoder_config(settings: Settings) -> DecoderConfig:
    """Give what decides about single messages."""
    sources = settings.sources
    return DecoderConfig(
        topic_kinds={settings.topic(name): name.removeprefix("inventory.") for name in INPUTS},
        max_message_bytes=settings.max_message_bytes,
        max_clock_skew=settings.max_clock_skew,
        dedup_window=settings.dedup_window,
        source_windows=_source_windows(settings),
        may_send={name: source.may_send for name, source in sources.items() if source.may_send is not None},
        source_locations={name: source.locations for name, source in sources.items() if source.locations is not None},
    )


def coordinator_config(settings: Settings) -> CoordinatorConfig:
    """Give what decides about whole statements."""
    settles = {name: source.settle for name, source in settings.sources.items()}
    return CoordinatorConfig(settings.shards, windows_of(settings), settings.settle_of(""), settles)


#: How often a shard tells what it found of a statement that is being judged: a verdict is later by so much at most.
TELL_EVERY = 200_000


def shard_config(settings: Settings, run: int = 0, *, is_at_once: bool = False) -> ShardConfig:
    """Give what a shard needs; `run` is the run's token. `is_at_once`: nothing may wait for a timer."""
    reconciles = settings.reconciliation.enabled
    return ShardConfig(
        shards=settings.shards,
        dedup_window=settings.dedup_window,
        source_windows=_source_windows(settings),
        closed_line_retention=settings.closed_line_retention,
        reference_grace=settings.reference_grace,
        breakdown=settings.updates.breakdown,
        time_zone=settings.time_zone,
        has_claims=settings.updates.claims,
        has_trail=settings.trail.enabled,
        has_orders=settings.updates.orders,
        settle=settings.settle_of("") if reconciles else 0,
        settles={name: source.settle for name, source in settings.sources.items()} if reconciles else {},
        hold_alert=settings.reconciliation.hold_alert,
        tell_every=0 if is_at_once else TELL_EVERY,
        run=run,
    )


def _source_windows(settings: Settings) -> dict[str, int]:
    windows = {
        name: source.dedup_window for name, source in settings.sources.items() if source.dedup_window is not None
    }
    own = settings.window_of(OWN_SOURCE)
    if own != settings.dedup_window:
        windows[OWN_SOURCE] = own
    return windows
