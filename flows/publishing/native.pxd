# What native.py says, in C. Texts are codes, ids and JSON that was made before: ASCII.

from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdlib cimport free, malloc

from schemas.ascii cimport PyUnicode_GET_LENGTH, put_ascii, put_decimal, put_literal, put_time
from schemas.messages cimport ChannelUpdate, ItemUpdate, Outgoing

DEF BUFFER = 2048
# Names of fields, five numbers, two moments and what stands around them.
DEF AROUND = 400


cdef inline char* put_moment_text(char* at, long long moment) noexcept:
    if moment < 0:
        return put_literal(at, b"null")
    at[0] = b'"'
    at = put_time(at + 1, moment)
    at[0] = b'"'
    return at + 1


cdef inline str update_text(Outgoing update, str lane, str more):
    cdef ChannelUpdate change = update.change
    cdef Py_ssize_t bound = (AROUND + PyUnicode_GET_LENGTH(update.item) + PyUnicode_GET_LENGTH(change.channel)
                             + PyUnicode_GET_LENGTH(lane) + PyUnicode_GET_LENGTH(change.cause) + PyUnicode_GET_LENGTH(more))
    cdef char[BUFFER] small
    cdef char* at
    cdef char* buffer = small
    if bound > BUFFER:
        buffer = <char*> malloc(bound)
        if buffer == NULL:
            raise MemoryError
    try:
        at = put_ascii(put_literal(buffer, b'{"item":"'), update.item)
        at = put_ascii(put_literal(at, b'","channel":"'), change.channel)
        at = put_decimal(put_literal(at, b'","atp":'), change.atp)
        at = put_literal(at, b',"previous":')
        at = put_literal(at, b"null") if change.previous is None else put_decimal(at, change.previous)
        at = put_ascii(put_literal(at, b',"lane":"'), lane)
        at = put_ascii(put_literal(at, b'","cause":"'), change.cause)
        at = put_moment_text(put_literal(at, b'","as_of":'), update.as_of)
        at = put_moment_text(put_literal(at, b',"processed_at":'), update.processed_at)
        at = put_decimal(put_literal(at, b',"version":'), update.version)
        at = put_literal(put_ascii(at, more), b"}")
        return PyUnicode_DecodeASCII(buffer, at - buffer, NULL)
    finally:
        if buffer != small:
            free(buffer)


cdef inline str position_text(ItemUpdate update, long long version, long long processed_at):
    cdef str places = update.places
    cdef Py_ssize_t bound = AROUND + PyUnicode_GET_LENGTH(update.item) + PyUnicode_GET_LENGTH(places)
    cdef char[BUFFER] small
    cdef char* at
    cdef char* buffer = small
    if bound > BUFFER:
        buffer = <char*> malloc(bound)
        if buffer == NULL:
            raise MemoryError
    try:
        at = put_ascii(put_literal(buffer, b'{"item":"'), update.item)
        at = put_decimal(put_literal(at, b'","version":'), version)
        at = put_moment_text(put_literal(at, b',"as_of":'), update.as_of)
        at = put_moment_text(put_literal(at, b',"processed_at":'), processed_at)
        at = put_decimal(put_literal(at, b',"scale":'), update.scale)
        at = put_ascii(put_literal(at, b',"locations":{'), places)
        at = put_decimal(put_literal(at, b'},"unlocated":{"soft_allocated":'), update.unlocated)
        at = put_literal(at, b"}}")
        return PyUnicode_DecodeASCII(buffer, at - buffer, NULL)
    finally:
        if buffer != small:
            free(buffer)
