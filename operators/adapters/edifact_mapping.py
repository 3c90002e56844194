"""What a partner's EDIFACT says in its own way: qualifiers, and what they are here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from operators.adapters.x12_mapping import Measure

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,6}$")]


class EdifactMapping(BaseModel):
    """A mapping for EDIFACT. What is not given has the value that the directories suggest."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    item_qualifiers: tuple[Code, ...] = ("SA", "VP", "VN", "SRV", "EN", "UP", "BP", "IN", "MF")
    """Which of a line's numbers (LIN, PIA) names the item: the first that has an alias, else the first."""
    lot_qualifiers: tuple[Code, ...] = ("BT", "LT", "AAT")
    """Of RFF: the lot."""
    measures: dict[Code, Measure] = {"145": "on_hand", "17": "on_hand", "124": "quarantined"}
    """INVRPT: what each QTY measures. A quantity that is not named here is not read."""
    inventory_is_all: bool = False
    """INVRPT: it lists every item of its location, so that what is missing is 0."""
    places: tuple[Code, ...] = ("ST", "DP", "WH", "GM")
    """NAD of where goods are, or go."""
    order_location: bool = False
    """ORDERS, ORDCHG: the place of delivery is a location of ours, which serves the order (else the customer's)."""
    requested_dates: tuple[Code, ...] = ("10", "2", "63", "64")
    """ORDERS, ORDCHG: DTM of the day on which the goods are wanted."""
    shipments: Literal["receipts", "transfers"] = "receipts"
    """DESADV: `receipts` comes from a supplier and is expected; `transfers` comes from a site of ours."""
    from_places: tuple[Code, ...] = ("SF", "PW", "SU")
    """DESADV of a transfer: NAD of where it comes from."""
    transit_days: Annotated[int, Field(ge=0, le=365)] | None = None
    """DESADV: days from shipping to arrival, where no date of arrival is given."""
    received_as: Literal["receipts", "transfers"] = "receipts"
    """RECADV: what it receives was announced as a receipt or as a transfer."""
    receipt_references: tuple[Code, ...] = ("AAK", "DQ", "AAU", "ON", "VN")
    """RECADV: RFF of the receipt or transfer, the first that is there."""
    quarantined_quantities: tuple[Code, ...] = ("124", "195", "196")
    """RECADV: QTY of what was received and is not to be sold."""
