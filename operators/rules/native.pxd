# What native.py says, in C. Texts here are codes and ids: ASCII, at most 128 characters; more than that, or another
# text, goes the slow way.

from cpython.array cimport array as c_array, clone, resize_smart
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from schemas.ascii cimport put_ascii, put_decimal, put_literal
from schemas.state cimport Cancellations, Cell, Chain, Line, LineAt, Place

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    char* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    object PyUnicode_New(Py_ssize_t size, unsigned int most)


cdef extern from *:
    """
    #include <stdint.h>
    static uint32_t atp_crc_table[256];
    static uint32_t atp_crc32(const unsigned char *at, Py_ssize_t size) {
        uint32_t sum = 0xffffffffu;
        if (atp_crc_table[255] == 0) {
            uint32_t byte, bit;
            for (byte = 0; byte < 256; byte++) {
                uint32_t rest = byte;
                for (bit = 0; bit < 8; bit++) rest = rest & 1 ? rest >> 1 ^ 0xedb88320u : rest >> 1;
                atp_crc_table[byte] = rest;
            }
        }
        while (size-- > 0) sum = sum >> 8 ^ atp_crc_table[(sum ^ *at++) & 0xff];
        return ~sum;
    }
    """
    unsigned int atp_crc32(const unsigned char* at, Py_ssize_t size) noexcept


# XXH3 of 64 bits, seed 0, of at most HASHED_MAX bytes, as https://github.com/Cyan4973/xxHash/blob/v0.8.2/doc/xxhash_spec.md
# says; what is longer is left to the library. The call through Python that this spares costs ten times what it does.

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #define HASHED_MAX 240
    static const unsigned char atp_secret[192] = {
        0xb8,0xfe,0x6c,0x39,0x23,0xa4,0x4b,0xbe,0x7c,0x01,0x81,0x2c,0xf7,0x21,0xad,0x1c,0xde,0xd4,0x6d,0xe9,0x83,0x90,
        0x97,0xdb,0x72,0x40,0xa4,0xa4,0xb7,0xb3,0x67,0x1f,0xcb,0x79,0xe6,0x4e,0xcc,0xc0,0xe5,0x78,0x82,0x5a,0xd0,0x7d,
        0xcc,0xff,0x72,0x21,0xb8,0x08,0x46,0x74,0xf7,0x43,0x24,0x8e,0xe0,0x35,0x90,0xe6,0x81,0x3a,0x26,0x4c,0x3c,0x28,
        0x52,0xbb,0x91,0xc3,0x00,0xcb,0x88,0xd0,0x65,0x8b,0x1b,0x53,0x2e,0xa3,0x71,0x64,0x48,0x97,0xa2,0x0d,0xf9,0x4e,
        0x38,0x19,0xef,0x46,0xa9,0xde,0xac,0xd8,0xa8,0xfa,0x76,0x3f,0xe3,0x9c,0x34,0x3f,0xf9,0xdc,0xbb,0xc7,0xc7,0x0b,
        0x4f,0x1d,0x8a,0x51,0xe0,0x4b,0xcd,0xb4,0x59,0x31,0xc8,0x9f,0x7e,0xc9,0xd9,0x78,0x73,0x64,0xea,0xc5,0xac,0x83,
        0x34,0xd3,0xeb,0xc3,0xc5,0x81,0xa0,0xff,0xfa,0x13,0x63,0xeb,0x17,0x0d,0xdd,0x51,0xb7,0xf0,0xda,0x49,0xd3,0x16,
        0x55,0x26,0x29,0xd4,0x68,0x9e,0x2b,0x16,0xbe,0x58,0x7d,0x47,0xa1,0xfc,0x8f,0xf8,0xb8,0xd1,0x7a,0xd0,0x31,0xce,
        0x45,0xcb,0x3a,0x8f,0x95,0x16,0x04,0x28,0xaf,0xd7,0xfb,0xca,0xbb,0x4b,0x40,0x7e,
    };
    static inline uint64_t atp_read64(const unsigned char *at) { uint64_t n; memcpy(&n, at, 8); return n; }
    static inline uint32_t atp_read32(const unsigned char *at) { uint32_t n; memcpy(&n, at, 4); return n; }
    static inline uint64_t atp_rotated(uint64_t n, int by) { return n << by | n >> (64 - by); }
    static inline uint64_t atp_folded(uint64_t one, uint64_t other) {
        unsigned __int128 whole = (unsigned __int128) one * other;
        return (uint64_t) whole ^ (uint64_t) (whole >> 64);
    }
    static inline uint64_t atp_mixed(const unsigned char *at, const unsigned char *secret) {
        return atp_folded(atp_read64(at) ^ atp_read64(secret), atp_read64(at + 8) ^ atp_read64(secret + 8));
    }
    static inline uint64_t atp_spread(uint64_t n) {
        n = (n ^ n >> 37) * 0x165667919E3779F9ULL;
        return n ^ n >> 32;
    }
    static inline uint64_t atp_spread_few(uint64_t n) {
        n = (n ^ n >> 33) * 0xC2B2AE3D27D4EB4FULL;
        n = (n ^ n >> 29) * 0x165667B19E3779F9ULL;
        return n ^ n >> 32;
    }
    static uint64_t atp_xxh3(const unsigned char *at, Py_ssize_t size) {
        const unsigned char *secret = atp_secret;
        uint64_t sum = (uint64_t) size * 0x9E3779B185EBCA87ULL;
        Py_ssize_t step;
        if (size == 0) return atp_spread_few(atp_read64(secret + 56) ^ atp_read64(secret + 64));
        if (size < 4) {
            uint32_t few = (uint32_t) at[0] << 16 | (uint32_t) at[size >> 1] << 24 | at[size - 1] | (uint32_t) size << 8;
            return atp_spread_few((uint64_t) few ^ (uint64_t) (atp_read32(secret) ^ atp_read32(secret + 4)));
        }
        if (size < 9) {
            uint64_t n = (uint64_t) atp_read32(at + size - 4) + ((uint64_t) atp_read32(at) << 32);
            n ^= atp_read64(secret + 8) ^ atp_read64(secret + 16);
            n = (n ^ atp_rotated(n, 49) ^ atp_rotated(n, 24)) * 0x9FB21C651E98DF25ULL;
            n = (n ^ ((n >> 35) + (uint64_t) size)) * 0x9FB21C651E98DF25ULL;
            return n ^ n >> 28;
        }
        if (size < 17) {
            uint64_t one = atp_read64(at) ^ atp_read64(secret + 24) ^ atp_read64(secret + 32);
            uint64_t other = atp_read64(at + size - 8) ^ atp_read64(secret + 40) ^ atp_read64(secret + 48);
            return atp_spread((uint64_t) size + __builtin_bswap64(one) + other + atp_folded(one, other));
        }
        if (size < 129) {
            for (step = (size - 1) / 32; step >= 0; step--) {
                sum += atp_mixed(at + 16 * step, secret + 32 * step);
                sum += atp_mixed(at + size - 16 * (step + 1), secret + 32 * step + 16);
            }
            return atp_spread(sum);
        }
        for (step = 0; step < 8; step++) sum += atp_mixed(at + 16 * step, secret + 16 * step);
        sum = atp_spread(sum);
        for (step = 8; step < size / 16; step++) sum += atp_mixed(at + 16 * step, secret + 16 * (step - 8) + 3);
        return atp_spread(sum + atp_mixed(at + size - 16, secret + 119));
    }
    """
    const Py_ssize_t HASHED_MAX
    unsigned long long atp_xxh3(const unsigned char* at, Py_ssize_t size) noexcept


cdef inline unsigned long long hashed(bytes content) except? 1:
    if PyBytes_GET_SIZE(content) > HASHED_MAX:
        from xxhash import xxh3_64_intdigest
        return xxh3_64_intdigest(content)
    return atp_xxh3(<const unsigned char*> PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))


cdef inline unsigned long long hashed_names(str one, str two, str three, str four) except? 1:
    cdef unsigned char[HASHED_MAX] buffer
    cdef Py_ssize_t a = PyUnicode_GET_LENGTH(one), b = PyUnicode_GET_LENGTH(two)
    cdef Py_ssize_t c = PyUnicode_GET_LENGTH(three), d = PyUnicode_GET_LENGTH(four)
    cdef unsigned char* at = buffer
    if not (PyUnicode_IS_COMPACT_ASCII(one) and PyUnicode_IS_COMPACT_ASCII(two) and PyUnicode_IS_COMPACT_ASCII(three)
            and PyUnicode_IS_COMPACT_ASCII(four) and a + b + c + d + 3 <= HASHED_MAX):
        return hashed(f"{one}\x1f{two}\x1f{three}\x1f{four}".encode())
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
    return atp_xxh3(buffer, a + b + c + d + 3)


cdef inline str interned(list known, bytes value, Py_ssize_t start, Py_ssize_t size):
    cdef const char* data = PyBytes_AS_STRING(value) + start
    cdef unsigned long long mark = size, word
    cdef Py_ssize_t at = 0, slot
    cdef str text
    while at + 8 <= size:
        memcpy(&word, data + at, 8)
        mark = (mark ^ word) * <unsigned long long> 0x9E3779B97F4A7C15
        mark ^= mark >> 32
        at += 8
    if at < size:
        word = 0
        memcpy(&word, data + at, size - at)
        mark = (mark ^ word) * <unsigned long long> 0x9E3779B97F4A7C15
    slot = <Py_ssize_t> (mark >> 32) & (PyList_GET_SIZE(known) - 1)
    text = <str> PyList_GET_ITEM(known, slot)
    if PyUnicode_GET_LENGTH(text) == size and memcmp(PyUnicode_DATA(text), data, size) == 0:
        return text
    text = intern(<str> PyUnicode_DecodeASCII(<char*> data, size, NULL))
    known[slot] = text
    return text


cdef inline str ascii_text(bytes value, Py_ssize_t start, Py_ssize_t size):
    cdef str text
    if size < 2:  # which is there already
        return <str> PyUnicode_DecodeASCII(PyBytes_AS_STRING(value) + start, size, NULL)
    text = <str> PyUnicode_New(size, 127)
    memcpy(PyUnicode_DATA(text), PyBytes_AS_STRING(value) + start, size)
    return text


# CRC-32 as zlib has it, a byte at a time: of a code of ten bytes a quarter of the call through Python.

cdef inline unsigned int checksum(str text) except? 1:
    if not PyUnicode_IS_COMPACT_ASCII(text):
        from zlib import crc32
        return crc32(text.encode())
    return atp_crc32(<const unsigned char*> PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))


cdef inline c_array fresh(c_array numbers):
    return clone(numbers, 0, False)


cdef inline int append_pair(c_array numbers, long long one, long long other) except -1:
    cdef Py_ssize_t size = len(numbers)
    resize_smart(numbers, size + 2)
    numbers.data.as_longlongs[size] = one
    numbers.data.as_longlongs[size + 1] = other
    return 0


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


# A few bits of each group of what a unit says: text as a number of base 256, the first byte the lowest, modulo 2^31 - 1.

cdef inline unsigned long long bits_of(unsigned long long number, int bits) noexcept:
    return number * <unsigned long long> 0x9E3779B97F4A7C15 >> (64 - bits)


cdef inline unsigned long long add_number(unsigned long long number, unsigned long long* weight, str text) except? 1:
    cdef const unsigned char* data
    cdef Py_ssize_t size, at
    cdef unsigned long long step = weight[0]
    cdef bytes other
    if PyUnicode_IS_COMPACT_ASCII(text):
        data = <const unsigned char*> PyUnicode_DATA(text)
        size = PyUnicode_GET_LENGTH(text)
    else:
        other = text.encode()
        data = <const unsigned char*> PyBytes_AS_STRING(other)
        size = PyBytes_GET_SIZE(other)
    for at in range(size):
        number += data[at] * step
        step = (step << 8 & 0x7fffffff) | step >> 23
        if number >> 62:
            number %= 0x7fffffff
    weight[0] = step
    return number


cdef inline unsigned long long add_separator(unsigned long long number, unsigned long long* weight) noexcept:
    number += 0x1f * weight[0]
    weight[0] = (weight[0] << 8 & 0x7fffffff) | weight[0] >> 23
    return number


cdef inline unsigned long long digest(int kind, long long occurred_at, long long quantity, object quarantined,
                                      str location, str lot, str status, str channel, str order_id, str transfer_id,
                                      str receipt_id, str to_location, object eta, object expires_at,
                                      object requested_at) except? 1:
    cdef unsigned long long weight = 1, place, kept, names, days
    place = add_number(0, &weight, location) % 0x7fffffff
    weight = 1
    kept = add_separator(add_number(0, &weight, lot), &weight)
    kept = add_separator(add_number(kept, &weight, status), &weight)
    kept = add_number(kept, &weight, channel) % 0x7fffffff
    kept += 3 * <unsigned long long> (-1 if quarantined is None else <long long> quarantined)
    weight = 1
    names = add_separator(add_number(0, &weight, order_id), &weight)
    names = add_separator(add_number(names, &weight, transfer_id), &weight)
    names = add_separator(add_number(names, &weight, receipt_id), &weight)
    names = add_number(names, &weight, to_location) % 0x7fffffff
    days = 3 * <unsigned long long> (-1 if eta is None else <long long> eta)
    days += 5 * <unsigned long long> (-1 if expires_at is None else <long long> expires_at)
    days += 7 * <unsigned long long> (-1 if requested_at is None else <long long> requested_at)
    return (kind | bits_of(<unsigned long long> quantity, 7) << 5 | bits_of(<unsigned long long> occurred_at, 7) << 12
            | bits_of(place, 6) << 19 | bits_of(kept, 5) << 25 | bits_of(names, 5) << 30 | bits_of(days, 4) << 35)


# Records of state. Their texts may be any; where they do not fit into a small buffer, a larger one is taken.

DEF BUFFER = 2048


cdef inline unsigned char* room_for(Py_ssize_t bound, unsigned char* small) except NULL:
    if bound <= BUFFER:
        return small
    cdef unsigned char* large = <unsigned char*> malloc(bound)
    if large == NULL:
        raise MemoryError
    return large


cdef inline Py_ssize_t text_size(str text) noexcept:
    return 4 * PyUnicode_GET_LENGTH(text) + 5


cdef inline Py_ssize_t moment_size(object moment) except -1:
    return 1 if moment is None else 10 + text_size(moment[1]) + text_size(moment[2])


cdef inline unsigned char* put_size(unsigned char* at, Py_ssize_t size, int kind) noexcept:
    """How long what follows is, for the three kinds that have one, two or four bytes for it."""
    cdef int width = 1 if size < 1 << 8 else 2 if size < 1 << 16 else 4
    cdef int shift
    at[0] = kind + (0 if width == 1 else 1 if width == 2 else 2)
    at += 1
    for shift in range(width):
        at[width - 1 - shift] = size & 0xff
        size >>= 8
    return at + width


cdef inline unsigned char* put_any(unsigned char* at, str text) except NULL:
    cdef bytes raw
    cdef Py_ssize_t size
    if PyUnicode_IS_COMPACT_ASCII(text):
        size = PyUnicode_GET_LENGTH(text)
        at = put_text_size(at, size)
        memcpy(at, PyUnicode_DATA(text), size)
        return at + size
    raw = text.encode()
    size = PyBytes_GET_SIZE(raw)
    at = put_text_size(at, size)
    memcpy(at, PyBytes_AS_STRING(raw), size)
    return at + size


cdef inline unsigned char* put_text_size(unsigned char* at, Py_ssize_t size) noexcept:
    if size < 32:
        at[0] = 0xa0 | size
        return at + 1
    return put_size(at, size, 0xd9)


cdef inline unsigned char* put_count(unsigned char* at, Py_ssize_t count, int small, int wide) noexcept:
    """How many follow, in an array or a mapping."""
    if count < 16:
        at[0] = small | count
        return at + 1
    at[0] = wide if count < 1 << 16 else wide + 1
    cdef int width = 2 if count < 1 << 16 else 4, shift
    at += 1
    for shift in range(width):
        at[width - 1 - shift] = count & 0xff
        count >>= 8
    return at + width


cdef inline unsigned char* put_moment(unsigned char* at, object moment) except NULL:
    if moment is None:
        at[0] = 0xc0
        return at + 1
    at[0] = 0x93
    at = put_number(at + 1, moment[0])
    at = put_any(at, moment[1])
    return put_any(at, moment[2])


cdef inline bytes packed_text(str text):
    cdef unsigned char[BUFFER] buffer
    if text_size(text) > BUFFER:
        return _packed_long_text(text)
    return PyBytes_FromStringAndSize(<char*> buffer, put_any(buffer, text) - buffer)


cdef inline bytes _packed_long_text(str text):
    cdef unsigned char[8] buffer
    cdef bytes raw = text.encode()
    return PyBytes_FromStringAndSize(<char*> buffer, put_text_size(buffer, PyBytes_GET_SIZE(raw)) - buffer) + raw


cdef inline bytes packed_key(str kind, str one, str other):
    cdef unsigned char[BUFFER] buffer
    cdef Py_ssize_t a = PyUnicode_GET_LENGTH(kind), b = PyUnicode_GET_LENGTH(one), c = PyUnicode_GET_LENGTH(other)
    cdef unsigned char* at = buffer
    if not (PyUnicode_IS_COMPACT_ASCII(kind) and PyUnicode_IS_COMPACT_ASCII(one) and PyUnicode_IS_COMPACT_ASCII(other)
            and a + b + c < BUFFER - 16):
        return packed_text(f"{kind}\x1f{one}\x1f{other}")
    at = put_text_size(at, a + b + c + 2)
    memcpy(at, PyUnicode_DATA(kind), a)
    at += a + 1
    at[-1] = 0x1f
    memcpy(at, PyUnicode_DATA(one), b)
    at += b + 1
    at[-1] = 0x1f
    memcpy(at, PyUnicode_DATA(other), c)
    return PyBytes_FromStringAndSize(<char*> buffer, at + c - buffer)


cdef inline bytes packed_map_size(Py_ssize_t count):
    cdef unsigned char[8] buffer
    return PyBytes_FromStringAndSize(<char*> buffer, put_count(buffer, count, 0x80, 0xde) - buffer)


cdef inline bytes packed_cell(Cell cell):
    return _packed_goods(cell, None)


cdef inline bytes packed_place(Place place):
    return _packed_goods(place, place)


cdef inline bytes _packed_goods(Cell cell, Place place):
    cdef Py_ssize_t bound = 128 + moment_size(cell.count) + moment_size(cell.quarantine_count)
    cdef unsigned char[BUFFER] small
    cdef unsigned char* buffer = room_for(bound, small)
    cdef unsigned char* at = buffer
    try:
        at[0] = 0x95
        at = put_number(at + 1, cell.on_hand)
        at = put_number(at, cell.quarantined)
        at = put_moment(at, cell.count)
        at = put_moment(at, cell.quarantine_count)
        if place is None:
            at[0] = 0xc0
            at += 1
        else:
            at[0] = 0x97
            at = put_number(at + 1, place.shown_on_hand)
            at = put_number(at, place.shown_quarantined)
            at = put_number(at, place.shown_soft_allocated)
            at = put_number(at, place.shown_hard_reserved)
            at = put_number(at, place.shown_in_transit)
            at = put_number(at, place.shown_expected)
            at = put_number(at, place.shown_available)
        return PyBytes_FromStringAndSize(<char*> buffer, at - buffer)
    finally:
        if buffer != small:
            free(buffer)


cdef inline bytes packed_chain(Chain chain):
    cdef Py_ssize_t bound = 8 + 9 * (2 + len(chain.levels))
    cdef unsigned char[BUFFER] small
    cdef unsigned char* buffer = room_for(bound, small)
    cdef unsigned char* at = buffer
    cdef object moment
    try:
        at = put_count(at, 2 + len(chain.levels), 0x90, 0xdc)
        at = put_number(put_number(at, chain.number), chain.at)
        for moment in chain.levels:
            at = put_number(at, moment)
        return PyBytes_FromStringAndSize(<char*> buffer, at - buffer)
    finally:
        if buffer != small:
            free(buffer)


cdef inline bytes packed_journal(Py_ssize_t stays, c_array moves, Py_ssize_t quarantine_stays, c_array quarantine_moves):
    cdef Py_ssize_t size = 0 if moves is None else (len(moves) - stays) * 8
    cdef Py_ssize_t quarantine_size = 0 if quarantine_moves is None else (len(quarantine_moves) - quarantine_stays) * 8
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, 1 + number_size(stays) + bin_size(size) + number_size(quarantine_stays)
                                                 + bin_size(quarantine_size))
    cdef unsigned char* at = <unsigned char*> PyBytes_AS_STRING(whole)
    at[0] = 0x94
    at = put_number(at + 1, stays)
    at = put_size(at, size, 0xc4)
    if size:
        memcpy(at, moves.data.as_longlongs + stays, size)
        at += size
    at = put_number(at, quarantine_stays)
    at = put_size(at, quarantine_size, 0xc4)
    if quarantine_size:
        memcpy(at, quarantine_moves.data.as_longlongs + quarantine_stays, quarantine_size)
    return whole


cdef inline Py_ssize_t number_size(long long number) noexcept:
    cdef unsigned char[16] buffer
    return put_number(buffer, number) - buffer


cdef inline Py_ssize_t bin_size(Py_ssize_t size) noexcept:
    return size + (2 if size < 1 << 8 else 3 if size < 1 << 16 else 5)


cdef inline bytes packed_claim(Line line):
    cdef Py_ssize_t bound = 128 + moment_size(line.placed) + text_size(line.location) + text_size(line.channel)
    cdef str location
    cdef LineAt one
    cdef tuple claimed = <tuple> line.claimed
    if claimed is not None:
        bound += 20 + text_size(claimed[1]) + text_size(claimed[2])
    for location, one in line.at.items():
        bound += 80 + text_size(location) + text_size(one.deducts_at) + handlings_size(one.picks)
        bound += handlings_size(one.shipments)
    if line.cancellations is not None:
        bound += cancellations_size(line.cancellations)
    cdef unsigned char[BUFFER] small
    cdef unsigned char* buffer = room_for(bound, small)
    cdef unsigned char* at = buffer
    try:
        at[0] = 0x9b if line.cancellations is None else 0x9c
        at = put_number(at + 1, line.demand)
        at = put_moment(at, line.placed)
        at = put_any(at, line.location)
        at = put_any(at, line.channel)
        at = put_optional(at, line.expires_at)
        at = put_optional(at, line.requested_at)
        at[0] = 0xc3 if line.cancelled else 0xc2
        at[1] = 0xc3 if line.lapsed else 0xc2
        at = put_number(at + 2, line.last_at)
        at = put_count(at, len(line.at), 0x80, 0xde)
        for location, one in line.at.items():
            at = put_any(at, location)
            at[0] = 0x98
            at = put_any(at + 1, one.deducts_at)
            at = put_number(at, one.allocated)
            at = put_number(at, one.released)
            at = put_number(at, one.picked)
            at = put_number(at, one.shipped)
            at = put_handlings(at, one.picks)
            at = put_handlings(at, one.shipments)
            at = put_number(at, one.claimed)
        if claimed is None:
            at[0] = 0xc0
            at += 1
        else:
            at[0] = 0x94
            at = put_number(at + 1, claimed[0])
            at = put_any(at, claimed[1])
            at = put_any(at, claimed[2])
            at = put_optional(at, claimed[3])
        if line.cancellations is not None:
            at = put_cancellations(at, line.cancellations)
        return PyBytes_FromStringAndSize(<char*> buffer, at - buffer)
    finally:
        if buffer != small:
            free(buffer)


cdef inline Py_ssize_t cancellations_size(Cancellations cancellations) except -1:
    cdef Py_ssize_t bound = 16 + moment_size(cancellations.word)
    cdef tuple part
    for part in cancellations.parts:
        bound += 10 + moment_size(part[0])
    return bound


cdef inline unsigned char* put_cancellations(unsigned char* at, Cancellations cancellations) except NULL:
    cdef tuple part
    at[0] = 0x92
    at = put_moment(at + 1, cancellations.word)
    at = put_count(at, len(cancellations.parts), 0x90, 0xdc)
    for part in cancellations.parts:
        at[0] = 0x92
        at = put_moment(at + 1, part[0])
        at = put_number(at, part[1])
    return at


cdef inline Py_ssize_t handlings_size(list handlings) except -1:
    cdef Py_ssize_t bound = 5
    cdef tuple one
    for one in handlings:
        bound += 19 + text_size(one[1]) + text_size(one[2])
    return bound


cdef inline unsigned char* put_handlings(unsigned char* at, list handlings) except NULL:
    cdef tuple one
    at = put_count(at, len(handlings), 0x90, 0xdc)
    for one in handlings:
        at[0] = 0x94
        at = put_number(at + 1, one[0])
        at = put_any(at, one[1])
        at = put_any(at, one[2])
        at = put_number(at, one[3])
    return at


cdef inline bytes packed_promises(long long as_of, dict published, list exceptions, long long unlocated, long long day):
    cdef Py_ssize_t bound = 64
    cdef str name
    cdef tuple value, days, one
    cdef object number
    for name, value in published.items():
        days = <tuple> value[1]
        bound += 16 + text_size(name) + (0 if days is None else 9 * len(days) + 5)
    for one in exceptions:
        bound += 16 + text_size(one[0]) + text_size(one[1]) + text_size(one[2])
    cdef unsigned char[BUFFER] small
    cdef unsigned char* buffer = room_for(bound, small)
    cdef unsigned char* at = buffer
    try:
        at[0] = 0x95
        at = put_number(at + 1, as_of)
        at = put_count(at, len(published), 0x80, 0xde)
        for name, value in published.items():
            at = put_any(at, name)
            at[0] = 0x92
            at = put_number(at + 1, value[0])
            days = <tuple> value[1]
            if days is None:
                at[0] = 0xc0
                at += 1
            else:
                at = put_count(at, len(days), 0x90, 0xdc)
                for number in days:
                    at = put_number(at, number)
        at = put_count(at, len(exceptions), 0x90, 0xdc)
        for one in exceptions:
            at[0] = 0x94
            at = put_any(at + 1, one[0])
            at = put_any(at, one[1])
            at = put_any(at, one[2])
            at = put_number(at, one[3])
        at = put_number(at, unlocated)
        at = put_number(at, day)
        return PyBytes_FromStringAndSize(<char*> buffer, at - buffer)
    finally:
        if buffer != small:
            free(buffer)


# Reading JSON. `value` is never None here, and `at` and `end` lie within it.

cdef inline long long text_until(bytes value, Py_ssize_t at, bytes classes) noexcept:
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(value)
    cdef const unsigned char* kinds = <const unsigned char*> PyBytes_AS_STRING(classes)
    cdef unsigned char kind = 255, what = kinds[data[at]]
    while what != 0:
        kind &= what
        at += 1
        what = kinds[data[at]]
    return at << 8 | kind


cdef inline Py_ssize_t first_quote(bytes value, Py_ssize_t at, Py_ssize_t end) noexcept:
    cdef const unsigned char* data = <const unsigned char*> PyBytes_AS_STRING(value)
    while at < end and data[at] != 34:
        at += 1
    return at


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


# What is shown, as JSON.

# Names of eight figures, as many numbers, and what stands around them.
DEF PLACE_MAX = 300


cdef inline str places_text(dict places, dict withheld):
    cdef Py_ssize_t bound = 1
    cdef str code
    cdef Place place
    for code, place in places.items():
        bound += PLACE_MAX + PyUnicode_GET_LENGTH(code)
    cdef unsigned char[BUFFER] small
    cdef unsigned char* buffer = room_for(bound, small)
    cdef char* start = <char*> buffer
    cdef char* at = start
    try:
        for code, place in places.items():
            if not place.is_shown:
                continue
            if at != start:
                at[0] = b","
                at += 1
            at[0] = b'"'
            at = put_ascii(at + 1, code)
            at = put_decimal(put_literal(at, b'":{"on_hand":'), place.shown_on_hand)
            at = put_decimal(put_literal(at, b',"quarantined":'), place.shown_quarantined)
            at = put_decimal(put_literal(at, b',"soft_allocated":'), place.shown_soft_allocated)
            at = put_decimal(put_literal(at, b',"hard_reserved":'), place.shown_hard_reserved)
            at = put_decimal(put_literal(at, b',"in_transit":'), place.shown_in_transit)
            at = put_decimal(put_literal(at, b',"expected":'), place.shown_expected)
            at = put_literal(at, b',"withheld":')
            at = put_decimal(at, withheld.get(code, 0) if withheld else 0)
            at = put_decimal(put_literal(at, b',"available":'), place.shown_available)
            at[0] = b"}"
            at += 1
        return PyUnicode_DecodeASCII(start, at - start, NULL)
    finally:
        if buffer != small:
            free(buffer)
