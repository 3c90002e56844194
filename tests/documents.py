"""Documents of other systems as tests write them, and what they become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from operators.adapters.account import Translation, record_of, refusals_of
from operators.adapters.context import AliasTable, Context
from operators.adapters.kinds import translate
from operators.adapters.memory import Dictionary, resolve
from schemas.codes import REFUSAL_CODES
from schemas.events import ANY_EVENT

#: of one source, by (kind, theirs)
Aliases = Mapping[tuple[str, str], str]
NOON = 12 * 3600 * 1_000_000


def context(aliases: Aliases | None = None, **more: Any) -> Context:
    """What is known of the partner ACME: its clock is UTC's, a date means noon, its codes are ours but for aliases."""
    table = AliasTable({("acme", kind, theirs): ours for (kind, theirs), ours in (aliases or {}).items()})
    said: dict[str, Any] = {
        "source": "acme",
        "time_zone": ZoneInfo("UTC"),
        "time_of_day": NOON,
        "alias_modes": {"item": "first"},
        "aliases": table,
        "location": "DC1",
    }
    return Context(**{**said, **more})


def x12(*sets: str, sender: str = "ACME", control: str = "000000001", end: str = "~\n") -> bytes:
    """An interchange of these sets, each of segments a line without ST and SE: `850`, then its segments."""
    segments = [
        f"ISA*00*          *00*          *ZZ*{sender:15}*ZZ*US             *240110*1200*U*00401*{control}*0*P*>",
        f"GS*PO*{sender}*US*20240110*1230*1*X*004010",
    ]
    for number, text in enumerate(sets, 1):
        code, *lines = [line.strip() for line in text.strip().splitlines()]
        segments += [f"ST*{code}*{number:04d}", *lines, f"SE*{len(lines) + 2}*{number:04d}"]
    segments += ["GE*1*1", f"IEA*1*{control}"]
    return "".join(segment + end for segment in segments).encode()


def edifact(*messages: str, sender: str = "ACME", control: str = "1", end: str = "'\n") -> bytes:
    """An interchange of these messages, each of segments a line without UNH and UNT: `ORDERS`, then its segments."""
    segments = [f"UNB+UNOC:3+{sender}:14+US:14+240110:1200+{control}"]
    for number, text in enumerate(messages, 1):
        kind, *lines = [line.strip() for line in text.strip().splitlines()]
        segments += [f"UNH+{number}+{kind}:D:96A:UN", *lines, f"UNT+{len(lines) + 2}+{number}"]
    segments += [f"UNZ+{len(messages)}+{control}"]
    return ("UNA:+.? '\n" + "".join(segment + end for segment in segments)).encode()


def become(raw: bytes, known: Context | None = None, memory: Dictionary | None = None) -> Translation:
    """What a message becomes: accounted for to the last line, and every event as its schema has it."""
    known = known or context()
    result = resolve(translate(raw, known), known.source, memory or Dictionary())
    check(result)
    return result


def check(result: Translation) -> None:
    """Each line in exactly one place, each event valid, each message said of lines that are said."""
    record = record_of(result, None)
    ended = record["event_lines"] + record["statement_lines"]
    ended += sum(record["ignored"].values()) + sum(record["refused"].values())
    assert record["lines"] == ended == len(result.lines) > 0
    assert set(record["refused"]) <= set(REFUSAL_CODES)
    said = {number for message in result.output for number in message.lines}
    assert said == {number for number, line in enumerate(result.lines) if line.fate in ("event", "statement")}
    for body in result.bodies():
        if not body["type"].startswith(("statement", "stock_stated", "promise_stated")):
            ANY_EVENT.validate_python(body)
    for refusal in refusals_of(result):
        assert refusal["message"] and refusal["line_id"].isascii() and " " not in refusal["line_id"]


def fates(result: Translation) -> list[str]:
    """Where each line ended: `event`, `statement`, the reason for which it was ignored, the code of its refusal."""
    return [line.reason or line.fate for line in result.lines]
