# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""MySQL's binary JSON to the text that the server itself writes; the twin is `json_binary.py`, which has the
rules.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free
from libc.math cimport isfinite
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memset

from cdc.native.columns cimport VariableColumn, extend, variable_slot
from cdc.native.cursor cimport Cursor, advance, require_utf8
from cdc_source_mysql.wire.decimal cimport (
    DECIMAL_TEXT_BYTES,
    Digits,
    Layout,
    decimal_text,
    plan_layout,
    read_digits,
)
from cdc_source_mysql.wire.field cimport (
    PrefixedField,
    little_u16,
    little_u32,
    little_u64,
)
from cdc_source_mysql.wire.temporal cimport (
    TEMPORAL_TEXT_BYTES,
    Moment,
    unpack_moment,
    write_date,
    write_moment,
    write_time,
)

from cdc.errors import DecodeError
from cdc_source_mysql.wire import json_binary as _rules
from cdc_source_mysql.wire import codes
from cdc_source_mysql.wire.json_binary import patched_text

cdef extern from "Python.h":
    char* PyOS_double_to_string(double value, char code, int precision, int flags, int* type_) except NULL

cdef enum:
    SMALL_OBJECT, LARGE_OBJECT, SMALL_ARRAY, LARGE_ARRAY, LITERAL
    INT16, UINT16, INT32, UINT32, INT64, UINT64, DOUBLE, STRING
    OPAQUE = 15
    FIELD_TIMESTAMP = 7
    FIELD_DATE = 10
    FIELD_TIME = 11
    FIELD_DATETIME = 12
    FIELD_DECIMAL = 246
    MAX_POINT = 15
    MAX_VARINT_BYTES = 5
    # The longest number: a sign, 17 digits, a point, 14 zeros; or 20 digits.
    NUMBER_BYTES = 48
    PACKED_FRACTION_BITS = 24
assert (LITERAL, STRING, OPAQUE) == (_rules.LITERAL, _rules.STRING, _rules.OPAQUE)
cdef int MAX_DEPTH = _rules.MAX_DEPTH

# What to write for each byte of a string: 0 itself, 1 \u00xx, else a backslash and this.
cdef unsigned char[256] ESCAPES
memset(ESCAPES, 0, 256)
memset(ESCAPES, 1, 32)
ESCAPES[8] = c"b"
ESCAPES[9] = c"t"
ESCAPES[10] = c"n"
ESCAPES[12] = c"f"
ESCAPES[13] = c"r"
ESCAPES[34] = c'"'
ESCAPES[92] = c"\\"
cdef char* HEX = b"0123456789abcdef"


cdef struct Document:
    # Bytes that no value has taken yet: each belongs to one.
    Py_ssize_t budget


cdef inline int _append(VariableColumn column, const void* at, size_t size) except -1:
    memcpy(extend(&column.values, size), at, size)
    return 0


cdef const unsigned char* _take(Document* document, Cursor* place, Py_ssize_t start, Py_ssize_t count) except NULL:
    """`count` bytes from offset `start` of a place; the place itself doesn't move."""
    cdef Cursor cursor = place[0]
    if start > cursor.left or count > cursor.left - start:
        raise DecodeError(
            f"{count} bytes of a JSON value expected, {max(cursor.left - start, 0)} are left"
        )
    document.budget -= count
    if document.budget < 0:
        raise DecodeError("a JSON document whose parts overlap")
    advance(&cursor, start)
    return advance(&cursor, count)


cdef int render_json(VariableColumn column, const unsigned char* at, Py_ssize_t size) except -1:
    """The document's text behind the column's bytes; it is not counted as a value yet, nor checked."""
    cdef Document document
    cdef Cursor place
    cdef unsigned char kind
    if size == 0:
        _append(column, b"null", 4)
    else:
        place.at = at
        place.left = size
        document.budget = size
        kind = advance(&place, 1)[0]
        _value(&document, column, kind, &place, 0, 0)
    return 0


cdef int _value(
    Document* document, VariableColumn column, unsigned char kind, Cursor* place, Py_ssize_t start, int depth
) except -1:
    """The value whose body begins at offset `start` of the place."""
    cdef const unsigned char* at
    cdef Py_ssize_t size
    if kind <= LARGE_ARRAY:
        return _container(document, column, kind, place, start, depth)
    if kind == LITERAL:
        return _literal(column, _take(document, place, start, 1)[0])
    if kind == INT16 or kind == UINT16:
        return _number(column, kind, _take(document, place, start, 2))
    if kind == INT32 or kind == UINT32:
        return _number(column, kind, _take(document, place, start, 4))
    if kind == INT64 or kind == UINT64:
        return _number(column, kind, _take(document, place, start, 8))
    if kind == DOUBLE:
        return _double(column, _take(document, place, start, 8))
    if kind == STRING:
        at = _sized(document, place, start, &size)
        return _string(column, at, size)
    if kind == OPAQUE:
        kind = _take(document, place, start, 1)[0]
        at = _sized(document, place, start + 1, &size)
        return _opaque(column, kind, at, size)
    raise DecodeError(f"a JSON value of the unknown type {kind}")


cdef inline Py_ssize_t _load(const unsigned char* at, int width) noexcept:
    return <Py_ssize_t>little_u32(at) if width == 4 else <Py_ssize_t>little_u16(at)


cdef int _container(
    Document* document, VariableColumn column, unsigned char kind, Cursor* place, Py_ssize_t start, int depth
) except -1:
    cdef int width = 4 if kind == LARGE_OBJECT or kind == LARGE_ARRAY else 2
    cdef bint is_object = kind == SMALL_OBJECT or kind == LARGE_OBJECT
    cdef const unsigned char* at
    cdef Cursor inner
    cdef Py_ssize_t count
    cdef Py_ssize_t size
    cdef Py_ssize_t i
    if depth >= MAX_DEPTH:
        raise DecodeError(f"a JSON document of more than {MAX_DEPTH} levels")
    at = _take(document, place, start, 2 * width)
    count = _load(at, width)
    size = _load(at + width, width)
    inner = place[0]
    advance(&inner, start)
    if size > inner.left:
        raise DecodeError("a JSON object or array that is longer than its place")
    inner.left = size
    _append(column, b"{" if is_object else b"[", 1)
    for i in range(count):
        if i:
            _append(column, b", ", 2)
        if is_object:
            at = _take(document, &inner, 2 * width + i * (width + 2), width + 2)
            size = little_u16(at + width)
            _string(column, _take(document, &inner, _load(at, width), size), size)
            _append(column, b": ", 2)
            at = _take(document, &inner, 2 * width + count * (width + 2) + i * (1 + width), 1 + width)
        else:
            at = _take(document, &inner, 2 * width + i * (1 + width), 1 + width)
        _entry(document, column, at, &inner, width, depth)
    return _append(column, b"}" if is_object else b"]", 1)


cdef int _entry(
    Document* document, VariableColumn column, const unsigned char* at, Cursor* place, int width, int depth
) except -1:
    """A value that is in its container's list, or to which that points."""
    cdef unsigned char kind = at[0]
    if kind == LITERAL:
        return _literal(column, at[1])
    if kind == INT16 or kind == UINT16 or (width == 4 and (kind == INT32 or kind == UINT32)):
        return _number(column, kind, at + 1)
    return _value(document, column, kind, place, _load(at + 1, width), depth + 1)


cdef int _literal(VariableColumn column, unsigned char code) except -1:
    if code == 0:
        return _append(column, b"null", 4)
    if code == 1:
        return _append(column, b"true", 4)
    if code == 2:
        return _append(column, b"false", 5)
    raise DecodeError(f"the unknown JSON literal {code}")


cdef int _number(VariableColumn column, unsigned char kind, const unsigned char* at) except -1:
    cdef char text[NUMBER_BYTES]
    cdef int size
    if kind == UINT64:
        size = snprintf(text, NUMBER_BYTES, b"%llu", <unsigned long long>little_u64(at))
    elif kind == INT64:
        size = snprintf(text, NUMBER_BYTES, b"%lld", <long long>little_u64(at))
    elif kind == UINT32:
        size = snprintf(text, NUMBER_BYTES, b"%lld", <long long>little_u32(at))
    elif kind == INT32:
        size = snprintf(text, NUMBER_BYTES, b"%lld", <long long><int32_t>little_u32(at))
    elif kind == UINT16:
        size = snprintf(text, NUMBER_BYTES, b"%lld", <long long>little_u16(at))
    else:
        size = snprintf(text, NUMBER_BYTES, b"%lld", <long long><int16_t>little_u16(at))
    return _append(column, text, size)


cdef int _double(VariableColumn column, const unsigned char* at) except -1:
    cdef uint64_t bits = little_u64(at)
    cdef double value
    cdef char digits[NUMBER_BYTES]
    cdef char text[NUMBER_BYTES]
    cdef int count = 0
    cdef int point
    cdef int size = 0
    memcpy(&value, &bits, 8)
    if not isfinite(value):
        raise DecodeError("a JSON number that is not finite")
    point = _shortest(value, digits, &count)
    if bits >> 63:
        text[0] = c"-"
        size = 1
    size += _write_double(digits, count, point, text + size)
    return _append(column, text, size)


cdef int _shortest(double value, char* digits, int* count) except? -1000000:
    """The significant digits that give the value again, and the power of ten of the point before them."""
    cdef char* shown = PyOS_double_to_string(value, c"r", 0, 0, NULL)
    cdef char* at = shown
    cdef int point = 0
    cdef int exponent = 0
    cdef bint is_fraction = False
    cdef bint is_negative
    while at[0] and at[0] != c"e":
        if at[0] == c".":
            is_fraction = True
        elif at[0] != c"-":
            if at[0] != c"0" or count[0]:
                digits[count[0]] = at[0]
                count[0] += 1
                point += not is_fraction
            else:
                point -= is_fraction
        at += 1
    if at[0] == c"e":
        is_negative = at[1] == c"-"
        at += 2
        while at[0]:
            exponent = exponent * 10 + at[0] - c"0"
            at += 1
        point += -exponent if is_negative else exponent
    PyMem_Free(shown)
    while count[0] and digits[count[0] - 1] == c"0":
        count[0] -= 1
    if count[0] == 0:
        digits[0] = c"0"
        count[0] = point = 1
    return point


cdef int _write_double(const char* digits, int count, int point, char* out) noexcept:
    cdef int size
    if (point > MAX_POINT and point >= count) or point <= -MAX_POINT:
        out[0] = digits[0]
        size = 1
        if count > 1:
            out[1] = c"."
            memcpy(out + 2, digits + 1, count - 1)
            size = 1 + count
        return size + snprintf(out + size, 8, b"e%d", point - 1)
    if point <= 0:
        memset(out, c"0", 2 - point)
        out[1] = c"."
        memcpy(out + 2 - point, digits, count)
        return 2 - point + count
    memset(out, c"0", point + 2)
    memcpy(out, digits, min(point, count))
    out[point] = c"."
    if count <= point:
        return point + 2
    memcpy(out + point + 1, digits + point, count - point)
    return count + 1


cdef const unsigned char* _sized(
    Document* document, Cursor* place, Py_ssize_t start, Py_ssize_t* size
) except NULL:
    """Bytes after a length of seven bits a byte."""
    cdef uint64_t number = 0
    cdef unsigned char byte = 0x80
    cdef int i = 0
    while byte & 0x80 and i < MAX_VARINT_BYTES:
        byte = _take(document, place, start + i, 1)[0]
        number |= <uint64_t>(byte & 0x7F) << (7 * i)
        i += 1
    if byte & 0x80 or number > 0xFFFFFFFF:
        raise DecodeError("a JSON string whose length has more than 32 bits")
    size[0] = <Py_ssize_t>number
    return _take(document, place, start + i, size[0])


cdef int _string(VariableColumn column, const unsigned char* at, Py_ssize_t size) except -1:
    cdef Py_ssize_t start = 0
    cdef Py_ssize_t i
    cdef unsigned char escape
    cdef unsigned char* slot
    _append(column, b'"', 1)
    for i in range(size):
        escape = ESCAPES[at[i]]
        if escape == 0:
            continue
        _append(column, at + start, i - start)
        start = i + 1
        if escape == 1:
            slot = extend(&column.values, 6)
            memcpy(slot, b"\\u00", 4)
            slot[4] = HEX[at[i] >> 4]
            slot[5] = HEX[at[i] & 15]
        else:
            slot = extend(&column.values, 2)
            slot[0] = c"\\"
            slot[1] = escape
    _append(column, at + start, size - start)
    return _append(column, b'"', 1)


cdef int _opaque(VariableColumn column, unsigned char field_type, const unsigned char* at, Py_ssize_t size) except -1:
    cdef Layout layout
    cdef Digits digits
    cdef unsigned char text[DECIMAL_TEXT_BYTES]
    if field_type == FIELD_DECIMAL:
        if size < 2:
            raise DecodeError("a JSON decimal without its precision and scale")
        plan_layout(at[0], at[1], &layout)
        if size - 2 != layout.width:
            raise DecodeError(f"{layout.width} bytes expected, {size - 2} came")
        read_digits(&layout, at + 2, &digits)
        return _append(column, text, decimal_text(&layout, &digits, text))
    if (
        field_type == FIELD_DATE
        or field_type == FIELD_TIME
        or field_type == FIELD_DATETIME
        or field_type == FIELD_TIMESTAMP
    ):
        if size != 8:
            raise DecodeError(f"8 bytes expected, {size} came")
        return _temporal(column, field_type, <int64_t>little_u64(at))
    shown = _rules.opaque_text(field_type, PyBytes_FromStringAndSize(<const char*>at, size))
    return _append(column, PyBytes_AS_STRING(shown), PyBytes_GET_SIZE(shown))


cdef int _temporal(VariableColumn column, unsigned char field_type, int64_t packed) except -1:
    cdef unsigned char text[TEMPORAL_TEXT_BYTES]
    cdef bint is_negative = packed < 0
    cdef uint64_t magnitude = 0 - <uint64_t>packed if is_negative else <uint64_t>packed
    cdef uint64_t whole = magnitude >> PACKED_FRACTION_BITS
    cdef int fraction = magnitude & ((1 << PACKED_FRACTION_BITS) - 1)
    cdef Moment moment
    cdef int size
    if field_type == FIELD_TIME:
        if whole >> 22:
            raise DecodeError("a JSON TIME of more than 22 bits of hours")
        size = write_time(
            is_negative, <int>(whole >> 12), <int>(whole >> 6 & 63), <int>(whole & 63), fraction, 6, text
        )
    else:
        if is_negative:
            raise DecodeError("a JSON date before the year 0")
        unpack_moment(whole, fraction, &moment)
        size = write_date(&moment, text) if field_type == FIELD_DATE else write_moment(&moment, 6, text)
    _append(column, b'"', 1)
    _append(column, text, size)
    return _append(column, b'"', 1)


@cython.final
cdef class JsonField(PrefixedField):
    """MySQL's JSON."""

    def __init__(self, plan, policy):
        super().__init__(plan, policy)
        self.column = VariableColumn()

    cdef int put(self, Cursor* value) except -1:
        cdef VariableColumn column = <VariableColumn>self.column
        cdef size_t start = column.values.size
        cdef Py_ssize_t size = value.left
        cdef const unsigned char* at = advance(value, size)
        render_json(column, at, size)
        return self.count_value(start)

    cdef int partial(self, Cursor* before, Cursor* diffs) except -1:
        cdef VariableColumn column = <VariableColumn>self.column
        cdef size_t start = column.values.size
        cdef Py_ssize_t before_size = before.left
        cdef Py_ssize_t diffs_size = diffs.left
        document = PyBytes_FromStringAndSize(<const char*>advance(before, before_size), before_size)
        changes = PyBytes_FromStringAndSize(<const char*>advance(diffs, diffs_size), diffs_size)
        text = patched_text(document, changes)
        _append(column, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        return self.count_value(start)

    cdef int count_value(self, size_t start) except -1:
        """Count the text rendered since `start` as the next value, if it is UTF-8."""
        cdef VariableColumn column = <VariableColumn>self.column
        try:
            require_utf8(column.values.data + start, <Py_ssize_t>(column.values.size - start))
        except DecodeError:
            column.values.size = start
            return self.refuse(codes.UNDEFINED_BYTES)
        # The text is there already.
        variable_slot(column, 0)
        return 0
