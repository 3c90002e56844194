cimport cython
from operators.rules cimport lots
from operators.rules.lots cimport physical
from schemas.state cimport Item, Place, Rare

cdef long long SAFETY_MAX

cdef class View:
    cdef public long long horizon_days, everywhere, min_days_left
    cdef public bint in_transit
    cdef public dict safety, sums, shelves
    cdef public list spans

    cpdef begin(self)

@cython.locals(quantity=cython.longlong)
cpdef long long less_unlocated(long long total, dict unlocated, sharing) except? -1
@cython.locals(place=Place, rare=Rare, location=str, group_at=dict, sums=dict, safety=dict, changes=dict, has_days=cython.bint,
               in_transit=cython.bint, everywhere=cython.longlong, on_hand=cython.longlong,
               quarantined=cython.longlong, free=cython.longlong)
cpdef dict sums_of(Item item, View view, topology, long long today)
cpdef dict dues(Place place, View view, long long today)
@cython.locals(due=cython.longlong)
cdef _add_claims(dict changes, dict by_day, long long today, long long horizon_days)
cdef _add_supply(dict changes, dict by_day, long long today, long long horizon_days)
cdef _add_by_day(dict total, free, dict changes)
