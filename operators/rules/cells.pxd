cimport cython
from operators.rules cimport native
from schemas.state cimport Cell

cpdef void move(Cell cell, long long occurred_at, long long quantity, long long quarantined, long long horizon) except *
cpdef count(Cell cell, tuple word, long long quantity, object quarantined, long long horizon)
cpdef bint forget_moves(Cell cell, long long horizon) except -1
cdef bint _is_due_for_pruning(object moves) except -1
cdef _replace_moves(Cell cell, object kept)
cdef _replace_quarantine_moves(Cell cell, object kept)
cdef Py_ssize_t _size(object moves) except -1
@cython.locals(position=cython.Py_ssize_t)
cdef object _after(object moves, long long moment)
cdef long long _sum(object moves) except? -1
