# cython: boundscheck=False, wraparound=False, initializedcheck=False
"""CopyData frames straight from libpq.

psycopg's `get_copy_data` makes Python objects of each row: with it, a COPY of six columns takes twice as long to decode
(`benchmarks/copy_data.py`).
"""

cimport cython
from libc.stdint cimport uintptr_t

from cdc_source_postgres.wire.libpq import copy_data_calls, copy_data_error


@cython.final
cdef class Frames:
    """See `cdc_source_postgres.wire.decoder.CopyData`."""

    def __init__(self, pgconn):
        self.pgconn = pgconn
        calls = copy_data_calls(pgconn)
        if calls is not None:
            self.get_copy_data = <GetCopyData><uintptr_t>calls[0]
            self.free_memory = <FreeMemory><uintptr_t>calls[1]

    def __dealloc__(self):
        self.release()

    cdef Py_ssize_t next(self, Reader reader) except -3:
        """Open the reader on the next frame: its bytes, 0 for none now, -1 for none ever."""
        cdef Py_ssize_t length
        self.release()
        connection = self.pgconn.pgconn_ptr if self.get_copy_data != NULL else None
        if connection is None:
            # One that was closed, too: psycopg says so.
            length, frame = self.pgconn.get_copy_data(1)
            if length > 0:
                reader.open(frame)
            return length
        length = self.get_copy_data(<void*><uintptr_t>connection, &self.lent, 1)
        if length > 0:
            reader.point(<const unsigned char*>self.lent, length)
        elif length < -1:
            raise copy_data_error(self.pgconn)
        return length

    cdef int release(self) except -1:
        """Give the frame's memory back; the reader must not look at it any more."""
        if self.lent != NULL:
            self.free_memory(self.lent)
            self.lent = NULL
        return 0
