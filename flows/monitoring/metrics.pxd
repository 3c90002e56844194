cimport cython
from operators.outbox cimport rank
from schemas.messages cimport ChannelUpdate, ItemUpdate, Outgoing

cdef class Tally:
    cdef public list counts
    cdef public double total

@cython.locals(update=ItemUpdate, tally=Tally, recorded=cython.longlong, last=cython.longlong, bucket=Py_ssize_t,
               late_s=cython.double)
cpdef tally_written(list taken, long long moment, list to_redis)

@cython.locals(found=dict, update=Outgoing, change=ChannelUpdate, lane=cython.int, since=cython.longlong, counts=list)
cpdef dict count_sent(list updates, list oldest)
