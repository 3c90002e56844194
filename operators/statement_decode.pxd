cimport cython
from operators.decode cimport Rights
from operators.rules.admission cimport is_in_time

cdef long long _ABSENT

cdef class StatementDecoder:
    cdef public object config, known
    cdef Rights _unbound
    cdef dict _named, _rights
    cdef str _said_at
    cdef object _as_of

    @cython.locals(value=bytes)
    cpdef decode(self, origin, recorded_at, bint final)
    cdef Rights _rights_of(self, str source)
    @cython.locals(rights=Rights)
    cdef _read(self, bytes value, origin, recorded_at)

@cython.locals(on_hand=cython.longlong, available=cython.longlong, least=cython.longlong)
cdef tuple _figures_of(row)
