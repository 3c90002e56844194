cimport cython

cpdef dict own(dict known)

@cython.no_gc
cdef class Cell:
    cdef public long long on_hand, quarantined, recorded, quarantine_recorded
    cdef public object count, quarantine_count, moves, quarantine_moves, past

@cython.no_gc
cdef class Place(Cell):
    cdef public long long hard_reserved, soft_allocated, in_transit, expected
    cdef public long long shown_on_hand, shown_quarantined, shown_soft_allocated, shown_hard_reserved
    cdef public long long shown_in_transit, shown_expected, shown_available
    cdef public dict lots, soft_by_day, in_transit_by_day, expected_by_day
    cdef public bint is_shown, is_dirty

@cython.no_gc
cdef class LineAt:
    cdef public str deducts_at
    cdef public long long allocated, released, picked, shipped, claimed
    cdef public list picks, shipments
    cdef public object margins
    cdef public bint has_reversals

@cython.no_gc
cdef class Cancellations:
    cdef public object word
    cdef public list parts
    cdef public long long cut

@cython.no_gc
cdef class Line:
    cdef public long long demand, last_at
    cdef public object placed, expires_at, requested_at, claimed
    cdef public str location, channel
    cdef public bint cancelled, lapsed, is_dirty
    cdef public Cancellations cancellations
    cdef public dict at

@cython.no_gc
cdef class Withheld:
    cdef public dict words
    cdef public long long total, shown

@cython.no_gc
cdef class Rare:
    cdef public dict best_before, withheld, parts, doubtful, lot_words, judged, variances

@cython.no_gc
cdef class Chain:
    cdef public long long number, at, topology_at, since_records, records_at
    cdef public list levels
    cdef public bint is_dirty

@cython.no_gc
cdef class Item:
    cdef public str code, cause, correlation_id, units
    cdef public dict places, lines, transfers, receipts, holds, overrides, published, open_exceptions, over
    cdef public dict unlocated, unlocated_by_day
    cdef public Chain trail
    cdef public set expiring, dirty, claims_changed
    cdef public list dirty_lines
    cdef public long long as_of, day_shown, unlocated_shown, room
    cdef public bint is_dirty, has_new_policies, is_noted, is_touched, is_first, owes_claims
    cdef public bytes policy
    cdef public Rare rare
    cdef public object measure, listing, policies, wake
