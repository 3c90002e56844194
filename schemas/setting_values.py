"""How each kind of setting is read from a file, the environment or a flag, described, and written again.

Each kind accepts what TOML and the environment can both say (8 and "8", true and "true") and tells what it expected.
Passwords never stand in a message, and never in what is written again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import available_timezones

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from schemas.codes import CODE_PATTERN, mismatch, near_match, parse_code, parse_duration, parse_integer
from schemas.statements import STATEMENT_TYPES
from schemas.topics import ALL
from schemas.units import EventType

MASK: Final = "***"
#: Kafka's own limit for a topic's name; the prefix has to leave room for the longest of ours.
TOPIC_LENGTH_MAX: Final = 249
TOPIC_PREFIX_MAX: Final = TOPIC_LENGTH_MAX - max(len(name) for name in ALL)
#: Options that have a setting of their own, and options on which a guarantee rests.
OPTIONS_NAMED: Final = {
    "bootstrap.servers": "kafka.bootstrap_servers",
    "metadata.broker.list": "kafka.bootstrap_servers",
    "group.id": "kafka.group",
}
OPTIONS_FIXED: Final = frozenset(
    {
        "acks",
        "auto.offset.reset",
        "delivery.report.only.error",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "isolation.level",
        "request.required.acks",
        "transactional.id",
    }
)

SECOND: Final = 1_000_000
DAY: Final = 86_400 * SECOND
_UNITS = (("d", DAY), ("h", 3_600 * SECOND), ("m", 60 * SECOND), ("s", SECOND), ("ms", 1_000))
_EVENT_TYPES = (*(kind.name.lower() for kind in EventType), *STATEMENT_TYPES)


class Read:
    """How one kind of setting is read, described for `atp schema`, and written again."""

    def __init__(
        self, parse: Callable[[Any], Any], schema: dict[str, Any], write: Callable[[Any], Any] | None = None
    ) -> None:
        self.parse, self.schema, self.write = parse, schema, write

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if self.write is None:
            return core_schema.no_info_plain_validator_function(self.parse)
        written = core_schema.plain_serializer_function_ser_schema(self.write, when_used="json")
        return core_schema.no_info_plain_validator_function(self.parse, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: object) -> dict[str, Any]:
        return dict(self.schema)


def duration_text(microseconds: int) -> str:
    """A duration as one would write it into the file; reads back as the same."""
    for unit, size in _UNITS:
        if microseconds and microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    return f"{microseconds // 1000}.{microseconds % 1000:03d}ms" if microseconds else "0s"


def duration(least: str, most: str, example: str) -> Read:
    low, high = parse_duration(least), parse_duration(most)

    def parse(value: object) -> int:
        try:
            microseconds = parse_duration(value)
        except ValueError:
            microseconds = -1
        if not low <= microseconds <= high:
            raise mismatch(f'a duration of {least} to {most}, such as "{example}"', value)
        return microseconds

    text = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)?$"}
    number = {"type": "number", "minimum": low / SECOND, "maximum": high / SECOND}
    return Read(parse, {"anyOf": [text, number], "description": f"{least} to {most}"}, duration_text)


def whole(least: int, most: int) -> Read:
    def parse(value: object) -> int:
        try:
            number = parse_integer(value)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise mismatch(f"an integer of {least} to {most}", value)
        return number

    return Read(parse, {"type": "integer", "minimum": least, "maximum": most})


_size = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(kB|MB|GB|TB|B)?").fullmatch
_SIZES = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "kB": 1000, "B": 1}
SIZE_MIN: Final = 50 * 10**6


def _parse_size(value: object) -> int:
    found = _size(str(value)) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
    size = Fraction(found[1]) * _SIZES[found[2] or "B"] if found else Fraction(0)
    if not SIZE_MIN <= size <= 10**15:
        raise mismatch('a size of 50MB or more, such as "2GB"', value)
    return int(size)


def size_text(size: int) -> str:
    """A size as one would write it into the file; reads back as the same."""
    return next(f"{size // unit}{name}" for name, unit in _SIZES.items() if size % unit == 0)


def text(pattern: str, expected: str) -> Read:
    matches = re.compile(pattern).fullmatch

    def parse(value: object) -> str:
        if isinstance(value, str) and matches(value):
            return value
        raise mismatch(expected, value)

    return Read(parse, {"type": "string", "pattern": f"^{pattern}$"})


#: Names of the list that mean another zone on each machine, or none.
NO_ZONES: Final = {"localtime", "Factory"}


def _parse_time_zone(value: object) -> str:
    """The names are those of the system and of the package tzdata, which is there where the system has none."""
    if value == "UTC":
        return "UTC"  # the default, which every worker is handed: reading all names takes 0.1 s
    known = available_timezones() - NO_ZONES
    if isinstance(value, str) and value in known:
        return value
    hint = _zones_like(value[:64], known) if isinstance(value, str) else ""
    raise ValueError(f"{mismatch('an IANA time zone, such as Europe/Berlin or UTC', value)}{hint}")


def _zones_like(word: str, known: set[str]) -> str:
    """A hint at what was probably meant: people write the town alone, with a space in it, and in any case."""
    by_name: dict[str, str] = {}
    for name in sorted(known):
        by_name.setdefault(name.rpartition("/")[2].casefold(), name)
        by_name[name.casefold()] = name
    told = word.strip().replace(" ", "_").casefold()
    close = [told] if told in by_name else get_close_matches(told, by_name, n=3)
    meant = list(dict.fromkeys(by_name[name] for name in close))
    return f"; did you mean {' or '.join(meant)}?" if meant else ""


def one_of(*words: str) -> Read:
    def parse(value: object) -> str:
        if isinstance(value, str) and value.lower() in words:
            return value.lower()
        raise mismatch(f"one of {', '.join(words)}", value)

    return Read(parse, {"enum": list(words)})


def _parse_switch(value: object) -> bool:
    switch = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
    if switch is None or not isinstance(value, (bool, str)):
        raise mismatch("true or false", value)
    return switch


_HOST = r"(?:[^\s\[\]:/?@,]+|\[[0-9A-Fa-f:.]+\])"
_server = re.compile(rf"(?:[A-Z_]+://)?{_HOST}(?::([0-9]{{1,5}}))?").fullmatch
_tcp_url = re.compile(rf"rediss?://(?:[^\s/]*@)?(?:{_HOST})?(?::([0-9]{{1,5}}))?(?:/[0-9]*)?(?:\?\S*)?").fullmatch
_unix_url = re.compile(r"unix://(?:[^\s/]*@)?/\S+").fullmatch
#: its groups: the Sentinels, and what they call the primary
sentinel_url = re.compile(
    rf"rediss?\+sentinel://(?:[^\s/]*@)?({_HOST}(?::[0-9]{{1,5}})?(?:,{_HOST}(?::[0-9]{{1,5}})?)*)"
    r"/([^\s/?,@]+)(?:/[0-9]*)?(?:\?\S*)?"
).fullmatch
PORT_MAX: Final = 65_535


def _parse_servers(value: object) -> str:
    if isinstance(value, str):
        servers = [server.strip() for server in value.split(",")]
        if all((found := _server(server)) is not None and 0 < int(found[1] or 9092) <= PORT_MAX for server in servers):
            return ",".join(servers)
        value = re.sub(r":[^:@,]*@", f":{MASK}@", value)  # of a URL, which Kafka's addresses are not
    raise mismatch('host:port, several with commas between, such as "kafka-1:9092,kafka-2:9092"', value)


def mask_url(url: str) -> str:
    """A URL without its password."""
    hidden = re.sub(r"^([^:]*://[^:/@]*):.*@", rf"\1:{MASK}@", url, flags=re.DOTALL)
    return re.sub(r"([?&](?:sentinel_)?password=)[^&]*", rf"\1{MASK}", hidden)


def _parse_url(value: object) -> str:
    expected = (
        "a URL such as redis://localhost:6379/0, rediss://user:password@host:6380/0, unix:///run/redis.sock or "
        "redis+sentinel://host-1:26379,host-2:26379/mymaster/0"
    )
    if not isinstance(value, str):
        raise mismatch(expected, value)
    tcp = _tcp_url(value)
    if (tcp is not None and 0 < int(tcp[1] or 6379) <= PORT_MAX) or _unix_url(value):
        return value
    sentinels = sentinel_url(value)
    if sentinels is not None:
        places = [_server(place) for place in sentinels[1].split(",")]
        if all(place is not None and 0 < int(place[1] or 26_379) <= PORT_MAX for place in places):
            return value
    raise mismatch(expected, mask_url(value))


def _parse_options(value: object) -> dict[str, str]:
    """The values never appear in a message: they may be passwords."""
    if not isinstance(value, Mapping):
        raise mismatch('a table such as {"security.protocol" = "SSL"}', None if value is None else "something else")
    options: dict[str, str] = {}
    for name, given in dotted(value):
        if name in OPTIONS_NAMED:
            raise ValueError(f"expected options without a setting of their own, got {name}: set {OPTIONS_NAMED[name]}")
        if name in OPTIONS_FIXED:
            raise ValueError(f"expected options that no guarantee rests on, got {name}: leave it out")
        if not re.fullmatch(r"[a-z0-9]+(?:[._][a-z0-9]+)*", name):
            raise mismatch("names of librdkafka settings, such as security.protocol", name)
        if not isinstance(given, (str, int, float)):
            raise ValueError(f"expected text as the value of {name}, got another kind of value")
        options[name] = str(given).lower() if isinstance(given, bool) else str(given)
    return options


def _parse_option_files(value: object) -> dict[str, Path]:
    names = _parse_options(value)  # the same names, and text as their values
    return {name: _parse_file(path, f" for {name}") for name, path in names.items()}


def _parse_file(value: object, of: str = "") -> Path:
    """A path by its form; whether a file is there is asked where settings are read (flows/settings.py)."""
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise mismatch(f"a file{of}, such as /run/secrets/name", value)
    return Path(value)


def _parse_secret(value: object) -> str:
    """The value never appears in a message."""
    if isinstance(value, str) and value:
        return value
    raise mismatch("a password", None if value is None else "something else")


def dotted(table: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Leaves by dotted name: TOML makes tables of `sasl.password = "..."` without quotes."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _parse_folder(value: object) -> Path:
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise mismatch('a folder such as "state" or "/var/lib/atp"', value)
    return Path(value)


def _parse_types(value: object) -> frozenset[str]:
    expected = "event types, such as stock_counted"
    for name in _parse_array(value, expected):
        if name not in _EVENT_TYPES:
            raise ValueError(f"{mismatch(expected, name)}{near_match(str(name)[:64], _EVENT_TYPES)}")
    return frozenset(_parse_array(value, expected))


def _parse_locations(value: object) -> frozenset[str]:
    return frozenset(parse_code(name) for name in _parse_array(value, "location codes"))


def _parse_array(value: object, expected: str) -> list[Any]:
    if not isinstance(value, (list, tuple, set, frozenset)):
        raise mismatch(f"an array of {expected}", value)
    return list(value)


def _array_schema(**items: Any) -> dict[str, Any]:
    return {"type": "array", "uniqueItems": True, "items": {"type": "string", **items}}


TIME_ZONE = Read(_parse_time_zone, {"type": "string", "minLength": 1})
NAME = text(r"[!-~]{1,200}", "1 to 200 printable ASCII characters without spaces")
KEY_PREFIX = text(r"[!-~]{0,200}", "at most 200 printable ASCII characters without spaces")
TOPIC_PREFIX = text(
    rf"[A-Za-z0-9._-]{{0,{TOPIC_PREFIX_MAX}}}",
    f"at most {TOPIC_PREFIX_MAX} characters of A-Z a-z 0-9 . _ - (a topic's name has at most {TOPIC_LENGTH_MAX})",
)
SERVERS = Read(_parse_servers, {"type": "string"})
URL = Read(_parse_url, {"type": "string", "pattern": r"^(rediss?(\+sentinel)?|unix)://"}, mask_url)
OPTIONS = Read(
    _parse_options,
    {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    lambda options: dict.fromkeys(options, MASK),
)
OPTION_FILES = Read(
    _parse_option_files,
    {"type": "object", "additionalProperties": {"type": "string"}},
    lambda files: {name: str(path) for name, path in files.items()},
)
FILE = Read(_parse_file, {"type": "string", "minLength": 1}, str)
SECRET = Read(_parse_secret, {"type": "string", "minLength": 1}, lambda _: MASK)
FOLDER = Read(_parse_folder, {"type": "string", "minLength": 1}, str)
TYPES = Read(_parse_types, _array_schema(enum=list(_EVENT_TYPES)), sorted)
LOCATIONS = Read(_parse_locations, _array_schema(pattern=CODE_PATTERN), sorted)
SWITCH = Read(_parse_switch, {"type": "boolean"})

#: bytes; in the file "2GB", "512MB" or a number of bytes
Size = Annotated[
    int,
    Read(
        _parse_size,
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(kB|MB|GB|TB|B)?$"},
                {"type": "integer", "minimum": SIZE_MIN},
            ]
        },
        size_text,
    ),
]
#: microseconds; in the file "24h", "5m", "50ms", "7d" or a number of seconds
Duration = Annotated[int, duration("0s", "36525d", "24h")]
Linger = Annotated[int, duration("0s", "60s", "50ms")]
#: An id is remembered for as long as a repeat could be accepted: what is never forgotten never fits into memory.
Window = Annotated[int, duration("1ms", "400d", "24h")]
Switch = Annotated[bool, SWITCH]
