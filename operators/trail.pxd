cimport cython
from operators cimport native
from operators.evaluate cimport Policies, measure_of
from operators.rules.lots cimport physical
from schemas.messages cimport ItemUpdate, item_update
from schemas.state cimport Chain, Item, Place
from schemas.units cimport Unit

cdef list NO_TOUCHES
cdef dict NO_UNITS
cdef bytes NOTHING
cdef long long _FRAME_EVERY, _RECORD_BYTES, _SKIP

cdef class Trail:
    cdef str _key
    cdef public dict touches
    cdef long long _run, _topology_at, _last_at, _day_at
    cdef Py_ssize_t _size
    cdef object _topology
    cdef bytes _standing, _tables
    cdef list _groups, _said

    @cython.locals(signed=cython.longlong, touch=bytes, touches=list)
    cpdef note(self, Unit unit, long long quantity, str outcome)
    cpdef note_record(self, Item item, object origin)
    cpdef list left(self, object find)
    @cython.locals(at=cython.longlong, chain=Chain, scale=cython.int, touches=list, cause=str, has_records=cython.bint,
                   has_places=cython.bint, frame=bytes, group=bytes, number=cython.longlong, has_levels=cython.bint,
                   fields=dict)
    cpdef ItemUpdate say(self, Item item, ItemUpdate update, Policies policies, long long now)
    cpdef list said(self, long long now)
    cdef long long _moment(self, long long now) except? -1
    @cython.locals(records=bytes, places=list, units=dict, by_day=bytes)
    cdef bytes _frame(self, Item item, bint has_records, bint has_places)
    cdef _seal(self, long long at)
    cdef _write(self, long long at, bytes record)

@cython.locals(on_hand=cython.longlong, quarantined=cython.longlong, withheld=cython.longlong)
cdef bytes _figures(Item item, str location, Place place, dict units)
