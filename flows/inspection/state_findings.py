"""What `atp check` finds out about the state directory: can it be written, what does it hold, and of which topics?"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing

from flows.inspection.finding import Finding
from flows.kafka.clients import KafkaProblem, resume_points
from flows.kafka.identity import ANEW, Inputs, changes, inputs_now, why_not
from flows.readmodel.port import StoreError
from flows.readmodel.store import Store
from flows.recovery.earlier_run import earlier_run
from flows.recovery.start import refusal
from flows.remote.objects import RemoteProblem, open_objects
from flows.remote.taking_up import copies_in, manifest_at
from flows.runtime.machines import machines_of
from flows.settings import redis_address
from flows.storage.facts import FACTS, RESTORE, RUN_OTHER, Facts, StateRefused, read_facts
from flows.storage.folder import StateFolder
from flows.storage.membership import check_membership
from flows.storage.recovery_store import StoreDamage
from schemas.settings import Settings, SettingsError


def state_findings(settings: Settings, kafka_answers: bool) -> Iterator[Finding]:
    """Look at the state directory; `kafka_answers`: the topics can be compared too."""
    path = settings.state.dir
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):  # the answer of the file system, not of its permission bits
            is_writable = place.is_dir()
    except OSError:
        is_writable = False
    if not is_writable:
        yield Finding(
            "state directory",
            False,
            f"{path} cannot be written",
            "name a directory that this user may write, on a local disk, in state.dir",
        )
        return
    yield Finding("state directory", True, f"{path} is writable" if path.exists() else f"{path} will be made")
    try:
        machines_of(settings)
    except SettingsError as error:
        yield _of_machines("machines", error)
        return
    try:
        facts = read_facts(path / FACTS)
        if facts is not None and facts.cluster is not None:
            check_membership(path, facts.cluster, machines_of(settings))
        epoch = StateFolder(settings).kept_epoch()
        if facts is not None and epoch is not None:
            check_membership(path, facts.cluster, machines_of(settings))
    except StateRefused as error:
        yield Finding("state", False, error.seen, error.remedy)
        return
    except StoreDamage as error:
        yield Finding("state", False, str(error), RESTORE)
        return
    except SettingsError as error:
        yield _of_machines("state and machines", error)
        return
    yield from _machines(settings)
    yield from _kept(settings, facts, epoch)
    has_copy = yield from _copies(settings, epoch)
    if epoch is None and not has_copy and kafka_answers and (facts is None or facts.scratch is None):
        yield from _earlier_run(settings, facts is not None and facts.is_first)
    if facts is not None and facts.inputs is not None and kafka_answers:
        yield from _identity(settings, facts.inputs)


def _kept(settings: Settings, facts: Facts | None, epoch: int | None) -> Iterator[Finding]:
    path = settings.state.dir.absolute()
    if facts is None:
        if epoch is None:
            yield Finding("state", True, f"{path} holds none yet")
        else:
            seen = f"{path} holds state (epoch {epoch}), and its {FACTS} is missing"
            yield Finding("state", False, seen, RESTORE)
        return
    if facts.shards == settings.shards:
        until = f"epoch {epoch}" if epoch is not None else "no snapshot yet"
        yield Finding("state", True, f"{path}: made with shards={facts.shards}, of run {facts.token}, {until}")
    else:
        yield Finding(
            "state",
            False,
            f"made with shards={facts.shards}, set is shards={settings.shards}",
            f"set shards={facts.shards}, or {ANEW}",
        )
    if unread := facts.unread():
        yield Finding("state format", False, unread, f"{RUN_OTHER}, or {ANEW}")
    if facts.scratch is not None:
        yield Finding(
            "from scratch", True, f"begun; {len(facts.scratch.left)} of {facts.shards} shards have not said everything"
        )


def _of_machines(subject: str, error: SettingsError) -> Finding:
    """Say what is wrong with the machines, and what would do; the sentence begins with a setting's name."""
    said = str(error).partition(": ")[2]
    seen, _, remedy = said.rpartition(": ")
    return Finding(subject, False, seen or said, remedy if seen else "")


def _machines(settings: Settings) -> Iterator[Finding]:
    """Which machine of a cluster is this?"""
    machines = machines_of(settings)
    if machines is not None:
        ports = machines.ports()
        seen = f"{machines.called(machines.this)} of {len(machines.names)}"
        yield Finding("machines", True, f"{seen}; its links are on ports {ports[0]} to {ports[-1]}")


def _copies(settings: Settings, epoch: int | None) -> Generator[Finding, None, bool]:
    """Is there a copy elsewhere, where there should be one, and can it be read? Gives whether there is one."""
    if settings.state.remote is None:
        return False
    try:
        objects = open_objects(settings)
        copies = copies_in(objects)
        if copies:
            manifest_at(objects, copies[0])
    except StateRefused as error:
        yield Finding("copies of the state", False, error.seen, error.remedy)
        return True
    except (RemoteProblem, SettingsError) as error:
        seen, _, remedy = str(error).partition(": ")[2].rpartition(": ")
        yield Finding("copies of the state", epoch is not None, seen, remedy, is_warning=epoch is not None)
        return False
    newest = f"the newest of run {copies[0].token}, epoch {copies[0].epoch}" if copies else "none yet"
    yield Finding("copies of the state", True, f"{settings.state.remote} answers: {newest}")
    return bool(copies)


def _earlier_run(settings: Settings, is_first: bool) -> Iterator[Finding]:
    """A start without the state of a run that is known would be refused."""
    try:
        with closing(Store(redis_address(settings.redis), settings.redis.prefix)) as store:
            known = earlier_run(settings, store)
    except (StoreError, KafkaProblem):
        return  # what is wrong with Redis, Kafka or the topics is said already
    if known.proves_state(is_first):
        yield Finding("earlier run", False, *refusal(settings, known))
    else:
        yield Finding("earlier run", True, "none is known whose state would be missing")


def _identity(settings: Settings, known: Inputs) -> Iterator[Finding]:
    try:
        now = inputs_now(settings)
    except KafkaProblem:
        return  # what is wrong with Kafka or the topics is said already
    wrong = why_not(settings, known, now)
    if wrong is not None:
        yield Finding("state and topics", False, wrong.seen, wrong.remedy)
        return
    notes = "; ".join(changes(settings, known, now))
    yield Finding("state and topics", True, notes or "the topics are those it was made from")
    lost = [
        f"{part}: the next offset is {position}, and the oldest record there {oldest}"
        for part, position, oldest in resume_points(settings)
        if position < oldest
    ]
    if lost:
        yield Finding(
            "resume point",
            False,
            "; ".join(lost),
            f"raise the topics' retention; to go on without what is lost, {ANEW}",
        )
    else:
        yield Finding("resume point", True, "Kafka still holds everything that was not read")
