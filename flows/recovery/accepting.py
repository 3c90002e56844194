"""Going on with an input topic that was deleted and made again: a new generation of it, beside all that is counted.

`atp topics accept` writes that to engine.json: itself where no engine runs, or by asking the engine that holds the
state directory. The request is a file beside it: who may change the one may change the other.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from flows.errors import PlainError
from flows.kafka.clients import KafkaProblem
from flows.kafka.identity import Earlier, Inputs, TopicFacts, inputs_now, why_not
from flows.runtime.run import now
from schemas.settings import Settings, SettingsError
from schemas.topics import INPUTS, REFERENCE

if TYPE_CHECKING:
    from flows.storage.folder import StateFolder

REQUEST, ANSWER = "accept.request", "accept.answer"
#: Kafka is asked meanwhile, which may be slow.
ANSWER_TIMEOUT_S = 60.0
ASK_EVERY_S = 0.1
#: A lock that is let go of in this moment.
LOCK_WAIT_S = 1.0


class AcceptProblem(PlainError):
    """The topic cannot be accepted; the text says why and what would do."""


class _Request(msgspec.Struct):
    id: str
    topic: str
    asked_at: int


class _Answer(msgspec.Struct):
    id: str
    is_accepted: bool
    text: str


def full_name(settings: Settings, topic: str) -> str:
    """Give the full name of a topic that is read, named with or without its prefix."""
    names = [settings.topic(name) for name in (*INPUTS, *REFERENCE)]
    for name in (topic, settings.topic(topic)):
        if name in names:
            return name
    raise AcceptProblem(f"{topic} is not a topic that the engine reads: expected one of {', '.join(names)}")


def accepted(settings: Settings, known: Inputs | None, found: Inputs, name: str) -> Inputs:
    """Give what is to be kept from now on, with the topic of that full name as it is now."""
    if known is None or name not in known.topics:
        raise AcceptProblem(
            f"{settings.state.dir} does not say which {name} it was made from: start the engine, it notes that"
        )
    if known.cluster and found.cluster and known.cluster != found.cluster:
        raise AcceptProblem(
            f"{settings.state.dir} belongs to the Kafka cluster {known.cluster}, and these are servers of "
            f"{found.cluster}: set kafka.bootstrap_servers"
        )
    before, after = known.topics[name], found.topics[name]
    if not before.is_another(after):
        raise AcceptProblem(f"{name} is the topic that {settings.state.dir} was made from: there is nothing to accept")
    partitions = sum(found.topics[settings.topic(one)].partitions for one in INPUTS)
    if settings.workers > partitions:
        raise AcceptProblem(
            f"{name} has {after.partitions} partitions now, the input {partitions} in all, and workers is "
            f"{settings.workers}: add partitions to it, or set fewer workers"
        )
    earlier = before.earlier
    if name in map(settings.topic, INPUTS):
        earlier = [*earlier, Earlier(before.id, before.partitions, now())]
    return Inputs(known.cluster, {**known.topics, name: TopicFacts(after.id, after.partitions, earlier)})


def accept_now(settings: Settings, folder: StateFolder, topic: str) -> tuple[str, str]:
    """Accept a topic in a state directory that this process has locked.

    Gives what was done, and what keeps the engine from starting all the same: empty where nothing does.
    """
    name = full_name(settings, topic)
    try:
        found = inputs_now(settings)
    except KafkaProblem as error:
        raise AcceptProblem(f"{error}, and then accept it") from error
    facts = folder.facts()
    kept = accepted(settings, facts.inputs, found, name)
    folder.keep_inputs(kept)
    if name in map(settings.topic, INPUTS):
        text = "all that was counted stays, what is sent again is a duplicate, what is new counts once"
    else:
        text = "what it does not hold stays until a tombstone deletes it"
    others = why_not(settings, kept, found)
    return f"accepted: {name} is read from its beginning; {text}", str(others) if others is not None else ""


def accepted_at_ms(settings: Settings) -> dict[str, int]:
    """Map topics that were made again to when the newest one was accepted, as far as the state directory here says."""
    from flows.storage.facts import FACTS
    from flows.storage.folder import StateFolder

    if not (settings.state.dir / FACTS).is_file():
        return {}
    inputs = StateFolder(settings).facts().inputs
    topics = inputs.topics if inputs is not None else {}
    return {name: topic.earlier[-1].accepted_at // 1000 for name, topic in topics.items() if topic.earlier}


# --- the command ------------------------------------------------------------------------------------------------------


def accept(settings: Settings, topic: str) -> str:
    """Accept a topic: here if no engine runs on the state directory, else by asking it. Gives what was done."""
    from flows.storage.facts import FACTS

    name = full_name(settings, topic)
    path = settings.state.dir
    if not (path / FACTS).is_file():
        raise SettingsError(f"state.dir: {path} holds no state of an engine: name the one that the engine runs on")
    try:
        return _accept_here(settings, name) or _ask(path, name)
    except OSError as error:
        raise AcceptProblem(
            f"state.dir: {path} cannot be written ({error.strerror or error}): say it as the engine's user, and see "
            "whether its disk has room"
        ) from error


def _accept_here(settings: Settings, name: str) -> str:
    """Accept a topic where no engine runs; gives nothing where one does."""
    from flows.storage.facts import give_to_owner
    from flows.storage.folder import StateFolder

    folder = StateFolder(settings)
    with (folder.path / "lock").open("a+") as lock:
        give_to_owner(folder.path / "lock")
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return ""
                time.sleep(ASK_EVERY_S)
            else:
                folder.survey(is_thorough=False)  # not what another version or other settings wrote
                text, others = accept_now(settings, folder, name)
                return f"{text}; {others or 'start the engine'}"


def _ask(path: Path, name: str) -> str:
    request = _Request(uuid.uuid4().hex, name, now())
    _put(path / REQUEST, msgspec.json.encode(request))
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            answer = msgspec.json.decode((path / ANSWER).read_bytes(), type=_Answer)
        except (FileNotFoundError, msgspec.DecodeError):
            answer = None
        if answer is not None and answer.id == request.id:
            (path / ANSWER).unlink(missing_ok=True)
            if not answer.is_accepted:
                raise AcceptProblem(answer.text)
            return answer.text
        time.sleep(ASK_EVERY_S)
    (path / REQUEST).unlink(missing_ok=True)
    raise AcceptProblem(
        f"the engine that runs on {path} did not answer within {ANSWER_TIMEOUT_S:g} s: stop it, and say it again"
    )


def _put(path: Path, content: bytes) -> None:
    from flows.storage.facts import give_to_owner

    temporary = path.with_suffix(f"{path.suffix}.tmp")
    temporary.write_bytes(content)
    give_to_owner(temporary)
    os.replace(temporary, path)


# --- the engine -------------------------------------------------------------------------------------------------------


def take_request(path: Path, do: Callable[[str], str]) -> bool:
    """Answer a request that was left in a state directory; was there one, and was the topic accepted?

    Never raises for what is wrong with the disk: an engine that runs goes on, and who asked hears of no answer.
    """
    try:
        raw = (path / REQUEST).read_bytes()
        (path / REQUEST).unlink()  # first: what cannot be removed would be done again and again
    except OSError:
        return False
    try:
        request = msgspec.json.decode(raw, type=_Request)
    except msgspec.DecodeError:
        return False
    if now() - request.asked_at > ANSWER_TIMEOUT_S * 1e6:
        return False  # nobody waits for it
    try:
        answer = _Answer(request.id, True, do(request.topic))
    except (AcceptProblem, KafkaProblem, SettingsError, OSError) as problem:
        answer = _Answer(request.id, False, str(problem))
    with suppress(OSError):
        _put(path / ANSWER, msgspec.json.encode(answer))
    return answer.is_accepted
