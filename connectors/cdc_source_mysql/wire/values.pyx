"""The field for a column's plan."""

from cdc_source_mysql.wire.field cimport Field

from cdc_source_mysql.wire.clock import (
    DateField,
    DatetimeField,
    OldDatetimeField,
    OldTimeField,
    OldTimestampField,
    TimeField,
    TimestampField,
)
from cdc_source_mysql.wire.decimal import DecimalField
from cdc_source_mysql.wire.json import JsonField
from cdc_source_mysql.wire.numbers import BitField, BoolField, MediumField, NumberField, YearField
from cdc_source_mysql.wire.special import GeometryField, InetField, UuidField, VectorField
from cdc_source_mysql.wire.text import BinaryField, BytesField, EnumField, SetField, StringField

cdef dict FIELDS = {
    **dict.fromkeys(("int8", "int16", "int32", "int64", "float32", "float64"), NumberField),
    "int24": MediumField,
    "decimal": DecimalField,
    "year": YearField,
    "bool": BoolField,
    "bit": BitField,
    "date": DateField,
    "datetime": DatetimeField,
    "datetime_old": OldDatetimeField,
    "timestamp": TimestampField,
    "timestamp_old": OldTimestampField,
    "time": TimeField,
    "time_old": OldTimeField,
    "enum": EnumField,
    "set": SetField,
    "string": StringField,
    "bytes": BytesField,
    "binary": BinaryField,
    "uuid": UuidField,
    "inet4": InetField,
    "inet6": InetField,
    "json": JsonField,
    "geometry": GeometryField,
    "vector": VectorField,
}


cpdef Field make_field(object plan, object refusals):
    """The field that decodes a column's values by its plan."""
    return FIELDS[plan.kind](plan, refusals)
