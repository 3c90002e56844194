# What native.py says, in C.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free
from libc.string cimport memcpy

from operators.rules.native cimport put_any, put_count, put_number, put_size, room_for, text_size
from schemas.messages cimport ChannelUpdate
from schemas.state cimport Chain, Place
from schemas.units cimport Unit

# What room_for takes for small, and the most that a number takes.
DEF BUFFER = 2048
DEF NUMBER = 9


cdef inline unsigned char* put_raw(unsigned char* at, bytes raw) noexcept:
    memcpy(at, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    return at + PyBytes_GET_SIZE(raw)


cdef inline unsigned char* put_raw_or_none(unsigned char* at, bytes raw) noexcept:
    if raw is None:
        at[0] = 0xc0
        return at + 1
    return put_raw(at, raw)


cdef inline unsigned char* put_binary(unsigned char* at, bytes raw) noexcept:
    if raw is None:
        at[0] = 0xc0
        return at + 1
    return put_raw(put_size(at, PyBytes_GET_SIZE(raw), 0xc4), raw)


cdef inline bytes packed_touch(str topic, long long partition, long long offset, Unit unit, long long quantity,
                               str outcome):
    cdef str line = unit.line_id if unit.line_id else unit.order_id
    cdef Py_ssize_t bound = 4 * NUMBER + 1 + text_size(topic) + text_size(unit.event_id) + text_size(unit.source)
    bound += text_size(line) + text_size(unit.location) + text_size(outcome)
    cdef unsigned char[BUFFER] small
    cdef unsigned char* buffer = room_for(bound, small)
    cdef unsigned char* at = buffer
    try:
        at[0] = 0x9a
        at = put_any(at + 1, topic)
        at = put_number(at, partition)
        at = put_number(at, offset)
        at = put_any(at, unit.event_id)
        at = put_any(at, unit.source)
        at = put_any(at, line)
        at = put_number(at, unit.type)
        at = put_any(at, unit.location)
        at = put_number(at, quantity)
        at = put_any(at, outcome)
        return PyBytes_FromStringAndSize(<char*> buffer, at - buffer)
    finally:
        if buffer != small:
            free(buffer)


cdef inline bytes packed_figures(str location, long long on_hand, long long quarantined, Place place, long long withheld,
                                 list by_day):
    cdef long long[7] figures
    cdef int count = 7, days = len(by_day), index
    cdef Py_ssize_t bound = text_size(location) + 1 + 7 * NUMBER
    cdef bytes day
    for day in by_day:
        bound += PyBytes_GET_SIZE(day)
    cdef unsigned char[BUFFER] small
    cdef unsigned char* buffer = room_for(bound, small)
    cdef unsigned char* at = buffer
    figures[0] = on_hand
    figures[1] = quarantined
    figures[2] = place.soft_allocated
    figures[3] = place.hard_reserved
    figures[4] = place.in_transit
    figures[5] = place.expected
    figures[6] = withheld
    while days == 0 and count > 0 and figures[count - 1] == 0:
        count -= 1
    try:
        at = put_any(at, location)
        at[0] = 0x90 | (count + days)
        at += 1
        for index in range(count):
            at = put_number(at, figures[index])
        for day in by_day:
            at = put_raw(at, day)
        return PyBytes_FromStringAndSize(<char*> buffer, at - buffer)
    finally:
        if buffer != small:
            free(buffer)


cdef inline bytes packed_records(bytes policy, dict overrides, bytes topology, dict published):
    cdef Py_ssize_t bound = 16 + PyBytes_GET_SIZE(topology) + (0 if policy is None else PyBytes_GET_SIZE(policy) + 5)
    cdef str channel
    cdef bytes record
    cdef tuple number
    for channel, record in overrides.items():
        bound += text_size(channel) + PyBytes_GET_SIZE(record) + 5
    for channel in published:
        bound += text_size(channel) + NUMBER
    cdef unsigned char[BUFFER] small
    cdef unsigned char* buffer = room_for(bound, small)
    cdef unsigned char* at = buffer
    try:
        at[0] = 0x95
        at = put_binary(at + 1, policy)
        at = put_count(at, len(overrides), 0x80, 0xde)
        for channel, record in overrides.items():
            at = put_binary(put_any(at, channel), record)
        at = put_count(put_raw(at, topology), len(published), 0x80, 0xde)
        for channel, number in published.items():
            at = put_number(put_any(at, channel), number[0])
        return PyBytes_FromStringAndSize(<char*> buffer, at - buffer)
    finally:
        if buffer != small:
            free(buffer)


cdef inline bytes packed_frame(bytes records, list places, dict unlocated, bytes by_day, long long shown):
    cdef Py_ssize_t bound = 16 + NUMBER + PyBytes_GET_SIZE(by_day) + (0 if records is None else PyBytes_GET_SIZE(records))
    cdef str channel
    cdef object quantity
    cdef bytes place
    if places is not None:
        for place in places:
            bound += PyBytes_GET_SIZE(place)
    for channel in unlocated:
        bound += text_size(channel) + NUMBER
    cdef unsigned char[BUFFER] small
    cdef unsigned char* buffer = room_for(bound, small)
    cdef unsigned char* at = buffer
    try:
        at[0] = 0x95
        at = put_raw_or_none(at + 1, records)
        if places is None:
            at[0] = 0xc0
            at += 1
        else:
            at = put_count(at, len(places), 0x80, 0xde)
            for place in places:
                at = put_raw(at, place)
        at = put_count(at, len(unlocated), 0x80, 0xde)
        for channel, quantity in unlocated.items():
            at = put_number(put_any(at, channel), quantity)
        at = put_number(put_raw(at, by_day), shown)
        return PyBytes_FromStringAndSize(<char*> buffer, at - buffer)
    finally:
        if buffer != small:
            free(buffer)


cdef inline bytes packed_group(str code, long long at, Chain chain, bint has_levels, str cause, list touches, dict fields,
                               list channels, bytes frame):
    cdef Py_ssize_t bound = 32 + text_size(code) + text_size(cause) + (0 if frame is None else PyBytes_GET_SIZE(frame))
    cdef str name
    cdef object value
    cdef bytes touch
    cdef ChannelUpdate change
    for touch in touches:
        bound += PyBytes_GET_SIZE(touch)
    if fields is not None:
        for name in fields:
            bound += text_size(name) + NUMBER
    for change in channels:
        bound += 1 + text_size(change.channel) + NUMBER
    bound += NUMBER * (4 + (len(chain.levels) if has_levels else 0))
    cdef unsigned char[BUFFER] small
    cdef unsigned char* buffer = room_for(bound, small)
    cdef unsigned char* to = buffer
    try:
        to[0] = 0x9a
        to = put_number(put_any(to + 1, code), at)
        to = put_number(to, chain.number + 1)
        to = put_count(to, 1 + (len(chain.levels) if has_levels else 0), 0x90, 0xdc)
        to = put_number(to, chain.at)
        if has_levels:
            for value in chain.levels:
                to = put_number(to, value)
        to = put_any(to, cause)
        to = put_count(to, len(touches), 0x90, 0xdc)
        for touch in touches:
            to = put_raw(to, touch)
        if fields is None:
            to[0] = 0xc0
            to += 1
        else:
            to = put_count(to, len(fields), 0x80, 0xde)
            for name, value in fields.items():
                to = put_any(to, name)
                if value is None:
                    to[0] = 0xc0
                    to += 1
                else:
                    to = put_number(to, value)
        to = put_count(to, len(channels), 0x90, 0xdc)
        for change in channels:
            to[0] = 0x92
            to = put_any(to + 1, change.channel)
            if change.removed:
                to[0] = 0xc0
                to += 1
            else:
                to = put_number(to, change.atp)
        to = put_number(put_raw_or_none(to, frame), at - chain.records_at)
        return PyBytes_FromStringAndSize(<char*> buffer, to - buffer)
    finally:
        if buffer != small:
            free(buffer)


cdef inline bytes packed_record(long long form, long long run, long long at, list groups):
    cdef Py_ssize_t size = 0
    cdef bytes group, whole
    cdef unsigned char[64] head
    cdef unsigned char* to = head
    for group in groups:
        size += PyBytes_GET_SIZE(group)
    to[0] = 0x94
    to = put_number(put_number(put_number(to + 1, form), run), at)
    to = put_count(to, len(groups), 0x90, 0xdc)
    whole = PyBytes_FromStringAndSize(NULL, to - head + size)
    memcpy(PyBytes_AS_STRING(whole), head, to - head)
    to = <unsigned char*> PyBytes_AS_STRING(whole) + (to - head)
    for group in groups:
        to = put_raw(to, group)
    return whole
