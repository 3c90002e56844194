cimport cython

cdef list _THREE_DIGITS
cdef dict _seconds

@cython.locals(text=str)
cpdef str _second(long long seconds)

@cython.locals(seconds=cython.longlong, micros=cython.longlong, millis=cython.longlong)
cpdef str time_text(long long moment)
