cimport cython

cdef class UnitsOfMeasure:
    cdef public str base
    cdef public dict factors, whole
    cdef public int scale
    cdef public bint is_safe

    cpdef convert(self, object quantity, str uom, str field)
    cpdef exact(self, object quantity, str uom)
    cpdef limited(self, object converted, object quantity, str uom, str field)
