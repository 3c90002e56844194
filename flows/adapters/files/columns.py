"""What each kind of file says, column by column: the source of truth for reading, checking and docs/import.md."""

from __future__ import annotations

from typing import Final, NamedTuple


class Column(NamedTuple):
    """One column; `form` says how a CSV cell is read: text, number, switch, list or map."""

    name: str
    meaning: str
    is_required: bool = False
    form: str = "text"


class Kind(NamedTuple):
    """One kind of file. `topic` is where its messages go, `key` the columns of which two lines may not agree."""

    name: str
    topic: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def is_reference(self) -> bool:
        """Reference data has no moment and no id: the newest record of a key stands."""
        return self.topic not in ("inventory.warehouse", "inventory.orders", "inventory.supply")


def _column(name: str, meaning: str, form: str = "text") -> Column:
    return Column(name, meaning, False, form)


def _required(name: str, meaning: str, form: str = "text") -> Column:
    return Column(name, meaning, True, form)


_ITEM = _required("item", "the item's code")
_LOCATION = _required("location", "the location's code")
_UOM = _column("uom", "the unit that quantities of this line are in; the item's base unit if absent")
_MOMENT = _column("occurred_at", "when this line was true; `--at` if absent")

#: In the order in which they are checked and sent: what others name goes first.
KINDS: Final[dict[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            "locations",
            "inventory.locations",
            "where goods can be",
            ("location",),
            (
                _LOCATION,
                _column("parent", "the location above it"),
                _column("sellable", "whether what is there is sold; `true` if absent", "switch"),
                _column("deducts_at", "`first`, `pick` or `shipment`: what takes goods from on hand"),
            ),
        ),
        Kind(
            "channels",
            "inventory.channels",
            "who sells, from where, with what policy",
            ("channel",),
            (
                _required("channel", "the channel's code"),
                _required("locations", "where it sells from; a parent stands for all beneath it", "list"),
                _column("priority", "1 is highest", "number"),
                _column("buffer_quantity", "withheld from each item", "number"),
                _column("buffer_percent", "withheld from each item", "number"),
                _column("cap", "never more than this", "number"),
                _column("minimum", "0 if less than this", "number"),
                _column("low_stock_threshold", "at or below this, updates are critical", "number"),
                _column("horizon_days", "how many days ahead it promises", "number"),
                _column("promise_in_transit", "whether transfers under way count for later days", "switch"),
                _column("protected_quantity", "kept for this channel", "number"),
                _column("max_updates_per_second", "what it can take from Kafka", "number"),
                _column("listing", "`all` if absent; `explicit`: only what a `channel_items` line lists"),
                _column("min_days_left", "how many days before its date a lot is sold for the last time", "number"),
            ),
        ),
        Kind(
            "items",
            "inventory.items",
            "what there is to sell",
            ("item",),
            (
                _ITEM,
                _column("base_uom", "the unit that it is counted in; `each` if absent"),
                _column("scale", "decimals of its quantities, 0 to 6", "number"),
                _column("conversions", "other units: how many base units each is worth, also as `n/d`", "map"),
                _column("rounding", "`refuse` if absent; `safe`: what the scale cannot say exactly is rounded"),
                _column("safety_stock", "withheld by location; `*` is each location not named", "map"),
                _column("low_stock_threshold", "at or below this, updates are critical", "number"),
                _column("unit_value", "money a base unit, for reports alone", "number"),
            ),
        ),
        Kind(
            "channel_items",
            "inventory.channel_items",
            "what a channel does differently for one item",
            ("channel", "item"),
            (
                _required("channel", "the channel's code"),
                _ITEM,
                _column("listed", "whether the channel sells it; if absent, as its `listing` says", "switch"),
                _column("buffer_quantity", "in place of the channel's", "number"),
                _column("buffer_percent", "in place of the channel's", "number"),
                _column("cap", "in place of the channel's", "number"),
                _column("minimum", "in place of the channel's", "number"),
                _column("low_stock_threshold", "in place of the channel's", "number"),
                _column("protected_quantity", "in place of the channel's", "number"),
                _column("safety_stock", "in place of the item's", "map"),
            ),
        ),
        Kind(
            "stock",
            "inventory.warehouse",
            "how much is where: a count of each item at each location, and of each lot",
            ("item", "location", "lot"),
            (
                _ITEM,
                _LOCATION,
                _required("quantity", "all that is there, whatever its status", "number"),
                _column("quarantined", "how much of it must not be sold", "number"),
                _column("lot", "the lot that was counted; a line without one counts what carries no lot"),
                _UOM,
                _MOMENT,
            ),
        ),
        Kind(
            "lots",
            "inventory.warehouse",
            "lots that are on hold",
            ("item", "lot", "location"),
            (
                _ITEM,
                _required("lot", "the lot's code"),
                _column("location", "where it is held; everywhere if absent"),
                _column("reason", "free text"),
                _MOMENT,
            ),
        ),
        Kind(
            "receipts",
            "inventory.supply",
            "goods that are expected",
            ("receipt_id", "item", "location"),
            (
                _required("receipt_id", "the purchase order or delivery"),
                _ITEM,
                _required("location", "where they will arrive"),
                _required("quantity", "how much is still to come", "number"),
                _required("eta", "when they will arrive"),
                _UOM,
                _MOMENT,
            ),
        ),
        Kind(
            "orders",
            "inventory.orders",
            "open order lines",
            ("order_id", "line_id", "item"),
            (
                _required("order_id", "the order"),
                _required("line_id", "its line"),
                _required("channel", "which channel sold it"),
                _ITEM,
                _required("quantity", "how much is still to be shipped", "number"),
                _column("location", "where it will be shipped from, if that is decided"),
                _column("allocated", "how much of it is reserved at that location", "number"),
                _column("requested_at", "when the customer wants it"),
                _column("expires_at", "when the claim lapses, as of a cart"),
                _UOM,
                _MOMENT,
            ),
        ),
    )
}
ORDER: Final = {name: place for place, name in enumerate(KINDS)}


def table() -> str:
    """Give the columns of every kind as Markdown, as docs/import.md shows them."""
    parts = []
    for kind in KINDS.values():
        rows = [
            f"| `{column.name}` | {'yes' if column.is_required else ''} | {_FORMS[column.form]} | {column.meaning} |"
            for column in kind.columns
        ]
        head = "| column | required | is | |\n|---|---|---|---|"
        parts.append(f"### {kind.name}: {kind.meaning}\n\n" + "\n".join([head, *rows]))
    return "\n\n".join(parts) + "\n"


_FORMS = {
    "text": "text",
    "number": "a number",
    "switch": "true or false",
    "list": "codes with spaces between",
    "map": "code=number, with spaces between",
}


if __name__ == "__main__":
    print(table())
