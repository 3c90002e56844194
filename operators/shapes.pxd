cimport cython
from operators.scan cimport Event
from schemas.units cimport Unit

cdef long long ABSENT
cdef int PICK_CONFIRMED, SHIPMENT_CONFIRMED

cdef class FastType:
    cdef public int type
    cdef public object fill
    cdef public bint anywhere, has_lot, is_placed, needs_quantity, needs_location

cpdef bint fill_unit(FastType fast, Unit unit, Event event, object locations) except -1
cpdef bint _fill_received(Unit unit, Event event, object locations) except -1
cpdef bint _fill_moved(Unit unit, Event event, object locations) except -1
cpdef bint _fill_returned(Unit unit, Event event, object locations) except -1
cpdef bint _fill_adjusted(Unit unit, Event event, object locations) except -1
cpdef bint _fill_counted(Unit unit, Event event, object locations) except -1
cpdef bint _fill_status_changed(Unit unit, Event event, object locations) except -1
cpdef bint _fill_lot(Unit unit, Event event, object locations) except -1
cpdef bint _fill_dated(Unit unit, Event event, object locations) except -1
cpdef bint _fill_withheld(Unit unit, Event event, object locations) except -1
cpdef bint _fill_shipped(Unit unit, Event event, object locations) except -1
cpdef bint _fill_closed(Unit unit, Event event, object locations) except -1
cpdef bint _fill_handled(Unit unit, Event event, object locations) except -1
cpdef bint _fill_expected(Unit unit, Event event, object locations) except -1
cpdef bint _fill_receipt_cancelled(Unit unit, Event event, object locations) except -1
cpdef bint _fill_nothing(Unit unit, Event event, object locations) except -1
