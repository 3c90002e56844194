# Texts, numbers and moments as the bytes of JSON and of Redis' protocol. Each writes one and gives where the next one
# goes; who calls has made room. `flows/publishing/native.py`, `flows/readmodel/native.py` and `operators/rules/native.py`
# say what is made of them, in Python.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, strlen

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    char* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 most)


# The most that one of these takes.
DEF NUMBER_MAX = 20
DEF WORD_MAX = 26
DEF TIME_SIZE = 27


cdef inline char* put_ascii(char* at, str text) except NULL:
    cdef Py_ssize_t size
    if text is None or not PyUnicode_IS_COMPACT_ASCII(text):
        raise ValueError(f"expected a code or an id, got {text!r:.99}")
    size = PyUnicode_GET_LENGTH(text)
    memcpy(at, PyUnicode_DATA(text), size)
    return at + size


cdef inline char* put_bytes(char* at, bytes raw) noexcept:
    memcpy(at, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    return at + PyBytes_GET_SIZE(raw)


cdef inline char* put_literal(char* at, const char* text) noexcept:
    memcpy(at, text, strlen(text))
    return at + strlen(text)


cdef inline char* put_decimal(char* at, long long number) noexcept:
    cdef char[NUMBER_MAX] digits
    cdef int first = NUMBER_MAX
    cdef unsigned long long rest = <unsigned long long> number
    if number < 0:
        at[0] = b"-"
        at += 1
        rest = 0 - rest
    while True:
        first -= 1
        digits[first] = 48 + rest % 10
        rest //= 10
        if rest == 0:
            break
    memcpy(at, digits + first, NUMBER_MAX - first)
    return at + NUMBER_MAX - first


cdef inline char* put_padded(char* at, unsigned int number, int width) noexcept:
    cdef int place
    for place in range(width - 1, -1, -1):
        at[place] = 48 + number % 10
        number //= 10
    return at + width


cdef inline char* put_date(char* at, unsigned long long day) noexcept:
    """The civil date of a day since 1970: years begin in March here, in eras of 400 (after H. Hinnant)."""
    cdef unsigned long long shifted = day + 719468
    cdef unsigned long long era = shifted // 146097
    cdef unsigned int of_era = <unsigned int> (shifted - era * 146097)
    cdef unsigned int year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    cdef unsigned int of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    cdef unsigned int month = (5 * of_year + 2) // 153
    cdef unsigned int year = <unsigned int> (year_of_era + era * 400)
    at = put_padded(at, year + (1 if month > 9 else 0), 4)
    at[0] = b"-"
    at = put_padded(at + 1, month + 3 if month < 10 else month - 9, 2)
    at[0] = b"-"
    return put_padded(at + 1, of_year - (153 * month + 2) // 5 + 1, 2)


cdef inline char* put_time(char* at, long long moment) noexcept:
    """UTC microseconds, not before 1970."""
    cdef unsigned long long seconds = <unsigned long long> moment // 1000000
    cdef unsigned long long day = seconds // 86400
    cdef unsigned int of_day = <unsigned int> (seconds - day * 86400)
    at = put_date(at, day)
    at[0] = b"T"
    at = put_padded(at + 1, of_day // 3600, 2)
    at[0] = b":"
    at = put_padded(at + 1, of_day // 60 % 60, 2)
    at[0] = b":"
    at = put_padded(at + 1, of_day % 60, 2)
    at[0] = b"."
    at = put_padded(at + 1, <unsigned int> (<unsigned long long> moment - seconds * 1000000), 6)
    at[0] = b"Z"
    return at + 1


# Words of Redis' protocol.

cdef inline char* put_word(char* at, str text) except NULL:
    at[0] = b"$"
    at = put_decimal(at + 1, PyUnicode_GET_LENGTH(text))
    at = put_literal(at, b"\r\n")
    at = put_ascii(at, text)
    return put_literal(at, b"\r\n")


cdef inline char* put_number_word(char* at, long long number) noexcept:
    cdef char[NUMBER_MAX] digits
    cdef Py_ssize_t size = put_decimal(digits, number) - digits
    at[0] = b"$"
    at = put_decimal(at + 1, size)
    at = put_literal(at, b"\r\n")
    memcpy(at, digits, size)
    return put_literal(at + size, b"\r\n")


# What grows.

cdef struct Grown:
    char* data
    Py_ssize_t size, room


cdef inline char* room_in(Grown* grown, Py_ssize_t more) except NULL:
    """Give where to write at most so much; `grown.size` is then set to what was written."""
    cdef char* data
    if grown.room - grown.size < more:
        grown.room = 2 * grown.room + more
        data = <char*> realloc(grown.data, grown.room)
        if data == NULL:
            raise MemoryError
        grown.data = data
    return grown.data + grown.size
