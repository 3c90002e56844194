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

@cython.no_gc
cdef class ItemUpdate:
    cdef public str item, correlation_id, places
    cdef public long long as_of, day0, unlocated, recorded_at
    cdef public int scale
    cdef public list channels
    cdef public dict fields, claims
    cdef public bint is_gone, is_whole, is_first, has_all_claims

@cython.no_gc
cdef class Outgoing:
    cdef public long long shard, as_of, version, processed_at, since
    cdef public str item, correlation_id
    cdef public ChannelUpdate change
