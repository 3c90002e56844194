# What native.py says, in C. Texts are codes, and JSON of codes and numbers: ASCII.

from libc.errno cimport EINTR, errno
from libc.stdlib cimport free
from libc.string cimport memcpy, memmove

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from schemas.ascii cimport (
    Grown, PyUnicode_GET_LENGTH, put_ascii, put_bytes, put_date, put_decimal, put_literal, put_number_word, put_word, room_in,
)
from schemas.messages cimport ChannelUpdate, ItemUpdate

cdef extern from "<sys/socket.h>" nogil:
    int MSG_NOSIGNAL
    ssize_t send(int line, const void* data, size_t size, int flags)
    ssize_t recv(int line, void* data, size_t size, int flags)

DEF FIRST_BYTES = 4096


cdef inline bytes exchange(line, bytes out):
    cdef int number = line.fileno()
    cdef const char* at = PyBytes_AS_STRING(out)
    cdef Py_ssize_t left = PyBytes_GET_SIZE(out)
    cdef char[FIRST_BYTES] answer
    cdef ssize_t done = 0
    while True:
        with nogil:
            while left > 0:
                done = send(number, at, left, MSG_NOSIGNAL)
                if done < 0:
                    break
                at += done
                left -= done
            if left == 0:
                done = recv(number, answer, FIRST_BYTES, 0)
        if done >= 0:
            return PyBytes_FromStringAndSize(answer, done)
        if errno != EINTR:
            PyErr_SetFromErrno(OSError)
        PyErr_CheckSignals()


# The most that these words take: a number, one with its sign and both ends; the four of an item's meta with their
# values; what stands around a text of less than 10^19.
DEF NUMBER_WORD = 28
DEF META = 256
DEF AROUND = 26


cdef inline tuple slice_of(updates, bytes promises, bytes figures, bytes claims, long long version, long long published_ms):
    cdef Grown keys = Grown(NULL, 0, 0), words = Grown(NULL, 0, 0)
    cdef Py_ssize_t key_count = 0, count = 0
    cdef ItemUpdate update
    # What all of a slice say alike: its version, and behind it when it was published.
    cdef char[META] meta
    cdef Py_ssize_t ours_size = put_number_word(put_literal(meta, b"$8\r\n_version\r\n"), version) - meta
    cdef Py_ssize_t meta_size = (
        put_number_word(put_literal(meta + ours_size, b"$13\r\n_published_at\r\n"), published_ms) - meta
    )
    try:
        for update in updates:
            if update.channels or update.day0 >= 0 or update.is_gone or update.is_first:
                add_key(&keys, promises, update.item)
                count += add_promises(&words, update, meta, meta_size)
                key_count += 1
            if update.fields:
                add_key(&keys, figures, update.item)
                count += add_figures(&words, update, meta, ours_size)
                key_count += 1
            if update.claims is not None and (update.claims or update.has_all_claims):
                add_key(&keys, claims, update.item)
                count += add_claims(&words, update)
                key_count += 1
        return (
            key_count, PyBytes_FromStringAndSize(keys.data, keys.size), count, PyBytes_FromStringAndSize(words.data, words.size)
        )
    finally:
        free(keys.data)
        free(words.data)


cdef inline int add_key(Grown* keys, bytes before, str item) except -1:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(before) + PyUnicode_GET_LENGTH(item)
    cdef char* at = room_in(keys, size + AROUND)
    at[0] = b"$"
    at = put_literal(put_decimal(at + 1, size), b"\r\n")
    at = put_literal(put_ascii(put_bytes(at, before), item), b"\r\n")
    keys.size = at - keys.data
    return 0


cdef inline char* put_since(char* at, long long as_of) noexcept:
    if as_of < 0:
        return at
    return put_number_word(put_literal(at, b"$6\r\n_as_of\r\n"), as_of // 1000)


cdef inline char* put_days_name(char* at, str channel) except NULL:
    at[0] = b"$"
    at = put_decimal(at + 1, PyUnicode_GET_LENGTH(channel) + 7)
    at = put_ascii(put_literal(at, b"\r\n"), channel)
    return put_literal(at, b":by_day\r\n")


cdef inline char* put_days(char* at, tuple days) except NULL:
    cdef char* start = at + NUMBER_WORD
    cdef char* end = start
    cdef Py_ssize_t size
    end[0] = b"["
    end += 1
    for day in days:
        end = put_decimal(end, day)
        end[0] = b","
        end += 1
    end -= 1 if days else 0
    end[0] = b"]"
    size = end + 1 - start
    at[0] = b"$"
    at = put_literal(put_decimal(at + 1, size), b"\r\n")
    memmove(at, start, size)
    return put_literal(at + size, b"\r\n")


cdef inline Py_ssize_t add_promises(Grown* words, ItemUpdate update, const char* meta, Py_ssize_t meta_size) except -1:
    cdef list channels = update.channels
    cdef ChannelUpdate change
    cdef Py_ssize_t values = 0, gone = 0, bound = META
    cdef bint is_gone = update.is_gone
    for change in channels:
        bound += 2 * PyUnicode_GET_LENGTH(change.channel) + 96
        if change.removed:
            gone += 2
        else:
            values += 1
            if change.by_day is not None:
                values += 1
                bound += 21 * len(change.by_day) + 2 * NUMBER_WORD
            elif change.forced or change.previous_by_day is not None:
                gone += 1
    cdef char* at = room_in(words, bound)
    if is_gone:
        values = 0
        at = put_literal(at, b"$1\r\n0\r\n")
        gone += 5
    else:
        values += 2 + (update.as_of >= 0) + (update.day0 >= 0) + (update.scale != 0)
        gone += (update.day0 < 0) + (update.scale == 0)
        at = put_number_word(at, -values if update.is_whole else values)
        for change in channels:
            if not change.removed:
                at = put_number_word(put_word(at, change.channel), change.atp)
                if change.by_day is not None:
                    at = put_days(put_days_name(at, change.channel), change.by_day)
        memcpy(at, meta, meta_size)
        at = put_since(at + meta_size, update.as_of)
        if update.day0 >= 0:
            at = put_literal(put_date(put_literal(at, b"$5\r\n_day0\r\n$10\r\n"), update.day0), b"\r\n")
        if update.scale:
            at = put_number_word(put_literal(at, b"$6\r\n_scale\r\n"), update.scale)
    at = put_number_word(at, gone)
    for change in channels:
        if change.removed:
            at = put_days_name(put_word(at, change.channel), change.channel)
        elif change.by_day is None and (change.forced or change.previous_by_day is not None):
            at = put_days_name(at, change.channel)
    if is_gone:
        at = put_literal(at, b"$8\r\n_version\r\n$13\r\n_published_at\r\n$6\r\n_as_of\r\n$5\r\n_day0\r\n$6\r\n_scale\r\n")
    else:
        if update.day0 < 0:
            at = put_literal(at, b"$5\r\n_day0\r\n")
        if update.scale == 0:
            at = put_literal(at, b"$6\r\n_scale\r\n")
    words.size = at - words.data
    return 2 + 2 * values + gone


cdef inline Py_ssize_t add_figures(Grown* words, ItemUpdate update, const char* meta, Py_ssize_t ours_size) except -1:
    cdef dict fields = update.fields
    cdef str field
    cdef object quantity
    cdef Py_ssize_t values = 0, gone = 0, bound = META
    cdef bint is_gone = update.is_gone, is_whole = update.is_whole
    for field, quantity in fields.items():
        bound += PyUnicode_GET_LENGTH(field) + AROUND + NUMBER_WORD
        if quantity is None or is_gone:
            gone += 1
        elif not is_whole or quantity != 0:
            values += 1
    cdef char* at = room_in(words, bound)
    if is_gone:
        values = 0
        gone += 2
        at = put_literal(at, b"$1\r\n0\r\n")
    else:
        values += 1 + (update.as_of >= 0)
        at = put_number_word(at, -values if is_whole else values)
        for field, quantity in fields.items():
            if quantity is not None and (not is_whole or quantity != 0):
                at = put_number_word(put_word(at, field), quantity)
        memcpy(at, meta, ours_size)
        at = put_since(at + ours_size, update.as_of)
    at = put_number_word(at, gone)
    if gone:
        for field, quantity in fields.items():
            if quantity is None or is_gone:
                at = put_word(at, field)
    if is_gone:
        at = put_literal(at, b"$8\r\n_version\r\n$6\r\n_as_of\r\n")
    words.size = at - words.data
    return 2 + 2 * values + gone


cdef inline Py_ssize_t add_claims(Grown* words, ItemUpdate update) except -1:
    cdef dict claims = update.claims
    cdef str field
    cdef object text
    cdef Py_ssize_t values = 0, gone = 0, bound = META
    cdef bint has_all = update.has_all_claims
    for field, text in claims.items():
        bound += PyUnicode_GET_LENGTH(field) + AROUND
        if text is None:
            gone += 1
        else:
            bound += PyUnicode_GET_LENGTH(text) + AROUND
            values += 1
    if has_all:
        values += 1
        gone = 1
    cdef char* at = put_number_word(room_in(words, bound), -values if has_all else values)
    for field, text in claims.items():
        if text is not None:
            at = put_word(put_word(at, field), text)
    # In place of all that is there; a field that goes again, for where that is nothing.
    if has_all:
        at = put_literal(at, b"$1\r\n_\r\n$0\r\n\r\n")
    at = put_number_word(at, gone)
    if has_all:
        at = put_literal(at, b"$1\r\n_\r\n")
    else:
        for field, text in claims.items():
            if text is None:
                at = put_word(at, field)
    words.size = at - words.data
    return 2 + 2 * values + gone
