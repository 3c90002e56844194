cimport cython
from operators.outbox cimport is_moot, is_unchanged, merge_channels
from schemas.messages cimport ChannelUpdate, ItemUpdate, Outgoing

cdef class LaneQueue:
    cdef public object times
    cdef dict _waiting
    cdef tuple _lingering
    cdef list _now
    cdef dict _blocked
    cdef dict _budgets
    cdef long long _retry_at
    cdef public dict overdue, merged

    @cython.locals(shard=cython.longlong, update=ItemUpdate, change=ChannelUpdate, one=Outgoing, item=str, key=tuple,
                   waiting=dict)
    cpdef add_all(self, list taken, long long version, long long now)

    @cython.locals(key=tuple, waiting=dict, lane=cython.int, known=Outgoing)
    cpdef add(self, Outgoing update, long long now)

    cdef _place(self, tuple key, int lane, long long now)

    @cython.locals(ready=list, by_lane=list, waiting=dict, budgets=dict, key=tuple, update=Outgoing)
    cpdef list due(self, long long now, bint linger=*)

@cython.locals(one=Outgoing)
cpdef Outgoing outgoing(long long shard, ItemUpdate update, ChannelUpdate change, long long version, long long now)
cpdef bint is_for_redis_alone(ChannelUpdate change)
