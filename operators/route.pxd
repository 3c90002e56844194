cimport cython
from schemas.units cimport Unit

@cython.locals(unit=Unit, found=list, lists=dict, shard=cython.int)
cpdef dict split(list units, str part, int shards)
