"""What would do about each sort of problem: one sentence each, for who has the file in front of them."""

from __future__ import annotations

from typing import Final

from flows.adapters.files.rows import AMBIGUOUS, NO_MOMENT, NOT_A_TABLE, REPEATED
from schemas import codes

#: By the sort of a problem where it has one, else by its code.
OF_A_LINE: Final = {
    AMBIGUOUS: "say how the file writes numbers: --decimal , (1.000 is a thousand) or --decimal . (1.000 is one)",
    NO_MOMENT: "say when the numbers were true: --at 2026-03-01T06:00:00Z, or a column occurred_at",
    REPEATED: "keep the line that is right: of two lines about the same thing only one could stand",
    NOT_A_TABLE: "put text that holds the separator or a line's end into double quotes, and close each of them",
    codes.NOT_JSON: "write one JSON object a line, without a comma between lines",
    codes.NOT_AN_OBJECT: "write one JSON object a line, and no array around them",
    codes.MISSING_FIELD: "fill the cell, or name the column as docs/import.md does",
    codes.BAD_VALUE: "correct the cell: the sentence says what it may hold (for a decimal comma, say --decimal ,)",
    codes.TOO_LARGE: "shorten the line",
    codes.UNKNOWN_ITEM: "add the item to items.csv and import it with this file, or correct the code",
    codes.UNKNOWN_LOCATION: "add the location to locations.csv and import it with this file, or correct the code",
    codes.UNKNOWN_CHANNEL: "add the channel to channels.csv and import it with this file, or correct the code",
    codes.UNKNOWN_UOM: "add the unit to the item's conversions, or write the quantity in its base unit",
    codes.QUANTITY_NOT_EXACT: "raise the item's scale, or write a quantity that it can count (not half an each), "
    "or say rounding safe for the item",
    codes.NOT_ALLOWED: "import as a source that may say this (--source), or change [sources.<name>] in the settings",
    codes.UNKNOWN_ALIAS: "add the alias that the sentence names to inventory.aliases",
    codes.LATE: "give the moment of a newer count, or a longer dedup_window for this source",
    codes.IN_THE_FUTURE: "give a moment that has come, with the right offset (Z is UTC)",
}

#: By the code with which the engine refused what was sent.
OF_A_REFUSAL: Final = {
    codes.CONFLICT: "something else was said of the same at the same moment, and stands: say what is corrected with "
    "a later --at. An allocation is taken once for an order line: leave `allocated` away, and send the difference as "
    "order_allocated or order_released",
    codes.LATE: "the engine read it too late: take stock anew, or set a longer dedup_window for this source",
    codes.UNKNOWN_ITEM: "the engine had not read the item yet: run the same command again",
    codes.UNKNOWN_LOCATION: "the engine had not read the location yet: run the same command again",
    codes.UNKNOWN_CHANNEL: "the engine had not read the channel yet: run the same command again",
    codes.BAD_VALUE: "the engine knows something that contradicts it: the sentence says what",
    codes.NOT_ALLOWED: "the engine's settings do not let this source say it: [sources.<name>] where the engine runs",
}


def for_a_line(code: str, sort: str) -> str:
    """Give what would do about a line that is wrong."""
    return OF_A_LINE.get(sort) or OF_A_LINE.get(code, "")


def for_a_refusal(code: str) -> str:
    """Give what would do about what the engine refused."""
    return OF_A_REFUSAL.get(code) or OF_A_LINE.get(code, "")
