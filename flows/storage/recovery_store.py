"""What Bytewax's recovery store holds, read before anything runs on it: how far it was committed, or what is wrong.

Reads the files that are there (one SQLite file a partition) and changes nothing. Bytewax itself says of a store that
is torn or incomplete only that a query failed, in a worker, after which it would be started again and again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

#: where in the state directory Bytewax keeps its snapshots
RECOVERY = "recovery"
#: Reading every page of a file shows whether it is whole; 1 s for as much as this. The segments hold what is large.
CHECKED_BYTES_MAX = 512 * 10**6
#: Somebody else may just commit: `atp check` beside a running engine.
LOCKED_PATIENCE_S = 5.0


class StoreDamage(RuntimeError):
    """The recovery store cannot be used as it is; the text names the file and what is wrong with it."""


class StoreFacts(msgspec.Struct):
    """What some of a store's files say; those of a cluster are spread over its machines."""

    #: its number -> how many there are in all
    parts: dict[int, int] = {}
    #: execution -> its workers, and where it began
    executions: dict[int, tuple[int, int]] = {}
    #: execution -> where each of some workers is
    frontiers: dict[int, list[int]] = {}
    #: part -> the epoch that was committed there last
    commits: dict[int, int] = {}
    has_snapshots: bool = False


def committed_epoch(folder: Path, is_thorough: bool = True) -> int | None:
    """Give the epoch after the newest snapshot that is committed as a whole; None if there is none.

    `is_thorough`: look at every page of the files too. StoreDamage if a file is torn, strange or missing, or if the
    folder cannot be read.
    """
    store = read_store(folder, is_thorough)
    if not store.parts:
        return None
    missing = sorted(set(range(max(store.parts.values()))) - store.parts.keys())
    if missing:
        names = ", ".join(f"part-{number}.sqlite3" for number in missing)
        raise StoreDamage(f"{folder} lacks {names} of its {max(store.parts.values())} parts")
    return epoch_of([store])


def read_store(folder: Path, is_thorough: bool = True) -> StoreFacts:
    """Read what the files in a folder say; StoreDamage if one is torn or strange, or if the folder cannot be read."""
    try:
        paths = sorted(folder.glob("part-*.sqlite3"))
    except OSError as error:
        raise StoreDamage(f"{folder} cannot be read ({error.strerror})") from error
    found = StoreFacts({}, {}, {}, {})
    for path in paths:
        with _reading(path) as store:
            if is_thorough and path.stat().st_size <= CHECKED_BYTES_MAX:
                [said] = store.execute("PRAGMA quick_check(1)").fetchone()
                if said != "ok":
                    raise StoreDamage(f"{path} is damaged ({' '.join(str(said).split())})")
            own = store.execute("SELECT part_index, part_count FROM parts").fetchall()
            if not own:
                raise StoreDamage(f"{path} does not say which part of the store it is")
            found.parts.update(own)
            found.commits.update(store.execute("SELECT part_index, commit_epoch FROM commits"))
            for execution, workers, resume_epoch in store.execute("SELECT ex_num, worker_count, resume_epoch FROM exs"):
                found.executions[execution] = (workers, resume_epoch)
            for execution, frontier in store.execute("SELECT ex_num, worker_frontier FROM fronts"):
                found.frontiers.setdefault(execution, []).append(frontier)
            found.has_snapshots |= store.execute("SELECT 1 FROM snaps LIMIT 1").fetchone() is not None
    return found


def epoch_of(stores: Iterable[StoreFacts]) -> int | None:
    """Give the epoch that Bytewax resumes from where these are all parts of a store; None: none is committed."""
    executions: dict[int, tuple[int, int]] = {}
    frontiers: dict[int, list[int]] = {}
    has_snapshots = False
    for store in stores:
        executions |= store.executions
        has_snapshots |= store.has_snapshots
        for execution, reached in store.frontiers.items():
            frontiers[execution] = [*frontiers.get(execution, ()), *reached]
    if not executions or not has_snapshots:
        return None
    # As Bytewax resumes: where the slowest worker of the last execution was; where that one began, if one did nothing.
    newest = max(executions)
    workers, began_at = executions[newest]
    reached = frontiers.get(newest, [])
    epoch = min(reached) if len(reached) == workers else began_at
    return epoch if epoch > 1 else None


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", LOCKED_PATIENCE_S, uri=True)) as store:
            yield store
    except (sqlite3.Error, OSError, ValueError) as error:
        raise StoreDamage(f"{path} cannot be read as a recovery store ({error})") from error


def recovery_folder(state: Path) -> Path:
    """Give where Bytewax keeps its snapshots."""
    return state / RECOVERY
