"""What a conflict says: which field differs from what was applied first, and which of the two stands.

Of what was applied only fingerprints are kept: 64 bits of all of it, which decide, and a few of each group of fields
(`native.digest`), which name the group. So a field that is named does differ; one in 16 to 128 that differ looks the
same, and if that was the only one, the sentence says so. A reversal differs from its plain event as the opposite of its
quantity does; `part_of` and `best_before` are in the groups of the ids and of the times.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from operators.rules import native
from schemas.event_table import EVENTS, REVERSIBLE
from schemas.units import EventType, Unit

#: the groups of native.DIGEST_BITS
GROUPS = (
    ("type",),
    ("quantity",),
    ("occurred_at",),
    ("location",),
    ("lot", "status", "quarantined", "channel"),
    ("order_id", "transfer_id", "receipt_id", "to_location", "part_of"),
    ("eta", "expires_at", "requested_at", "best_before"),
)
ORDER_TYPES = frozenset(int(spec.number) for spec in EVENTS.values() if spec.is_order)
#: fields that types of orders have, and all others
OF_ORDERS = frozenset({"channel", "order_id", "expires_at", "requested_at"})
NOT_OF_ORDERS = frozenset(
    {"lot", "status", "quarantined", "transfer_id", "receipt_id", "to_location", "eta", "order_id"}
)
#: of a type that has a field of its own: what it has of the groups
OF_THIS_TYPE = {
    int(EventType.RECEIPT_EXPECTED): frozenset({"receipt_id", "part_of", "eta"}),
    int(EventType.LOT_DATED): frozenset({"lot", "best_before"}),
}
REVERSIBLE_TYPES = frozenset(int(EVENTS[name].number) for name in REVERSIBLE)
#: all bits of a quantity's hash: those of the opposite quantity are all others
OPPOSITE = (1 << native.DIGEST_BITS[GROUPS.index(("quantity",))]) - 1


def conflict_message(unit: Unit, quantity: int, quarantined: int | None, first: int, now: int) -> str:
    """Say what differs from the unit that was applied first; `first` and `now`: the digests (0: it is not known)."""
    stands = f"what event {unit.event_id} of {unit.source} said first, which stands"
    if not first:
        return f"event_id: expected {stands}, got other content (the first is from before fields were told apart)"
    fields, before, after = [], [], []
    at = 0
    for names, bits in zip(GROUPS, native.DIGEST_BITS, strict=True):
        old, new = (digest >> at & (1 << bits) - 1 for digest in (first, now))
        at += bits
        if old != new:
            shown = _fields_of(unit, names)
            if names == ("quantity",) and (unit.reversal or (unit.type in REVERSIBLE_TYPES and old ^ new == OPPOSITE)):
                shown = ["quantity", "reversal"]
            fields.append(" or ".join(shown))
            if names == ("type",):
                before.append(_type(old))
                after.append(_type(new))
            else:
                before.append(f"hash {old:02x}")
                after.append(f"{_value(unit, names, quantity, quarantined)} (hash {new:02x})")
    if not fields:
        return f"event_id: expected {stands}, got other content (what differs looks alike)"
    return f"{', '.join(fields)}: expected {stands} ({', '.join(before)}), got {', '.join(after)}"


def _fields_of(unit: Unit, names: tuple[str, ...]) -> list[str]:
    """Name those fields of a group that the unit's type may have."""
    if len(names) == 1:
        return list(names)
    known = OF_THIS_TYPE.get(unit.type) or (OF_ORDERS if unit.type in ORDER_TYPES else NOT_OF_ORDERS)
    # Of another type than the first it may have none of them: what differs is what that one had.
    return [name for name in names if name in known] or list(names)


def _value(unit: Unit, names: tuple[str, ...], quantity: int, quarantined: int | None) -> str:
    """What the unit says in a group of fields."""
    if names == ("quantity",):
        if unit.type == EventType.ORDER_CANCELLED and unit.quantity is None:
            return "none"
        return f"a reversal of {quantity}" if unit.reversal else str(quantity)
    said = []
    for name in _fields_of(unit, names):
        value = quarantined if name == "quarantined" else getattr(unit, name)
        if value is not None and value != "":
            said.append(_time(value) if name in TIMES else _date(value) if name == "best_before" else str(value))
    return " ".join(said) or "none"


def _type(number: int) -> str:
    return EventType(number).name.lower() if number in TYPES else f"type {number}"


def _time(moment: int) -> str:
    """Give UTC microseconds as RFC 3339."""
    seconds, micros = divmod(moment, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{micros:06d}Z"


def _date(day: int) -> str:
    """Give days since 1970 as YYYY-MM-DD."""
    return f"{date(1970, 1, 1) + timedelta(days=day)}"


TYPES = frozenset(int(kind) for kind in EventType)
TIMES = frozenset({"occurred_at", "eta", "expires_at", "requested_at"})
