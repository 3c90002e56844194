cimport cython
from operators.evaluate cimport measure_of
from operators.ids cimport RememberedIds, content_fingerprint, number_t, unit_fingerprint
from operators.reconciling.desk cimport Desk
from operators.reconciling.names cimport is_known, named_fingerprint
from operators.rules.quantities cimport UnitsOfMeasure
from schemas.state cimport Item, Rare

cdef int _DUPLICATE, _CONFLICT
cdef tuple GOODS_MEASURES, PROMISE_MEASURES

cdef class RowJudge:
    cdef Desk _desk
    cdef object _shard

    @cython.locals(desk=Desk, ids=RememberedIds, now=cython.longlong, known_born=cython.longlong, born=cython.longlong)
    cpdef take(self, message)
    @cython.locals(place=str, lot=str, identity=number_t, content=number_t, marker=number_t, item=Item,
                   measure=UnitsOfMeasure, theirs=dict, known=cython.int, until=cython.longlong)
    cdef _take_row(self, found, row, str name, str lots_name, RememberedIds ids, long long now)
    cdef _refuse(self, found, number_t identity, row, str code, str message)
    cdef _refused(self, row, str code, str message)
    @cython.locals(desk=Desk, place=str, lot=str, as_of=cython.longlong, compared=dict, differing=list)
    cdef _judge(self, found, Item item, UnitsOfMeasure measure, row, dict theirs, long long now)

@cython.locals(rare=Rare)
cdef bint _is_known_here(Item item, row, dict compared) except -1
@cython.locals(found=dict, names=tuple, number=cython.int)
cdef dict _converted(row, UnitsOfMeasure measure)
