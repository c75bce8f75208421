"""MySQL's binary JSON to the server's text."""

from cdc.native.columns cimport VariableColumn

# The document's text behind the column's bytes. It is not counted as a value yet (`variable_slot` of no bytes
# does that), and not checked to be UTF-8.
cdef int render_json(VariableColumn column, const unsigned char* at, Py_ssize_t size) except -1
