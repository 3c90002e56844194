"""Reads the settings, once, at the start: file, environment and flags in, one frozen object or a line a fault out.

Precedence: flags, then environment (`ATP_SECTION__NAME`), then the file (`atp.toml`), then defaults. A name that is not
a setting is a fault wherever it stands: a setting misspelled would be a default in force without anybody's knowledge.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.codes import is_code, mismatch, near_match
from schemas.setting_values import (
    DAY,
    FOLDER,
    KEY_PREFIX,
    LOCATIONS,
    NAME,
    OPTIONS,
    SECOND,
    SERVERS,
    TOPIC_PREFIX,
    TYPES,
    URL,
    Linger,
    Switch,
    Window,
    duration,
    one_of,
    text,
    whole,
)

DEFAULT_FILE: Final = "atp.toml"
ENV_PREFIX: Final = "ATP_"
#: Environment names that begin with ATP_ and are no settings: the file's place, and what tests and demos are told.
OTHER_NAMES: Final = frozenset({"ATP_CONFIG"})
OTHER_PREFIXES: Final = ("ATP_TEST_", "ATP_DEMO_", "ATP_BENCH_")


class SettingsError(ValueError):
    """Settings that cannot be used: a line a fault, with the name, what was expected, what came, and from where."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Section):
    """Where Kafka is, and how its topics are made. `options` are librdkafka's own, for every client (security)."""

    bootstrap_servers: Annotated[str, SERVERS] = "localhost:9092"
    group: Annotated[str, NAME] = "atp-engine"
    options: Annotated[dict[str, str], OPTIONS] = Field(default={}, repr=False)
    replication_factor: Annotated[int, whole(1, 10)] = 1
    partitions: Annotated[int, whole(1, 1000)] = 8


class RedisSettings(_Section):
    """Where the read model is, and what is put in front of its keys, as it stands."""

    url: Annotated[str, URL] = Field(default="redis://localhost:6379/0", repr=False)
    prefix: Annotated[str, KEY_PREFIX] = ""


class StateSettings(_Section):
    """Where state is kept, and how often it is made safe."""

    dir: Annotated[Path, FOLDER] = Path("state")
    epoch_interval: Annotated[int, duration("10ms", "60s", "1s")] = SECOND
    recovery_partitions: Annotated[int, whole(1, 64)] = 4


class MetricsSettings(_Section):
    """Where metrics and health of all workers are served. Port 0: nowhere."""

    port: Annotated[int, whole(0, 65_535)] = 9464
    host: Annotated[str, text(r"[0-9A-Za-z.:_-]{1,253}", "a host name or address, such as 127.0.0.1")] = "127.0.0.1"


class TopicSettings(_Section):
    """What is put in front of each topic's name, as it stands."""

    prefix: Annotated[str, TOPIC_PREFIX] = ""


class LaneSettings(_Section):
    """How long updates and positions may wait on their way to Kafka."""

    linger_normal: Linger = 50_000
    linger_bulk: Linger = SECOND
    max_wait: Annotated[int, duration("0s", "1h", "5s")] = 5 * SECOND
    linger_positions: Linger = 200_000


class UpdateSettings(_Section):
    """What updates carry, and whether Redis publishes them too."""

    breakdown: Switch = False
    pubsub: Switch = False


class LogSettings(_Section):
    """What is logged, and in which form (auto: text for a terminal, else JSON). `payload`: also what was refused."""

    level: Annotated[str, one_of("debug", "info", "warning", "error")] = "info"
    format: Annotated[str, one_of("auto", "json", "text")] = "auto"
    payload: Switch = False


class SourceSettings(_Section):
    """What one source may do. A source that is not named is not bound."""

    dedup_window: Window | None = None
    may_send: Annotated[frozenset[str], TYPES] | None = None
    locations: Annotated[frozenset[str], LOCATIONS] | None = None
    stale_after: Annotated[int, duration("1s", "365d", "15m")] | None = None


class Settings(BaseSettings):
    """All settings of the engine. Whatever is not given has its default."""

    # Made by `load_settings`; durations are microseconds. Frozen, and picklable: worker processes are handed theirs.

    model_config = SettingsConfigDict(extra="forbid", frozen=True, validate_default=False)

    dedup_window: Window = DAY
    max_clock_skew: Annotated[int, duration("0s", "7d", "5m")] = 300 * SECOND
    reference_grace: Annotated[int, duration("0s", "60s", "1s")] = SECOND
    closed_line_retention: Annotated[int, duration("0s", "400d", "7d")] = 7 * DAY
    shards: Annotated[int, whole(1, 4096)] = 64
    workers: Annotated[int, whole(1, 64)] = 1
    max_message_bytes: Annotated[int, whole(1000, 100_000_000)] = 1_048_576
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    state: StateSettings = StateSettings()
    metrics: MetricsSettings = MetricsSettings()
    topics: TopicSettings = TopicSettings()
    lanes: LaneSettings = LaneSettings()
    updates: UpdateSettings = UpdateSettings()
    log: LogSettings = LogSettings()
    sources: dict[str, SourceSettings] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        for name in self.sources:
            if not is_code(name):
                raise ValueError(f"sources: {mismatch('source codes as names of its tables', name)}")
        if self.shards < self.workers:
            raise ValueError(
                f"shards, workers: expected at least one shard a worker, got {self.shards} for {self.workers} workers"
            )
        return self

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

    def shown(self) -> dict[str, Any]:
        """All that is set, as the file would say it, with secrets masked: for people to read."""
        return self.model_dump(mode="json", exclude_none=True)


#: Every setting by its dotted name; those of a source stand beneath `sources.<name>`.
NAMES: Final = tuple(
    f"{section}.{name}" if isinstance(default := field.default, _Section) else section
    for section, field in Settings.model_fields.items()
    if section != "sources"
    for name in (type(field.default).model_fields if isinstance(field.default, _Section) else ("",))
)
_SECTIONS = tuple(name for name, field in Settings.model_fields.items() if isinstance(field.default, _Section))
_OPTIONS_NAME = "kafka.options"


def load_settings(config: Path | None = None, overrides: Mapping[str, object] | None = None) -> Settings:
    """Read file, environment and flags; SettingsError tells all that is wrong with them.

    `config`: the file; without one, what ATP_CONFIG names, else ./atp.toml if it is there. `overrides`: flags by
    dotted name; None is "not given".
    """
    faults: list[str] = []
    values, origins = _read_file(config)
    for layer, layer_origins in (_read_environment(faults), _read_flags(overrides or {}, faults)):
        values = _merged(values, layer)
        origins.update(layer_origins)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise SettingsError("\n".join([*faults, *(_sentence(problem, origins) for problem in problems)])) from error
    if faults:
        raise SettingsError("\n".join(faults))
    return settings


Layer = tuple[dict[str, Any], dict[str, str]]


def _read_file(config: Path | None) -> Layer:
    """The file's values, and for every name and section in it where it came from."""
    named = os.environ.get("ATP_CONFIG")
    by = "ATP_CONFIG" if config is None and named else "--config"
    path = config or Path(named or DEFAULT_FILE)
    if config is None and not named and not path.is_file():
        return {}, {}
    try:
        values = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise SettingsError(f"{by}: expected a file that can be read, got {path}: {why}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{by}: expected TOML, got other text in {path}: {error}") from error
    return values, {name: f"in {path}" for name in _names_in(values)}


def _names_in(values: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{before}{name}"
        if isinstance(value, dict):
            yield from _names_in(value, f"{before}{name}.")


def _read_environment(faults: list[str]) -> Layer:
    known = {_environment_name(name): name for name in NAMES}
    options = _environment_name(_OPTIONS_NAME)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for variable, given in sorted(os.environ.items()):
        if not variable.startswith(ENV_PREFIX) or variable in OTHER_NAMES or variable.startswith(OTHER_PREFIXES):
            continue
        value: object = given
        if variable.startswith(f"{options}__"):
            name = _OPTIONS_NAME
            value = {variable.removeprefix(f"{options}__").lower().replace("_", "."): given}
        elif variable in known:
            name = known[variable]
            if name == _OPTIONS_NAME:
                try:
                    value = json.loads(given)
                except ValueError:
                    faults.append(f"{variable}: expected a JSON object of librdkafka settings, got other text")
                    continue
        elif variable.startswith("ATP_SOURCES"):
            faults.append(f"{variable}: sources are set in the file, as [sources.<name>]")
            continue
        else:
            faults.append(f"{variable}: no such setting{near_match(variable, known)}")
            continue
        _put(values, name, value)
        origins[name] = f"from {variable}"
    return values, origins


def _environment_name(name: str) -> str:
    return ENV_PREFIX + name.upper().replace(".", "__")


def _read_flags(overrides: Mapping[str, object], faults: list[str]) -> Layer:
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, value in overrides.items():
        if value is None:
            continue
        if name.startswith(f"{_OPTIONS_NAME}."):
            _put(values, _OPTIONS_NAME, {name.removeprefix(f"{_OPTIONS_NAME}."): value})
        elif name.startswith("sources.") and name.count(".") >= 2:
            # a source's code may have points of its own
            source, _, field = name.removeprefix("sources.").rpartition(".")
            values = _merged(values, {"sources": {source: {field: value}}})
        elif name in NAMES or name == "sources":
            _put(values, name, value)
        else:
            faults.append(f"{name}: no such setting{near_match(name, NAMES)}")
            continue
        origins[name] = ""
    return values, origins


def _put(values: dict[str, Any], name: str, value: object) -> None:
    section, _, last = name.rpartition(".")
    values.update(_merged(values, {section: {last: value}} if section else {last: value}))


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, `above` winning, tables merged name by name; neither argument is changed."""
    merged = dict(below)
    for name, value in above.items():
        known = merged.get(name)
        is_table = isinstance(value, Mapping)
        merged[name] = _merged(known if isinstance(known, Mapping) else {}, value) if is_table else value
    return merged


def _sentence(problem: Any, origins: Mapping[str, str]) -> str:
    """One fault as a line: its name, what was expected, what came, and from where."""
    where = [str(part) for part in problem["loc"]]
    name = ".".join(where)
    origin = origins.get(name, "")
    place = f" ({origin})" if origin else ""
    if problem["type"] == "extra_forbidden":
        known = [*NAMES, *_SECTIONS, "sources"]
        if where[0] == "sources":
            known = [f"sources.{where[1]}.{field}" for field in SourceSettings.model_fields]
        return f"{name}: no such setting{near_match(name, known)}{place}"
    if problem["type"] == "value_error":
        told = str(problem["ctx"]["error"])
    else:
        told = str(mismatch("a table of settings", problem["input"]))
    return f"{name}: {told}{place}" if name else told
