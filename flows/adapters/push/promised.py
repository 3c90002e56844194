"""Asks Redis what the engine promises now: of channels whose updates may wait for a budget on their way to Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import redis

from flows.adapters.intake.poller import Failure
from flows.readmodel.connecting import client
from flows.readmodel.problem import redis_problem
from operators.adapters.pushing import Key
from schemas.settings import Settings

TIMEOUT_S: Final = 5.0


class Promised:
    """One connection, made when it is first asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None

    def numbers(self, keys: Sequence[Key]) -> dict[Key, int | None]:
        """Give the number of each item and channel, in the item's smallest units; None where there is none now.

        Failure where Redis does not tell.
        """
        if not keys:
            return {}
        try:
            if self._client is None:
                self._client = client(self._settings, TIMEOUT_S)
            asked = self._client.pipeline(transaction=False)
            for item, channel in keys:
                asked.hget(f"{self._settings.redis.prefix}atp:{item}", channel)
            told = asked.execute()
        except (redis.RedisError, OSError) as error:
            problem = redis_problem(self._settings, error)
            raise Failure(
                f"{problem.seen}, and a channel with max_updates_per_second rises by what stands there",
                remedy=problem.remedy,
            ) from error
        return {key: None if number is None else int(number) for key, number in zip(keys, told, strict=True)}

    def close(self) -> None:
        """Let go of Redis."""
        if self._client is not None:
            self._client.close()
