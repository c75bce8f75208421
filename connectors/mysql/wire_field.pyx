# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""One column's values decoded into Arrow memory: what every kind of field does; the twin is
`wire_values_python.py`.

A field consumes exactly one value from the cursor, or raises DecodeError; it never reads past the cursor's
end. `length` is the number of values and nulls gathered since the last `finish`.
"""

from cdc.errors import DecodeError


cdef class Field:
    """The values of one column in the order they come."""

    def __init__(self, plan, refusals):
        self.plan = plan
        self.refusals = refusals

    @property
    def length(self):
        return self.column.length

    cdef int null(self) except -1:
        return self.column.null()

    cdef int value(self, Cursor* cursor) except -1:
        raise NotImplementedError

    cdef int span(self, Cursor* cursor, Cursor* value) except -1:
        raise NotImplementedError

    cdef int partial(self, Cursor* before, Cursor* diffs) except -1:
        raise DecodeError("a partial update of a column that is not JSON")

    cdef int result(self, Cursor* value) except -1:
        raise NotImplementedError

    cdef int refuse(self, what) except -1:
        self.refusals.refuse(what)
        return self.null()

    cpdef object finish(self):
        """Everything so far as an array; begins anew."""
        return self.column.finish(self.plan.arrow)
