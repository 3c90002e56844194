"""The pages of dead letters: those that are asked for, one with its bytes, and how one is sent again."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from flows.console.desk import address, asked, desk_of, form_of, in_thread
from flows.console.tables import LETTERS_MAX
from flows.errors import PlainError
from flows.kafka.reading import TopicReader
from flows.letters.reading import DeadLetter, Wanted, parse, read, with_values
from flows.letters.replaying import Fate, decide, now_us, send
from flows.log import get_log
from schemas.codes import REFUSAL_CODES
from schemas.remedies import REMEDIES
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS

log = get_log(__name__)

SHOWN_MAX = 200
#: More of a value than this is not looked through on a page; `atp dead-letters show` has all of it.
BYTES_SHOWN_MAX = 100_000
#: Kafka gives one message in milliseconds where it is there.
ONE_SILENCE_S = 5.0


def show_letters(request: Request) -> Response:
    """Answer `/letters?code=&source=&item=`."""
    desk = desk_of(request)
    code, source, item = asked(request, "code", "source", "item")
    found = desk.tables.letters(code, source, item)
    return desk.page(
        request,
        "letters",
        title="Dead letters",
        wanted={"code": code, "source": source, "item": item},
        codes=REFUSAL_CODES,
        letters=found[:SHOWN_MAX],
        marks={kept.letter.name: desk.tables.mark(kept.letter.name) for kept in found[:SHOWN_MAX]},
        more=max(0, len(found) - SHOWN_MAX),
        limit=LETTERS_MAX,
        remedy=REMEDIES.get(code, ""),
    )


def show_letter(request: Request) -> Response:
    """Answer `/letter?name=`."""
    desk = desk_of(request)
    [name] = asked(request, "name")
    try:
        letter = find(desk.settings, name)
    except PlainError as error:
        return desk.page(request, "problem", 503, title=f"Dead letter {name}", sentence=str(error))
    if letter is None:
        raise HTTPException(404, f"There is no dead letter {name}.")
    kept = desk.tables.letter(name)
    return desk.page(
        request,
        "letter",
        title=f"Dead letter {name}",
        letter=letter,
        remedy=REMEDIES.get(letter.code, ""),
        items=sorted(kept.items if kept is not None else letter.items()),
        mark=desk.tables.mark(name),
        key=_text(letter.key),
        value=_shown(letter.value),
    )


def find(settings: Settings, name: str) -> DeadLetter | None:
    """Read one, with its message's bytes; None where there is none. KafkaProblem where Kafka does not give it."""
    partition, _, offset = name.partition(":")
    if not (partition.isdecimal() and offset.isdecimal() and len(partition) < 10 and len(offset) < 19):
        return None
    place = (settings.topic(DEAD_LETTERS), int(partition))
    with TopicReader(settings, group="-console", silence_s=ONE_SILENCE_S) as reader:
        low, end = reader.span(place)
        if not low <= int(offset) < end:
            return None
        for message in reader.read({place: (int(offset), int(offset) + 1)}):
            letter = parse(message)
            if letter is not None and letter.offset == int(offset):
                return with_values(settings, [letter])[0]
    return None


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "backslashreplace")


def _shown(raw: bytes | None) -> dict[str, Any] | None:
    """Give the bytes as they are, and the JSON that they are in lines; None: a record that deletes."""
    if raw is None:
        return None
    told: dict[str, Any] = {"size": len(raw), "bytes": _text(raw[:BYTES_SHOWN_MAX]), "json": ""}
    told["is_cut"] = len(raw) > BYTES_SHOWN_MAX
    if not told["is_cut"]:
        with suppress(ValueError, RecursionError):  # it is here because it is none, or a strange one
            told["json"] = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
    return told


def ask_replay(request: Request) -> Response:
    """Answer `/letter/replay?name=`: what would become of it, and whether it is to be."""
    desk = desk_of(request)
    [name] = asked(request, "name")
    title = f"Send {name} again"
    try:
        fates = fates_of(desk.settings, name)
    except PlainError as error:
        return desk.page(request, "problem", 503, title=title, sentence=str(error))
    if not fates:
        raise HTTPException(404, f"There is no dead letter {name}.")
    return desk.page(request, "replay", title=title, name=name, fate=fates[0])


async def replay(request: Request) -> Response:
    """Answer the form of that page: send it again."""
    form = await form_of(request)
    desk = desk_of(request)
    name = form.get("name", "")
    try:
        fates = await in_thread(fates_of, desk.settings, name)
        if not fates:
            raise HTTPException(404, f"There is no dead letter {name}.")
        if fates[0].refusal:
            return desk.page(request, "replay", 409, title=f"Send {name} again", name=name, fate=fates[0])
        await in_thread(send, desk.settings, fates)
    except PlainError as error:
        return desk.page(request, "problem", 503, title=f"Send {name} again", sentence=str(error))
    log.info(f"dead letter {name} was sent again from the console", kind="replayed")
    return RedirectResponse(address("/letter", name=name, sent=int(time.time())), 303)


def fates_of(settings: Settings, name: str) -> list[Fate]:
    """Say what becomes of one letter if it is sent again now; empty where there is none.

    All letters are looked at, for how often its message was tried; only its own bytes are kept.
    """
    whole = find(settings, name)
    if whole is None:
        return []
    letters = [whole if one.name == name else one for one in read(settings, keeps_values=False)]
    return decide(settings, letters, Wanted(names=frozenset({name})), False, now_us())
