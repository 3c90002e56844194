# cython: boundscheck=False, wraparound=False
"""Reads a plainly good message straight from its bytes, in one pass that looks at each byte once.

Worth it compiled (0.4 us for a message of 250 bytes, where msgspec and the checks behind it take 2.4); uncompiled it
is slower than they are, and nobody calls it. It accepts less than schemas.wire on purpose, and never more: no escapes,
nothing but ASCII, no nulls, no fractions, times in UTC. What it does not accept is no verdict: look closer.
"""

from __future__ import annotations

from typing import Final

from operators.rules import native
from schemas import wire
from schemas.codes import ID_LENGTH_MAX, LINES_MAX

#: Is this module machine code?
IS_COMPILED: Final = not __file__.endswith(".py")

CODE_MAX = 64
#: Codes that are kept to be given again. A type, a source, a location come with nearly every message: as one text,
#: whose hash is known and that is the very key of what it is looked up in, each look-up is spared to compute and to
#: compare it. A power of two; items, ids and lots are too many.
CODES_KEPT = 4096
#: A sign that no quantity was sent; a plain number once compiled, as names that are imported are not.
ABSENT = wire.ABSENT
#: Digits of a number that is surely below 2^53.
DIGITS_MAX = 15

# What a byte may be part of; a text is what all of its bytes are.
PLAIN, ID, CODE, CODE_FIRST = 1, 2, 4, 8
_ALNUM = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def _classes() -> bytes:
    classes = bytearray(256)
    for byte in range(0x20, 0x7F):
        if byte not in b'"\\':
            classes[byte] = PLAIN | (ID if byte != 0x20 else 0)
    for byte in _ALNUM + b"._-/":
        classes[byte] |= CODE
    for byte in _ALNUM:
        classes[byte] |= CODE_FIRST
    return bytes(classes)


CLASSES = _classes()

# The keys that are read, by number.
(
    OTHER, EVENT_ID, TYPE, SOURCE, OCCURRED_AT, ITEM, LOCATION, QUANTITY, UOM, LOT, STATUS, ORDER_ID, LINE_ID,
    TRANSFER_ID, RECEIPT_ID, TO_LOCATION, ETA, QUARANTINED, FROM_STATUS, TO_STATUS, CORRELATION_ID, SCHEMA_VERSION,
    CHANNEL, EXPIRES_AT, REQUESTED_AT, LINES, REASON, REVERSAL, PART_OF, BEST_BEFORE,
) = range(30)  # fmt: skip
NAMES = (
    b"", b"event_id", b"type", b"source", b"occurred_at", b"item", b"location", b"quantity", b"uom", b"lot", b"status",
    b"order_id", b"line_id", b"transfer_id", b"receipt_id", b"to_location", b"eta", b"quarantined", b"from_status",
    b"to_status", b"correlation_id", b"schema_version", b"channel", b"expires_at", b"requested_at", b"lines",
    b"reason", b"reversal", b"part_of", b"best_before",
)  # fmt: skip


def _slot(first: int, last: int, size: int) -> int:
    """Where a key may be found: by its first and last byte and its length, which tell all of them apart."""
    return (first * FIRST_BY + last * LAST_BY + size * SIZE_BY) & 127


def _multipliers() -> tuple[int, int, int]:
    """Find a slot of its own for each key."""
    for size_by in range(1, 64):
        for first_by in range(1, 32):
            for last_by in range(1, 32):
                slots = set()
                for name in NAMES[1:]:
                    slots.add((name[0] * first_by + name[len(name) - 1] * last_by + len(name) * size_by) & 127)
                if len(slots) == len(NAMES) - 1:
                    return first_by, last_by, size_by
    raise AssertionError("two keys of events cannot be told apart")


FIRST_BY, LAST_BY, SIZE_BY = _multipliers()


def _table() -> bytes:
    table = bytearray(128)
    for number, name in enumerate(NAMES):
        if name:
            table[_slot(name[0], name[len(name) - 1], len(name))] = number
    return bytes(table)


SLOTS = _table()


class Line:
    """A line of an order event. An absent text is empty, an absent quantity ABSENT."""

    __slots__ = ("expires_at", "item", "line_id", "location", "quantity", "requested_at", "uom")

    def __init__(self) -> None:
        self.line_id = ""
        self.item = ""
        self.quantity = ABSENT
        self.location = ""
        self.uom = ""
        self.expires_at = ""
        self.requested_at = ""


class Event:
    """What a message says; codes and ids are well formed, and known or not is for others to say."""

    __slots__ = (
        "best_before", "channel", "correlation_id", "eta", "event_id", "expires_at", "from_status", "item", "line_id",
        "lines", "location", "lot", "occurred_at", "order_id", "part_of", "quantity", "quarantined", "receipt_id",
        "requested_at", "reversal", "source", "status", "to_location", "to_status", "transfer_id", "type", "uom",
    )  # fmt: skip

    def __init__(self) -> None:
        self.event_id = ""
        self.type = ""
        self.source = ""
        #: UTC microseconds
        self.occurred_at = NO_TIME
        self.item = ""
        self.location = ""
        self.quantity = ABSENT
        self.uom = ""
        self.lot = ""
        self.status = ""
        self.order_id = ""
        self.line_id = ""
        self.transfer_id = ""
        self.receipt_id = ""
        self.to_location = ""
        self.eta = ""
        self.quarantined = ABSENT
        self.from_status = ""
        self.to_status = ""
        self.correlation_id = ""
        self.channel = ""
        self.expires_at = ""
        self.requested_at = ""
        self.reversal = False
        self.part_of = ""
        self.best_before = ""
        self.lines: list[Line] | None = None


NO_TIME = -(1 << 62)


class Scanner:
    """Reads one message after the other."""

    __slots__ = ("_at", "_codes", "_date", "_days", "_end", "_kind", "_size", "_start", "_value")

    def __init__(self) -> None:
        self._value = b""
        self._codes = [""] * CODES_KEPT
        #: the date that was read last, and the days from 1970 to it; NO_TIME: it is none
        self._date = b"0000-00-00"
        self._days = NO_TIME
        #: where to read next, and where the message ends
        self._at = 0
        self._end = 0
        # the text read last: where it begins, its length, what all of its bytes are
        self._start = 0
        self._size = 0
        self._kind = 0

    def read(self, value: bytes) -> Event | None:
        """Give the event; None: look closer."""
        self._value = value
        self._at = 0
        self._end = len(value)
        event = Event()
        if not self._skip_to(123) or not self._read_members(event):  # {
            return None
        self._skip_space()
        if self._at != self._end or event.occurred_at == NO_TIME:
            return None
        if not event.event_id or not event.type or not event.source:
            return None
        return event

    def _read_members(self, event: Event) -> bool:
        """Read what stands between the braces of the event, and the closing one."""
        if not self._skip_to(34):  # "
            return False
        while True:
            key = self._read_key()
            if key < 0:
                return False
            self._skip_space()
            if self._at >= self._end:
                return False
            if key == LINES:
                event.lines = self._read_lines()
                if event.lines is None:
                    return False
            elif self._value[self._at] == 34:
                self._at += 1
                if not self._read_text() or not self._take_text(event, key):
                    return False
            elif not self._take_number(event, key):
                return False
            self._skip_space()
            if self._at >= self._end:
                return False
            byte = self._value[self._at]
            self._at += 1
            if byte == 125:  # }
                return True
            if byte != 44 or not self._skip_to(34):  # ,
                return False

    def _take_text(self, event: Event, key: int) -> bool:
        size, kind = self._size, self._kind
        if key in (OTHER, REASON):
            return True
        if key == OCCURRED_AT:
            event.occurred_at = self._moment()
            return event.occurred_at != NO_TIME
        if size == 0:
            return False
        if key in (EVENT_ID, ORDER_ID, LINE_ID, TRANSFER_ID, RECEIPT_ID, CORRELATION_ID, PART_OF):
            if not kind & ID or size > ID_MAX:
                return False
            text = self._text()
            if key == EVENT_ID:
                event.event_id = text
            elif key == ORDER_ID:
                event.order_id = text
            elif key == LINE_ID:
                event.line_id = text
            elif key == TRANSFER_ID:
                event.transfer_id = text
            elif key == RECEIPT_ID:
                event.receipt_id = text
            elif key == CORRELATION_ID:
                event.correlation_id = text
            else:
                event.part_of = text
            return True
        if key in (TYPE, ETA, EXPIRES_AT, REQUESTED_AT, BEST_BEFORE):
            if size > CODE_MAX:
                return False
            if key == TYPE:
                event.type = self._code()
                return True
            text = self._text()
            if key == ETA:
                event.eta = text
            elif key == EXPIRES_AT:
                event.expires_at = text
            elif key == REQUESTED_AT:
                event.requested_at = text
            else:
                event.best_before = text
            return True
        if not kind & CODE or size > CODE_MAX or not CLASSES[self._value[self._start]] & CODE_FIRST:
            return False
        if key == ITEM:
            event.item = self._text()
            return True
        if key == LOT:
            event.lot = self._text()
            return True
        text = self._code()
        if key == LOCATION:
            event.location = text
        elif key == SOURCE:
            event.source = text
        elif key == STATUS:
            event.status = text
        elif key == UOM:
            event.uom = text
        elif key == CHANNEL:
            event.channel = text
        elif key == TO_LOCATION:
            event.to_location = text
        elif key == FROM_STATUS:
            event.from_status = text
        elif key == TO_STATUS:
            event.to_status = text
        else:
            return False
        return True

    def _take_number(self, event: Event, key: int) -> bool:
        number = self._read_number()
        if number == ABSENT:
            return key == REVERSAL and self._take_reversal(event)
        if key == QUANTITY:
            event.quantity = number
        elif key == QUARANTINED:
            event.quarantined = number
        elif key == SCHEMA_VERSION:
            return number == 1
        else:
            return key == OTHER
        return True

    def _take_reversal(self, event: Event) -> bool:
        """Read true or false. What follows them is for the caller to see."""
        if self._end - self._at >= 5:
            if native.is_at(TRUE, self._value, self._at):
                event.reversal = True
                self._at += 4
                return True
            if native.is_at(FALSE, self._value, self._at):
                event.reversal = False
                self._at += 5
                return True
        return False

    def _read_lines(self) -> list[Line] | None:
        """Read an array of objects, of which none has anything nested in it."""
        if not self._skip_to(91):  # [
            return None
        lines: list[Line] = []
        while True:
            if len(lines) == MOST_LINES or not self._skip_to(123):
                return None
            line = Line()
            if not self._read_line(line):
                return None
            lines.append(line)
            self._skip_space()
            if self._at >= self._end:
                return None
            byte = self._value[self._at]
            self._at += 1
            if byte == 93:  # ]
                return lines
            if byte != 44:
                return None

    def _read_line(self, line: Line) -> bool:
        """Read what stands between the braces of a line, and the closing one."""
        if not self._skip_to(34):
            return False
        while True:
            key = self._read_key()
            if key < 0:
                return False
            self._skip_space()
            if self._at >= self._end:
                return False
            if self._value[self._at] == 34:
                self._at += 1
                if not self._read_text() or not self._take_line_text(line, key):
                    return False
            else:
                number = self._read_number()
                if number == ABSENT:
                    return False
                if key == QUANTITY:
                    line.quantity = number
                elif key in (LINE_ID, ITEM, LOCATION, UOM, EXPIRES_AT, REQUESTED_AT, REVERSAL):
                    return False
            self._skip_space()
            if self._at >= self._end:
                return False
            byte = self._value[self._at]
            self._at += 1
            if byte == 125:
                return bool(line.line_id and line.item)
            if byte != 44 or not self._skip_to(34):
                return False

    def _take_line_text(self, line: Line, key: int) -> bool:
        size = self._size
        if key == LINE_ID:
            if size == 0 or not self._kind & ID or size > ID_MAX:
                return False
            line.line_id = self._text()
        elif key in (ITEM, LOCATION, UOM):
            if size == 0 or not self._kind & CODE or size > CODE_MAX:
                return False
            if not CLASSES[self._value[self._start]] & CODE_FIRST:
                return False
            if key == ITEM:
                line.item = self._text()
            elif key == LOCATION:
                line.location = self._code()
            else:
                line.uom = self._code()
        elif key in (EXPIRES_AT, REQUESTED_AT):
            if size == 0 or size > CODE_MAX:
                return False
            if key == EXPIRES_AT:
                line.expires_at = self._text()
            else:
                line.requested_at = self._text()
        else:
            return key not in (QUANTITY, REVERSAL)
        return True

    # --- tokens --------------------------------------------------------------------------------------------------

    def _skip_space(self) -> None:
        self._at = native.first_not_space(self._value, self._at, self._end)

    def _skip_to(self, byte: int) -> bool:
        """Read white space and then this byte; false where another comes."""
        if self._at < self._end and self._value[self._at] != byte:
            self._skip_space()
        if self._at >= self._end or self._value[self._at] != byte:
            return False
        self._at += 1
        return True

    def _read_key(self) -> int:
        """Read the rest of a key, behind its opening quote, and the colon; its number, or -1: look closer."""
        value, start = self._value, self._at
        end = native.first_quote(value, start, self._end)
        size = end - start
        if size == 0 or end == self._end:
            return -1
        first, last = value[start], value[end - 1]
        key = SLOTS[(first * FIRST_BY + last * LAST_BY + size * SIZE_BY) & 127]
        name: bytes = NAMES[key]
        if len(name) == size and native.is_at(name, value, start):
            self._at = end + 1
        elif self._read_text():
            key = OTHER
        else:
            return -1
        return key if self._skip_to(58) else -1  # :

    def _read_text(self) -> bool:
        """Read a text of plain ASCII behind its opening quote, and the closing one."""
        found = native.text_until(self._value, self._at, CLASSES)
        at = found >> 8
        if at >= self._end or self._value[at] != 34:
            return False
        self._start = self._at
        self._size = at - self._start
        self._kind = found & 255
        self._at = at + 1
        return True

    def _text(self) -> str:
        return native.ascii_text(self._value, self._start, self._size)

    def _code(self) -> str:
        """Give the text that was read last: one that is often said, always as the same object."""
        return native.interned(self._codes, self._value, self._start, self._size)

    def _read_number(self) -> int:
        """Read a whole number of at most DIGITS_MAX digits; ABSENT: look closer."""
        value, at, end = self._value, self._at, self._end
        is_negative = value[at] == 45  # -
        if is_negative:
            at += 1
        start = at
        number = 0
        while at < end and 48 <= value[at] <= 57 and at - start < DIGITS_MAX:
            number = number * 10 + value[at] - 48
            at += 1
        if at == start or at >= end or (value[start] == 48 and (at - start > 1 or is_negative)):
            return ABSENT
        if value[at] not in (44, 125, 93, 32, 10, 13, 9):
            return ABSENT
        self._at = at
        return -number if is_negative else number

    def _moment(self) -> int:
        """Give the text as UTC microseconds, if it is YYYY-MM-DDTHH:MM:SS[.f]Z since 1970; else NO_TIME."""
        value, start, size = self._value, self._start, self._size
        if size < 20 or size > 27 or value[start + size - 1] != 90:  # Z
            return NO_TIME
        if value[start + 10] != 84 or value[start + 13] != 58 or value[start + 16] != 58:
            return NO_TIME
        if not native.is_at(self._date, value, start):
            self._date = value[start : start + 10]
            self._days = self._days_to(start)
        if self._days == NO_TIME:
            return NO_TIME
        hour = native.digits(value, start + 11, 2)
        minute = native.digits(value, start + 14, 2)
        second = native.digits(value, start + 17, 2)
        if hour < 0 or hour > 23:
            return NO_TIME
        if minute < 0 or minute > 59 or second < 0 or second > 59:
            return NO_TIME
        micros = 0
        if size > 20:
            places = size - 21
            if value[start + 19] != 46 or places == 0:  # .
                return NO_TIME
            micros = native.digits(value, start + 20, places)
            if micros < 0:
                return NO_TIME
            for _ in range(6 - places):
                micros *= 10
        return ((self._days * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000 + micros

    def _days_to(self, start: int) -> int:
        """Give the days from 1970 to the date at `start`, if it is YYYY-MM-DD of then or later; else NO_TIME."""
        value = self._value
        if value[start + 4] != 45 or value[start + 7] != 45:
            return NO_TIME
        year = native.digits(value, start, 4)
        month = native.digits(value, start + 5, 2)
        day = native.digits(value, start + 8, 2)
        if year < 1970 or month < 1 or month > 12 or day < 1:
            return NO_TIME
        is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        if day > MONTH_DAYS[month] + (1 if month == 2 and is_leap else 0):
            return NO_TIME
        before = year - 1
        days = before * 365 + before // 4 - before // 100 + before // 400 - EPOCH_DAYS
        return days + MONTH_STARTS[month] + day - 1 + (1 if month > 2 and is_leap else 0)


TRUE, FALSE = b"true", b"false"
#: days from year 1 to 1970
EPOCH_DAYS = 719_162
MONTH_DAYS = bytes((0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31))
#: days of a year of 365 before a month begins
MONTH_STARTS = (0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
ID_MAX = ID_LENGTH_MAX
MOST_LINES = LINES_MAX
