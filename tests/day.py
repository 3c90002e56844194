"""A day of one shop, one warehouse that speaks X12 and one ERP's table: what each of them sends, and what it comes to.

What it comes to is kept by hand beside each document, in sums, without events. All of it happened yesterday, so that
nothing depends on the hour at which a test runs.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from tests.documents import x12

#: Ours, and how the warehouse calls them.
ITEMS: Final = {"LAMP": "W-1", "SHADE": "W-2", "BULB": "W-3"}
COUNTED: Final = 500
PLACE: Final = "DC1"

SETTINGS: Final = """
dedup_window = "96h"

[sources.shop]
kind = "shopify"
channel = "web"
aliases = "first"

[sources.shop.receive]
signature = "shopify"
secret_variables = ["SHOP_SECRET"]

[sources.edi]
kind = "x12"
time_zone = "UTC"
time_of_day = "20:00"
location = "DC1"
settle = "0s"

[sources.supplier]
kind = "x12"
mapping = "supplier.toml"
time_zone = "UTC"
time_of_day = "00:00"
location = "DC1"
aliases = "first"

[sources.erp]
kind = "debezium"
mapping = "wms"
channel = "web"
aliases = "first"
"""


#: The partner names the place as WH, and no day of arrival.
SUPPLIER: Final = 'kind = "x12"\nship_to = ["WH"]\ntransit_days = 3\n'


class Row(NamedTuple):
    """A changed row as Debezium says it: the message's key and value."""

    key: bytes
    value: bytes | None


class Day:
    """Documents in the order in which they were written, and the books."""

    def __init__(self, seed: int, orders: int) -> None:
        self._draw = random.Random(seed)
        self._day = (datetime.now(UTC) - timedelta(days=1)).replace(hour=8, minute=0, second=0, microsecond=0)
        self.webhooks: list[bytes] = []
        self.files: dict[str, bytes] = {}
        self.rows: list[Row] = []
        self.on_hand = Counter(dict.fromkeys(ITEMS, COUNTED))
        self.quarantined: Counter[str] = Counter()
        self.soft: Counter[str] = Counter()
        self.hard: Counter[str] = Counter()
        self.expected: Counter[str] = Counter()
        self._lsn = 100
        self._control = 0
        for number in range(1, orders + 1):
            self._order(number)
        for number in range(1, orders // 3 + 1):
            self._purchase(number)
        for number in range(1, orders // 4 + 1):
            self._adjustment(number)

    @property
    def counts(self) -> list[dict[str, Any]]:
        """What the stocktaking before opening hours found."""
        at = self.text(self._day - timedelta(hours=2))
        head = {"type": "stock_counted", "source": "count", "location": PLACE, "occurred_at": at, "quantity": COUNTED}
        return [{**head, "event_id": f"count-{item}", "item": item} for item in ITEMS]

    def levels(self) -> bytes:
        """The warehouse's own word at the end of the day: an 846."""
        lines = [f"BIA*08*SI*INV-1*{self.date}", f"DTM*007*{self.date}*2300*UT", f"N1*WH*North*92*{PLACE}"]
        for number, (item, theirs) in enumerate(ITEMS.items(), 1):
            lines += [f"LIN*{number}*VN*{theirs}", f"QTY*17*{self.on_hand[item]}*EA"]
            lines += [f"QTY*QH*{self.quarantined[item]}*EA"]
        return self._file("846", lines)

    @property
    def date(self) -> str:
        """Of documents."""
        return self._day.strftime("%Y%m%d")

    def figures(self) -> dict[str, dict[str, int]]:
        """What Redis has to hold of each item's position."""
        books = {
            f"{PLACE}:on_hand": self.on_hand,
            f"{PLACE}:quarantined": self.quarantined,
            f"{PLACE}:hard_reserved": self.hard,
            f"{PLACE}:expected": self.expected,
            "*:soft_allocated": self.soft,
        }
        return {item: {name: book[item] for name, book in books.items()} for item in ITEMS}

    # --- the shop, and the warehouse that ships for it ---------------------------------------------------------------

    def _order(self, number: int) -> None:
        draw = self._draw
        at = self._day + timedelta(minutes=2 * number % 600)
        items = draw.sample(list(ITEMS), draw.randrange(1, len(ITEMS) + 1))
        wanted = {item: draw.randrange(1, 6) for item in items}
        self._webhook(number, at, wanted)
        if draw.random() < 0.3:
            wanted = {item: quantity + draw.randrange(3) for item, quantity in wanted.items()}
            self._webhook(number, at + timedelta(seconds=30), wanted)
        if draw.random() < 0.2:
            self._webhook(number, at + timedelta(seconds=60), wanted, is_cancelled=True)
            return
        if draw.random() < 0.2:
            self.soft.update(wanted)  # the warehouse was not told yet
            return
        lines = [f"W05*N*{number}", f"N1*WH*North*92*{PLACE}", f"G62*04*{self.date}"]
        for place, (item, quantity) in enumerate(wanted.items(), 1):
            lines += [f"LX*{place}", f"W01*{quantity}*EA**VN*{ITEMS[item]}"]
        self.files[f"940-{number}.edi"] = self._file("940", lines)
        if draw.random() < 0.2:
            self.hard.update(wanted)
            return
        lines = [f"W06*F*{number}*{self.date}*SHIP-{number}", f"N1*SF*North*92*{PLACE}"]
        for place, (item, quantity) in enumerate(wanted.items(), 1):
            short = draw.random() < 0.2
            shipped = quantity - short
            lines += [
                f"LX*{place}",
                f"W12*{'CP' if short else 'CC'}*{quantity}*{shipped}*{int(short)}*EA**VN*{ITEMS[item]}",
            ]
            lines += [f"N9*LI*{place}"]
            self.on_hand[item] -= shipped
            self.soft[item] += short  # still wanted, and no longer reserved there
        self.files[f"945-{number}.edi"] = self._file("945", lines)

    def _webhook(self, number: int, at: datetime, wanted: dict[str, int], is_cancelled: bool = False) -> None:
        lines = [
            {"id": place, "sku": item, "quantity": quantity, "current_quantity": quantity}
            | {"fulfillable_quantity": quantity}
            for place, (item, quantity) in enumerate(wanted.items(), 1)
        ]
        said: dict[str, Any] = {"id": number, "order_number": number, "financial_status": "paid", "line_items": lines}
        said |= {
            "updated_at": self.text(at),
            "cancelled_at": self.text(at) if is_cancelled else None,
            "fulfillments": [],
        }
        self.webhooks.append(json.dumps(said).encode())

    # --- the ERP, and the warehouse that receives for it -------------------------------------------------------------

    def _purchase(self, number: int) -> None:
        draw, item = self._draw, self._draw.choice(list(ITEMS))
        name = f"PO-{number}"
        row = {"notice_no": name, "sku": item, "site": PLACE, "purchase_no": None, "status": "announced"}
        row |= {"quantity": draw.randrange(10, 40), "due_at": self.text(self._day + timedelta(days=3))}
        self._change("c", {**row, "changed_at": self.text(self._day + timedelta(minutes=number))})
        if draw.random() < 0.3:
            row["quantity"] += 5
            self._change("u", {**row, "changed_at": self.text(self._day + timedelta(minutes=number + 1))})
        if draw.random() < 0.2:
            self._change("d", row)
            return
        if draw.random() < 0.3:
            self.expected[item] += row["quantity"]
            return
        received, damaged = row["quantity"] - draw.randrange(4), draw.randrange(3)
        lines = [f"W17*F*{self.date}*WR-{number}**{name}", f"N1*WH*North*92*{PLACE}"]
        lines += [f"W07*{received}*EA**VN*{ITEMS[item]}", *([f"W13*{damaged}*EA*01"] if damaged else [])]
        self.files[f"944-{number}.edi"] = self._file("944", lines)
        self.on_hand[item] += received
        self.quarantined[item] += damaged
        self.expected[item] += row["quantity"] - received

    def _change(self, op: str, row: dict[str, Any]) -> None:
        self._lsn += 8
        at = int((self._day + timedelta(seconds=self._lsn)).timestamp() * 1000)
        names = {name: row[name] for name in ("notice_no", "sku")}
        source = {
            "db": "erp",
            "schema": "public",
            "table": "notices",
            "ts_ms": at,
            "lsn": self._lsn,
            "snapshot": "false",
        }
        after, before = (None, names) if op == "d" else (row, None)
        said = {"before": before, "after": after, "op": op, "ts_ms": at + 9, "source": source}
        key = json.dumps(names).encode()
        self.rows.append(Row(key, json.dumps(said).encode()))
        if op == "d":
            self.rows.append(Row(key, None))

    # --- the warehouse alone -----------------------------------------------------------------------------------------

    def _adjustment(self, number: int) -> None:
        item, lost, held = self._draw.choice(list(ITEMS)), self._draw.randrange(1, 5), self._draw.randrange(1, 4)
        lines = [f"W15*{self.date}*ADJ-{number}", f"N1*WH*North*92*{PLACE}"]
        lines += [f"W19*AU*-{lost}*EA**VN*{ITEMS[item]}", f"W19*05*{held}*EA**VN*{ITEMS[item]}"]
        self.files[f"947-{number}.edi"] = self._file("947", lines)
        self.on_hand[item] -= lost
        self.quarantined[item] += held

    def _file(self, code: str, lines: list[str]) -> bytes:
        self._control += 1
        return x12("\n".join([code, *lines]), control=f"{self._control:09d}")

    @staticmethod
    def text(moment: datetime) -> str:
        """As documents have it."""
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
