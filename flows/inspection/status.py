"""Finds out how the engine is, from what it says at its endpoint and in Redis; asks nothing of Kafka or the state.

Rule 1: what is looked at is named, so that "nothing runs" is never said of the wrong place.
Rule 2: what cannot be known is absent, not 0.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import redis
from prometheus_client.parser import text_string_to_metric_families

from flows.inspection.lookup import ODD_BYTES, WHOLE
from flows.monitoring.health_client import ask
from flows.readmodel.connecting import client
from flows.readmodel.problem import redis_problem
from schemas.setting_values import mask_url
from schemas.settings import Settings
from schemas.topics import LANES

REDIS_TIMEOUT_S = 2.0
#: Between the two looks that rates are made of.
RATE_S = 1.0
#: An engine writes twice a second: one that has not for so long is held up, or has ended.
SILENT_MS = 3_000

Samples = Mapping[str, list[tuple[Mapping[str, str], float]]]
Facts = dict[str, Any]


class Look(NamedTuple):
    """What was seen at one moment. `at`: seconds since 1970."""

    at: float
    #: the answer of /readyz; None where nothing of ours answers, and then `unheard` says what came instead
    ready: Mapping[str, Any] | None
    unheard: str
    samples: Samples
    #: the hash engine:alive; None where Redis does not answer, and then `unread` says why
    alive: Mapping[str, str] | None
    unread: str


def look(settings: Settings) -> Look:
    """Ask the endpoint and Redis once; takes some seconds at most."""
    ready, unheard = None, "metrics.port is 0 in these settings: no endpoint is asked"
    samples: Samples = {}
    if settings.metrics.port:
        ready, unheard = _readiness(settings)
        if ready is not None:
            samples = parsed(ask(settings, "/metrics")[1])
    alive, unread = read_alive(settings)
    return Look(time.time(), ready, unheard, samples, alive, unread)


def _readiness(settings: Settings) -> tuple[Mapping[str, Any] | None, str]:
    _, text = ask(settings, "/readyz")
    where = f"{settings.metrics.host}:{settings.metrics.port}"
    try:
        answer = json.loads(text)
    except ValueError:
        is_silence = text.startswith("nothing answers")
        return None, f"nothing answers at {where}" if is_silence else f"what answers at {where} is no engine"
    if not isinstance(answer, dict) or "ready" not in answer:
        return None, f"what answers at {where} is no engine"
    return answer, ""


def read_alive(settings: Settings) -> tuple[dict[str, str] | None, str]:
    """Read what an engine says of itself in Redis (empty: nothing); None and why where Redis does not answer."""
    store = client(settings, REDIS_TIMEOUT_S, decode_responses=True, encoding_errors=ODD_BYTES)
    try:
        found: dict[str, str] = store.hgetall(f"{settings.redis.prefix}engine:alive")  # type: ignore[assignment]
        return alive_in(found), ""
    except (redis.RedisError, OSError) as error:
        return None, str(redis_problem(settings, error))
    finally:
        store.close()


def alive_in(fields: dict[str, str]) -> dict[str, str]:
    """Give what an engine says of itself; nothing where no engine wrote it: its next word is half a second away."""
    is_whole = all(WHOLE.fullmatch(fields.get(name, "")) for name in ("at", "behind_ms", "run"))
    return fields if is_whole and {"ready", "version"} <= fields.keys() else {}


def parsed(text: str) -> Samples:
    """Give the samples of a scrape by name; none where it cannot be read."""
    found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
    except ValueError:
        return {}
    return found


def facts(settings: Settings, now: Look, before: Look | None = None) -> Facts:
    """Say what is known, as `atp status --json` prints it; `before`: an earlier look, for the rates."""
    alive = now.alive or {}
    age_ms = max(0, int(now.at * 1000) - int(alive["at"])) if alive else None
    answers = now.ready is not None
    is_told = age_ms is not None and age_ms <= SILENT_MS
    said: Facts = {"runs": answers or is_told, "seen_at": _time(now.at), "notes": _notes(settings, now, age_ms)}
    if now.ready is not None:
        said |= {"ready": bool(now.ready["ready"]), "reasons": list(now.ready.get("reasons", ()))}
    elif is_told:
        said |= {"ready": alive["ready"] == "1", "reasons": []}
    if alive:
        said["alive"] = {**alive, "age_ms": age_ms}
    said |= {
        "kafka": settings.kafka.bootstrap_servers,
        "redis": mask_url(settings.redis.url),
        "redis_prefix": settings.redis.prefix,
        "state_dir": str(settings.state.dir.absolute()),
        "endpoint": f"{settings.metrics.host}:{settings.metrics.port}" if settings.metrics.port else None,
    }
    if answers:
        said |= _of_the_scrape(now.samples, now.at)
        if before is not None and before.ready is not None:
            said["rates"] = _rates(before, now)
    elif is_told:
        said |= {"version": alive["version"], "run": int(alive["run"])}
    if alive and is_told:
        said["behind_ms"] = int(alive["behind_ms"])
    return said


def _notes(settings: Settings, now: Look, age_ms: int | None) -> list[str]:
    """Say what the reader has to know of where this comes from."""
    notes = []
    alive = now.alive or {}
    key = f"{settings.redis.prefix}engine:alive"
    if now.ready is None:
        notes.append(now.unheard)
        if age_ms is not None and age_ms <= SILENT_MS:
            notes.append(
                "only what the engine says in Redis is known: it runs on another machine or with another metrics.port"
            )
    if now.alive is None:
        notes.append(now.unread)
    elif not alive:
        notes.append(f"there is no {key} in Redis at {mask_url(settings.redis.url)}")
    elif age_ms is not None and age_ms > SILENT_MS:
        notes.append(f"{key} was written {age_ms / 1000:.0f} s ago: that engine is held up, or has ended")
    run = _sum(now.samples, "atp_run_token")
    if run is not None and alive and int(alive["run"]) != int(run):
        notes.append(
            f"run {int(run)} answers at the endpoint, and {key} is of run {alive['run']}: two engines, or settings of "
            "another one"
        )
    return notes


def _of_the_scrape(samples: Samples, at: float) -> Facts:
    said: Facts = {}
    for labels, _ in samples.get("atp_build_info", ()):
        said["version"] = labels["version"]
    run = _sum(samples, "atp_run_token")
    if run is not None:
        said["run"] = int(run)
    started = _sum(samples, "process_start_time_seconds", worker="supervisor")
    if started is not None:
        said["since"] = _time(started)
    up = [value for _, value in samples.get("atp_worker_up", ())]
    restarts = _sum(samples, "atp_worker_restarts_total")
    said["workers"] = {"up": int(sum(up)), "of": len(up), "restarts": int(restarts or 0)}
    said["lag"] = lag_in(samples)
    said["lanes"] = lanes_in(samples)
    exceptions: dict[str, int] = {}
    for labels, value in samples.get("atp_exceptions_open", ()):
        if value:
            exceptions[labels["code"]] = exceptions.get(labels["code"], 0) + int(value)
    said["exceptions"] = exceptions
    said["dead_letters"] = int(_sum(samples, "atp_dead_letters_total") or 0)
    epochs = [value for _, value in samples.get("atp_epoch_last_timestamp_seconds", ())]
    if epochs:  # the slowest worker's: a snapshot is whole when all have theirs
        said["last_epoch"] = {"at": _time(min(epochs)), "age_s": round(max(0.0, at - min(epochs)), 1)}
    items = _sum(samples, "atp_items")
    if items is not None:
        said["items"] = int(items)
    state = _sum(samples, "atp_state_bytes")
    if state is not None:
        said["state_bytes"] = int(state)
    return said


#: What it is found in.
OF_LANES = ("atp_lane_waiting_updates", "atp_lane_oldest_waiting_seconds")


def lanes_in(samples: Samples) -> dict[str, Facts]:
    """Give how many updates wait for Kafka in each lane, and for how long the oldest has."""
    return {
        lane: {
            "waiting": int(_sum(samples, OF_LANES[0], lane=lane) or 0),
            "oldest_s": round(_max(samples, OF_LANES[1], lane=lane) or 0.0, 1),
        }
        for lane in LANES
    }


def lag_in(samples: Samples) -> Facts:
    """Give how far the engine is behind its inputs, and where most."""
    rows = samples.get("atp_input_lag_seconds", ())
    said: Facts = {"messages": int(_sum(samples, "atp_input_lag_messages") or 0)}
    if rows:
        labels, seconds = max(rows, key=lambda row: row[1])
        said |= {"seconds": round(seconds, 1), "slowest": f"{labels['topic']}/{labels['partition']}"}
    return said


def _rates(before: Look, now: Look) -> Facts:
    seconds = max(now.at - before.at, 1e-3)
    rates = {}
    for name, metric in (
        ("events_per_s", "atp_units_total"),
        ("updates_per_s", "atp_updates_total"),
        ("dead_letters_per_s", "atp_dead_letters_total"),
    ):
        grown = (_sum(now.samples, metric) or 0.0) - (_sum(before.samples, metric) or 0.0)
        rates[name] = round(max(0.0, grown) / seconds, 1)  # a worker that was started again counts from 0
    return rates


def _picked(samples: Samples, name: str, labels: Mapping[str, str]) -> list[float]:
    return [
        value for found, value in samples.get(name, ()) if labels.items() <= found.items() and not math.isnan(value)
    ]


def _sum(samples: Samples, name: str, **labels: str) -> float | None:
    values = _picked(samples, name, labels)
    return sum(values) if values else None


def _max(samples: Samples, name: str, **labels: str) -> float | None:
    return max(_picked(samples, name, labels), default=None)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
