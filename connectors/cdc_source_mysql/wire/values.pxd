"""The field for a column's plan; `Field` itself is in `field`."""

from cdc_source_mysql.wire.field cimport Field


cpdef Field make_field(object plan, object policy)
