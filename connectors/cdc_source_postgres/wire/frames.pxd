"""CopyData frames of one connection, for the compiled decoders."""

cimport cython

from cdc.native.cursor cimport Reader

ctypedef int (*GetCopyData)(void* connection, char** buffer, int asynchronous) noexcept
ctypedef void (*FreeMemory)(void* memory) noexcept


@cython.final
cdef class Frames:
    cdef object pgconn
    cdef GetCopyData get_copy_data
    cdef FreeMemory free_memory
    # What libpq lent for the current frame.
    cdef char* lent

    cdef Py_ssize_t next(self, Reader reader) except -3
    cdef int release(self) except -1
