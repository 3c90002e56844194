"""What is on its way: transfers and expected receipts (contract section 4)."""

from __future__ import annotations

from schemas.state import Moment, Receipt, Transfer


def received(record: Transfer | Receipt) -> int:
    """Units that came; of which more were taken back than had come, none."""
    return max(0, record.received)


def in_transit(transfer: Transfer) -> int:
    """Units shipped and not yet received; none once the transfer is closed."""
    return 0 if transfer.closed else max(0, transfer.shipped - received(transfer))


def ship(transfer: Transfer, word: Moment, quantity: int, eta: int | None, reversal: bool = False) -> None:
    """Add a shipment; the newest one's eta stands, also when it has none. A reversal takes off, and says no eta."""
    if reversal:
        transfer.shipped -= quantity
        return
    transfer.shipped += quantity
    if transfer.word is None or word > transfer.word:
        transfer.word = word
        transfer.eta = eta


def expected(receipt: Receipt, in_parts: int = 0) -> int:
    """Units still to come and in no part; none while the newest word is a cancellation. `in_parts`: sum of `part`."""
    return 0 if receipt.cancelled else max(0, receipt.quantity - received(receipt) - in_parts)


def part(receipt: Receipt) -> int:
    """What a receipt counts for in the order that it is a part of: cancelled, for what came of it all the same."""
    came = received(receipt)
    return came if receipt.cancelled else max(receipt.quantity, came)


def expect(receipt: Receipt, word: Moment, quantity: int, eta: int | None, part_of: str) -> None:
    """A receipt_expected: the newest word stands. What it is a part of is its newest receipt_expected's word."""
    announced = receipt.announced if receipt.cancelled else receipt.word
    if announced is not None and word <= announced:
        return
    receipt.part_of = part_of
    if receipt.cancelled and receipt.word is not None and word < receipt.word:
        receipt.announced = word
        return
    receipt.word, receipt.announced = word, None
    receipt.cancelled = False
    receipt.quantity = quantity
    receipt.eta = eta


def cancel(receipt: Receipt, word: Moment) -> None:
    """A receipt_cancelled: the newest word stands."""
    if receipt.word is not None and word <= receipt.word:
        return
    if not receipt.cancelled:
        receipt.announced = receipt.word
    receipt.word = word
    receipt.cancelled = True
    receipt.quantity = 0
    receipt.eta = None


def is_over_received(record: Transfer | Receipt, of_parts: int = 0) -> bool:
    """More came than was announced. Where nothing was announced yet it is early, not over.

    `of_parts`: what came of a receipt's parts.
    """
    if record.word is None:
        return False
    if isinstance(record, Transfer):
        return received(record) > max(0, record.shipped)
    return not record.cancelled and received(record) + of_parts > record.quantity
