cimport cython
from operators.rules cimport native

cdef int OTHER, EVENT_ID, TYPE, SOURCE, OCCURRED_AT, ITEM, LOCATION, QUANTITY, UOM, LOT, STATUS, ORDER_ID, LINE_ID
cdef int TRANSFER_ID, RECEIPT_ID, TO_LOCATION, ETA, QUARANTINED, FROM_STATUS, TO_STATUS, CORRELATION_ID
cdef int SCHEMA_VERSION, CHANNEL, EXPIRES_AT, REQUESTED_AT, LINES, REASON, REVERSAL, PART_OF, BEST_BEFORE
cdef int PLAIN, ID, CODE, CODE_FIRST, CODE_MAX, ID_MAX, DIGITS_MAX, FIRST_BY, LAST_BY, SIZE_BY
cdef Py_ssize_t MOST_LINES
cdef long long ABSENT, NO_TIME, EPOCH_DAYS
cdef bytes CLASSES, SLOTS, MONTH_DAYS, TRUE, FALSE
cdef tuple NAMES, MONTH_STARTS

@cython.no_gc
@cython.freelist(64)
cdef class Line:
    cdef public str line_id, item, location, uom, expires_at, requested_at
    cdef public long long quantity

@cython.no_gc
@cython.freelist(4)
cdef class Event:
    cdef public str event_id, type, source, item, location, uom, lot, status, order_id, line_id, transfer_id, receipt_id
    cdef public str to_location, eta, from_status, to_status, correlation_id, channel, expires_at, requested_at, part_of
    cdef public str best_before
    cdef public long long occurred_at, quantity, quarantined
    cdef public bint reversal
    cdef public list lines

@cython.final
cdef class Scanner:
    cdef bytes _value, _date
    cdef list _codes
    cdef long long _days
    cdef Py_ssize_t _at, _end, _start, _size
    cdef int _kind

    @cython.locals(event=Event)
    cpdef Event read(self, bytes value)
    @cython.locals(key=cython.int, byte=cython.int)
    cdef bint _read_members(self, Event event) except -1
    @cython.locals(size=cython.Py_ssize_t, kind=cython.int, text=str)
    cdef bint _take_text(self, Event event, int key) except -1
    @cython.locals(number=cython.longlong)
    cdef bint _take_number(self, Event event, int key) except -1
    cdef bint _take_reversal(self, Event event) except -1
    @cython.locals(line=Line, lines=list, byte=cython.int)
    cdef list _read_lines(self)
    @cython.locals(key=cython.int, byte=cython.int, number=cython.longlong)
    cdef bint _read_line(self, Line line) except -1
    @cython.locals(size=cython.Py_ssize_t, text=str)
    cdef bint _take_line_text(self, Line line, int key) except -1
    cdef void _skip_space(self) noexcept
    cdef bint _skip_to(self, int byte) noexcept
    @cython.locals(start=cython.Py_ssize_t, end=cython.Py_ssize_t, size=cython.Py_ssize_t, value=bytes, name=bytes,
                   first=cython.int, last=cython.int, key=cython.int)
    cdef int _read_key(self) except -2
    @cython.locals(found=cython.longlong, at=cython.Py_ssize_t)
    cdef bint _read_text(self) noexcept
    cdef str _text(self)
    cdef str _code(self)
    @cython.locals(value=bytes, at=cython.Py_ssize_t, end=cython.Py_ssize_t, start=cython.Py_ssize_t,
                   number=cython.longlong, is_negative=cython.bint)
    cdef long long _read_number(self) noexcept
    @cython.locals(value=bytes, start=cython.Py_ssize_t, size=cython.Py_ssize_t, hour=cython.longlong,
                   minute=cython.longlong, second=cython.longlong, micros=cython.longlong, places=cython.int)
    # `except *`: what follows `except? -` Cython writes as LLLL in a final class.
    cdef long long _moment(self) except *
    @cython.locals(value=bytes, year=cython.longlong, month=cython.int, day=cython.longlong, before=cython.longlong,
                   days=cython.longlong, is_leap=cython.bint)
    cdef long long _days_to(self, Py_ssize_t start) except *
