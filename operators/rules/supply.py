"""What is on its way: transfers and expected receipts (contract section 4)."""

from __future__ import annotations

from schemas.state import Moment, Receipt, Transfer


def in_transit(transfer: Transfer) -> int:
    """Units shipped and not yet received; none once the transfer is closed."""
    return 0 if transfer.closed else max(0, transfer.shipped - transfer.received)


def ship(transfer: Transfer, word: Moment, quantity: int, eta: int | None) -> None:
    """Add a shipment; the newest one's eta stands, also when it has none."""
    transfer.shipped += quantity
    if transfer.word is None or word > transfer.word:
        transfer.word = word
        transfer.eta = eta


def expected(receipt: Receipt) -> int:
    """Units still to come; none while the newest word is a cancellation."""
    return 0 if receipt.cancelled else max(0, receipt.quantity - receipt.received)


def expect(receipt: Receipt, word: Moment, quantity: int, eta: int | None, cancelled: bool) -> None:
    """The newest of receipt_expected and receipt_cancelled stands."""
    if receipt.word is not None and word <= receipt.word:
        return
    receipt.word = word
    receipt.cancelled = cancelled
    receipt.quantity = quantity
    receipt.eta = eta


def is_over_received(record: Transfer | Receipt) -> bool:
    """More came than was announced. Where nothing was announced yet it is early, not over."""
    if record.word is None:
        return False
    if isinstance(record, Transfer):
        return record.received > record.shipped
    return not record.cancelled and record.received > record.quantity
