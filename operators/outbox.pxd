cimport cython


@cython.locals(urgency=cython.int, lane=cython.int)
cpdef int rank(update)

cpdef merge_channels(old, new)
cpdef bint is_moot(change)
cpdef bint is_unchanged(change)
cpdef merge(old, new)

@cython.locals(fields=Py_ssize_t)
cpdef Py_ssize_t size(update)

cdef class Outbox:
    cdef dict _waiting
    cdef list _ranks
    cdef dict _reached

    @cython.locals(item=str, known=tuple, urgency=cython.int, waiting=dict, ranks=list)
    cpdef add(self, Py_ssize_t shard, updates, dict reached)

    @cython.locals(item=str, fields=Py_ssize_t, taken=list, waiting=dict, entry=tuple)
    cpdef tuple slice(self, Py_ssize_t fields_max)

    cdef dict _take_reached(self)
