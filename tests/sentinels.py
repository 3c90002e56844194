"""A primary, a replica and three Sentinels, all real; a reader that believes what it may, as docs/reading.md says."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis as redis_client

from flows.embedded.child import HOST
from flows.embedded.servers import Servers, ValkeyServer
from tests.judging import Watcher
from tests.running import until

NAME = "shop"
SENTINELS = 3
#: A Sentinel asks once a second: what died stands for dead 2 to 3 s later, and has been followed some seconds later.
DOWN_AFTER_MS = 3000
#: So old may a beat be for who wants to know of a failover: less than the 2 s above.
BEAT_AGE_MAX_S = 1.5
FAILOVER_SECONDS_MAX = 60.0

_SENTINEL = """\
bind {host}
port {port}
dir {folder}
sentinel monitor {name} {host} {primary} 2
sentinel down-after-milliseconds {name} {down_after}
sentinel failover-timeout {name} 6000
"""


class Copy(ValkeyServer):
    """One of the two that hold the numbers. It starts as what it was first; the Sentinels know better."""

    def __init__(self, folder: Path, of: Copy | None = None) -> None:
        super().__init__(folder, lambda _: None)
        self._of = of

    def command(self) -> list[str]:
        replicas = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
        if self._of is not None:
            replicas += ["--replicaof", HOST, str(self._of.port)]
        return [*super().command(), *replicas]

    def client(self, is_text: bool = True) -> redis_client.Redis:
        """Give a straight way to it."""
        return redis_client.Redis(HOST, self.port, decode_responses=is_text, socket_timeout=5)

    def role(self) -> str:
        """Give what it takes itself for; empty: it does not say."""
        with contextlib.suppress(redis_client.RedisError), self.client() as client:
            return str(client.execute_command("ROLE")[0])
        return ""

    def is_in_step(self) -> bool:
        """Is it a replica that gets what its primary writes?"""
        with contextlib.suppress(redis_client.RedisError), self.client() as client:
            return str(client.info("replication").get("master_link_status")) == "up"
        return False


class SentinelServer(ValkeyServer):
    """One Sentinel. It writes what it learns into its own file."""

    name = "Sentinel"

    def __init__(self, folder: Path, primary: int, password: str = "") -> None:
        super().__init__(folder, lambda _: None)
        self._primary, self._password = primary, password

    def command(self) -> list[str]:
        file = self.folder / "sentinel.conf"
        if not file.exists():
            facts = {"host": HOST, "port": self.port, "folder": self.folder, "name": NAME, "primary": self._primary}
            text = _SENTINEL.format(**facts, down_after=DOWN_AFTER_MS)
            file.write_text(text + (f"requirepass {self._password}\n" if self._password else ""))
        return [super().command()[0], str(file), "--sentinel"]

    def answers(self) -> bool:
        with contextlib.suppress(redis_client.RedisError):
            return bool(self.client().ping())
        return False

    def client(self) -> redis_client.Redis:
        """Give a way to it."""
        return redis_client.Redis(HOST, self.port, password=self._password or None, protocol=2, socket_timeout=5)

    def word(self) -> dict[str, Any]:
        """Give what it says of the primary."""
        with self.client() as client:
            masters: Any = client.sentinel_masters()
            return dict(masters[NAME])


class WithSentinels:
    """The servers of the tests, with others in the place of their Valkey. A context manager."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self._servers = servers
        first = Copy(folder / "first")
        self.copies = [first, Copy(folder / "second", first)]
        self.sentinels: list[SentinelServer] = []
        self._folder = folder

    @property
    def bootstrap_servers(self) -> str:
        """The address for Kafka clients."""
        return self._servers.bootstrap_servers

    @property
    def redis_url(self) -> str:
        """The address for the engine and its commands."""
        return f"redis+sentinel://{','.join(f'{HOST}:{one.port}' for one in self.sentinels)}/{NAME}/0"

    def __enter__(self) -> Self:
        try:
            for copy in self.copies:
                copy.start_first()
            until(self.copies[1].is_in_step, FAILOVER_SECONDS_MAX, "the replica in step")
            for number in range(SENTINELS):
                self.sentinels.append(SentinelServer(self._folder / f"sentinel-{number}", self.copies[0].port))
                self.sentinels[-1].start_first()
            self.wait_until_whole()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        for server in (*self.sentinels, *self.copies):
            server.kill()

    def revive(self) -> None:
        """Start again what has ended, and wait until all is as at the beginning, whichever is the primary."""
        self._servers.revive()
        for server in (*self.copies, *self.sentinels):
            if not server.runs():
                server.restart()
        self.keep_in_step()
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Wait until one copy is the primary, the other follows it, and every Sentinel knows all of that."""

        def is_whole() -> bool:
            with contextlib.suppress(redis_client.RedisError):
                words = [one.word() for one in self.sentinels]
                primaries = {int(word["port"]) for word in words}
                knows = all(
                    word["num-slaves"] == 1
                    and word["num-other-sentinels"] == SENTINELS - 1
                    and word["flags"] == "master"
                    for word in words
                )
                return knows and len(primaries) == 1 and self._other(primaries.pop()).is_in_step()
            return False

        until(is_whole, FAILOVER_SECONDS_MAX, lambda: f"all in step: {[one.word() for one in self.sentinels]}")

    def _other(self, port: int) -> Copy:
        return next(one for one in self.copies if one.port != port)

    def primary(self) -> Copy:
        """Give the one that the Sentinels say it is."""
        port = int(self.sentinels[0].word()["port"])
        return next(one for one in self.copies if one.port == port)

    def replica(self) -> Copy:
        """Give the other one."""
        return self._other(self.primary().port)

    def cut_replication(self) -> None:
        """Have the replica get nothing any more, while both can be reached: the primary does not know its password."""
        replica, primary = self.replica(), self.primary()
        with replica.client() as client:
            client.config_set("masterauth", "not-this-one")
        with primary.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")
        until(lambda: not replica.is_in_step(), FAILOVER_SECONDS_MAX, "the replica cut off")

    def keep_in_step(self) -> None:
        """Let replicas follow their primary again."""
        for copy in self.copies:
            if copy.runs():
                with copy.client() as client:
                    client.config_set("masterauth", "")

    def wait_for_failover(self, gone: Copy) -> None:
        """Wait until another is the primary, and every Sentinel says so."""
        other = self._other(gone.port)

        def is_known() -> bool:
            words = [one.word() for one in self.sentinels]
            return other.role() == "master" and all(
                word["port"] == other.port and word["flags"] == "master" for word in words
            )

        until(is_known, FAILOVER_SECONDS_MAX, lambda: f"a primary: {[one.word() for one in self.sentinels]}")


class Reader(Watcher):
    """A channel that trusts a number only as far as `engine:alive` beside it lets it, and looks whether that moves."""

    def _trusts(self, alive: dict[str, str]) -> bool:
        return alive.get("ready") == "1" and time.time() - int(alive["at"]) / 1000 <= BEAT_AGE_MAX_S
