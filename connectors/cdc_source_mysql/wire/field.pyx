# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""One column's values decoded into Arrow memory: what every kind of field does; the twin is
`values_python.py`.

A field consumes exactly one value from the cursor, or raises DecodeError; it never reads past the cursor's
end. `length` is the number of values and nulls gathered since the last `finish`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from cdc.errors import DecodeError
from cdc_source_mysql.wire.compressed import inflate


cdef int require_size(Cursor* value, Py_ssize_t size) except -1:
    if value.left != size:
        raise DecodeError(f"{size} bytes expected, {value.left} came")
    return 0


cdef class Field:
    """The values of one column in the order they come."""

    def __init__(self, plan, policy):
        self.plan = plan
        self.policy = policy

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

    cdef int refuse(self, what) except -1:
        self.policy.refuse(what)
        return self.null()

    cpdef object finish(self):
        """Return everything so far as an array, and start an empty one."""
        return self.column.finish(self.plan.arrow)

    def append(self, bytes data):
        """One value from the start of `data`: how many bytes it had. For Python; decoders call `value`."""
        cdef Cursor cursor
        cursor.at = <const unsigned char*>PyBytes_AS_STRING(data)
        cursor.left = PyBytes_GET_SIZE(data)
        self.value(&cursor)
        return len(data) - cursor.left

    def append_null(self):
        self.null()

    def append_partial(self, bytes before, bytes diffs):
        """A JSON value, see `partial`."""
        cdef Cursor document
        cdef Cursor changes
        document.at = <const unsigned char*>PyBytes_AS_STRING(before)
        document.left = PyBytes_GET_SIZE(before)
        changes.at = <const unsigned char*>PyBytes_AS_STRING(diffs)
        changes.left = PyBytes_GET_SIZE(diffs)
        self.partial(&document, &changes)


cdef class SizedField(Field):
    cdef int span(self, Cursor* cursor, Cursor* value) except -1:
        return clamp(cursor, self.size, value)


cdef class PrefixedField(Field):
    def __init__(self, plan, policy):
        super().__init__(plan, policy)
        self.prefix_bytes = plan.prefix_bytes
        self.is_compressed = plan.compressed
        if not 1 <= self.prefix_bytes <= 4:
            raise DecodeError(f"a length of {self.prefix_bytes} bytes where 1 to 4 are expected")

    cdef int value(self, Cursor* cursor) except -1:
        cdef Cursor value
        clamp_prefixed(cursor, self.prefix_bytes, &value)
        if self.is_compressed:
            return self.put_compressed(&value)
        return self.put(&value)

    cdef int span(self, Cursor* cursor, Cursor* value) except -1:
        return clamp_prefixed(cursor, self.prefix_bytes, value)

    cdef int put(self, Cursor* value) except -1:
        raise NotImplementedError

    cdef int put_compressed(self, Cursor* value) except -1:
        """A value of a column that MariaDB compresses."""
        cdef Cursor plain
        data = inflate(PyBytes_FromStringAndSize(<const char*>value.at, value.left))
        plain.at = <const unsigned char*>PyBytes_AS_STRING(data)
        plain.left = PyBytes_GET_SIZE(data)
        return self.put(&plain)
