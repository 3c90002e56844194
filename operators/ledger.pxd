cimport cython
from operators.rules cimport native
from schemas.state cimport Cell, Item, Line, Place, own

cdef bytes _ITSELF, _POLICIES, _TRAIL, _NIL
cdef dict _place_keys

@cython.locals(parts=list, exceptions=list, place=Place, location=str, keys=tuple, kind=str, one=str, other=str,
               key=tuple, line=Line)
cpdef bytes records_of(Item item)
cpdef object wake_of(Item item)
cdef tuple _keys_of(str location)
@cython.locals(line=Line, cell=Cell)
cdef _add_record(list parts, Item item, str kind, str one, str other)
@cython.locals(size=Py_ssize_t, quarantine_size=Py_ssize_t, stays=Py_ssize_t, quarantine_stays=Py_ssize_t)
cdef _add_journal(list parts, bytes key, Cell cell)
