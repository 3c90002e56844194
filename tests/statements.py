"""What the tests of statements send and read: rows, files, and what an engine would say of them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition
from typer.testing import CliRunner

from flows.cli.app import app
from schemas.variances import row_id, variance_key

AS_OF = "2025-01-31T02:00:00.000000Z"


class Done(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Give what it said as JSON, an object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def atp(world: Any, *arguments: str, **overrides: object) -> Done:
    """Run a command in this process: starting Python each time would take most of the time."""
    pairs = {name: value for name, value in world.overrides(**overrides).items() if not name.startswith("redis")}
    settings = [word for name, value in pairs.items() for word in ("--set", f"{name}={value}")]
    result = CliRunner(env={"COLUMNS": "240"}).invoke(app, [*arguments, "--config", str(world.config), *settings])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def table(folder: Path, *lines: str, name: str = "night.csv") -> str:
    """Write a file, and give its path."""
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def variance(**fields: Any) -> dict[str, Any]:
    """Give a variance as the engine writes it."""
    said = {
        "source": "erp",
        "statement_id": "night-31",
        "item": "RETRO-CLOCK-0",
        "location": "EAST",
        "measure": "on_hand",
        "as_of": AS_OF,
        "ours": 12,
        "theirs": 10,
        "cause": "missing_there",
        "evidence": [],
        "action": "report",
        "state": "open",
        "first_seen": AS_OF,
        "last_seen": AS_OF,
        **fields,
    }
    said.setdefault("difference", said["theirs"] - said["ours"])
    place, lot = said.get("location") or said["channel"], said.get("lot", "")
    said.setdefault("id", row_id(said["source"], said["statement_id"], said["item"], place, lot))
    return {name: value for name, value in said.items() if value is not None}


def key_of(said: dict[str, Any]) -> str:
    """Give the key under which the engine writes a variance."""
    place = said.get("location") or said["channel"]
    return variance_key(said["source"], said["item"], place, said.get("lot", ""), said["measure"])


def status(statement_id: str, **fields: Any) -> dict[str, Any]:
    """Give a status as the engine writes it."""
    return {
        "source": "erp",
        "statement_id": statement_id,
        "as_of": AS_OF,
        "rows": 3,
        "seen": 3,
        "agreed": 3,
        "in_variance": 0,
        "not_compared": 0,
        "refused": 0,
        "absent": 0,
        "duplicates": 0,
        "conflicts": 0,
        "causes": {},
        "units": "0",
        "started": AS_OF,
        "ended": AS_OF,
        "verdict": "accepted",
        "reasons": [],
        "explained_percent": 100.0,
        **fields,
    }


Answer = Callable[[dict[str, Any], Any], list[tuple[str, str, dict[str, Any] | bytes, dict[str, str]]]]
"""(what came, its message) -> (topic, key, value, headers) each"""


@contextlib.contextmanager
def answering(world: Any, topic: str, answer: Answer) -> Iterator[list[dict[str, Any]]]:
    """Play an engine: answer each message of a topic with what it would write. Gives what came."""
    full = world.topic(topic)
    consumer = Consumer(
        {
            "bootstrap.servers": world.servers.bootstrap_servers,
            "group.id": f"{world.group}-played",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    count = len(consumer.list_topics(full, timeout=10).topics[full].partitions)
    ends = [consumer.get_watermark_offsets(TopicPartition(full, one), timeout=10)[1] for one in range(count)]
    consumer.assign([TopicPartition(full, one, end) for one, end in enumerate(ends)])
    producer = Producer({"bootstrap.servers": world.servers.bootstrap_servers, "log_level": 0})
    came: list[dict[str, Any]] = []
    is_over = threading.Event()

    def play() -> None:
        while not is_over.is_set():
            message = consumer.poll(0.05)
            if message is None or message.error() is not None:
                continue
            said = json.loads(message.value() or b"")
            came.append(said)
            for where, key, value, headers in answer(said, message):
                raw = value if isinstance(value, bytes) else json.dumps(value).encode()
                producer.produce(world.topic(where), raw, key, headers=dict(headers))
            producer.flush(10)

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    try:
        yield came
    finally:
        is_over.set()
        thread.join(30)
        consumer.close()
