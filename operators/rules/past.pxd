cimport cython
from schemas.state cimport Cell

cpdef on_hand(Cell cell, long long moment, long long horizon)
cpdef quarantined(Cell cell, long long moment, long long horizon)
cdef _at(tuple count, long long now, object moves, object past, long long moment, long long horizon)
@cython.locals(size=cython.Py_ssize_t, key=tuple, known=tuple, total=cython.longlong)
cdef long long _after(object moves, long long moment) except? -1
@cython.locals(position=cython.Py_ssize_t, total=cython.longlong, numbers=cython.longlong[::1])
cdef long long _sum_after(object moves, Py_ssize_t begin, long long moment) except? -1
