# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The image of one row as a rows event has it: split whole before any of its values is decoded; the twin is
`image_python.py`.

Nothing is copied: an image is valid as long as the bytes that it was read from.
"""

from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp

from cdc.native.cursor cimport Cursor, Reader, advance, finish
from cdc_source_mysql.wire.field cimport Field, PrefixedField, SizedField, clamp, clamp_prefixed

from cdc.errors import DecodeError
from cdc_source_mysql.schema.type_plan import LIVE_ROW_ENDS

# Diffs of a JSON column follow a length of four bytes, whatever the column's own.
cdef int DIFFS_PREFIX = 4


cdef class Image:
    """`fields` say where values end. `column` is the current one, for errors; -1 for none."""

    def __init__(self, plans, list fields, omitted):
        cdef Py_ssize_t i
        self.fields = fields
        self.width = len(fields)
        self.column = -1
        self.layout = <Layout*>calloc(max(self.width, 1), sizeof(Layout))
        self.present = <uint8_t*>calloc(max(self.width, 1), 1)
        self.values = <Value*>calloc(max(self.width, 1), sizeof(Value))
        if self.layout == NULL or self.present == NULL or self.values == NULL:
            raise MemoryError
        for i, (plan, field) in enumerate(zip(plans, fields, strict=True)):
            self.layout[i].is_omitted = i in omitted
            self.layout[i].is_json = plan.kind == "json"
            self.json_columns += self.layout[i].is_json
            if isinstance(field, SizedField):
                self.layout[i].size = <int32_t>(<SizedField>field).size
            elif isinstance(field, PrefixedField):
                self.layout[i].size = -(<PrefixedField>field).prefix_bytes

    def __dealloc__(self):
        free(self.layout)
        free(self.present)
        free(self.values)

    cdef int read_present(self, Reader reader) except -1:
        """The bitmap of the columns that an event's images have; the bits after the last column mean nothing."""
        cdef const unsigned char* bits = advance(&reader.cursor, (self.width + 7) >> 3)
        cdef Py_ssize_t i
        self.count = 0
        for i in range(self.width):
            self.present[i] = (bits[i >> 3] >> (i & 7)) & 1
            self.count += self.present[i]
        return 0

    cdef list lacking(self):
        """The columns that the event's images don't have."""
        cdef Py_ssize_t i
        if self.count == self.width:
            return []
        return [i for i in range(self.width) if not self.present[i]]

    cdef bint is_whole(self) except? True:
        """Whether they have every column that is delivered."""
        cdef Py_ssize_t i
        if self.count == self.width:
            return True
        for i in range(self.width):
            if not self.present[i] and not self.layout[i].is_omitted:
                return False
        return True

    cdef bint identifies(self, tuple key) except? True:
        """Whether they say which row they are of."""
        cdef Py_ssize_t i
        if self.is_whole():
            return True
        for i in key:
            if not self.present[i]:
                return False
        return len(key) > 0

    cdef bytes read_diffs(self, Reader reader):
        """The bitmap of the JSON columns that have diffs."""
        return reader.take((self.json_columns + 7) >> 3)

    cdef int read(self, Reader reader, bytes diffs) except -1:
        """Split the next image; `diffs` is the bitmap of the JSON columns that have diffs, None: none has."""
        cdef Cursor* cursor = &reader.cursor
        cdef const unsigned char* nulls = advance(cursor, (self.count + 7) >> 3)
        cdef Layout* layout = self.layout - 1
        cdef const unsigned char* diff_bits = NULL
        cdef Py_ssize_t i
        cdef Py_ssize_t bit = 0
        cdef Py_ssize_t json = -1
        cdef Value* value = self.values - 1
        if diffs is not None:
            diff_bits = diffs
        self.has_absent = False
        for i in range(self.width):
            value += 1
            layout += 1
            value.whole.left = value.content.left = 0
            value.whole.at = value.content.at = cursor.at
            value.kind = PRESENT
            if diff_bits != NULL and layout.is_json:
                json += 1
                if (diff_bits[json >> 3] >> (json & 7)) & 1:
                    value.kind = DIFFS
            if not self.present[i]:
                value.kind = NULL_VALUE if layout.is_omitted else ABSENT
                self.has_absent |= value.kind == ABSENT
                continue
            if (nulls[bit >> 3] >> (bit & 7)) & 1:
                value.kind = NULL_VALUE
            else:
                self.read_value(i, layout.size, cursor, value)
                if layout.is_omitted:
                    value.kind = NULL_VALUE
            bit += 1
        self.column = -1
        return 0

    cdef int read_value(self, Py_ssize_t column, int32_t size, Cursor* cursor, Value* value) except -1:
        cdef Py_ssize_t left = cursor.left
        self.column = column
        if value.kind == DIFFS:
            clamp_prefixed(cursor, DIFFS_PREFIX, &value.content)
        elif size > 0:
            clamp(cursor, size, &value.content)
        elif size < 0:
            clamp_prefixed(cursor, -size, &value.content)
        else:
            (<Field>self.fields[column]).span(cursor, &value.content)
        value.whole.left = left - cursor.left
        return 0

    cdef bint is_history(self, row_end) except? True:
        """Whether the row's end, in a system-versioned table (None: it isn't one), has come."""
        cdef Value* value
        if row_end is None:
            return False
        value = &self.values[<Py_ssize_t>row_end]
        return value.kind == PRESENT and (<bytes>value.content.at[: value.content.left]) not in LIVE_ROW_ENDS

    cdef bint differs(self, Image old, tuple key) except? True:
        """Whether a column of the key that is here has another value in `old`."""
        cdef Py_ssize_t i
        cdef Value* a
        cdef Value* b
        for i in key:
            a = &old.values[i]
            b = &self.values[i]
            if b.kind == ABSENT:
                continue
            if a.kind != b.kind or a.content.left != b.content.left:
                return True
            if memcmp(a.content.at, b.content.at, a.content.left) != 0:
                return True
        return False

    cdef bint lacks_documents(self, Image old) except? True:
        """Whether there are diffs to documents that `old` doesn't have."""
        cdef Py_ssize_t i
        for i in range(self.width):
            if self.values[i].kind == DIFFS and old.values[i].kind != PRESENT:
                return True
        return False

    cdef int fill(self, Image old) except -1:
        """Take what is lacking from `old`."""
        cdef Py_ssize_t i
        if not self.has_absent:
            return 0
        self.has_absent = False
        for i in range(self.width):
            if self.values[i].kind == ABSENT:
                self.values[i] = old.values[i]
                self.has_absent |= self.values[i].kind == ABSENT
        return 0

    cdef tuple absent(self):
        """The columns that have no value here."""
        cdef Py_ssize_t i
        return tuple([i for i in range(self.width) if self.values[i].kind == ABSENT])

    cdef int append(self, list columns, Image old) except -1:
        """Decode the values into their columns; JSON columns may have diffs to the old image."""
        cdef Py_ssize_t i
        cdef Cursor whole
        cdef Value* value = self.values
        if PyList_GET_SIZE(columns) != self.width:
            raise DecodeError("a row decoded into another table's columns")
        for i in range(self.width):
            self.column = i
            if value.kind == PRESENT:
                # A value may be appended twice, as an old one and as a new one.
                whole = value.whole
                (<Field>PyList_GET_ITEM(columns, i)).value(&whole)
                finish(&whole)
            elif value.kind == DIFFS:
                if old is None or old.values[i].kind != PRESENT:
                    raise DecodeError("an update of a document in parts without the document")
                (<Field>PyList_GET_ITEM(columns, i)).partial(&old.values[i].content, &value.content)
            else:
                (<Field>PyList_GET_ITEM(columns, i)).null()
            value += 1
        self.column = -1
        return 0


cdef int append_nulls(list columns) except -1:
    """A row that has no values."""
    for field in columns:
        (<Field>field).null()
    return 0
