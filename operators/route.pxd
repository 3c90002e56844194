cimport cython
from operators.rules cimport native
from schemas.units cimport Unit

@cython.locals(number=cython.longlong)
cpdef int shard_of(str item, int shards) except -1
@cython.locals(unit=Unit, found=list, lists=dict, shard=cython.int)
cpdef dict split(list units, str part, int shards)
