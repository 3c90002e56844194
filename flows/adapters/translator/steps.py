"""The translator's steps: they keep and pass on; what is decided is decided in operators/adapters."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import xxhash
from bytewax.operators import StatefulBatchLogic

from flows.adapters.translator.shared import Lookup, Shared
from flows.adapters.translator.words import (
    ACCOUNTS,
    SHARDS,
    SINK,
    Accounted,
    AliasNews,
    AliasRefused,
    FromMemory,
    Opened,
    Raw,
    Ready,
    ToMemory,
    TryAgain,
    Waiting,
)
from flows.log import get_log
from operators.adapters import debezium
from operators.adapters.account import Fact, Refused, Translation, one_line
from operators.adapters.alias_records import ALIASES_MAX, judge_alias
from operators.adapters.kinds import translate
from operators.adapters.memory import RULES, resolve
from operators.adapters.remembered import Known, Settled
from operators.adapters.retelling import (
    became_of,
    first_told,
    pack_became,
    refused_lines,
    retell,
    settle_kept,
)
from schemas.codes import BAD_VALUE, TOO_LARGE, UNKNOWN_ALIAS
from schemas.documents import REFUSED_HEADER, STOOD_HEADER
from schemas.units import Refusal

log = get_log(__name__)

#: Messages of a source that wait for aliases. Those beyond are in their accounts like all: `--replay` has them.
WAITING_MAX: Final = 10_000
#: Of their accounts, which are in the snapshot of each epoch in which one comes: 50 bytes a line, so 300,000 lines.
WAITING_BYTES_MAX: Final = 16_000_000
#: What nobody spoke of for longer than any window may be is forgotten: what comes of it then is late.
FORGOTTEN_AFTER_DAYS: Final = 400

Said = tuple[Iterable[tuple[str, Any]], bool]


def day_now() -> int:
    """Days since 1970."""
    return int(datetime.now(UTC).timestamp()) // 86_400


def shard_of(source: str, fact: Fact) -> str:
    """Name the shard that remembers a fact's key."""
    number = xxhash.xxh3_64_intdigest(f"{source}\0{fact.rule}\0{fact.key}".encode("utf-8", "surrogatepass")) % SHARDS
    return f"{number:04d}"


# --- without a memory -------------------------------------------------------------------------------------------------


def open_message(shared: Shared, raw: Raw) -> list[tuple[str, Any]]:
    """Translate a message; what its facts become is asked of the memory."""
    origin = raw.origin
    lookup = shared.lookup(raw.source)
    lookup.missing.clear()
    translation = _translated(shared, raw)
    if raw.before is not None and raw.again is not None:
        retold = retell(translation, raw.before, raw.again.does, raw.again.code)
    else:
        retold = first_told(translation)
    name = f"{origin.topic}/{origin.partition}/{origin.offset}"
    opened = Opened(name, raw, retold, frozenset(lookup.missing))
    facts = [
        (shard_of(raw.source, fact), ToMemory(name, number, raw.source, fact))
        for number, fact in enumerate(retold.translation.facts)
    ]
    return [(ACCOUNTS, opened), *facts]


def _translated(shared: Shared, raw: Raw) -> Translation:
    value = raw.origin.value
    kind = shared.settings.sources[raw.source].kind if raw.source in shared.settings.sources else None
    if value is None and kind == debezium.KIND:
        value = b""  # a tombstone: the key of a row that was deleted, for compaction
    if value is None:
        told = "value: expected what a system sent, got nothing"
        return one_line(kind or "unknown", "message", Refused(BAD_VALUE, told))
    if raw.headers.get(REFUSED_HEADER, "").startswith(TOO_LARGE):
        # The first bytes of what no message can hold: whoever sent it says where it stood.
        told = raw.headers[REFUSED_HEADER].removeprefix(TOO_LARGE).lstrip(": ")
        return one_line(kind or "unknown", raw.headers.get(STOOD_HEADER, "document"), Refused(TOO_LARGE, told))
    size_max = shared.settings.max_message_bytes
    if len(value) > size_max:
        told = f"value: expected at most {size_max} bytes, got {len(value)}"
        return one_line(kind or "unknown", "message", Refused(TOO_LARGE, told))
    reader = shared.reader(raw.source)
    try:
        return translate(value, replace(reader.context, headers=raw.headers), reader.kind)
    except Exception as error:
        # A mistake of ours, and no broken state: nothing was kept yet. One document that an adapter fails at must not
        # stop all that others send; it is refused aloud, and a replay tries it once the adapter is mended.
        origin = raw.first
        # Its kind and place alone: its own words may hold what the message does, and no log line has that.
        last = traceback.extract_tb(error.__traceback__)[-1]
        failed = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        log.error(
            f"{origin.topic}/{origin.partition}/{origin.offset}: the adapter failed at it ({failed}): refused whole",
            kind="adapter_failed",
            next="report it with the message; then atp translate --replay --code bad_value",
        )
        told = f"content: expected what the adapter can read, got what it fails at ({failed}): report it"
        return one_line(kind or "unknown", "message", Refused(BAD_VALUE, told))


# --- what facts become ------------------------------------------------------------------------------------------------


class MemoryStep(StatefulBatchLogic[ToMemory, tuple[str, FromMemory], bytes]):
    """One shard of what is remembered: by key, packed, with the day on which it was last spoken of."""

    def __init__(self, state: bytes | None) -> None:
        self._known: dict[str, tuple[int, bytes]] = msgspec.msgpack.decode(state, type=_Memory) if state else {}

    def on_batch(self, values: list[ToMemory]) -> Said:
        """Settle each fact in the order in which they come."""
        today = day_now()
        out = []
        for value in values:
            fact = value.fact
            key = f"{value.source}\0{fact.rule}\0{fact.key}"
            last = self._known.get(key)
            known: Known | None = msgspec.msgpack.decode(last[1]) if last is not None else None
            settled = RULES[fact.rule](known, fact)
            self._known[key] = (today, msgspec.msgpack.encode(settled.known))
            out.append((ACCOUNTS, FromMemory(value.name, value.number, settled)))
        return out, False

    def snapshot(self) -> bytes:
        """Give it all, without what is past every window."""
        oldest = day_now() - FORGOTTEN_AFTER_DAYS
        if any(day < oldest for day, _ in self._known.values()):
            self._known = {key: entry for key, entry in self._known.items() if entry[0] >= oldest}
        return msgspec.msgpack.encode(self._known)


_Memory = dict[str, tuple[int, bytes]]


class _Answers:
    """What the memory said, as `resolve` asks for it."""

    def __init__(self, settled: list[Settled]) -> None:
        self._left = iter(settled)

    def settle(self, source: str, fact: Fact) -> Settled:
        """Give the next."""
        return next(self._left)


# --- the account of each message --------------------------------------------------------------------------------------


class AccountStep(StatefulBatchLogic[Any, tuple[str, Accounted], None]):
    """Puts together what a message became.

    A message's facts are settled in the epoch in which it is read: nothing is here when one ends.
    """

    def __init__(self) -> None:
        self._opened: dict[str, Opened] = {}
        self._settled: dict[str, dict[int, Settled]] = {}

    def on_batch(self, values: list[Any]) -> Said:
        """Give the accounts that are whole."""
        touched: dict[str, None] = {}
        for value in values:
            touched[value.name] = None
            if type(value) is Opened:
                self._opened[value.name] = value
            else:
                self._settled.setdefault(value.name, {})[value.number] = value.settled
        out = []
        for name in touched:
            opened, settled = self._opened.get(name), self._settled.get(name, {})
            if opened is not None and len(settled) == len(opened.retold.translation.facts):
                del self._opened[name]
                self._settled.pop(name, None)
                out.append((SINK, _accounted(opened, [settled[number] for number in sorted(settled)])))
        return out, False

    def snapshot(self) -> None:
        """Nothing is left when an epoch ends."""
        if self._opened or self._settled:
            raise AssertionError(f"messages without an account at the end of an epoch: {sorted(self._opened)}")


def _accounted(opened: Opened, settled: list[Settled]) -> Accounted:
    raw, retold = opened.raw, opened.retold
    whole = settle_kept(resolve(retold.translation, raw.source, _Answers(settled)), retold)
    before = raw.before if raw.again is not None else None
    output = [*retold.reversals, *(message.body for message in whole.output[len(retold.standing) :])]
    origin = raw.first
    refused = refused_lines(whole, retold, before)
    origin.lines = max(1, len(refused))
    refusals = [Refusal(origin, code, told, place, raw.source, whole.kind) for place, code, told in refused]
    missing = opened.missing if UNKNOWN_ALIAS in whole.refused() else frozenset[tuple[str, str]]()
    return Accounted(raw, whole, output, refusals, pack_became(became_of(whole, retold)), missing)


# --- aliases, and what waits for them ---------------------------------------------------------------------------------


class _Saved(msgspec.Struct, array_like=True):
    """A source's aliases, and the messages that wait. Stored: fields are added at the end."""

    source: str
    rows: list[tuple[str, str, str]]
    waiting: dict[str, Waiting]


_saved = msgspec.msgpack.Decoder(_Saved)


class AliasStep(StatefulBatchLogic[AliasNews | Accounted, tuple[str, Any], bytes]):
    """The aliases of one source: what was accepted stays in force while a newer record is wrong."""

    def __init__(self, shared: Shared, state: bytes | None) -> None:
        self._shared = shared
        self._waiting: dict[str, Waiting] = {}
        self._rows: dict[tuple[str, str], str] = {}
        #: whose they are; records that name nobody have a step as well, which refuses them
        self._source = ""
        if state is not None:
            saved = _saved.decode(state)
            self._rows = {(kind, theirs): ours for kind, theirs, ours in saved.rows}
            self._waiting = saved.waiting
            self._begin(saved.source)

    def on_batch(self, values: list[AliasNews | Accounted]) -> Said:
        """Take records and what waits; say what is to be tried again."""
        out: list[tuple[str, Any]] = []
        changed: set[tuple[str, str]] = set()
        is_read = False
        for value in values:
            if isinstance(value, Accounted):
                self._begin(value.raw.source)
                self._wait(value)
                continue
            for origin in value.records:
                self._take(origin, changed, out)
            if value.is_read:
                is_read = True
                self._begin(value.source)
        if changed:
            self._shared.forget_known(self._source)
        # Also where none changed now: one may have come between a message's translation and its account.
        out += self._due()
        if self._source:
            self._shared.metrics.waiting(self._source, len(self._waiting))
        if is_read:
            out.append((SINK, Ready(self._source)))
        return out, False

    def _begin(self, source: str) -> None:
        if source and not self._source:
            self._source = source
            lookup: Lookup = self._shared.lookup(source)
            lookup.rows = self._rows

    def _take(self, origin: Any, changed: set[tuple[str, str]], out: list[tuple[str, Any]]) -> None:
        try:
            record = judge_alias(origin.key, origin.value, self._shared.settings.max_message_bytes)
            if record.ours is not None and len(self._rows) >= ALIASES_MAX:
                raise Refused(BAD_VALUE, f"key: expected at most {ALIASES_MAX} aliases of a source, got one more")
        except Refused as refusal:
            out.append((SINK, AliasRefused(Refusal(origin, refusal.code, str(refusal), None))))
            return
        self._begin(record.source)
        name = (record.kind, record.theirs)
        if record.ours is None:
            self._rows.pop(name, None)
        else:
            self._rows[name] = record.ours
        changed.add(name)

    def _wait(self, accounted: Accounted) -> None:
        origin = accounted.raw.first
        name = f"{origin.topic}/{origin.partition}/{origin.offset}"
        self._waiting.pop(name, None)
        is_room = self._bytes() + len(accounted.became) <= WAITING_BYTES_MAX and len(self._waiting) < WAITING_MAX
        if accounted.missing and is_room:
            place = (origin.topic, origin.partition, origin.offset, origin.timestamp_ms)
            self._waiting[name] = Waiting(*place, sorted(accounted.missing), accounted.became)

    def _bytes(self) -> int:
        return sum(len(one.became) for one in self._waiting.values())

    def _due(self) -> list[tuple[str, Any]]:
        names = [
            name for name, one in self._waiting.items() if any(tuple(missing) in self._rows for missing in one.missing)
        ]
        return [(SINK, TryAgain(self._source, self._waiting.pop(name))) for name in names]

    def snapshot(self) -> bytes:
        """Give aliases and what waits."""
        rows = [(kind, theirs, ours) for (kind, theirs), ours in self._rows.items()]
        return msgspec.msgpack.encode(_Saved(self._source, rows, self._waiting))
