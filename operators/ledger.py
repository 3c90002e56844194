"""How a shard's state becomes bytes, so that an epoch costs what changed and not what is there.

Each item is a handful of records (`c` a cell, `m` its journals, `b` what was in it before its newest count, `l` a
line, `t` a transfer, `r` a receipt, `h` a lot's word, `g` a lot's words of before, `d` a lot's date, `w` what a source
withholds at a location, `p` a row of an open statement that is in variance, `v` a variance, `i` the item itself, `y`
its policies). A snapshot is a chain of *layers*; each holds the records that changed since the one before, and the
newest record of a key stands, except that an `m` record says how much of the journals so far stays and what is added: a
journal of a day is not written again for every movement. Records are decoded when an item is first touched. These
shapes are a storage format: FORMAT rises with every change that older code cannot read; FORMATS are those that this
code reads. 2 has digests with the ids (`ids.WITH_DIGESTS`), 1 has none; 3 says of a line when it was cancelled and what
of it, and has `d` and `w`; 4 has `b`, `g`, `p` and `v`, and a snapshot
names where the layers lie that are not sealed, and no longer holds them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from sys import intern
from typing import Any

import msgspec

from operators import position
from operators.rules import lines, native
from operators.rules.days import Days
from schemas.aside import Pasts
from schemas.reconciled import Judged, Standing
from schemas.state import (
    NO_HANDLINGS,
    NOTHING,
    Cancellations,
    Cell,
    Chain,
    Item,
    Line,
    LineAt,
    Moment,
    Place,
    Receipt,
    Transfer,
    own,
)

FORMAT = 4
FORMATS = (1, 2, 3, 4)
#: from which format on the rules of promises are those of today
RULES_SINCE = 3
#: between the kind and the names in a record's key; no code or id can hold it
SEPARATOR = "\x1f"
#: the kind of a journal's record
JOURNAL = "m"
_encode = msgspec.msgpack.Encoder().encode
#: the keys of an item's own record, of its policies, and of where its trail stands
_ITSELF, _POLICIES, _TRAIL = (_encode(f"{kind}{SEPARATOR}{SEPARATOR}") for kind in "iyx")
_decode = msgspec.msgpack.Decoder().decode
_decode_records = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_NIL = _encode(None)
NIL = msgspec.Raw(_NIL)
#: location -> keys of its records; there are a few locations for many items
PLACES_MAX = 100_000
_place_keys: dict[str, tuple[bytes, bytes]] = {}


def join_records(older: Mapping[str, msgspec.Raw], newer: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """Give the newer layer's records of one item, its journals joined with what the older ones hold."""
    for key, raw in newer.items():
        if key[0] == JOURNAL:
            before = older.get(key)
            if before is not None:
                newer[key] = msgspec.Raw(_encode(join_journals(_decode(before), _decode(raw))))
    return newer


def records_of(item: Item) -> bytes:
    """Give what changed of an item since the last snapshot as a MessagePack mapping; b"" if nothing did. None: gone."""
    parts: list[bytes] = []
    if item.is_dirty:
        item.is_dirty = False
        exceptions = [(*key, first_seen) for key, first_seen in item.open_exceptions.items()]
        parts.append(_ITSELF)
        parts.append(
            native.packed_promises(item.as_of, item.published, exceptions, item.unlocated_shown, item.day_shown)
        )
    if item.has_new_policies:
        item.has_new_policies = False
        parts.append(_POLICIES)
        parts.append(_encode((item.policy, item.overrides, item.units)))
    if item.trail is not None and item.trail.is_dirty:
        item.trail.is_dirty = False
        parts.append(_TRAIL)
        parts.append(native.packed_chain(item.trail))
    for location, place in item.places.items():
        if place.is_dirty:
            place.is_dirty = False
            keys = _place_keys.get(location)
            if keys is None:
                keys = _keys_of(location)
            parts.append(keys[0])
            parts.append(native.packed_place(place))
            _add_journal(parts, keys[1], place)
            if place.past is not None:
                parts.append(native.packed_key("b", location, ""))
                parts.append(_packed_past(place))
    if item.dirty_lines is not None:
        for key in item.dirty_lines:
            line = item.lines.get(key)
            if line is not None and line.is_dirty:  # else it is gone, and noted among the others, or written
                line.is_dirty = False
                parts.append(native.packed_key("l", key[0], key[1]))
                parts.append(native.packed_claim(line))
        item.dirty_lines = None
    if item.dirty is not None:
        for kind, one, other in item.dirty:
            _add_record(parts, item, kind, one, other)
        item.dirty = None
    if not parts:
        return b""
    return native.packed_map_size(len(parts) // 2) + b"".join(parts)


def _keys_of(location: str) -> tuple[bytes, bytes]:
    """The keys of a place's record and its journals'."""
    if len(_place_keys) >= PLACES_MAX:
        _place_keys.clear()
    keys = _place_keys[location] = (native.packed_key("c", location, ""), native.packed_key(JOURNAL, location, ""))
    return keys


def _add_record(parts: list[bytes], item: Item, kind: str, one: str, other: str) -> None:
    parts.append(native.packed_key(kind, one, other))
    if kind == "l":
        line = item.lines.get((one, other))
        parts.append(_NIL if line is None else native.packed_claim(line))
    elif kind == "t":
        parts.append(_encode(item.transfers.get((one, other))))
    elif kind == "r":
        parts.append(_encode(item.receipts.get((one, other))))
    elif kind == "h":
        parts.append(_encode(item.holds.get((one, other))))
    elif kind == "d":
        parts.append(_encode(position.rare_of(item).best_before.get(one)))
    elif kind == "w":  # of a source; with no source the figure that is shown
        withheld = position.withheld_of(item, one)
        parts.append(_encode(withheld.words.get(other) if other else withheld.shown))
    elif kind == "g":
        parts.append(_encode(position.rare_of(item).lot_words.get((one, other))))
    elif kind == "p":
        parts.append(_encode(position.rare_of(item).judged.get(one)))
    elif kind == "v":
        parts.append(_encode(position.rare_of(item).variances.get(one)))
    else:
        cell = _known_cell(item, one, other)
        if cell is None:
            parts.append(_NIL)
        else:
            parts.append(native.packed_cell(cell))
            _add_journal(parts, native.packed_key(JOURNAL, one, other), cell)
            if cell.past is not None:
                parts.append(native.packed_key("b", one, other))
                parts.append(_packed_past(cell))


def _packed_past(cell: Cell) -> bytes:
    """What was put aside of a cell; once, that nothing is any more."""
    past = cell.past
    assert past is not None
    if past.on_hand is None and past.quarantined is None:
        cell.past = None
        return _NIL
    return _encode(past)


def wake_of(item: Item) -> int | None:
    """When the first soft claim of an item lapses; None if none will."""
    if not item.expiring:
        return None
    return min([item.lines[key].expires_at or 0 for key in item.expiring])


def decode_item(code: str, layers: Iterable[msgspec.Raw], days: Days) -> Item:
    """Build an item from its records, oldest layer first."""
    records: dict[str, Any] = {}
    for layer in layers:
        records |= join_records(records, _decode_records(layer))
    item = Item(code)
    for key, raw in records.items():
        kind, *names = key.split(SEPARATOR)
        if raw != NIL:
            _READERS[kind](item, raw, *names)
    for name, line in item.lines.items():
        position.note_expiry(item, name, line)
        position.settle_line(item, name, line, days)
    for named, transfer in item.transfers.items():
        position.count_transfer(item, named[1], transfer, 1, days)
        position.watch(item, "t", named, transfer)
    for (_, location), receipt in item.receipts.items():
        if receipt.part_of:
            position.add_part(item, location, receipt, 1)
    for named, receipt in item.receipts.items():
        position.count_receipt(item, named, receipt, 1, days)
        position.watch(item, "r", named, receipt)
    item.wake = wake_of(item)
    return item


def _read_cell(item: Item, raw: msgspec.Raw, location: str, lot: str) -> None:
    cell = _cell(item, location, lot)
    cell.on_hand, cell.quarantined, count, quarantine_count, shown = _decode(raw)
    cell.count = tuple(count) if count else None
    cell.quarantine_count = tuple(quarantine_count) if quarantine_count else None
    if not lot:
        place = position.place_of(item, location)
        place.shown = shown
        place.is_shown = any(shown)


def _cell(item: Item, location: str, lot: str) -> Cell:
    place: Place = position.place_of(item, location)
    if not lot:
        return place
    if place.lots is None:
        place.lots = {}
    return place.lots.setdefault(lot, Cell())


def _known_cell(item: Item, location: str, lot: str) -> Cell | None:
    place = item.places.get(location)
    if place is None or not lot:
        return place
    return None if place.lots is None else place.lots.get(lot)


def _add_journal(parts: list[bytes], key: bytes, cell: Cell) -> None:
    """Add what the last layer lacks of a cell's journals, if anything: (entries that stay, what is added) twice."""
    moves, quarantine_moves = cell.moves, cell.quarantine_moves
    size = 0 if moves is None else len(moves)
    quarantine_size = 0 if quarantine_moves is None else len(quarantine_moves)
    if cell.recorded == size and cell.quarantine_recorded == quarantine_size:
        return
    stays, quarantine_stays = max(0, cell.recorded), max(0, cell.quarantine_recorded)
    cell.recorded, cell.quarantine_recorded = size, quarantine_size
    parts.append(key)
    parts.append(native.packed_journal(stays, moves, quarantine_stays, quarantine_moves))


def join_journals(older: Any, newer: Any) -> tuple[int, bytes, int, bytes]:
    """Give one record that says what two in a row say."""
    stays, added, quarantine_stays, quarantine_added = newer
    if older is None:
        return (stays, added, quarantine_stays, quarantine_added)
    first, rest = _join(older[0], older[1], stays, added)
    second, quarantine_rest = _join(older[2], older[3], quarantine_stays, quarantine_added)
    return (first, rest, second, quarantine_rest)


def _join(older_stays: int, older_added: bytes, stays: int, added: bytes) -> tuple[int, bytes]:
    if stays <= older_stays:
        return stays, added
    return older_stays, older_added[: (stays - older_stays) * _ENTRY] + added


def _read_journal(item: Item, raw: msgspec.Raw, location: str, lot: str) -> None:
    cell = _cell(item, location, lot)
    stays, moves, quarantine_stays, quarantine_moves = _decode(raw)
    assert stays == 0 and quarantine_stays == 0, f"{item.code}: the journal's older layers are missing"
    cell.moves = array("q", moves) if moves else None
    cell.quarantine_moves = array("q", quarantine_moves) if quarantine_moves else None
    cell.recorded, cell.quarantine_recorded = len(moves) // _ENTRY, len(quarantine_moves) // _ENTRY


#: bytes a number of a journal takes
_ENTRY = array("q").itemsize


def _read_line(item: Item, raw: msgspec.Raw, order_id: str, line_id: str) -> None:
    known = item.lines = own(item.lines)
    line = known[order_id, line_id] = Line()
    (
        line.demand,
        placed,
        line.location,
        line.channel,
        line.expires_at,
        line.requested_at,
        line.cancelled,
        line.lapsed,
        line.last_at,
        places,
        _,
        *rest,
    ) = _decode(raw)
    line.placed = tuple(placed) if placed is not None else None
    if rest:
        line.cancellations = _cancellations(*rest[0])
    elif line.cancelled:
        # Of format 2, which did not keep when: whatever is newer than all that the line was told may reopen it.
        line.cancellations = _cancellations((line.last_at, "", ""), ())
    for location, values in places.items():
        at = line.at[intern(location)] = LineAt(intern(values[0]))
        _, at.allocated, at.released, at.picked, at.shipped, picks, shipments, _ = values
        at.picks = [tuple(handling) for handling in picks] if picks else NO_HANDLINGS
        at.shipments = [tuple(handling) for handling in shipments] if shipments else NO_HANDLINGS
        at.has_reversals = lines.has_reversal(at.picks) or lines.has_reversal(at.shipments)


def _cancellations(word: Sequence[Any] | None, parts: Iterable[Sequence[Any]]) -> Cancellations:
    found = Cancellations()
    found.word = _moment(word) if word is not None else None
    found.parts = [(_moment(moment), quantity) for moment, quantity in parts]
    found.cut = sum([quantity for _, quantity in found.parts])
    return found


def _moment(values: Sequence[Any]) -> Moment:
    occurred_at, event_id, source = values
    return (occurred_at, event_id, source)


def _read_transfer(item: Item, raw: msgspec.Raw, transfer_id: str, destination: str) -> None:
    transfers = item.transfers = own(item.transfers)
    transfers[transfer_id, destination] = _decode_transfer(raw)


def _read_receipt(item: Item, raw: msgspec.Raw, receipt_id: str, location: str) -> None:
    receipts = item.receipts = own(item.receipts)
    receipts[receipt_id, location] = _decode_receipt(raw)


def _read_hold(item: Item, raw: msgspec.Raw, lot: str, location: str) -> None:
    value = _decode(raw)
    holds = item.holds = own(item.holds)
    holds[lot, location] = (tuple(value[0]), value[1])


def _read_date(item: Item, raw: msgspec.Raw, lot: str, _: str) -> None:
    word, last_day = _decode(raw)
    position.rare_of(item).best_before[lot] = (_moment(word), last_day)


def _read_past(item: Item, raw: msgspec.Raw, location: str, lot: str) -> None:
    _cell(item, location, lot).past = _decode_pasts(raw)


def _read_lot_words(item: Item, raw: msgspec.Raw, lot: str, location: str) -> None:
    position.rare_of(item).lot_words[lot, location] = [(_moment(word), held) for word, held in _decode(raw)]


def _read_judged(item: Item, raw: msgspec.Raw, key: str, _: str) -> None:
    position.rare_of(item).judged[key] = _decode_judged(raw)


def _read_variance(item: Item, raw: msgspec.Raw, key: str, _: str) -> None:
    position.rare_of(item).variances[key] = _decode_standing(raw)


def _read_withheld(item: Item, raw: msgspec.Raw, location: str, source: str) -> None:
    withheld = position.withheld_of(item, location)
    if not source:
        withheld.shown = _decode(raw)
        return
    word, quantity = _decode(raw)
    withheld.words[source] = (_moment(word), quantity)
    withheld.total += quantity


def _read_item(item: Item, raw: msgspec.Raw, *_: str) -> None:
    item.as_of, published, exceptions, item.unlocated_shown, item.day_shown = _decode_itself(raw)
    item.published = published
    if exceptions:
        item.open_exceptions = {(code, location, reference): seen for code, location, reference, seen in exceptions}


def _read_trail(item: Item, raw: msgspec.Raw, *_: str) -> None:
    chain = item.trail = Chain()
    chain.number, chain.at, *chain.levels = _decode(raw)


def _read_policy(item: Item, raw: msgspec.Raw, *_: str) -> None:
    item.policy, overrides, item.units = _decode(raw)
    item.overrides = overrides or NOTHING


_decode_transfer = msgspec.msgpack.Decoder(Transfer).decode
_decode_pasts = msgspec.msgpack.Decoder(Pasts).decode
_decode_judged = msgspec.msgpack.Decoder(Judged).decode
_decode_standing = msgspec.msgpack.Decoder(Standing).decode
_decode_receipt = msgspec.msgpack.Decoder(Receipt).decode
_decode_itself = msgspec.msgpack.Decoder(
    tuple[int, dict[str, tuple[int, tuple[int, ...] | None]], list[tuple[str, str, str, int]], int, int]
).decode

_READERS: dict[str, Callable[..., None]] = {
    "c": _read_cell,
    JOURNAL: _read_journal,
    "l": _read_line,
    "t": _read_transfer,
    "r": _read_receipt,
    "h": _read_hold,
    "d": _read_date,
    "w": _read_withheld,
    "b": _read_past,
    "g": _read_lot_words,
    "p": _read_judged,
    "v": _read_variance,
    "x": _read_trail,
    "i": _read_item,
    "y": _read_policy,
}
