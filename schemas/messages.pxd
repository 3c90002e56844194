cimport cython

@cython.no_gc
cdef class ChannelUpdate:
    cdef public str channel, cause
    cdef public long long atp, low_stock_threshold
    cdef public object previous
    cdef public tuple by_day, previous_by_day
    cdef public int lane
    cdef public bint removed, forced
    cdef public bytes breakdown

@cython.locals(one=ChannelUpdate)
cpdef ChannelUpdate channel_update(
    str channel, long long atp, object previous, tuple by_day, int lane, str cause, bytes breakdown, tuple previous_by_day,
    long long low_stock_threshold, bint forced
)

@cython.no_gc
cdef class ItemUpdate:
    cdef public str item, correlation_id, places
    cdef public long long as_of, day0, unlocated, recorded_at
    cdef public int scale
    cdef public list channels
    cdef public dict fields, claims
    cdef public bint is_gone, is_whole, is_first, has_all_claims

@cython.locals(one=ItemUpdate)
cpdef ItemUpdate item_update(str item, long long as_of, int scale, long long day0, str correlation_id, long long unlocated)

@cython.no_gc
cdef class Outgoing:
    cdef public long long shard, as_of, version, processed_at, since
    cdef public str item, correlation_id
    cdef public ChannelUpdate change
