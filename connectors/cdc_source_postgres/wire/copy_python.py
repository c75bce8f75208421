"""COPY BINARY in pure Python: the twin of `copy.pyx`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from cdc.errors import CdcError, DecodeError
from cdc.native.cursor_python import Cursor
from cdc.native.gathered import Count, TableShape, take_rows
from cdc.native.refusals import locate
from cdc_source_postgres.type_plan import ColumnPlan
from cdc_source_postgres.wire.codes import COPY_SIGNATURE, ENDED, FULL, ROW_OVERHEAD_BYTES, WOULD_BLOCK
from cdc_source_postgres.wire.fields_python import Field

Frames = Callable[[int], tuple[int, memoryview]]


class CopyDecoder:
    """See `cdc_source_postgres.wire.decoder.Copy`."""

    def __init__(
        self,
        table: str,
        plans: Sequence[ColumnPlan],
        unrepresentable: str,
        count: Count,
    ) -> None:
        self._shape = TableShape(0, table, plans, unrepresentable=unrepresentable)
        self._columns = [
            Field(p.codec, r) for p, r in zip(self._shape.plans, self._shape.refusals, strict=True)
        ]
        self._count = count
        self._rows = 0
        self._byte_count = 0
        self._has_header = False
        self._column = -1
        self.finished = False

    def drain(self, get_copy_data: Frames, limit_bytes: int) -> int:
        while True:
            length, frame = get_copy_data(1)
            if length <= 0:
                return WOULD_BLOCK if length == 0 else ENDED
            self.feed(frame)
            if self._byte_count >= limit_bytes:
                return FULL

    def feed(self, data: bytes | memoryview) -> None:
        """One CopyData: whole rows, after the header in the first; the trailer ends them."""
        cursor = Cursor(data)
        self._column = -1
        try:
            if not self._has_header:
                _copy_header(cursor)
                self._has_header = True
            while cursor.left:
                self._row(cursor)
        except CdcError as error:
            raise locate(error, self._shape.place(self._column, "")) from None
        self._byte_count += len(data) + ROW_OVERHEAD_BYTES

    def _row(self, cursor: Cursor) -> None:
        if self.finished:
            message = "data after the end of a COPY"
            raise DecodeError(message)
        count = cursor.i16()
        if count == -1:
            self.finished = True
            return
        if count != len(self._columns):
            message = f"a row of {count} columns where {len(self._columns)} are declared"
            raise DecodeError(message)
        values = []
        for _ in range(count):
            length = cursor.i32()
            values.append(None if length == -1 else cursor.take(length))
        for i, (column, value) in enumerate(zip(self._columns, values, strict=True)):
            self._column = i
            if value is None:
                column.null()
            elif self._shape.plans[i].text_only:
                column.text(value)
            else:
                column.binary(value)
        self._column = -1
        self._rows += 1

    def take(self) -> pa.RecordBatch | None:
        batch = take_rows(self._shape, self._rows, self._columns, self._count)
        self._rows = self._byte_count = 0
        return batch


def _copy_header(cursor: Cursor) -> None:
    signature, flags = cursor.take(len(COPY_SIGNATURE)), cursor.u32()
    if signature != COPY_SIGNATURE or flags:
        message = "data that does not begin with a header of COPY BINARY that is known"
        raise DecodeError(message)
    cursor.skip(cursor.i32())
