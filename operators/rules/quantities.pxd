cimport cython

cdef object _LEAST, _MOST

cdef class UnitsOfMeasure:
    cdef public str base
    cdef public object base_worth
    cdef public dict factors, whole
    cdef public int scale
    cdef public bint is_safe

    cpdef convert(self, object quantity, str uom, str field)
    cpdef exact(self, object quantity, str uom)
    cpdef limited(self, object converted, object quantity, str uom, str field)
