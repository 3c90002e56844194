"""Asks the `atp` command and nothing else: bytes into Kafka, one run until caught up, and what can be read after it."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.conftest import Record, World
from tests.judging import unlisted_items

RUN_SECONDS_MAX = 90.0
#: where it is about noon: no test that asks which day it is runs over midnight there (east is minus, as in POSIX)
NOON_ZONE = ZoneInfo(f"Etc/GMT{datetime.now(UTC).hour - 12:+d}")
REFERENCE_KEYS = {"items": "item", "locations": "location", "channels": "channel"}


def moment(seconds_ago: float = 60.0) -> str:
    """Give a time in the recent past, or below 0 one to come."""
    return (datetime.now(UTC) - timedelta(seconds=seconds_ago)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Lab:
    """A world whose input topics have one partition each, so that offsets are told by counting."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: dict[str, int] = {}
        self.env: dict[str, object] = {"kafka__partitions": 1}
        world.create_topics(kafka__partitions=1)

    def put(self, topic: str, value: Any, key: str | bytes | None = None) -> tuple[str, int]:
        """Send one message; gives (topic, offset). Text and bytes go as they are, None is a tombstone."""
        raw = value.encode() if isinstance(value, str) else value
        self.world.send(f"inventory.{topic}", raw, key=key, partition=0)
        offset = self.sent.get(topic, 0)
        self.sent[topic] = offset + 1
        return topic, offset

    def reference(self, topic: str, record: dict[str, Any]) -> tuple[str, int]:
        """Send a reference record under its own key."""
        if topic == "channel_items":
            return self.put(topic, record, f"{record['channel']}:{record['item']}")
        return self.put(topic, record, record[REFERENCE_KEYS[topic]])

    def atp(
        self, *arguments: str, seconds: float = RUN_SECONDS_MAX, **settings: object
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        self.world.flush()
        return subprocess.run(
            self.world.command(*arguments),
            env=self.world.env(**{**self.env, **settings}),
            cwd=self.world.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def catch_up(self, *arguments: str, **settings: object) -> str:
        """Run until caught up, which must end well; gives what was logged."""
        done = self.atp("run", "--until-caught-up", *arguments, **settings)
        assert done.returncode == 0, done.stderr[-4000:]
        assert "Traceback" not in done.stderr, done.stderr[-4000:]
        return done.stderr

    def letters(self) -> dict[tuple[str, int], list[Record]]:
        """Give all dead letters by the place of their original: (topic, offset)."""
        found: dict[tuple[str, int], list[Record]] = {}
        before = len(self.world.topic("inventory."))
        for record in self.world.read("inventory.dead_letters"):
            place = (record.headers["topic"][before:], int(record.headers["offset"]))
            found.setdefault(place, []).append(record)
        return found

    def codes(self) -> dict[tuple[str, int], list[tuple[str, str | None]]]:
        """Give (code, line_id) of all dead letters, by place."""
        return {
            place: [(record.headers["code"], record.headers.get("line_id")) for record in records]
            for place, records in self.letters().items()
        }

    def hash(self, kind: str, item: str) -> dict[str, str]:
        """Give the hash `atp:<item>` or `position:<item>`."""
        return self.world.redis.hgetall(f"{self.world.redis_prefix}{kind}:{item}")  # type: ignore[return-value]

    def figures(self, item: str) -> dict[str, int]:
        """Give the figures of an item that are not 0."""
        return {
            name: int(value)
            for name, value in self.hash("position", item).items()
            if not name.startswith("_") and int(value)
        }

    def updates(self, item: str | None = None) -> list[dict[str, Any]]:
        """Give all messages of the four lanes, by version, each with the lane that it came through."""
        found = []
        for lane in ("critical", "high", "normal", "bulk"):
            for record in self.world.read(f"atp.updates.{lane}"):
                message = record.json()
                assert message["lane"] == lane
                assert record.key == f"{message['item']}:{message['channel']}".encode()
                if item in (None, message["item"]):
                    found.append(message)
        return sorted(found, key=lambda message: message["version"])

    def exceptions(self) -> list[dict[str, Any]]:
        """Give all exceptions."""
        return [record.json() for record in self.world.read("inventory.exceptions")]

    def misfits(self) -> list[str]:
        """Hold all that was published against what `atp schema` prints; gives what does not fit."""
        schemas = json.loads(self.atp("schema").stdout)
        found = []
        for name, schema in (
            *((f"atp.updates.{lane}", "atp.updates") for lane in ("critical", "high", "normal", "bulk")),
            ("inventory.positions", "inventory.positions"),
            ("inventory.exceptions", "inventory.exceptions"),
        ):
            found += [misfit(record.json(), schemas[schema], at=name) for record in self.world.read(name)]
        letters = self.world.read("inventory.dead_letters")
        found += [misfit(letter.headers, schemas["inventory.dead_letters"], at="dead letter") for letter in letters]
        for kind in ("atp", "position"):
            for key in self.world.redis.scan_iter(f"{self.world.redis_prefix}{kind}:*"):
                found.append(misfit(self.world.redis.hgetall(key), schemas[f"redis.{kind}"], at=str(key)))
        found += [f"engine:items or atp:{item}, one of the two" for item in sorted(unlisted_items(self.world))]
        return [wrong for wrong in found if wrong]


def misfit(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "") -> str:
    """Say what of a value a JSON Schema does not allow; empty where it fits. As much of the standard as ours use."""
    root = root or schema
    if "$ref" in schema:
        return misfit(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, at)
    if "anyOf" in schema:
        wrong = [misfit(value, one, root, at) for one in schema["anyOf"]]
        return "" if "" in wrong else "; ".join(wrong)
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
    kind = schema.get("type")
    if kind == "null":
        return "" if value is None else f"{at}: null, got {value!r}"
    if kind is not None and (not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return f"{at}: {kind}, got {value!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at}: one of {schema['enum']}, got {value!r}"
    if "const" in schema and value != schema["const"]:
        return f"{at}: {schema['const']!r}, got {value!r}"
    if isinstance(value, str):
        short, long = len(value) < schema.get("minLength", 0), len(value) > schema.get("maxLength", 1 << 30)
        if short or long or not re.search(schema.get("pattern", ""), value):
            return f"{at}: {schema}, got {value!r}"
    elif isinstance(value, (int, float)):
        least, most = schema.get("minimum", value), schema.get("maximum", value)
        if not least <= value <= most or value >= schema.get("exclusiveMaximum", value + 1):
            return f"{at}: {schema}, got {value!r}"
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"{at}: {schema}, got {len(value)} entries"
        return next(filter(None, (misfit(one, schema["items"], root, f"{at}[]") for one in value)), "")
    elif isinstance(value, dict):
        return _misfit_of_object(value, schema, root, at)
    return ""


def _misfit_of_object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str) -> str:
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        return f"{at}: {missing} missing"
    for name, one in value.items():
        rules = [schema["properties"][name]] if name in schema.get("properties", {}) else []
        rules += [rule for names, rule in schema.get("patternProperties", {}).items() if re.search(names, name)]
        if not rules:
            other = schema.get("additionalProperties", True)
            if other is False or re.search(schema.get("propertyNames", {}).get("pattern", ""), name) is None:
                return f"{at}.{name}: no such field"
            rules = [other] if isinstance(other, dict) else []
        for rule in rules:
            wrong = misfit(one, rule, root, f"{at}.{name}")
            if wrong:
                return wrong
    return ""
