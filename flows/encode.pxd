cimport cython

cdef Py_ssize_t SMALL, FIELDS_MAX
cdef list _SMALL
cdef dict _fields
cdef str _VERSION, _PUBLISHED_AT, _AS_OF, _DAY0, _SCALE, _ALL_META, _PLACE, _NOTHING_ELSE
cdef tuple _ZEROS, META, LANES

cdef class Slice:
    cdef public Py_ssize_t key_count, word_count
    cdef public bytes keys, words

cpdef str bulk(str text)
cpdef str _word(long long number)
cpdef str _field(str name)

@cython.locals(item=str, promises=str, figures=str, since=str, ours=str, meta=str, as_of=cython.longlong,
               keys=list, words=list, word_count=Py_ssize_t, promises_size=Py_ssize_t, figures_size=Py_ssize_t)
cpdef Slice pack_slice(updates, str prefix, long long version, long long published_at)

@cython.locals(channel=str, name=str, gone=str, atp=cython.longlong, at=Py_ssize_t, values=Py_ssize_t,
               deleted=Py_ssize_t, fields=dict, day0=cython.longlong)
cdef Py_ssize_t _pack_promises(update, list words, str meta, str since) except -1

@cython.locals(field=str, name=str, gone=str, at=Py_ssize_t, values=Py_ssize_t, deleted=Py_ssize_t, fields=dict,
               is_gone=bint)
cdef Py_ssize_t _pack_figures(update, list words, str ours, str since) except -1

@cython.locals(as_of=cython.longlong, atp=cython.longlong, version=cython.longlong, lane=cython.int, since=str,
               previous=str, text=str)
cpdef str update_json(update)

@cython.locals(code=str, figures=tuple, places=list, since=str, as_of=cython.longlong, on_hand=cython.longlong,
               available=cython.longlong)
cpdef str position_json(update, long long version, long long processed_at)

@cython.locals(seconds=cython.longlong, micros=cython.longlong)
cpdef str time_text(long long moment)
