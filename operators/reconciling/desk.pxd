cimport cython
from operators cimport ours, position
from operators.ids cimport RememberedIds, number_t
from schemas.state cimport Item, Rare

cdef long long _HOUR

cdef class Desk:
    cdef public object shard, run, work
    cdef public dict open, rules
    cdef public list words
    cdef public set untold
    cdef public set _over
    cdef public object _dropping, _told_at
    cdef public bint _is_waited_for

    cpdef open_statement(self, tuple key, born)
    @cython.locals(hour=cython.longlong, ids=RememberedIds, buckets=dict)
    cpdef remember(self, found, number_t identity, number_t content, long long until)
    cpdef rules_of(self, str source)
    cpdef ours(self, Item item, str place, str lot, str measure, long long as_of)
    cpdef list rows_of(self, Item item, tuple key)
    cpdef keep(self, found, Item item, row)
    cpdef changed(self, Item item, row)
    cpdef drop(self, Item item, row)
    cpdef put(self, Item item, str key, standing)
    cpdef say(self, str topic, str key, bytes value)
