"""The field for a column's plan."""

from connectors.mysql.wire_field cimport Field


cpdef Field make_field(object plan, object refusals):
    """The field that decodes a column's values by its plan."""
    return Field(plan, refusals)
