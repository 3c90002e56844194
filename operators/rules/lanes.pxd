cimport cython

@cython.locals(previous=cython.longlong)
cpdef int lane(tuple before, long long atp, object by_day, long long low_stock_threshold, bint unhurried) except -1
