cimport cython
from schemas.state cimport Line, LineAt

cpdef long long deducted(LineAt at) except? -1
cpdef long long hard_reserved(Line line, LineAt at) except? -1
@cython.locals(at=LineAt, left=cython.longlong, reserved=cython.longlong, taken=cython.longlong)
cpdef long long soft_allocated(Line line) except? -1
cpdef place(Line line, tuple word, long long demand, str location, str channel, object expires_at, object requested_at, long long now)
cpdef handle(LineAt at, tuple handling, bint is_pick)
cpdef bint takes_nothing(LineAt at, tuple handling, bint is_pick) except -1
cpdef list take(LineAt at, tuple handling, bint is_pick)
cpdef dict deductions(LineAt at)
