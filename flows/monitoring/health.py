"""Decides whether the engine is alive, and whether its numbers can be trusted now; says why where not.

Alive: a restart would not help. Ready: all workers answer, the topics are those that the run began with, the input is
read to within half a minute, Redis and Kafka take what is written, epochs end, each within seconds, and no newer run
has taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flows.monitoring.lag import Lag
from flows.monitoring.topic_watch import remedy, sentence

#: A worker that has not answered for so long hangs: nothing but a restart would help.
HANGS_AFTER_S = 60.0
#: How old the oldest unread message may be.
LAG_MAX_S = 30.0
#: How long Redis or Kafka may take to accept a write before numbers count as stale.
WAIT_MAX_S = 5.0
#: The same for whoever reads each number at the moment it is shown: while a worker waits for Redis, nobody has looked
#: whether what stands there is what was written; a slice takes milliseconds.
UNSEEN_MAX_S = 1.0
#: How long the end of an epoch may take, from its snapshot until that is safe: nothing is read meanwhile, so all
#: numbers stand still. Usual are 5 to 50 ms.
EPOCH_END_MAX_S = 5.0
#: How long ago the last epoch may have ended: ten intervals, and not less than this.
EPOCH_MAX_S = 15.0
EPOCH_INTERVALS = 10


class Check(NamedTuple):
    """One thing that was looked at; the reason is empty where it is good."""

    name: str
    reason: str = ""

    @property
    def is_ok(self) -> bool:
        """Is it good?"""
        return not self.reason


@dataclass(frozen=True, slots=True)
class Facts:
    """What the supervisor knows. `states` by worker: what it told of itself, None where it does not answer."""

    #: why no workers run just now; empty while they do
    phase: str
    states: Mapping[int, Mapping[str, Any] | None] = field(default_factory=dict)
    #: worker -> seconds since it last answered
    silence_s: Mapping[int, float] = field(default_factory=dict)
    lags: Mapping[str, Lag] = field(default_factory=dict)
    #: input partitions of which a finished epoch has told
    told: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    epoch_interval_s: float = 1.0
    #: topics that were deleted, or made again, since the run began
    lost: Mapping[str, str] = field(default_factory=dict)


def alive(facts: Facts) -> list[Check]:
    """Would a restart help?"""
    hanging = [number for number, seconds in sorted(facts.silence_s.items()) if seconds > HANGS_AFTER_S]
    reason = f"worker {hanging[0]} has not answered for {facts.silence_s[hanging[0]]:.0f} s" if hanging else ""
    return [Check("workers_answer", reason)]


def ready(facts: Facts) -> list[Check]:
    """Can the published numbers be trusted now?"""
    return [
        Check("workers", _workers(facts)),
        Check("topics", _topics(facts)),
        Check("caught_up", _caught_up(facts)),
        Check("writing", _writing(facts)),
        Check("not_fenced", _fenced(facts)),
    ]


def sees_redis(facts: Facts) -> bool:
    """Did every worker find in Redis, just now, what it had written? One that comes back may be an older copy."""
    return all(state["redis_waits_s"] <= UNSEEN_MAX_S for state in _states(facts))


def answer(checks: list[Check], word: str) -> dict[str, Any]:
    """Give what an operator reads: whether all is well, the reasons where not, and each check."""
    return {
        word: all(check.is_ok for check in checks),
        "reasons": [f"{check.name}: {check.reason}" for check in checks if not check.is_ok],
        "checks": {check.name: check.is_ok for check in checks},
    }


def _workers(facts: Facts) -> str:
    if facts.phase:
        return facts.phase
    silent = [str(number) for number, state in sorted(facts.states.items()) if state is None]
    return f"no answer from worker {', '.join(silent)}" if silent else ""


def _topics(facts: Facts) -> str:
    return "; ".join(f"{sentence(name, fate)} ({remedy(name, fate)})" for name, fate in sorted(facts.lost.items()))


def _states(facts: Facts) -> list[Mapping[str, Any]]:
    return [state for state in facts.states.values() if state is not None]


def _caught_up(facts: Facts) -> str:
    missing = facts.parts - facts.told
    if missing or not facts.parts:
        return f"starting: {len(missing)} of {len(facts.parts)} input partitions have not finished an epoch yet"
    held = sum(state["held_shards"] for state in _states(facts))
    if held:
        return f"{held:.0f} shards are read again up to what is published, after a stop"
    filling = sum(state.get("filling_shards", 0) for state in _states(facts))
    if filling:
        return f"{filling:.0f} shards are filled in again, for a Redis that lost their numbers"
    left = sum(state.get("from_scratch_shards", 0) for state in _states(facts))
    if left:
        return f"{left:.0f} shards have not yet removed what is no longer true, after a start from scratch"
    unknown = facts.parts - facts.lags.keys()
    if unknown:
        return "Kafka has not told yet where the input ends"
    part, lag = max(facts.lags.items(), key=lambda entry: entry[1].seconds)
    if lag.seconds > LAG_MAX_S:
        return f"{part} is {lag.messages} messages and {lag.seconds:.0f} s behind (at most {LAG_MAX_S:.0f} s)"
    return ""


def _writing(facts: Facts) -> str:
    states = {number: state for number, state in sorted(facts.states.items()) if state is not None}
    if not states:
        return ""
    ends, slowest = _longest(states, "epoch_ends_s")
    for server in ("redis", "kafka"):
        waits, worker = _longest(states, f"{server}_waits_s")
        # Workers end an epoch together. Where one has waited for a server for nearly as long as it has been ending,
        # at whichever of them, they wait for that server: it is what has to be mended.
        if waits > WAIT_MAX_S or (ends > EPOCH_END_MAX_S and waits > ends / 2):
            return f"{server} has not taken what worker {worker} writes for {waits:.0f} s"
    if ends > EPOCH_END_MAX_S:
        return (
            f"worker {slowest} has been ending an epoch for {ends:.0f} s (at most {EPOCH_END_MAX_S:.0f} s): all "
            "numbers stand still until what was written is safe"
        )
    limit = max(EPOCH_MAX_S, EPOCH_INTERVALS * facts.epoch_interval_s)
    for number, state in states.items():
        age = state["epoch_age_s"]
        if age is not None and age > limit:
            return f"worker {number} has not finished an epoch for {age:.0f} s (at most {limit:.0f} s)"
    return ""


def _longest(states: Mapping[int, Mapping[str, Any]], name: str) -> tuple[float, int]:
    """Give the seconds of the worker that waits longest, and its number."""
    seconds, number = max((state[name], -number) for number, state in states.items())
    return seconds, -number


def _fenced(facts: Facts) -> str:
    fenced = [str(number) for number, state in sorted(facts.states.items()) if state is not None and state["is_fenced"]]
    return f"a newer run has taken over from worker {', '.join(fenced)}: this engine ends" if fenced else ""
