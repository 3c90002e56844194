cimport cython
from schemas.state cimport Cell, Item, Place, own

cpdef hold(Item item, str lot, str location, tuple word, bint held)
cpdef bint is_held(Item item, str lot, str location) except -1
@cython.locals(cell=Cell, on_hand=cython.longlong, quarantined=cython.longlong, least=cython.longlong, held=cython.bint)
cpdef tuple physical(Item item, str location, Place place)
