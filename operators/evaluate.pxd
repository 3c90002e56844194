cimport cython
from operators cimport position
from operators.rules cimport lanes, lots, native
from operators.rules.days cimport Days
from operators.rules.lots cimport physical
from operators.rules.promise cimport View, less_unlocated, sums_of
from operators.rules.quantities cimport UnitsOfMeasure
from schemas.messages cimport ItemUpdate, channel_update, item_update
from schemas.state cimport Item, Place, Rare, Withheld, own

cdef long long NO_CAP, SIMPLE_TOTAL
cdef int SIMPLE_BELOW, PAIRS_MAX, BREAKDOWN_MAX
cdef list PAIRS, NO_ROWS
cdef dict _names, NOTHING_WITHHELD

cdef class Row:
    cdef public str channel
    cdef public object policy
    cdef public object sharing
    cdef public View view
    cdef public bint is_stepwise, is_simple
    cdef public long long low_stock_threshold, buffer, numerator, denominator, cap, minimum, total

@cython.locals(atp=cython.longlong)
cpdef long long allow(Row row, long long free) except? -1

cdef class Listing:
    cdef public object _topology
    cdef public dict policies, safety, rows_at, _rows_by_group
    cdef public long long everywhere
    cdef public list rows, views, protecting

    cdef View _view_of(self, policy)
    @cython.locals(row=Row, rows=list)
    cpdef list rows_of(self, str location)

cdef class Policies:
    cdef public object topology, version
    cdef public long long orders_run
    cdef public Days days
    cdef public dict _plain
    cdef public bint has_horizon

cpdef Listing listing_of(Item item, Policies policies)
cpdef UnitsOfMeasure measure_of(Item item)

@cython.locals(listing=Listing, row=Row, view=View, rows=list, today=cython.longlong, fields=dict, updates=list, published=dict,
               free=cython.longlong, atp=cython.longlong, before=tuple, value=tuple, unhurried=cython.bint,
               is_forced=cython.bint, has_dates=cython.bint, dated=dict, has_claims=cython.bint, has_all_claims=cython.bint, in_full=cython.bint, leaves=cython.bint, day0=cython.longlong,
               shown_atp=cython.longlong, lane=cython.int, update=ItemUpdate, scale=cython.int)
cpdef tuple evaluate(Item item, Policies policies, long long now, bint breakdown, str force=*)
@cython.locals(withheld=dict, one=Withheld)
cpdef str places_json(Item item)
@cython.locals(place=Place, row=Row, rows=list, fields=dict, safety=dict, rows_at=dict, everywhere=cython.longlong,
               on_hand=cython.longlong, quarantined=cython.longlong, hard=cython.longlong, soft=cython.longlong,
               free=cython.longlong, rare=Rare, has_unlocated=cython.bint, sellable=cython.longlong,
               least=cython.longlong, group_at=dict, unlocated=cython.longlong)
cdef dict _figures(Item item, Listing listing, topology, long long today, dict dated, dict found, bint everything)
@cython.locals(withheld=Withheld)
cdef long long _withheld(Item item, dict fields, str location, Place place, bint everything) except? -1
@cython.locals(names=tuple)
cdef _show(dict fields, str location, Place place, long long on_hand, long long quarantined, long long available, bint everything)
@cython.locals(place=Place, withheld=Withheld)
cdef dict _withdrawn(Item item, bint everything)
