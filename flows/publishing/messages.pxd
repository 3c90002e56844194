cimport cython
from flows.publishing cimport native
from schemas.messages cimport ChannelUpdate, ItemUpdate, Outgoing

cdef tuple LANES

@cython.locals(change=ChannelUpdate, more=str)
cpdef str update_json(Outgoing update)
@cython.locals(change=ChannelUpdate)
cpdef tuple address(Outgoing update)
cpdef str position_json(ItemUpdate update, long long version, long long processed_at)
