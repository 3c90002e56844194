cimport cython
from schemas.messages cimport ChannelUpdate, ItemUpdate

cdef Py_ssize_t SMALL, FIELDS_MAX
cdef list _SMALL
cdef dict _fields
cdef str _VERSION, _PUBLISHED_AT, _AS_OF, _DAY0, _SCALE, _ALL_META, _PLACEHOLDER
cdef tuple META

cdef Py_ssize_t _pack_claims(ItemUpdate update, list words) except -1
@cython.locals(text=str)
cdef str _as_of_words(long long millis)

cdef class Slice:
    cdef public Py_ssize_t key_count, word_count
    cdef public bytes keys, words

cpdef str bulk(str text)
cpdef str _word(long long number)
cpdef str _field(str name)

@cython.locals(update=ItemUpdate, item=str, promises=str, figures=str, claims=str, since=str, ours=str, meta=str, as_of=cython.longlong,
               keys=list, words=list, word_count=Py_ssize_t, promises_size=Py_ssize_t, figures_size=Py_ssize_t)
cpdef Slice pack_slice(updates, str prefix, long long version, long long published_at)

@cython.locals(change=ChannelUpdate, channel=str, name=str, gone=str, atp=cython.longlong, at=Py_ssize_t, values=Py_ssize_t,
               deleted=Py_ssize_t, fields=dict, day0=cython.longlong)
cdef Py_ssize_t _pack_promises(ItemUpdate update, list words, str meta, str since) except -1

@cython.locals(field=str, name=str, gone=str, at=Py_ssize_t, values=Py_ssize_t, deleted=Py_ssize_t, fields=dict,
               is_gone=bint)
cdef Py_ssize_t _pack_figures(ItemUpdate update, list words, str ours, str since) except -1
