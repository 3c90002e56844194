cdef long long DAY, SECOND

cdef class Days:
    cdef public str name
    cdef public bint is_utc
    cdef public object _zone

    cpdef long long day_of(self, long long moment) except? -1
