cimport cython
from operators.outbox cimport is_moot, is_unchanged, merge_channels


cdef class LaneQueue:
    cdef public object times
    cdef dict _waiting
    cdef tuple _lingering
    cdef list _now
    cdef dict _blocked
    cdef dict _budgets
    cdef long long _retry_at
    cdef public dict overdue, merged

    @cython.locals(item=str)
    cpdef add_all(self, list taken, version, now)

    @cython.locals(key=tuple, waiting=dict, lane=cython.int)
    cpdef add(self, update, long long now)

    @cython.locals(ready=list, by_lane=list, waiting=dict, budgets=dict, key=tuple)
    cpdef list due(self, long long now, bint linger=*)

cpdef bint is_for_redis_alone(change)
