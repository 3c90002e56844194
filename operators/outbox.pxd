cimport cython
from schemas.messages cimport ChannelUpdate, ItemUpdate

@cython.locals(change=ChannelUpdate, urgency=cython.int)
cpdef int rank(ItemUpdate update)

cpdef ChannelUpdate merge_channels(ChannelUpdate old, ChannelUpdate new)
cpdef bint is_moot(ChannelUpdate change)
cpdef bint is_unchanged(ChannelUpdate change)
cpdef ItemUpdate merge(ItemUpdate old, ItemUpdate new)

@cython.locals(change=ChannelUpdate, fields=Py_ssize_t)
cpdef Py_ssize_t size(ItemUpdate update)

cdef class Outbox:
    cdef dict _waiting
    cdef list _ranks
    cdef dict _reached

    @cython.locals(update=ItemUpdate, item=str, known=tuple, entry=tuple, urgency=cython.int, waiting=dict, ranks=list)
    cpdef add(self, Py_ssize_t shard, updates, dict reached)

    @cython.locals(item=str, fields=Py_ssize_t, taken=list, waiting=dict, entry=tuple)
    cpdef tuple slice(self, Py_ssize_t fields_max)

    cdef dict _take_reached(self)
