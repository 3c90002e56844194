cimport cython
from operators.rules cimport past
from operators.rules.days cimport Days
from schemas.state cimport Cell, Item, Place

@cython.locals(place=Place)
cpdef ours_of(Item item, str location, str lot, str measure, long long as_of, long long horizon, Days days)
cdef list _cells(Place place, str lot)
@cython.locals(cell=Cell, total=cython.longlong)
cdef _on_hand(Item item, Place place, str lot, long long as_of, long long horizon)
cpdef cell_on_hand(Item item, Cell cell, long long as_of, long long horizon)
@cython.locals(cell=Cell, total=cython.longlong)
cdef _quarantined(Item item, str location, Place place, str lot, long long as_of, long long horizon)
@cython.locals(place=Place, cell=Cell)
cpdef bint has_lots(Item item, str location, long long as_of, long long horizon) except -1
@cython.locals(place=Place, cell=Cell)
cpdef bint is_counted_since(Item item, str location, str lot, str measure, long long as_of, long long horizon) except -1
