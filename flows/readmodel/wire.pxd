from flows.readmodel cimport native

cpdef bytes exchange(line, bytes out)
