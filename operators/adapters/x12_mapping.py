"""What a partner's X12 says in its own way: qualifiers, statuses and reasons, and what they are here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Measure = Literal["on_hand", "quarantined", "hard_reserved", "soft_allocated", "in_transit", "expected", "available"]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,3}$")]


class X12Mapping(BaseModel):
    """A mapping for X12. What is not given has the value that the standard suggests."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    item_qualifiers: tuple[Code, ...] = (
        "SK", "VN", "VP", "VC", "BP", "IN", "CB", "PI", "MG", "UP", "UK", "UA", "UI", "EN", "EO", "IB",
    )  # fmt: skip
    """Which of a line's product ids names the item: the first that has an alias, else the first."""
    lot_qualifiers: tuple[Code, ...] = ("LT", "BT", "B8")
    """Of product ids, REF and N9: the lot."""
    measures: dict[Code, Measure] = {"17": "on_hand", "QH": "quarantined", "QB": "quarantined", "33": "available"}
    """846: what each QTY01 measures. A quantity that is not named here is not read."""
    inventory_is_all: bool = False
    """846: it lists every item of its location, so that what is missing is 0."""
    ship_to: tuple[Code, ...] = ("ST", "WH")
    """N101 of where goods go."""
    ship_from: tuple[Code, ...] = ("SF", "WH")
    """N101 of where goods come from."""
    warehouse: tuple[Code, ...] = ("WH", "SF", "ST")
    """N101 of the warehouse that speaks, or is spoken to."""
    order_location: bool = False
    """850, 860: the ship-to party is a location of ours, which serves the order (else it is the customer's)."""
    requested_dates: tuple[Code, ...] = ("010", "002")
    """850, 860: DTM01 of the day on which the goods are wanted."""
    shipments: Literal["receipts", "transfers"] = "receipts"
    """856: `receipts` comes from a supplier and is expected; `transfers` comes from a site of ours."""
    transit_days: Annotated[int, Field(ge=0, le=365)] | None = None
    """856: days from shipping to arrival, where no date of arrival is given."""
    received_as: Literal["receipts", "transfers"] = "receipts"
    """944: what it receives was announced as a receipt (856) or as a transfer (943)."""
    conditions: dict[Code, Literal["quarantined", "available", "not_received"]] = {
        "01": "quarantined",
        "02": "not_received",
        "03": "available",
    }
    """944: what W1303 says of a part of the quantity received."""
    holds: tuple[Code, ...] = ("05",)
    """947: W1901 of goods that were put on hold."""
    releases: tuple[Code, ...] = ("06",)
    """947: W1901 of goods that were released from hold."""
    quarantined_reasons: tuple[Code, ...] = ()
    """947: W1901 of adjustments of goods on hold."""
