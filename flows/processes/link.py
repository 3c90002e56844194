"""How the machines of a cluster hear of each other: each writes its word into one hash of Redis, and reads the others'.

1. A machine is there while its word changes. How long it was silent is measured by the clock of who listens; clocks of
   two machines are never compared.
2. While Redis does not answer nobody is silent: nobody could be heard. And no number is written meanwhile.
3. A word of before this process listens is no sign of life: it has to change once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from flows.log import get_log
from flows.processes.words import Orders, Report, Word, read_orders, read_word
from flows.readmodel.port import StoreError
from flows.readmodel.store import Store
from flows.runtime.machines import Machines
from flows.settings import redis_address
from schemas.settings import Settings, SettingsError

log = get_log(__name__)

EVERY_S = 0.2
#: Asking the workers costs each of them half a millisecond, and one that hangs answers late.
ASK_EVERY_S = 1.0
#: Within this another process of this machine would have said something.
TWIN_S = 1.0
#: So often its word was found in the place of this one: a Redis that went back to an older copy does that once.
TWIN_LOOKS = 5
ORDERS = "orders"


class Heard(NamedTuple):
    """The last that was heard of a machine."""

    word: Word
    #: when that changed last (monotonic clock); None: not since this process listens
    changed_at: float | None


class Link:
    """Writes and reads from a thread of its own; told and asked by the supervisor's."""

    def __init__(
        self,
        settings: Settings,
        machines: Machines,
        word: Word,
        reports: Callable[[], dict[int, Report]],
        connect: Callable[..., Any] = Store,
    ) -> None:
        self._machines = machines
        self._store = connect(redis_address(settings.redis), settings.redis.prefix, 0, "machines")
        self._key = f"{settings.redis.prefix}engine:machines"
        self._word = word
        self._reports = reports
        self._orders: Orders | None = None
        self._lock = threading.Lock()
        self._heard: dict[int, Heard] = {}
        self._read_at = time.monotonic()
        self._is_away = False
        #: how often, one look after the other, another process had written what only this one writes
        self._overwritten = 0
        #: what the machine that leads wants
        self.orders: Orders | None = None
        self._wakes, self._ended = threading.Event(), threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (("machines", self._run), ("machine-reports", self._ask))
        ]

    @property
    def boot(self) -> str:
        """Name this process among those that ever were this machine."""
        return self._word.boot

    def start(self) -> None:
        """Begin; SettingsError where another process says that it is this machine."""
        said = self._own_word()
        if said is not None:
            self._ended.wait(TWIN_S)
            again = self._own_word()
            if again is not None and again.beat != said.beat:
                raise SettingsError(self._twin())
        for thread in self._threads:
            thread.start()

    def refuse_twin(self) -> None:
        """Refuse to be the same machine as another process: SettingsError."""
        if self._overwritten >= TWIN_LOOKS:
            raise SettingsError(self._twin())

    def _twin(self) -> str:
        return (
            f"cluster.this: another engine says that it is {self._machines.called(self._machines.this)}, too: each "
            "machine of cluster.machines runs one; stop the other, or set cluster.this apart"
        )

    def _own_word(self) -> Word | None:
        try:
            raw = self._store.all_of(self._key).get(str(self._machines.this).encode())
        except StoreError:
            return None  # nobody can say anything
        return read_word(raw) if raw is not None else None

    def say(self, **changes: Any) -> None:
        """Change the word of this machine; the others hear it in a moment."""
        with self._lock:
            self._word = msgspec.structs.replace(self._word, **changes)
        self._wakes.set()

    def order(self, orders: Orders) -> None:
        """Say what this machine, which leads, wants of the others."""
        with self._lock:
            self._orders = orders
        self._wakes.set()

    def word_of(self, machine: int) -> Word | None:
        """Give what a machine says; None where nothing of it was heard since this process listens."""
        heard = self._heard.get(machine)
        return heard.word if heard is not None and heard.changed_at is not None else None

    def silent_s(self, machine: int) -> float:
        """Give for how long nothing was heard of a machine, as of the last look; infinite: never yet."""
        heard = self._heard.get(machine)
        if heard is None or heard.changed_at is None:
            return float("inf")
        return max(0.0, self._read_at - heard.changed_at)

    def close(self) -> None:
        """Say the last word, and end."""
        self._ended.set()
        self._wakes.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(2.0)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wakes.clear()
            self._beat()
            self._wakes.wait(EVERY_S)
        self._beat()
        self._store.close()

    def _ask(self) -> None:
        while not self._ended.wait(ASK_EVERY_S):
            try:
                reports = self._reports()
            except RuntimeError:  # the monitor asks nobody any more
                if self._ended.is_set():
                    return
                raise
            with self._lock:
                self._word = msgspec.structs.replace(self._word, reports=reports)

    def _beat(self) -> None:
        try:
            self._listen(self._store.all_of(self._key))
            with self._lock:
                self._word = msgspec.structs.replace(self._word, beat=self._word.beat + 1)
                word, orders = self._word, self._orders
            fields = {str(self._machines.this): msgspec.json.encode(word)}
            if orders is not None:
                fields[ORDERS] = msgspec.json.encode(orders)
            self._store.put(self._key, fields)
        except StoreError as error:
            self._note_away(error)
            return
        if self._is_away:
            self._is_away = False
            log.info("the other machines are heard again", kind="machines")

    def _listen(self, fields: dict[bytes, bytes]) -> None:
        moment = time.monotonic()
        for machine in range(len(self._machines.names)):
            raw = fields.get(str(machine).encode())
            word = read_word(raw) if raw is not None else None
            if word is None:
                continue
            if machine == self._machines.this:
                is_twins = self._word.beat > 0 and word.boot != self.boot
                self._overwritten = self._overwritten + 1 if is_twins else 0
                continue
            known = self._heard.get(machine)
            if known is None:
                self._heard[machine] = Heard(word, None)
            elif (word.boot, word.beat) != (known.word.boot, known.word.beat):
                self._heard[machine] = Heard(word, moment)
        raw = fields.get(ORDERS.encode())
        self.orders = read_orders(raw) if raw is not None else None
        self._read_at = moment

    def _note_away(self, error: StoreError) -> None:
        moment = time.monotonic()
        for machine, heard in self._heard.items():
            if heard.changed_at is not None:
                self._heard[machine] = Heard(heard.word, moment)
        self._read_at = moment
        if not self._is_away and not self._ended.is_set():
            self._is_away = True
            log.warning(
                f"the other machines cannot be heard: {error}; trying again",
                kind="machines",
                next="see whether Redis runs and takes writes: atp check; nothing is ended because of that",
            )
