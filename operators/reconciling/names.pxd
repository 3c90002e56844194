from operators.ids cimport RememberedIds, number_t, unit_fingerprint
from schemas.state cimport Item

cpdef number_t fingerprint_of(str source, str statement_id, born, str item, str place, str lot, str kind) except? 1
cpdef number_t named_fingerprint(str name, str statement_id, str item, str place, str lot, str kind) except? 1
cpdef number_t lots_marker(str source, str statement_id, born, str item, str place) except? 1
cpdef bint is_known(RememberedIds ids, number_t identity) except -1
cpdef bint is_corrected(RememberedIds ids, Item item, str identity) except -1
