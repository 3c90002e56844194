"""The settings by section: what each means, what it may be, and its default. They are read by flows/settings.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.cluster_settings import ClusterSettings
from schemas.codes import is_code, mismatch
from schemas.console_settings import ConsoleSettings
from schemas.intake_settings import (
    PickUpSettings,
    PollSettings,
    ReceiveSettings,
    TranslatorSettings,
)
from schemas.push_settings import PushSettings
from schemas.setting_section import Section as _Section
from schemas.setting_values import (
    DAY,
    FILE,
    KEY_PREFIX,
    NAME,
    OPTION_FILES,
    OPTIONS,
    SECOND,
    SECRET,
    SERVERS,
    TIME_ZONE,
    TOPIC_PREFIX,
    URL,
    Linger,
    Size,
    Switch,
    Window,
    duration,
    duration_text,
    one_of,
    sentinel_url,
    text,
    whole,
)
from schemas.source_settings import SETTLE, SourceSettings
from schemas.state_settings import StateSettings
from schemas.trail_settings import TrailSettings
from schemas.variances import OWN_SOURCE

#: settings of TLS -> what redis-py calls them
TLS: Final = {"tls_ca_file": "ssl_ca_certs", "tls_cert_file": "ssl_certfile", "tls_key_file": "ssl_keyfile"}

#: settings of who we are for the Sentinels
SENTINEL: Final = ("sentinel_username", "sentinel_password", "sentinel_password_file")


class SettingsError(ValueError):
    """Settings that cannot be used: a line a fault, with the name, what was expected, what came, and from where."""


class KafkaSettings(_Section):
    """Where Kafka is, and how its topics are made."""

    bootstrap_servers: Annotated[str, SERVERS] = "localhost:9092"
    """Brokers to begin with, `host:port`, several with commas between."""
    group: Annotated[str, NAME] = "atp-engine"
    """The consumer group under which the lag shows in Kafka's tools."""
    options: Annotated[dict[str, str], OPTIONS] = Field(default={}, repr=False)
    """Any settings of librdkafka, for every client: security, above all."""
    option_files: Annotated[dict[str, Path], OPTION_FILES] = Field(default={})
    """The same, with the value in a file, as for a password: `{"sasl.password" = "/run/secrets/kafka"}`."""
    replication_factor: Annotated[int, whole(1, 10)] = 1
    """Copies of each topic that `atp topics create` makes; with 3 or more, most of them have what is acknowledged."""
    partitions: Annotated[int, whole(1, 1000)] = 8
    """Partitions of each topic that `atp topics create` makes; reference topics always have one."""

    @model_validator(mode="after")
    def _said_once(self) -> KafkaSettings:
        for name in self.option_files:
            if name in self.options:
                raise ValueError(f"expected {name} in options or in option_files, got both: leave one out")
        return self


class RedisSettings(_Section):
    """Where the read model is, how to get in, and what is put in front of its keys, as it stands."""

    url: Annotated[str, URL] = Field(default="redis://localhost:6379/0", repr=False)
    """Redis 7.0 or later, or Valkey; `rediss://` for TLS, `unix://` for a socket; `redis+sentinel://host-1:26379,host-2:26379/NAME/0` (`rediss+sentinel://`) for the primary that Sentinels call NAME."""  # noqa: E501
    prefix: Annotated[str, KEY_PREFIX] = ""
    """Put in front of every key."""
    username: Annotated[str, NAME] | None = None
    """The ACL user."""
    password: Annotated[str, SECRET] | None = Field(default=None, repr=False)
    """Its password. Better in a file."""
    password_file: Annotated[Path, FILE] | None = None
    """A file that holds its password, such as `/run/secrets/redis`."""
    tls_ca_file: Annotated[Path, FILE] | None = None
    """Certificates of those who may vouch for the server (PEM); those of the system if absent."""
    tls_cert_file: Annotated[Path, FILE] | None = None
    """The engine's own certificate (PEM), where the server asks for one."""
    tls_key_file: Annotated[Path, FILE] | None = None
    """The key to it (PEM)."""
    sentinel_username: Annotated[str, NAME] | None = None
    """The ACL user at the Sentinels, where they have any."""
    sentinel_password: Annotated[str, SECRET] | None = Field(default=None, repr=False)
    """The Sentinels' password, which need not be that of the server. Better in a file."""
    sentinel_password_file: Annotated[Path, FILE] | None = None
    """A file that holds it."""

    @property
    def has_sentinels(self) -> bool:
        """Is the server the one that Sentinels name?"""
        return sentinel_url(self.url) is not None

    @model_validator(mode="after")
    def _gets_in(self) -> RedisSettings:
        if self.password is not None and self.password_file is not None:
            raise ValueError("expected password or password_file, got both: leave one out")
        given = [name for name in TLS if getattr(self, name) is not None]
        if given and not self.url.startswith(("rediss://", "rediss+sentinel://")):
            raise ValueError(f"expected a url that begins with rediss:// where {given[0]} is set, got another")
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("expected tls_cert_file and tls_key_file together, got one of them")
        if (self.username or self.password or self.password_file) and "@" in self.url:
            raise ValueError("expected username and password in url or apart from it, got both: take them out of url")
        if self.sentinel_password is not None and self.sentinel_password_file is not None:
            raise ValueError("expected sentinel_password or sentinel_password_file, got both: leave one out")
        of_sentinels = [name for name in SENTINEL if getattr(self, name) is not None]
        if of_sentinels and not self.has_sentinels:
            raise ValueError(
                f"expected a url that begins with redis+sentinel:// where {of_sentinels[0]} is set, got another"
            )
        return self


class MetricsSettings(_Section):
    """Where metrics and health of all workers are served."""

    port: Annotated[int, whole(0, 65_535)] = 9464
    """The port; 0 switches both off."""
    host: Annotated[str, text(r"[0-9A-Za-z.:_-]{1,253}", "a host name or address, such as 127.0.0.1")] = "127.0.0.1"
    """The address that is listened on; beyond loopback only if told so."""


class TopicSettings(_Section):
    """What is put in front of each topic's name, as it stands."""

    prefix: Annotated[str, TOPIC_PREFIX] = ""
    """Put in front of every topic's name."""


class LaneSettings(_Section):
    """How long updates and positions may wait on their way to Kafka."""

    linger_normal: Linger = 50_000
    """Lane `normal` gathers for so long."""
    linger_bulk: Linger = SECOND
    """Lane `bulk` gathers for so long."""
    max_wait: Annotated[int, duration("0s", "1h", "5s")] = 5 * SECOND
    """What has waited for a channel's budget for longer goes before newer updates of any lane but `critical`."""
    linger_positions: Linger = 200_000
    """Positions gather for so long."""


class UpdateSettings(_Section):
    """What updates carry, and whether Redis publishes them too."""

    breakdown: Switch = False
    """Updates carry every step of the calculation."""
    claims: Switch = True
    """Redis has what each order line claims, in `claims:<item>` (`atp get ITEM --claims`)."""
    orders: Switch = True
    """Redis has how order lines stand, in `order:<order_id>` (`atp orders ORDER_ID`); only while `claims` is on."""
    pubsub: Switch = False
    """Redis Pub/Sub gets every update too."""


class LogSettings(_Section):
    """What is logged, and in which form."""

    level: Annotated[str, one_of("debug", "info", "warning", "error")] = "info"
    """The least level that is logged."""
    format: Annotated[str, one_of("auto", "json", "text")] = "auto"
    """`auto` is text for a terminal, else JSON."""
    payload: Switch = False
    """Also log what was refused, byte for byte."""


class DeadLetterSettings(_Section):
    """What is done about what could not be used."""

    replay_known: Switch = False
    """Send again by itself what named an unknown code once that code is known: 100 a second, 5 tries at most."""


class ReconciliationSettings(_Section):
    """Whether statements are compared, and what is done because of what differs."""

    enabled: Switch = True
    """`atp run` compares statements, and holds and corrects by the records of `inventory.reconciliation`."""
    hold_alert: Annotated[int, duration("10ms", "400d", "24h")] = DAY
    """What is held for longer because of a variance is reported as `held_too_long`."""


class Settings(BaseSettings):
    """All settings of the engine. Whatever is not given has its default."""

    # Made by `load_settings`; durations are microseconds. Frozen.

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, validate_default=False, use_attribute_docstrings=True
    )

    dedup_window: Window = DAY
    """What is older than this when Kafka logs it is late; ids are remembered for as long."""
    max_clock_skew: Annotated[int, duration("0s", "400d", "5m")] = 300 * SECOND
    """What is further ahead of Kafka's clock is refused."""
    reference_grace: Annotated[int, duration("0s", "60s", "1s")] = SECOND
    """How long an event waits for a code that may be on its way."""
    closed_line_retention: Annotated[int, duration("0s", "400d", "7d")] = 7 * DAY
    """How long a finished order line is remembered. Not given: as long as the largest window, if that is longer."""
    time_zone: Annotated[str, TIME_ZONE] = "UTC"
    """Whose days count: an IANA name, such as `Europe/Berlin`."""
    shards: Annotated[int, whole(1, 4096)] = 64
    """Parts of the state; fixed for the life of `state.dir`."""
    workers: Annotated[int, whole(1, 64)] = 1
    """Processes; at most as many as there are input partitions."""
    max_message_bytes: Annotated[int, whole(1, 100_000_000)] = 1_048_576
    """A larger message is refused."""
    memory_limit: Size | None = None
    """Of all workers together: a warning at 80 %, a clean stop at 90 %; by default what machine or container have."""
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    state: StateSettings = StateSettings()
    cluster: ClusterSettings = ClusterSettings()
    metrics: MetricsSettings = MetricsSettings()
    topics: TopicSettings = TopicSettings()
    lanes: LaneSettings = LaneSettings()
    updates: UpdateSettings = UpdateSettings()
    trail: TrailSettings = TrailSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    reconciliation: ReconciliationSettings = ReconciliationSettings()
    receive: ReceiveSettings = ReceiveSettings()
    pick_up: PickUpSettings = PickUpSettings()
    poll: PollSettings = PollSettings()
    push: PushSettings = PushSettings()
    translator: TranslatorSettings = TranslatorSettings()
    console: ConsoleSettings = ConsoleSettings()
    log: LogSettings = LogSettings()
    sources: dict[str, SourceSettings] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        for name in self.sources:
            if not is_code(name):
                raise ValueError(f"sources: {mismatch('source codes as names of its tables', name)}")
            if "/" in name and self.sources[name].has_documents():
                raise ValueError(
                    f"sources.{name}: expected a name without / where the source has documents, got one with: "
                    "its messages have a topic of their own, and Kafka allows no / in its name"
                )
        workers = self.workers * max(1, len(self.cluster.machines))
        if self.shards < workers:
            raise ValueError(
                f"shards, workers: expected at least one shard a worker, got {self.shards} for {workers} workers"
            )
        if len(self.cluster.machines) > 1 and self.state.remote is not None:
            raise ValueError(
                "state.remote: expected none where cluster.machines names several, got one: a copy is of one machine's "
                "state, and each machine keeps its own"
            )
        if self.reconciliation.enabled:
            self._can_correct()
        return self

    def _can_correct(self) -> None:
        """Whether what is corrected as of its moment is accepted, and finds the lines of that moment."""
        own = self.window_of(OWN_SOURCE)
        widest, whose = self._widest_window()
        if own < widest:
            raise ValueError(
                f"sources.{OWN_SOURCE}.dedup_window: expected the largest of all ({duration_text(widest)}, as "
                f"{whose} has), for it corrects what any source stated; got {duration_text(own)}: leave it out, which "
                "is that much, or set reconciliation.enabled to false"
            )
        if "closed_line_retention" not in self.model_fields_set:
            # Frozen is what others get to see: until here nobody has.
            object.__setattr__(self, "closed_line_retention", max(self.closed_line_retention, own))
        if self.closed_line_retention < own:
            raise ValueError(
                f"closed_line_retention: expected at least {duration_text(own)}, the window of source "
                f"{OWN_SOURCE}, for a correction needs the order lines of its moment; got "
                f"{duration_text(self.closed_line_retention)}: raise it, shorten {whose}, or set "
                "reconciliation.enabled to false"
            )

    def _widest_window(self) -> tuple[int, str]:
        """Give the largest window of all sources but the engine's own, and the setting that says so."""
        said = [(self.dedup_window, "dedup_window")]
        said += [
            (source.dedup_window, f"sources.{name}.dedup_window")
            for name, source in self.sources.items()
            if source.dedup_window is not None and name != OWN_SOURCE
        ]
        return max(said, key=lambda one: one[0])

    def window_of(self, source: str) -> int:
        """Give how late what a source says may be, in microseconds; that of `reconciliation` is the largest."""
        named = self.sources.get(source)
        if named is not None and named.dedup_window is not None:
            return named.dedup_window
        return self._widest_window()[0] if source == OWN_SOURCE else self.dedup_window

    def settle_of(self, source: str) -> int:
        """Give how long a statement of a source waits for events of before its moment, in microseconds."""
        named = self.sources.get(source)
        return named.settle if named is not None else SETTLE

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What `load_settings` has merged, and nothing behind its back."""
        return (init_settings,)

    def topic(self, name: str) -> str:
        """A topic's full name."""
        return self.topics.prefix + name

    def raw_sources(self) -> list[str]:
        """The sources of which the settings say how their documents are read: each has a raw topic."""
        return [name for name, source in self.sources.items() if source.has_documents()]

    def translator_dir(self) -> Path:
        """Where the translator keeps what it remembers."""
        return self.translator.dir or self.state.dir / "translator"

    def shown(self) -> dict[str, Any]:
        """All that is set, as the file would say it, with secrets masked: for people to read."""
        return self.model_dump(mode="json", exclude_none=True)

    def handed_on(self) -> dict[str, Any]:
        """All that is set, as the file would say it, secrets too: for processes of the engine's own, not for logs."""
        said = self.shown()
        said["kafka"]["options"] = self.kafka.options
        said["redis"]["url"] = self.redis.url
        said["state"]["remote_options"] = self.state.remote_options
        if self.redis.password is not None:
            said["redis"]["password"] = self.redis.password
        if self.redis.sentinel_password is not None:
            said["redis"]["sentinel_password"] = self.redis.sentinel_password
        for name, source in self.sources.items():
            if source.poll is not None:
                said["sources"][name]["poll"]["headers"] = source.poll.headers
        return said


#: Every setting by its dotted name; those of a source stand beneath `sources.<name>`.
NAMES: Final = tuple(
    f"{section}.{name}" if isinstance(default := field.default, _Section) else section
    for section, field in Settings.model_fields.items()
    if section != "sources"
    for name in (type(field.default).model_fields if isinstance(field.default, _Section) else ("",))
)
_SECTIONS = tuple(name for name, field in Settings.model_fields.items() if isinstance(field.default, _Section))
