cdef class Windows:
    cdef public long long common
    cdef public dict by_source

    cpdef long long of(self, str source) except? -1

cpdef bint is_late(long long occurred_at, long long recorded_at, long long window) noexcept
cpdef bint is_in_the_future(long long occurred_at, long long recorded_at, long long skew) noexcept
cpdef bint is_in_time(long long occurred_at, long long recorded_at, long long window, long long skew) noexcept
cpdef long long known_until(long long occurred_at, long long recorded_at, long long window, bint accepts_late) except? -1
cpdef int repeat_of(unsigned long long first, unsigned long long content) except -1
