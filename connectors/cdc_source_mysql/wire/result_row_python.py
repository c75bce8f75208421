"""The values of one row of a binary result set, in pure Python: the twin of `result_row.pyx`."""

from __future__ import annotations

from collections.abc import Sequence

from cdc.errors import DecodeError
from cdc.native.cursor_python import BigEndianCursor, Reader
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.wire.events import read_lenenc
from cdc_source_mysql.wire.images_python import image_of
from cdc_source_mysql.wire.result_types import FIXED_BYTES, TEMPORAL
from cdc_source_mysql.wire.values_python import Field

_ROW = 0x00


class ResultRow:
    """`column` is the one that is being read, for errors; -1 for none."""

    def __init__(self, plans: Sequence[ColumnPlan]) -> None:
        self._images = [image_of(plan) for plan in plans]
        self._types = [0] * len(plans)
        self.column = -1

    def define(self, column: int, code: int) -> None:
        """The column's values are of this type; it is one of ours."""
        self._types[column] = code

    def append(self, reader: Reader, fields: Sequence[Field]) -> None:
        """Read a row, whole, and decode its values into their columns."""
        if reader.u8() != _ROW:
            message = "a packet that is no row of a result set"
            raise DecodeError(message)
        nulls = reader.little((len(fields) + 9) // 8) >> 2
        for i, field in enumerate(fields):
            self.column = i
            if nulls >> i & 1:
                field.null()
                continue
            image = BigEndianCursor(self._images[i](self._value(reader, i)))
            field.value(image)
            image.finish()
        self.column = -1
        reader.finish()

    def _value(self, reader: Reader, i: int) -> bytes:
        code = self._types[i]
        if code in FIXED_BYTES:
            return reader.take(FIXED_BYTES[code])
        return reader.take(reader.u8() if code in TEMPORAL else read_lenenc(reader))
