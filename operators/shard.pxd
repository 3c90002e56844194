cimport cython
from operators cimport ledger, position
from operators.evaluate cimport Policies, evaluate, measure_of
from operators.ids cimport RememberedIds, bucket_of, content_fingerprint, unit_fingerprint
from operators.position cimport Context
from operators.rules cimport native
from operators.rules.days cimport Days
from operators.rules.admission cimport Windows, is_late, known_until
from operators.rules.quantities cimport UnitsOfMeasure
from schemas.messages cimport ItemUpdate
from schemas.state cimport Item, own
from schemas.units cimport Unit

cdef list IS_ORDER, _CAUSES
cdef int LOT_DATED, ORDER_PLACED, ORDER_CANCELLED, RETURN_RECEIVED, _DUPLICATE, _CONFLICT

cdef class Shard:
    cdef public int number
    cdef public object config, clock, horizon, _segments, policies, _tidy_at, _layers, _kept, _sealing, _merging, _sweep_target
    cdef public object _sweep, reconciler, _trail
    cdef public dict items, reached, counts, _applied, _replay_until
    cdef public RememberedIds ids
    cdef public Windows _windows
    cdef public list _expiries, _cold_wakes, _parked, _touched, _dirty, _sealed, _retiring, _refusals, _notes
    cdef public tuple _evaluated, _recorded
    cdef public long long _parked_bytes, _turn_at, _cold_tidy_at, _journal_horizon, _layers_size, _ids_floor, _snapshots, _filled
    cdef public bint _is_new, _owes_refill, _has_dates, _has_told_claims, _may_hold_older_claims
    cdef public Days _days
    cdef public set _unsaid, _awaited, _told_in_replay

    @cython.locals(amount=cython.longlong, window=cython.longlong, until=cython.longlong, item=Item,
                   measure=UnitsOfMeasure, by_type=list, known=cython.int, is_rounded=cython.bint,
                   is_proved=cython.bint, identity=cython.ulonglong, content=cython.ulonglong)
    cpdef _take(self, Unit unit, Context context, bint final=*, object deadline=*)
    cpdef _touch(self, Item item)
    cpdef _note(self, Item item)
    @cython.locals(key=tuple)
    cpdef _count(self, str outcome, Unit unit)
    cpdef find(self, str code)
    @cython.locals(item=Item, parts=list, records=bytes, wakes=dict)
    cpdef _new_layer(self)
    @cython.locals(item=Item, updates=list, by_type=list, policies=Policies, breakdown=cython.bint, update=ItemUpdate)
    cpdef _outcome(self, long long now, dict reached, dict forced)

cpdef unsigned long long digest_of(Unit unit, long long quantity, object quarantined) except? 1
cpdef bytes content_of(Unit unit, long long quantity, object quarantined)
