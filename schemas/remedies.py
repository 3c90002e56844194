"""What to do about each thing that was refused: one sentence a code, the same in the log, the commands and the runbook.

Each begins with who has to act. A refused event has left no trace: it may come again under the same event_id.
"""

from __future__ import annotations

from typing import Final

from schemas import codes

REMEDIES: Final[dict[str, str]] = {
    codes.NOT_JSON: (
        "the sender writes one JSON object in UTF-8 a message (no byte order mark, no NaN), and sends it again"
    ),
    codes.NOT_AN_OBJECT: (
        "the sender writes an object and not a list or a bare value: one event a message, and sends it again"
    ),
    codes.UNKNOWN_TYPE: (
        "the sender corrects the field type (the message names the nearest, atp schema lists all), and sends it again"
    ),
    codes.UNSUPPORTED_VERSION: (
        "the sender leaves schema_version out or writes 1; if this engine is too old for it, update it and replay"
    ),
    codes.MISSING_FIELD: (
        "the sender adds the field that the message names (atp schema TYPE shows which it needs), and sends it again"
    ),
    codes.BAD_VALUE: (
        "the sender corrects the field that the message names (atp schema TYPE says what it may be), and sends it again"
    ),
    codes.TOO_LARGE: (
        "the sender splits it into several events with ids of their own; or raise max_message_bytes, restart and replay"
    ),
    codes.UNKNOWN_ITEM: (
        "send the item to inventory.items, then replay; if its code is a typing error, the sender corrects it"
    ),
    codes.UNKNOWN_LOCATION: (
        "send the location to inventory.locations, then replay; if its code is a typing error, the sender corrects it"
    ),
    codes.UNKNOWN_CHANNEL: (
        "send the channel to inventory.channels, then replay; if its code is a typing error, the sender corrects it"
    ),
    codes.UNKNOWN_UOM: "add the unit of measure to the item's record in inventory.items, then replay",
    codes.QUANTITY_NOT_EXACT: (
        "the sender counts in a unit that comes out exact; an item without state may get a greater scale instead, or "
        "rounding safe where less than one smallest unit an event does no harm; then replay"
    ),
    codes.NOT_ALLOWED: (
        "if the source may say this, add it to its section [sources.NAME], restart and replay; if not, ask its owner"
    ),
    codes.UNKNOWN_ALIAS: (
        "send the alias that the message names to inventory.aliases: atp translate then tries the line again by itself"
    ),
    codes.LATE: (
        "ask why it came so late; count what matters with stock_counted, or replay what is new with --accept-late"
    ),
    codes.IN_THE_FUTURE: "the sender's clock is set right, and the event sent again with its true occurred_at",
    codes.CONFLICT: (
        "atp dead-letters show NAME says what differs from the event that stands; a correction needs a new event_id"
    ),
}
"""By code of refusal, all of them."""
