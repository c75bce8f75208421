"""COPY BINARY into Arrow.

One source for both implementations: `copy_native` is compiled from it, with the types in `copy_native.pxd`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from cdc.errors import CdcError, DecodeError
from cdc.native.record_batches import Count, TableShape, locate, take_rows
from cdc_source_postgres.schema.type_plan import ColumnPlan
from cdc_source_postgres.wire.codes import COPY_SIGNATURE, ENDED, FULL, ROW_OVERHEAD_BYTES, WOULD_BLOCK

try:
    import cython
except ImportError:
    from cdc.native import interpreted as cython
if not cython.compiled:
    from cdc.native.cursor_python import Reader
    from cdc_source_postgres.wire.fields_python import make_field
    from cdc_source_postgres.wire.frames_python import Frames
    from cdc_source_postgres.wire.row_python import Row


class CopyDecoder:
    """See `cdc_source_postgres.wire.decoder.Copy`."""

    def __init__(
        self,
        table: str,
        plans: Sequence[ColumnPlan],
        unrepresentable: str,
        count: Count,
    ) -> None:
        self.shape = TableShape(0, table, plans, unrepresentable=unrepresentable)
        plans = self.shape.plans
        self.columns = [make_field(p.codec, r) for p, r in zip(plans, self.shape.policies, strict=True)]
        self.kinds = b"".join(b"t" if plan.text_only else b"b" for plan in plans)
        self.row = Row(len(plans))
        self.reader = Reader()
        self.count = count
        self.rows = 0
        self.byte_count = 0
        self.has_header = False
        self.finished = False

    def drain(self, frames: Frames, limit_bytes: int) -> int:
        while True:
            length = frames.next(self.reader)
            if length <= 0:
                return WOULD_BLOCK if length == 0 else ENDED
            self.read_frame(self.reader)
            if self.byte_count >= limit_bytes:
                # As in the stream: a wide row must not be held beside its columns.
                frames.release()
                return FULL

    def feed(self, data: bytes | memoryview) -> None:
        self.reader.open(data)
        try:
            self.read_frame(self.reader)
        finally:
            self.reader.close()

    def read_frame(self, reader: Reader) -> int:
        """One CopyData: the header with the first, whole rows, the trailer."""
        try:
            self.byte_count += reader.remaining() + ROW_OVERHEAD_BYTES
            if not self.has_header:
                self.read_header(reader)
            while reader.remaining():
                self.read_row(reader)
        except CdcError as error:
            raise locate(error, self.shape.place(self.row.column, "")) from None
        return 0

    def read_header(self, reader: Reader) -> int:
        signature = reader.take(len(COPY_SIGNATURE))
        if signature != COPY_SIGNATURE or reader.u32() != 0:
            message = "data that does not begin with a header of COPY BINARY that is known"
            raise DecodeError(message)
        reader.skip(reader.i32())
        self.has_header = True
        return 0

    def read_row(self, reader: Reader) -> int:
        if self.finished:
            message = "data after the end of a COPY"
            raise DecodeError(message)
        count = reader.i16()
        if count == -1:
            self.finished = True
            return 0
        if count != self.row.width:
            message = f"a row of {count} columns where {self.row.width} are declared"
            raise DecodeError(message)
        self.row.split_copy(reader, self.kinds)
        self.row.append(self.columns)
        self.rows += 1
        return 0

    def take(self) -> pa.RecordBatch | None:
        batch = take_rows(self.shape, self.rows, self.columns, self.count)
        self.rows = self.byte_count = 0
        return batch
