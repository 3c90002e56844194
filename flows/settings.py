"""Reads the settings, once, at the start: file, environment and flags in, one frozen object or a line a fault out.

Precedence: flags, then environment (`ATP_SECTION__NAME`), then the file (`atp.toml`), then defaults. A name that is not
a setting is a fault wherever it stands: a setting misspelled would be a default in force without anybody's knowledge.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from pydantic import ValidationError

from schemas.codes import mismatch, near_match
from schemas.setting_section import Section
from schemas.setting_values import dotted
from schemas.settings import (
    _SECTIONS,
    NAMES,
    TLS,
    KafkaSettings,
    RedisSettings,
    Settings,
    SettingsError,
)
from schemas.source_settings import SourceSettings

DEFAULT_FILE: Final = "atp.toml"
ENV_PREFIX: Final = "ATP_"
#: Environment names that begin with ATP_ and are no settings: the file's place, and what tests and demos are told.
OTHER_NAMES: Final = frozenset({"ATP_CONFIG"})
OTHER_PREFIXES: Final = ("ATP_TEST_", "ATP_DEMO_", "ATP_BENCH_")
#: Tables whose names are not ours.
_TABLES = ("kafka.options", "kafka.option_files", "state.remote_options")


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
    return _checked(values, origins, faults)


def take_settings(values: dict[str, Any]) -> Settings:
    """Take what another process of the engine gave with `handed_on`; SettingsError as from a file."""
    return _checked(values, {}, [])


def _checked(values: dict[str, Any], origins: dict[str, str], faults: list[str]) -> Settings:
    unusable = [_placed(name, told, origins) for name, told in _unusable_files(values)]
    try:
        settings = Settings(**values)
    except ValidationError as error:
        wrong = [_sentence(problem, origins) for problem in error.errors(include_url=False)]
        raise SettingsError("\n".join([*faults, *wrong, *unusable])) from error
    if faults or unusable:
        raise SettingsError("\n".join([*faults, *unusable]))
    return settings


def _unusable_files(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the files that settings name: as far as they are names, whose form the models judge."""
    for name, path in _named(values, "redis", ("password_file", "sentinel_password_file", *TLS)):
        if told := _unreadable(path) or (_without_secret(path) if name.endswith("password_file") else ""):
            yield name, told
    kafka = values.get("kafka")
    files = kafka.get("option_files") if isinstance(kafka, Mapping) else None
    for option, given in dotted(files) if isinstance(files, Mapping) else ():
        of, path = f" for {option}", str(given)
        if _is_path(given) and (told := _unreadable(path, of) or _without_secret(path, of)):
            yield "kafka.option_files", told
            break
    for name, path in _named(values, "state", ("dir",)):
        for part in (Path(path), *Path(path).absolute().parents):
            if part.exists() and not part.is_dir():
                yield name, f"expected a folder, or room for one, got {path}: {part} is a file"
                break


def _is_path(value: object) -> bool:
    return isinstance(value, (str, Path)) and bool(str(value)) and "\0" not in str(value)


def _named(values: Mapping[str, Any], section: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    given = values.get(section)
    if not isinstance(given, Mapping):
        return
    for name in names:
        if _is_path(given.get(name)):
            yield f"{section}.{name}", str(given[name])


def _unreadable(path: str | Path, of: str = "") -> str:
    try:
        with Path(path).open("rb"):
            return ""
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        return f"expected a file that can be read{of}, got {path}: {why}"


def _without_secret(path: str | Path, of: str = "") -> str:
    try:
        said = "" if read_secret(Path(path)) else "which is empty"
    except UnicodeDecodeError:
        said = "which is not UTF-8"
    return said and f"expected a file that holds a secret{of}, got {path}, {said}"


def read_secret(path: Path) -> str:
    """Give what the file says, without the line's end that editors put there. When needed: secrets get replaced."""
    return path.read_text("utf-8").rstrip("\r\n")


def client_options(kafka: KafkaSettings) -> dict[str, str]:
    """Give all options, with those in files as the files say now. Secret: for clients, not for logs."""
    return kafka.options | {name: read_secret(path) for name, path in kafka.option_files.items()}


def redis_address(redis: RedisSettings) -> str:
    """Give the URL with all that it takes to get in, for `flows.readmodel.connecting`. Secret: not for logs."""
    password = read_secret(redis.password_file) if redis.password_file is not None else redis.password
    parts = urlsplit(redis.url)
    at = parts.netloc
    if password is not None or redis.username is not None:
        at = f"{quote(redis.username or '', safe='')}:{quote(password or '', safe='')}@{at}"
    more = {TLS[name]: str(path) for name in TLS if (path := getattr(redis, name)) is not None}
    told = redis.sentinel_password
    if redis.sentinel_password_file is not None:
        told = read_secret(redis.sentinel_password_file)
    said = {"sentinel_username": redis.sentinel_username, "sentinel_password": told}
    more |= {name: value for name, value in said.items() if value is not None}
    query = "&".join(part for part in (parts.query, urlencode(more)) if part)
    return urlunsplit((parts.scheme, at, parts.path, query, ""))


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
    own = [name.removeprefix(ENV_PREFIX) for name in known]
    tables = {f"{_environment_name(name)}__": name for name in _TABLES}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for variable, given in sorted(os.environ.items()):
        if not variable.startswith(ENV_PREFIX) or variable in OTHER_NAMES or variable.startswith(OTHER_PREFIXES):
            continue
        value: object = given
        table = next((start for start in tables if variable.startswith(start)), None)
        if table is not None:
            name = tables[table]
            value = {variable.removeprefix(table).lower().replace("_", "."): given}
        elif variable in known:
            name = known[variable]
            if name in _TABLES:
                try:
                    value = json.loads(given)
                except ValueError:
                    faults.append(f"{variable}: expected a JSON object of librdkafka settings, got other text")
                    continue
        elif variable.startswith("ATP_SOURCES"):
            faults.append(f"{variable}: sources are set in the file, as [sources.<name>]")
            continue
        else:
            word = variable.removeprefix(ENV_PREFIX)
            hint = near_match(word, own)
            if hint or "__" in word or word.lower() in _SECTIONS:
                faults.append(f"{variable}: no such setting{hint.replace('mean ', f'mean {ENV_PREFIX}')}")
            else:  # whoever starts us may have variables of their own that begin like ours
                print(f"{variable}: no such setting: ignored", file=sys.stderr)
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
        table = next((table for table in _TABLES if name.startswith(f"{table}.")), None)
        if table is not None:
            _put(values, table, {name.removeprefix(f"{table}."): value})
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
    if problem["type"] == "extra_forbidden":
        known = [*NAMES, *_SECTIONS, "sources"]
        if where[0] == "sources":
            known = _names_of_source(where[1])
        return _placed(name, f"no such setting{near_match(name, known)}", origins)
    if problem["type"] == "value_error":
        told = str(problem["ctx"]["error"])
    else:
        told = str(mismatch("a table of settings", problem["input"]))
    return _placed(name, told, origins) if name else told


def _names_of_source(source: str) -> list[str]:
    """Name all that can be set of a source; some of it stands in tables of its own."""
    names = []
    for field, info in SourceSettings.model_fields.items():
        names.append(f"sources.{source}.{field}")
        for kind in (info.annotation, *getattr(info.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, Section):
                names += [f"sources.{source}.{field}.{inner}" for inner in kind.model_fields]
    return names


def _placed(name: str, told: str, origins: Mapping[str, str]) -> str:
    origin = origins.get(name, "")
    return f"{name}: {told} ({origin})" if origin else f"{name}: {told}"
