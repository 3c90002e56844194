cimport cython
from schemas.state cimport Cancellations, Line, LineAt

cdef long long NO_LIMIT

cpdef long long deducted(LineAt at) except? -1
@cython.locals(left=cython.longlong)
cpdef long long wanted(Line line) except? -1
@cython.locals(at=LineAt, delivered=cython.longlong, served=cython.longlong, reserved=cython.longlong, taken=cython.longlong)
cpdef (long long, long long) totals(Line line)
@cython.locals(left=cython.longlong)
cpdef long long reservable(Line line, long long delivered) except? -1
@cython.locals(left=cython.longlong)
cpdef long long hard_reserved(LineAt at, long long most) except? -1
@cython.locals(left=cython.longlong)
cpdef long long soft_allocated(Line line, long long served) except? -1
cpdef bint claims_above_demand(Line line, long long delivered, long long served) except -1
cpdef bint is_demanded_after_cancellation(Line line) except -1
cpdef place(Line line, tuple word, long long demand, str location, str channel, object expires_at, object requested_at, long long now)
@cython.locals(quantity=cython.longlong)
cpdef handle(LineAt at, tuple handling, bint is_pick)
@cython.locals(occurred_at=cython.longlong, quantity=cython.longlong, lot=str, picked_at=cython.longlong,
               picked=cython.longlong, picked_lot=str, pick=tuple)
cpdef bint takes_nothing(LineAt at, tuple handling, bint is_pick) except -1
@cython.locals(quantity=cython.longlong)
cpdef bint stands_alone(LineAt at, tuple handling, bint is_pick) except -1
cpdef list take(LineAt at, tuple handling, bint is_pick)
cpdef dict deductions(LineAt at)
