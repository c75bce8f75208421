"""Addresses, geometries and vectors."""

from cdc.native.columns cimport VariableColumn
from cdc.native.cursor cimport Cursor

# The server's SRID and WKB (all that is left) as EWKB.
cdef int append_geometry(VariableColumn column, Cursor* value) except -1
