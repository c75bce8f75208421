# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The rows of one table since the last take, and the images that they are made of; the twin is
`table_python.py`.

Every image is split and checked whole before any of its values is decoded.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp

from cdc.native.cursor cimport Cursor, advance, finish
from cdc.native.gathering_native cimport TableRows
from cdc_source_mysql.wire.field cimport (
    Field,
    PrefixedField,
    SizedField,
    clamp,
    clamp_prefixed,
)
from cdc_source_mysql.wire.values cimport make_field

from cdc.errors import DecodeError
from cdc.native.gathered import TableShape
from cdc_source_mysql.wire.target import LIVE_ROW_ENDS, diffs_without_document
from cdc_source_mysql.wire.defaults import with_defaults

# Diffs of a JSON column stand behind a length of four bytes, whatever the column's own.
cdef int DIFFS_PREFIX = 4


cdef int make_image(Image* image, Py_ssize_t columns) except -1:
    """Room for this many columns."""
    cdef void* memory
    if columns <= image.room:
        return 0
    memory = realloc(image.present, columns)
    if memory == NULL:
        raise MemoryError
    image.present = <uint8_t*>memory
    memory = realloc(image.values, columns * sizeof(Value))
    if memory == NULL:
        raise MemoryError
    image.values = <Value*>memory
    image.room = columns
    return 0


cdef int free_image(Image* image) noexcept:
    free(image.present)
    free(image.values)
    return 0


cdef int read_present(Cursor* cursor, Image* image, Py_ssize_t columns) except -1:
    """The bitmap of the columns that an event's images have; the bits behind the last column mean nothing."""
    cdef const unsigned char* bits = advance(cursor, (columns + 7) >> 3)
    cdef Py_ssize_t i
    make_image(image, columns)
    image.count = 0
    for i in range(columns):
        image.present[i] = (bits[i >> 3] >> (i & 7)) & 1
        image.count += image.present[i]
    return 0


@cython.final
cdef class Table(TableRows):
    def __init__(self, target, unrepresentable):
        cdef Py_ssize_t i
        self.target = target
        TableRows.__init__(
            self, TableShape(target.handle, target.table, target.plans, target.key, "f", unrepresentable)
        )
        self.is_active = True
        self.column = -1
        self.json_columns = sum([plan.kind == "json" for plan in target.plans])
        self.row_end = -1 if target.row_end is None else target.row_end
        self.sizes = <int32_t*>calloc(max(self.width, 1), sizeof(int32_t))
        self.left_out = <uint8_t*>calloc(max(self.width, 1), 1)
        if self.sizes == NULL or self.left_out == NULL:
            raise MemoryError
        for i in target.left_out:
            self.left_out[i] = 1
        for i in range(self.width):
            field = self.columns[i]
            if isinstance(field, SizedField):
                self.sizes[i] = <int32_t>(<SizedField>field).size
            elif isinstance(field, PrefixedField):
                self.sizes[i] = -(<PrefixedField>field).prefix_bytes

    def __dealloc__(self):
        free(self.sizes)
        free(self.left_out)

    cdef list make_fields(self):
        return [make_field(p, r) for p, r in zip(self.shape.plans, self.shape.refusals)]

    cdef int read_image(self, Cursor* cursor, Image* image, const unsigned char* diffs) except -1:
        """Split the next image; `diffs` is the bitmap of the JSON columns that have diffs, or NULL."""
        cdef const unsigned char* nulls = advance(cursor, (image.count + 7) >> 3)
        cdef Py_ssize_t i
        cdef Py_ssize_t bit = 0
        cdef Py_ssize_t json = -1
        cdef Value* value
        for i in range(self.width):
            value = &image.values[i]
            value.whole.left = value.content.left = 0
            value.whole.at = value.content.at = cursor.at
            if diffs != NULL and self.shape.plans[i].kind == "json":
                json += 1
                value.kind = DIFFS if (diffs[json >> 3] >> (json & 7)) & 1 else PRESENT
            else:
                value.kind = PRESENT
            if not image.present[i]:
                value.kind = NULL_VALUE if self.left_out[i] else ABSENT
                continue
            if (nulls[bit >> 3] >> (bit & 7)) & 1:
                value.kind = NULL_VALUE
            else:
                self.read_value(i, cursor, value)
                if self.left_out[i]:
                    value.kind = NULL_VALUE
            bit += 1
        self.column = -1
        return 0

    cdef int read_value(self, Py_ssize_t column, Cursor* cursor, Value* value) except -1:
        cdef Py_ssize_t left = cursor.left
        cdef int32_t size = self.sizes[column]
        self.column = column
        if value.kind == DIFFS:
            clamp_prefixed(cursor, DIFFS_PREFIX, &value.content)
        elif size > 0:
            clamp(cursor, size, &value.content)
        elif size < 0:
            clamp_prefixed(cursor, -size, &value.content)
        else:
            (<Field>self.columns[column]).span(cursor, &value.content)
        value.whole.left = left - cursor.left
        return 0

    cdef bint is_history(self, Image* image) except? True:
        """Whether the row's end, in a system-versioned table, has come."""
        cdef Value* value
        if self.row_end < 0:
            return False
        value = &image.values[self.row_end]
        return value.kind == PRESENT and (<bytes>value.content.at[: value.content.left]) not in LIVE_ROW_ENDS

    cdef bint key_changed(self, Image* old, Image* new) except? True:
        cdef Py_ssize_t i
        cdef Value* a
        cdef Value* b
        for i in self.shape.key:
            a = &old.values[i]
            b = &new.values[i]
            if b.kind == ABSENT:
                continue
            if a.kind != b.kind or a.content.left != b.content.left:
                return True
            if memcmp(a.content.at, b.content.at, a.content.left) != 0:
                return True
        return False

    cdef bint is_whole(self, Image* image) noexcept:
        """Whether an image has every column that is delivered."""
        cdef Py_ssize_t i
        if image.count == self.width:
            return True
        for i in range(self.width):
            if not image.present[i] and not self.left_out[i]:
                return False
        return True

    cdef bint has_key(self, Image* old) except? True:
        """Whether an old image says which row it is of."""
        cdef Py_ssize_t i
        if self.is_whole(old):
            return True
        for i in self.shape.key:
            if not old.present[i]:
                return False
        return bool(self.shape.key)

    cdef int append_row(self, Image* image) except -1:
        """The values of the newest row; those that it lacks are named as unchanged."""
        return self.append_update(NULL, image)

    cdef int append_update(self, Image* old, Image* new) except -1:
        """The same where JSON columns may have diffs to the old image."""
        cdef Py_ssize_t i
        for i in range(self.width):
            if new.values[i].kind == ABSENT:
                self.mark_absent(new)
                break
        return self.append_values(self.columns, new, old)

    cdef int append_before(self, Image* old) except -1:
        """The old image of the row that is appended next."""
        self.begin_before()
        return self.append_values(self.old_columns, old, NULL)

    cdef int append_values(self, list columns, Image* image, Image* old) except -1:
        cdef Py_ssize_t i
        cdef Value* value
        cdef Cursor whole
        cdef Field field
        for i in range(self.width):
            self.column = i
            value = &image.values[i]
            field = <Field>columns[i]
            if value.kind == PRESENT:
                # A value may be appended twice, as an old one and as a new one.
                whole = value.whole
                field.value(&whole)
                finish(&whole)
            elif value.kind == DIFFS:
                if old == NULL or old.values[i].kind != PRESENT:
                    raise diffs_without_document(self.target)
                field.partial(&old.values[i].content, &value.content)
            else:
                field.null()
        self.column = -1
        return 0

    cdef int append_nulls(self) except -1:
        cdef Py_ssize_t i
        for i in range(self.width):
            (<Field>self.columns[i]).null()
        return 0

    cdef int mark_absent(self, Image* image) except -1:
        """Name the columns that the newest row lacks; there is at least one."""
        cdef Py_ssize_t i
        return self.mark_unchanged(tuple([i for i in range(self.width) if image.values[i].kind == ABSENT]))

    cdef list completed(self, gathered, list columns):
        if self.unchanged is None:
            return columns
        return with_defaults(gathered, columns, self.target.defaults)
