"""Text to UTF-8, and labels."""

from cdc.native.columns cimport VariableColumn
from cdc.native.cursor cimport Cursor
from connectors.mysql.wire_field cimport Field

# All that is left of `value`, appended to a field whose column is a VariableColumn; bytes that have no
# character are refused by the field's policy.
cdef int append_utf8(Field field, Cursor* value) except -1
cdef int append_ascii(Field field, Cursor* value) except -1
cdef int append_latin1(Field field, Cursor* value) except -1
# All that is left, unchecked.
cdef int append_bytes(VariableColumn column, Cursor* value) except -1
# All that is left, and zeros up to `size` bytes.
cdef int append_padded(VariableColumn column, Cursor* value, Py_ssize_t size) except -1
