# What native.py says, in C. Texts here are codes and ids: ASCII, at most 128 characters; more than that, or another
# text, goes the slow way.

from cpython.array cimport array as c_array, resize_smart
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    char* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)


cdef inline int append_pair(c_array numbers, long long one, long long other) except -1:
    cdef Py_ssize_t size = len(numbers)
    resize_smart(numbers, size + 2)
    numbers.data.as_longlongs[size] = one
    numbers.data.as_longlongs[size + 1] = other
    return 0


cdef inline bytes joined(str one, str two, str three, str four):
    if not (PyUnicode_IS_COMPACT_ASCII(one) and PyUnicode_IS_COMPACT_ASCII(two)
            and PyUnicode_IS_COMPACT_ASCII(three) and PyUnicode_IS_COMPACT_ASCII(four)):
        return f"{one}\x1f{two}\x1f{three}\x1f{four}".encode()
    cdef Py_ssize_t a = PyUnicode_GET_LENGTH(one), b = PyUnicode_GET_LENGTH(two)
    cdef Py_ssize_t c = PyUnicode_GET_LENGTH(three), d = PyUnicode_GET_LENGTH(four)
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, a + b + c + d + 3)
    cdef char* at = PyBytes_AS_STRING(whole)
    memcpy(at, PyUnicode_DATA(one), a)
    at[a] = 0x1f
    at += a + 1
    memcpy(at, PyUnicode_DATA(two), b)
    at[b] = 0x1f
    at += b + 1
    memcpy(at, PyUnicode_DATA(three), c)
    at[c] = 0x1f
    at += c + 1
    memcpy(at, PyUnicode_DATA(four), d)
    return whole


# MessagePack: each of these writes one value and gives where the next one goes.

cdef inline unsigned char* put_number(unsigned char* at, long long number) noexcept:
    cdef unsigned long long rest
    cdef int size, shift
    if 0 <= number < 128 or -32 <= number < 0:
        at[0] = <unsigned char> number
        return at + 1
    rest = <unsigned long long> number
    if number > 0:
        if number < 1 << 8:
            at[0] = 0xcc
            size = 1
        elif number < 1 << 16:
            at[0] = 0xcd
            size = 2
        elif number < <long long> 1 << 32:
            at[0] = 0xce
            size = 4
        else:
            at[0] = 0xcf
            size = 8
    elif number >= -(1 << 7):
        at[0] = 0xd0
        size = 1
    elif number >= -(1 << 15):
        at[0] = 0xd1
        size = 2
    elif number >= -(<long long> 1 << 31):
        at[0] = 0xd2
        size = 4
    else:
        at[0] = 0xd3
        size = 8
    at += 1
    for shift in range(size):
        at[size - 1 - shift] = rest & 0xff
        rest >>= 8
    return at + size


cdef inline unsigned char* put_optional(unsigned char* at, object number) except NULL:
    if number is None:
        at[0] = 0xc0
        return at + 1
    return put_number(at, number)


DEF TEXT_MAX = 255


cdef inline unsigned char* put_text(unsigned char* at, str text) except NULL:
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(text)
    if not PyUnicode_IS_COMPACT_ASCII(text) or size > TEXT_MAX:
        raise ValueError(f"expected a code or an id, got {text[:99]!r}")
    if size < 32:
        at[0] = 0xa0 | size
        at += 1
    else:
        at[0] = 0xd9
        at[1] = size
        at += 2
    memcpy(at, PyUnicode_DATA(text), size)
    return at + size


cdef inline bytes packed_line(int kind, long long occurred_at, long long quantity, str location, str order_id, str channel,
                              object expires_at, object requested_at):
    cdef unsigned char[1024] buffer
    cdef unsigned char* at = buffer
    at[0] = 0x90 | 8
    at = put_number(at + 1, kind)
    at = put_number(at, occurred_at)
    at = put_number(at, quantity)
    at = put_text(at, location)
    at = put_text(at, order_id)
    at = put_text(at, channel)
    at = put_optional(at, expires_at)
    at = put_optional(at, requested_at)
    return PyBytes_FromStringAndSize(<char*> buffer, at - buffer)


cdef inline bytes packed_movement(int kind, long long occurred_at, long long quantity, object quarantined, str location,
                                  str lot, str status, str order_id, str transfer_id, str receipt_id, str to_location,
                                  object eta):
    cdef unsigned char[2048] buffer
    cdef unsigned char* at = buffer
    at[0] = 0x90 | 12
    at = put_number(at + 1, kind)
    at = put_number(at, occurred_at)
    at = put_number(at, quantity)
    at = put_optional(at, quarantined)
    at = put_text(at, location)
    at = put_text(at, lot)
    at = put_text(at, status)
    at = put_text(at, order_id)
    at = put_text(at, transfer_id)
    at = put_text(at, receipt_id)
    at = put_text(at, to_location)
    at = put_optional(at, eta)
    return PyBytes_FromStringAndSize(<char*> buffer, at - buffer)


# Reading JSON. `value` is never None here, and `at` and `end` lie within it.

cdef inline long long text_until(bytes value, Py_ssize_t at, Py_ssize_t end, bytes classes) noexcept:
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(value)
    cdef const unsigned char* kinds = <const unsigned char*> PyBytes_AS_STRING(classes)
    cdef unsigned char kind = 255, what
    while at < end:
        what = kinds[data[at]]
        if what == 0:
            break
        kind &= what
        at += 1
    return at << 8 | kind


cdef inline bint is_at(bytes name, bytes value, Py_ssize_t start) noexcept:
    return memcmp(PyBytes_AS_STRING(name), PyBytes_AS_STRING(value) + start, PyBytes_GET_SIZE(name)) == 0


cdef inline long long digits(bytes value, Py_ssize_t start, Py_ssize_t size) noexcept:
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(value) + start
    cdef long long number = 0
    cdef Py_ssize_t at
    for at in range(size):
        if data[at] < 48 or data[at] > 57:
            return -1
        number = number * 10 + data[at] - 48
    return number


cdef inline Py_ssize_t first_not_space(bytes value, Py_ssize_t at, Py_ssize_t end) noexcept:
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(value)
    while at < end and data[at] <= 32 and (data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9):
        at += 1
    return at
