cimport cython
from schemas.messages cimport ChannelUpdate, ItemUpdate, Outgoing
from schemas.times cimport time_text

cdef tuple LANES

@cython.locals(change=ChannelUpdate, as_of=cython.longlong, atp=cython.longlong, version=cython.longlong, lane=cython.int, since=str,
               previous=str, text=str)
cpdef str update_json(Outgoing update)

@cython.locals(since=str, as_of=cython.longlong)
cpdef str position_json(ItemUpdate update, long long version, long long processed_at)
