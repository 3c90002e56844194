cimport cython
from operators.rules.admission cimport Windows, is_in_the_future, is_in_time, is_late
from operators.scan cimport Event, Line, Scanner
from operators.shapes cimport FastType, fill_unit
from schemas.units cimport Unit, plain_unit

cdef int ORDER_CANCELLED
cdef long long ABSENT

cdef class Rights:
    cdef public object may_send, locations
    cdef public long long window

cdef class Decoder:
    cdef public object config, known
    cdef public Rights _unbound
    cdef public dict _named, _rights, _fast_topics
    cdef public long long _skew, _size_max
    cdef Scanner _scanner

    @cython.locals(value=bytes, event=Event, is_order=cython.bint, types=dict, unit=Unit)
    cpdef bint decode(self, object origin, long long recorded_at, list units, list refusals, bint final) except -1
    @cython.locals(fast=FastType, rights=Rights, unit=Unit)
    cdef Unit _take_single(self, object origin, Event event, long long recorded_at, dict types)
    @cython.locals(fast=FastType, rights=Rights, unit=Unit, line=Line, lines=list, parts=list, is_placed=cython.bint,
                   least=cython.longlong)
    cdef bint _take_order(self, object origin, Event event, long long recorded_at, list units, dict types) except -1
