cimport cython
from schemas.state cimport Cell

@cython.locals(position=cython.Py_ssize_t, total=cython.longlong, numbers=cython.longlong[::1])
cdef long long _sum_after(object moves, Py_ssize_t begin, long long moment) except? -1
