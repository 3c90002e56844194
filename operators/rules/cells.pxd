cimport cython
from cpython.array cimport array as c_array
from operators.rules cimport native
from schemas.state cimport Cell

cdef Py_ssize_t _PRUNE_FROM
cdef c_array EMPTY

cpdef void move(Cell cell, long long occurred_at, long long quantity, long long quarantined, long long horizon) except *
cpdef count(Cell cell, tuple word, long long quantity, object quarantined, long long horizon)
cpdef bint forget_moves(Cell cell, long long horizon) except -1
@cython.locals(counted_at=cython.longlong)
cdef bint _is_inside(tuple word, long long occurred_at) except -1
@cython.locals(size=cython.Py_ssize_t)
cdef bint _is_due_for_pruning(c_array moves) except -1
cdef _replace_moves(Cell cell, object kept)
cdef _replace_quarantine_moves(Cell cell, object kept)
cdef Py_ssize_t _size(object moves) except -1
@cython.locals(position=cython.Py_ssize_t)
cdef object _after(object moves, long long moment)
cdef long long _sum(object moves) except? -1
