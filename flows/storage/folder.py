"""The state directory: one engine at a time, one shard count for life, the token of the last run, and what is kept.

Nobody but the engine's user may read it: what it holds is a shop's stock, and whoever may write it runs code (Bytewax
pickles what it keeps).
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from flows.errors import PlainError
from flows.kafka.identity import ANEW, Inputs
from flows.log import get_log
from flows.runtime.machines import machines_of
from flows.storage.facts import (
    ENGINE,
    FACTS,
    FILE_MODE,
    FOLDER_MODE,
    RESTORE,
    RUN_OTHER,
    UMASK,
    Facts,
    Scratch,
    StateRefused,
    changing,
    read_facts,
    write_facts,
)
from flows.storage.membership import Membership, check_membership, own_parts
from flows.storage.recovery_store import RECOVERY, StoreDamage, StoreFacts, committed_epoch, read_store
from operators.ledger import FORMAT
from schemas.settings import Settings, SettingsError

log = get_log(__name__)

#: Orphans of a killed supervisor end within a second; a live engine does not.
LOCK_WAIT_S = 10.0
SEGMENTS = "segments"
#: What an engine makes in it.
OURS = f"{FACTS}* incoming lock older-* {RECOVERY}* remote-cut {SEGMENTS} translator unusable-* worker-*".split()


class Busy(PlainError):
    """Another engine runs on this state directory."""


class StateFolder:
    """Locked from `open` until every process that inherited the lock is gone."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.path: Path = settings.state.dir
        self._lock: IO[str] | None = None
        #: the epoch that a run goes on with; None: nothing was committed here
        self.epoch: int | None = None
        #: what the files of the recovery store here say, where others are on other machines
        self.store = StoreFacts()

    def open(self, from_scratch: bool = False) -> None:
        """Make, lock and check it; SettingsError if it is damaged or belongs to other settings, Busy if it is in use.

        `from_scratch`: begin anew, whatever is known elsewhere; refused where there is state.
        """
        try:
            self.path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise SettingsError(
                f"state.dir: {self.path} cannot be written ({error.strerror}): name a directory that this user may "
                "write, on a local disk"
            ) from error
        self._take_lock()
        try:
            if from_scratch:
                self._begin_from_scratch()
            else:
                self.survey()
        except OSError as error:
            raise StateRefused(
                f"state.dir: {self.where()} cannot be written ({error.strerror})",
                "make room on its disk, and see whether it is mounted for writing",
            ) from error
        tighten(self.path)

    def survey(self, is_thorough: bool = True) -> None:
        """Find out what is kept here; StateRefused if it is damaged or half of it is missing."""
        facts = read_facts(self.path / FACTS)
        if facts is not None and (unread := facts.unread()):
            raise StateRefused(f"state.dir: {self.where()} holds {unread}", f"{RUN_OTHER}, or {ANEW}")
        if facts is not None and facts.shards != self._settings.shards:
            raise SettingsError(
                f"shards: {self._settings.shards}, but {self.path} was made with shards={facts.shards}: set "
                f"shards={facts.shards}, or {ANEW}"
            )
        machines = machines_of(self._settings)
        kept = facts.cluster if facts is not None else None
        if kept is not None:
            check_membership(self.path, kept, machines)
        try:
            self.epoch = self.kept_epoch(is_thorough)
        except StoreDamage as error:
            raise StateRefused(f"state.dir: {error}", RESTORE) from error
        if self.epoch is not None and facts is not None:
            check_membership(self.path, kept, machines)
        if self.epoch is not None and facts is None:
            raise StateRefused(
                f"state.dir: {self.where()} holds state (epoch {self.epoch}), and its {FACTS} is missing, which says "
                "from which topics that was made",
                RESTORE,
            )

    def kept_epoch(self, is_thorough: bool = True) -> int | None:
        """Read the committed epoch; of a cluster as far as this machine's part shows it. StoreDamage if it is torn."""
        machines = machines_of(self._settings)
        if machines is None:
            return committed_epoch(self.path / RECOVERY, is_thorough)
        self.store = read_store(self.path / RECOVERY, is_thorough)
        missing = own_parts(machines, max(self.store.parts.values(), default=0)) - self.store.parts.keys()
        if self.store.parts and missing:
            raise StoreDamage(f"{self.path / RECOVERY} lacks part-{min(missing)}.sqlite3 of this machine's")
        return max(self.store.commits.values()) + 1 if self.store.commits else None

    def found(self) -> str:
        """Say in one line what was found here: where, of which run, up to which epoch."""
        facts = self.facts()
        begun = f", begun from scratch by run {facts.scratch.token}" if facts.scratch and facts.scratch.token else ""
        if self.epoch is None:
            return f"state in {self.where()}: new{begun}"
        return f"state in {self.where()}: of run {facts.token}, epoch {self.epoch}{begun}"

    def where(self) -> Path:
        """Give the absolute path: a relative one leads elsewhere from another folder."""
        return self.path.absolute()

    def _begin_from_scratch(self) -> None:
        """Put what cannot be used aside, and note that this is a start from scratch: it goes on until it is through."""
        epoch: int | None = None
        facts: Facts | None = None
        is_usable = True
        try:
            epoch = self.kept_epoch()
            facts = read_facts(self.path / FACTS)
        except (StoreDamage, StateRefused):
            is_usable = False
        if epoch is not None and facts is not None and facts.scratch is not None:
            self.survey()  # the same start, asked for once more
            return
        if epoch is not None:
            raise StateRefused(
                f"--from-scratch: {self.where()} holds state (epoch {epoch}), which it would throw away",
                "start without --from-scratch; to begin anew all the same, name an empty folder in state.dir",
            )
        left = [name for name in (RECOVERY, SEGMENTS) if (self.path / name).exists()]
        if not is_usable:
            left.append(FACTS)
        self.put_aside(left)
        token = facts.token if facts is not None else 0
        scratch = Scratch(0, list(range(self._settings.shards)))
        write_facts(
            self.path / FACTS,
            Facts(FORMAT, self._settings.shards, token, is_first=True, scratch=scratch, engine=ENGINE),
        )

    def put_aside(self, names: Iterable[str], of: str = "unusable") -> None:
        """Keep what is there of these under another name; whoever is sure may delete it."""
        there = [name for name in names if (self.path / name).is_file() or _has_files(self.path / name)]
        if there:
            aside = self.path / f"{of}-{time.time_ns() // 1_000_000}"
            aside.mkdir(mode=FOLDER_MODE)
            for name in there:
                (self.path / name).rename(aside / name)
            log.warning(
                f"what was left of older state ({', '.join(there)}) lies in {aside.absolute()} now",
                kind="state",
                next="delete it when you are sure that nobody wants to restore anything from it",
            )

    def make_store(self) -> None:
        """Make an empty recovery store where there is none: not in a folder that was named by mistake."""
        from bytewax.recovery import init_db_dir

        folder = self.path / RECOVERY
        if folder.is_dir():
            if list(folder.glob("part-*.sqlite3")):
                return
            for left in folder.iterdir():  # of a store that somebody removed
                if left.is_file():
                    left.unlink()
        fresh = folder.with_suffix(".new")
        fresh.mkdir(mode=FOLDER_MODE, exist_ok=True)
        for left in fresh.iterdir():
            left.unlink()
        partitions, machines = self._settings.state.recovery_partitions, machines_of(self._settings)
        count = partitions if machines is None else partitions * len(machines.names)
        init_db_dir(fresh, count)  # type: ignore[no-untyped-call]  # Bytewax does not type it
        if machines is not None:  # the others are on the other machines
            for number in set(range(count)) - own_parts(machines, count):
                (fresh / f"part-{number}.sqlite3").unlink()
        fresh.rename(folder)

    def _take_lock(self) -> None:
        assert self._lock is not None
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Busy(
                        f"state.dir {self.path} is in use by another engine: stop it first, or name another state.dir"
                    ) from None
                time.sleep(0.1)

    @property
    def lock_descriptor(self) -> int:
        """Give the lock's file descriptor, for workers to inherit: the lock lasts as long as any of them."""
        assert self._lock is not None
        return self._lock.fileno()

    def facts(self) -> Facts:
        """Read what the directory says of itself; of a new one, what it will say."""
        return read_facts(self.path / FACTS) or Facts(FORMAT, self._settings.shards)

    def keep_token(self, token: int, inputs: Inputs | None = None) -> None:
        """Remember the token of a run that begins, and what it reads, safe on disk before anything is written with it.

        After `survey`: a start from scratch of which nothing is kept begins anew.
        """
        with changing(self.path):
            facts = self.facts()
            facts.token, facts.format = token, FORMAT  # what is written from now on, an older engine does not read
            facts.engine = ENGINE
            if inputs is not None:
                facts.inputs = inputs
            if facts.scratch is not None and self.epoch is None:  # nothing of an earlier try is kept
                facts.scratch = Scratch(token, list(range(facts.shards)))
            write_facts(self.path / FACTS, facts)

    def keep_membership(
        self, token: int, cluster: Membership, scratch: Scratch | None, inputs: Inputs | None = None
    ) -> None:
        """Remember whose part this is, the newest token, and what is to be done still from scratch, safe on disk."""
        with changing(self.path):
            facts = self.facts()
            facts.token, facts.format = max(token, facts.token), FORMAT
            facts.cluster, facts.scratch, facts.inputs = cluster, scratch, inputs or facts.inputs
            write_facts(self.path / FACTS, facts)

    def keep_inputs(self, inputs: Inputs) -> None:
        """Remember what is read from now on, safe on disk. No run begins by that: its token and all else stay."""
        with changing(self.path):
            facts = self.facts()
            facts.format, facts.engine = FORMAT, ENGINE  # an older engine would read on where another topic ended
            facts.inputs = inputs
            write_facts(self.path / FACTS, facts)

    def note_first(self, is_first: bool) -> None:
        """Remember whether the first epoch is still to end: until then there is nothing to lose."""
        with changing(self.path):
            facts = self.facts()
            if facts.is_first != is_first:
                facts.is_first = is_first
                write_facts(self.path / FACTS, facts)

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def tighten(folder: Path) -> None:
    """Take everybody else's rights away from a state directory, and from what an engine made in it.

    Not where it holds what is not ours and no engine has run: such a folder was named by mistake.
    """
    if not _is_ours(folder):
        return
    loose = [path for path in (folder, *_ours(folder)) if _is_loose(path)]
    for path in loose:
        try:
            path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
        except OSError as error:
            log.warning(
                f"others may read {path.absolute()}, and that cannot be changed ({error.strerror})",
                kind="state_modes",
                next=f"as its owner: chmod -R go= {folder.absolute()}",
            )
            return


def _is_ours(folder: Path) -> bool:
    if (folder / FACTS).exists():
        return True
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    return all(any(fnmatch(name, pattern) for pattern in OURS) for name in names)


def _ours(folder: Path) -> Iterator[Path]:
    """Give what an engine makes there; a folder that is named by mistake may hold much besides."""
    for pattern in OURS:
        for path in folder.glob(pattern):
            yield path
            if path.is_dir():
                for place, folders, names in os.walk(path):
                    yield from (Path(place, name) for name in (*folders, *names))


def _is_loose(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    is_shared = bool(mode & stat.S_ISVTX)  # such as /tmp: meant for all, and not ours
    return not stat.S_ISLNK(mode) and not is_shared and bool(mode & UMASK)


def _has_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))
