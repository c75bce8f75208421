"""The field for a column's plan; `Field` itself is in `field`."""

from connectors.mysql.wire.field cimport Field


cpdef Field make_field(object plan, object refusals)
