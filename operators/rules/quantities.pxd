cimport cython

cdef class UnitsOfMeasure:
    cdef public str base
    cdef public dict factors, whole
    cdef public int scale

    cpdef convert(self, object quantity, str uom, str field)
