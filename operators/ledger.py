"""How a shard's state becomes bytes, so that an epoch costs what changed and not what is there.

Each item is a handful of records (`c` a cell, `m` its journals, `l` a line, `t` a transfer, `r` a receipt, `h` a lot's
word, `i` the item itself, `y` its policies). A snapshot is a chain of *layers*; each holds the records that changed
since the one before, and the newest record of a key stands, except that an `m` record says how much of the journals
so far stays and what is added: a journal of a day is not written again for every movement. Records are decoded when an
item is first touched. These shapes are a storage format: FORMAT rises with every change that older code cannot read.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from operators import position
from schemas.state import ZEROS, Cell, Item, Line, Place, Receipt, Transfer

FORMAT = 1
#: between the kind and the names in a record's key; no code or id can hold it
SEPARATOR = "\x1f"
#: the kind of a journal's record
JOURNAL = "m"

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder().decode
_decode_records = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
NIL = msgspec.Raw(_encode(None))


def join_records(older: Mapping[str, msgspec.Raw], newer: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """Give the newer layer's records of one item, its journals joined with what the older ones hold."""
    for key, raw in newer.items():
        if key[0] == JOURNAL:
            before = older.get(key)
            if before is not None:
                newer[key] = msgspec.Raw(_encode(join_journals(_decode(before), _decode(raw))))
    return newer


def records_of(item: Item) -> dict[str, Any]:
    """Give what changed of an item since the last snapshot, to be encoded before it changes again; None: gone."""
    records: dict[str, Any] = {}
    for kind, one, other in item.dirty:
        key = f"{kind}{SEPARATOR}{one}{SEPARATOR}{other}"
        if kind == "l":
            records[key] = item.lines.get((one, other))
        elif kind == "c":
            records[key] = _write_cell(item, one, other)
            journal = write_journal(item, one, other)
            if journal is not None:
                records[JOURNAL + key[1:]] = journal
        else:
            records[key] = _WRITERS[kind](item, one, other)
    item.dirty.clear()
    return records


def decode_item(code: str, layers: Iterable[msgspec.Raw]) -> Item:
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
        position.settle_line(item, line)
    for named, transfer in item.transfers.items():
        position.count_transfer(item, named[1], transfer, 1)
        position.watch(item, "t", named, transfer)
    for named, receipt in item.receipts.items():
        position.count_receipt(item, named[1], receipt, 1)
        position.watch(item, "r", named, receipt)
    return item


def _write_cell(item: Item, location: str, lot: str) -> Any:
    place = item.places.get(location)
    if place is None:
        return None
    cell = place.cell if not lot else (place.lots or {}).get(lot)
    if cell is None:
        return None
    return (cell.on_hand, cell.quarantined, cell.count, cell.quarantine_count, place.shown if not lot else None)


def _read_cell(item: Item, raw: msgspec.Raw, location: str, lot: str) -> None:
    cell = _cell(item, location, lot)
    cell.on_hand, cell.quarantined, count, quarantine_count, shown = _decode(raw)
    cell.count = tuple(count) if count else None
    cell.quarantine_count = tuple(quarantine_count) if quarantine_count else None
    if not lot:
        position.place_of(item, location).shown = tuple(shown) if any(shown) else ZEROS


def _cell(item: Item, location: str, lot: str) -> Cell:
    place: Place = position.place_of(item, location)
    if not lot:
        return place.cell
    if place.lots is None:
        place.lots = {}
    return place.lots.setdefault(lot, Cell())


def write_journal(item: Item, location: str, lot: str) -> tuple[int, bytes, int, bytes] | None:
    """Give what the last layer lacks of a cell's journals: (entries that stay, what is added) twice; None: nothing."""
    place = item.places.get(location)
    cell = None if place is None else place.cell if not lot else (place.lots or {}).get(lot)
    if cell is None:
        return None
    moves, quarantine_moves = cell.moves or _NO_MOVES, cell.quarantine_moves or _NO_MOVES
    stays, quarantine_stays = max(0, cell.recorded), max(0, cell.quarantine_recorded)
    if cell.recorded == len(moves) and cell.quarantine_recorded == len(quarantine_moves):
        return None
    cell.recorded, cell.quarantine_recorded = len(moves), len(quarantine_moves)
    return (stays, moves[stays:].tobytes(), quarantine_stays, quarantine_moves[quarantine_stays:].tobytes())


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


_NO_MOVES = array("q")
_ENTRY = _NO_MOVES.itemsize


def _read_line(item: Item, raw: msgspec.Raw, order_id: str, line_id: str) -> None:
    line = item.lines[order_id, line_id] = _decode_line(raw)
    line.claimed = None
    for at in line.at.values():
        at.claimed = 0


def _read_transfer(item: Item, raw: msgspec.Raw, transfer_id: str, destination: str) -> None:
    item.transfers[transfer_id, destination] = _decode_transfer(raw)


def _read_receipt(item: Item, raw: msgspec.Raw, receipt_id: str, location: str) -> None:
    item.receipts[receipt_id, location] = _decode_receipt(raw)


def _write_hold(item: Item, lot: str, location: str) -> Any:
    return item.holds.get((lot, location))


def _read_hold(item: Item, raw: msgspec.Raw, lot: str, location: str) -> None:
    value = _decode(raw)
    item.holds[lot, location] = (tuple(value[0]), value[1])


def _write_item(item: Item) -> Any:
    exceptions = [(*key, first_seen) for key, first_seen in item.open_exceptions.items()]
    return (item.as_of, item.published, exceptions, item.unlocated_shown, item.day_shown)


def _read_item(item: Item, raw: msgspec.Raw, *_: str) -> None:
    item.as_of, published, exceptions, item.unlocated_shown, item.day_shown = _decode_itself(raw)
    item.published = published
    item.open_exceptions = {(code, location, reference): seen for code, location, reference, seen in exceptions}


def _read_policy(item: Item, raw: msgspec.Raw, *_: str) -> None:
    item.policy, item.overrides, item.units = _decode(raw)


_decode_line = msgspec.msgpack.Decoder(Line).decode
_decode_transfer = msgspec.msgpack.Decoder(Transfer).decode
_decode_receipt = msgspec.msgpack.Decoder(Receipt).decode
_decode_itself = msgspec.msgpack.Decoder(
    tuple[int, dict[str, tuple[int, tuple[int, ...] | None]], list[tuple[str, str, str, int]], int, int]
).decode

_WRITERS: dict[str, Callable[[Item, str, str], Any]] = {
    "t": lambda item, transfer_id, destination: item.transfers.get((transfer_id, destination)),
    "r": lambda item, receipt_id, location: item.receipts.get((receipt_id, location)),
    "h": lambda item, lot, location: item.holds.get((lot, location)),
    "i": lambda item, *_: _write_item(item),
    "y": lambda item, *_: (item.policy, item.overrides, item.units),
}
_READERS: dict[str, Callable[..., None]] = {
    "c": _read_cell,
    JOURNAL: _read_journal,
    "l": _read_line,
    "t": _read_transfer,
    "r": _read_receipt,
    "h": _read_hold,
    "i": _read_item,
    "y": _read_policy,
}
