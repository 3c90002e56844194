"""Decides whether the machines of a cluster fit together: versions, settings, and the parts of one and the same state.

Knows words only; who asks decides whether to wait or to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping

from flows.processes.words import PROTOCOL, Word
from flows.runtime.machines import Machines
from flows.storage.facts import Scratch, StateRefused
from flows.storage.recovery_store import StoreFacts, epoch_of

#: An epoch is committed in each part of the store before the next one can be: so far apart may they be found.
COMMITS_APART_MAX = 2
REMEDY = (
    "give each machine the disk that it had; if one is lost for good, begin anew: empty folders in state.dir on all "
    "machines, and atp run --from-scratch"
)


def difference(ours: Word, theirs: Word) -> str:
    """Say what keeps a machine from running with this one; empty where nothing does."""
    if theirs.protocol != PROTOCOL or theirs.version != ours.version:
        return f"it is {theirs.version or 'another version of the engine'}, this one {ours.version}: run one version"
    names = [
        name
        for name in sorted(ours.settings.keys() | theirs.settings.keys())
        if ours.settings.get(name) != theirs.settings.get(name)
    ]
    if not names:
        return ""
    first = names[0]
    more = f" (and {', '.join(names[1:])})" if len(names) > 1 else ""
    theirs_said, ours_said = theirs.settings.get(first) or "not set", ours.settings.get(first) or "not set"
    return f"{first} is {theirs_said} there and {ours_said} here{more}: set the same on all machines"


def epoch_of_all(machines: Machines, words: Mapping[int, Word]) -> int | None:
    """Give the epoch that the cluster resumes from; None where it has no state yet.

    StateRefused where the machines do not hold all parts of one moment of one state.
    """
    _of_one_cluster(machines, words)
    stores = {machine: word.store or StoreFacts() for machine, word in words.items()}
    counts = {count for store in stores.values() for count in store.parts.values()}
    if not counts:
        return None
    parts = {part: machine for machine, store in stores.items() for part in store.parts}
    commits = {part: epoch for store in stores.values() for part, epoch in store.commits.items()}
    epoch = epoch_of(stores.values())
    if epoch is None and not commits:
        return None  # a first start that was cut short: not all have made their files
    lacking = [machine for machine, store in stores.items() if not store.parts]
    missing = sorted(set(range(max(counts))) - parts.keys())
    if missing or len(counts) > 1:
        who = machines.called(lacking[0] if lacking else missing[0] % len(machines.names) if missing else 0)
        raise StateRefused(f"state.dir: {who} holds no state, and the others do (epoch {epoch})", REMEDY)
    newest = max(commits.values())
    for part, machine in sorted(parts.items()):
        if newest - commits.get(part, -1) > COMMITS_APART_MAX:
            kept = f"state of epoch {commits[part]}" if part in commits else "no state"
            raise StateRefused(
                f"state.dir: {machines.called(machine)} holds {kept}, and others hold epoch {newest}: that is another "
                "moment",
                REMEDY,
            )
    return epoch


def _of_one_cluster(machines: Machines, words: Mapping[int, Word]) -> None:
    """Refuse parts of two clusters."""
    ids: dict[str, int] = {}
    for machine, word in sorted(words.items()):
        if word.facts is not None and word.facts.cluster is not None:
            ids.setdefault(word.facts.cluster.id, machine)
    if len(ids) > 1:
        first, second, *_ = (machines.called(machine) for machine in ids.values())
        raise StateRefused(f"state.dir: {second} holds the state of another cluster than {first}", REMEDY)


def id_of_all(words: Mapping[int, Word]) -> str:
    """Give the id of the cluster whose state the machines hold; empty where it has none yet."""
    for word in words.values():
        if word.facts is not None and word.facts.cluster is not None:
            return word.facts.cluster.id
    return ""


def token_of_all(words: Mapping[int, Word]) -> int:
    """Give the newest token that any machine knows."""
    return max(word.facts.token if word.facts is not None else 0 for word in words.values())


def scratch_of_all(leading: Scratch | None, words: Mapping[int, Word]) -> Scratch | None:
    """Give what a start from scratch still has to do: what no machine has done. The one that leads knows of it first.

    Each notes those shards whose output it writes.
    """
    if leading is None:
        return None
    left = set(leading.left)
    for word in words.values():
        theirs = word.facts.scratch if word.facts is not None else None
        if theirs is not None and theirs.token == leading.token:
            left &= set(theirs.left)
    return Scratch(leading.token, sorted(left)) if left else None
