cimport cython
from operators.rules cimport native
from operators.rules.admission cimport repeat_of

ctypedef unsigned long long number_t

cdef long long _HOUR, _SPLIT
cdef number_t _MAX, _WITH_DIGESTS, _MASK
cdef int _BITS
cdef Py_ssize_t ENTRY, CAPACITY_MIN, FULL_AT, FULL_OF, NEWS_KEPT

cdef class RememberedIds:
    cdef Py_ssize_t _capacity, _size, _news_size
    cdef number_t _floor
    cdef number_t[::1] _table, _news

    @cython.locals(at=cython.Py_ssize_t)
    cpdef int recognize(self, number_t unit, number_t content) except -1
    cpdef number_t digest(self, number_t unit) except? 1
    @cython.locals(number=number_t)
    cpdef remember(self, number_t unit, number_t content, long long until, number_t digest=*)
    @cython.locals(at=cython.Py_ssize_t)
    cpdef remember_in(self, number_t unit, number_t content, number_t number)
    @cython.locals(at=cython.Py_ssize_t, end=cython.Py_ssize_t, number=number_t, last=number_t, news=number_t[::1])
    cpdef dict news(self)
    @cython.locals(at=cython.Py_ssize_t, number=number_t, numbers=number_t[::1])
    cpdef restore(self, number_t name, bytes entries)
    @cython.locals(at=cython.Py_ssize_t, end=cython.Py_ssize_t, kept=cython.Py_ssize_t, floor=number_t,
                   capacity=cython.Py_ssize_t)
    cpdef bint forget(self, long long horizon) except -1
    @cython.locals(at=cython.Py_ssize_t, end=cython.Py_ssize_t, kept=cython.Py_ssize_t, count=cython.Py_ssize_t,
                   place=cython.Py_ssize_t, number=number_t, capacity=cython.Py_ssize_t)
    cpdef bint drop(self, number_t[::1] buckets) except -1
    @cython.locals(entry=cython.Py_ssize_t)
    cdef Py_ssize_t _place(self, number_t unit) except -1
    @cython.locals(at=cython.Py_ssize_t)
    cdef _insert(self, number_t unit, number_t content, number_t number)
    @cython.locals(at=cython.Py_ssize_t, to=cython.Py_ssize_t, end=cython.Py_ssize_t, old=number_t[::1])
    cdef _rebuild(self, Py_ssize_t capacity, number_t floor)

cpdef number_t unit_fingerprint(str source, str event_id, str line_id, str item) except? 1
cpdef number_t content_fingerprint(bytes content) except? 1
@cython.locals(at=cython.Py_ssize_t, size=cython.Py_ssize_t, longer=number_t[::1])
cdef _longer(number_t[::1] numbers)
@cython.locals(at=cython.Py_ssize_t, size=cython.Py_ssize_t, number=number_t, has_digests=cython.bint,
               view=number_t[::1])
cdef bytes _numbers_of(number_t[::1] news, Py_ssize_t end, number_t name)
cpdef number_t bucket_of(number_t name) except? 1
cpdef long long first_kept(long long horizon) except? -1
