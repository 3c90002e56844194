cimport cython

@cython.no_gc
@cython.freelist(256)
cdef class Unit:
    cdef public int type
    cdef public str item, source, event_id, line_id, location, lot, uom, status, order_id, transfer_id, receipt_id
    cdef public str to_location, channel, correlation_id, part_of
    cdef public long long occurred_at, recorded_at
    cdef public object origin, quantity, quarantined, eta, expires_at, requested_at, best_before
    cdef public bint reversal
    cdef public tuple verdict

@cython.locals(unit=Unit)
cpdef Unit plain_unit(int type, str item, str source, str event_id, str line_id, long long occurred_at, long long recorded_at, object origin)
