cimport cython
from operators.rules cimport cells, lines, lots
from operators.rules.days cimport Days
from schemas.state cimport Cell, Item, Line, LineAt, Place, Rare, Withheld, own
from schemas.units cimport Unit

cdef int PICK_CONFIRMED, SHIPMENT_CONFIRMED, ORDER_PLACED, ORDER_ALLOCATED, LOT_HELD, RECEIPT_CANCELLED

cdef class Context:
    cdef public dict deducts
    cdef public Days days
    cdef public long long now, horizon
    cdef public bint has_claims

@cython.locals(kind=cython.int)
cpdef apply(Item item, Unit unit, long long quantity, object quarantined, Context context)
cpdef mark(Item item, str kind, str one, str other)
cpdef Place place_of(Item item, str location)
cpdef open_place(Item item, str location)
@cython.locals(place=Place)
cpdef Cell cell_of(Item item, str location, str lot)
cpdef tuple _moment(Unit unit)
cpdef Rare rare_of(Item item)
cpdef long long _signed(Unit unit, long long quantity) except? -1
cpdef Withheld withheld_of(Item item, str location)
@cython.locals(quarantined=cython.longlong)
cdef _move(Item item, Unit unit, long long quantity, Context context)
cpdef _received(Item item, Unit unit, long long quantity, object _, Context context)
cpdef _adjusted(Item item, Unit unit, long long quantity, object _, Context context)
cpdef _counted(Item item, Unit unit, long long quantity, object quarantined, Context context)
@cython.locals(towards=cython.longlong)
cpdef _status_changed(Item item, Unit unit, long long quantity, object _, Context context)
@cython.locals(key=tuple, line=Line, at=LineAt, is_pick=cython.bint, change=cython.longlong)
cpdef _handled(Item item, Unit unit, long long quantity, object _, Context context)
@cython.locals(key=tuple, line=Line)
cpdef _placed(Item item, Unit unit, long long quantity, object _, Context context)
@cython.locals(key=tuple, line=Line, at=LineAt)
cpdef _allocated(Item item, Unit unit, long long quantity, object _, Context context)
@cython.locals(key=tuple, line=Line, at=LineAt)
cpdef _released(Item item, Unit unit, long long quantity, object _, Context context)
cdef _settle(Item item, tuple key, Line line, Unit unit, Context context)
@cython.locals(line=Line, known=dict)
cpdef Line line_of(Item item, tuple key)
cpdef mark_line(Item item, tuple key, Line line)
@cython.locals(at=LineAt)
cpdef LineAt line_at(Line line, str location, dict deducts)
cpdef note_claim(Item item, tuple key)
cpdef note_expiry(Item item, tuple key, Line line)
@cython.locals(at=LineAt, place=Place, delivered=cython.longlong, served=cython.longlong, most=cython.longlong, hard=cython.longlong, soft=cython.longlong)
cpdef settle_line(Item item, tuple key, Line line, Days days)
@cython.locals(place=Place, soft=cython.longlong, total=cython.longlong, unlocated=dict, days=dict)
cdef _claim(Item item, tuple claim, long long sign)
cdef dict _added(dict by_day, object day, long long change)
