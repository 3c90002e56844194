cimport cython
from flows.readmodel cimport native

cdef class Slice:
    cdef public Py_ssize_t key_count, word_count
    cdef public bytes keys, words

@cython.locals(before=bytes, one=Slice)
cpdef Slice pack_slice(updates, str prefix, long long version, long long published_at)
