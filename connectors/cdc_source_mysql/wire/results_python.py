"""Binary result sets in pure Python: the twin of `results_native.pyx`."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from cdc.errors import CdcError, DecodeError
from cdc.native.cursor_python import Cursor
from cdc.native.gathered import Count, TableShape, take_rows
from cdc.native.refusals import locate
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.wire.images_python import FIXED_BYTES, TEMPORAL, image_of, is_expected
from cdc_source_mysql.wire.little_endian import lenenc
from cdc_source_mysql.wire.values_python import make_field

_HEADER_BYTES = 4
# A payload of this length goes on in the next packet.
_FULL_PAYLOAD_BYTES = 0xFFFFFF
_ERR, _EOF, _ROW = 0xFF, 0xFE, 0x00
# An EOF packet is shorter than this; anything longer that begins so is something else.
_EOF_LIMIT_BYTES = 9
# Catalog, schema, table, original table, name, original name.
_DEFINITION_TEXTS = 6
# What a signed size can say, as the compiled decoder has it.
_MOST_BYTES = (1 << 63) - 1
_COUNT, _COLUMNS, _COLUMNS_END, _ROWS = range(4)


class ResultDecoder:
    """See `cdc_source_mysql.wire.results.Results`."""

    def __init__(
        self,
        table: str,
        plans: Sequence[ColumnPlan],
        unrepresentable: str,
        count: Count,
    ) -> None:
        self._shape = TableShape(0, table, plans, unrepresentable=unrepresentable)
        plans = self._shape.plans
        self._fields = [make_field(p, r) for p, r in zip(plans, self._shape.refusals, strict=True)]
        self._images = [image_of(plan) for plan in plans]
        self._types: list[int] = []
        self._count = count
        self._pending = bytearray()
        self._sequence = 1
        self._state = _COUNT
        self._rows = 0
        self._column = -1
        self.byte_count = 0
        self.finished = False
        self.error: bytes | None = None

    def feed(self, data: bytes | memoryview) -> None:
        self._pending += data
        self._column = -1
        at = 0
        try:
            while (payload := self._payload(at)) is not None:
                body, at = payload
                self._packet(body)
        except CdcError as error:
            raise locate(error, self._shape.place(self._column, "")) from None
        del self._pending[:at]

    def _payload(self, at: int) -> tuple[bytes, int] | None:
        """The payload that starts at `at`, joined from its packets, and its end; None when it isn't whole."""
        parts, sequence = [], self._sequence
        while True:
            if len(self._pending) - at < _HEADER_BYTES:
                return None
            size = int.from_bytes(self._pending[at : at + 3], "little")
            end = at + _HEADER_BYTES + size
            if self._pending[at + 3] != sequence:
                message = "a packet out of sequence"
                raise DecodeError(message)
            if len(self._pending) < end:
                return None
            parts.append(bytes(self._pending[at + _HEADER_BYTES : end]))
            at, sequence = end, (sequence + 1) & 0xFF
            if size < _FULL_PAYLOAD_BYTES:
                self._sequence = sequence
                return b"".join(parts), at

    def _packet(self, body: bytes) -> None:
        if self.finished or self.error is not None:
            message = "data after the end of a result set"
            raise DecodeError(message)
        if not body:
            message = "an empty packet in a result set"
            raise DecodeError(message)
        if body[0] == _ERR:
            self.error = body
        elif self._state == _COUNT:
            self._header(body)
        elif self._state == _COLUMNS:
            self._definition(body)
        elif body[0] == _EOF and len(body) < _EOF_LIMIT_BYTES:
            self.finished = self._state == _ROWS
            self._state = _ROWS
        elif self._state == _ROWS:
            self._row(body)
        else:
            message = "no end after the columns of a result set"
            raise DecodeError(message)

    def _header(self, body: bytes) -> None:
        cursor = Cursor(body)
        count = _length(cursor)
        cursor.finish()
        if count != len(self._fields) or not count:
            message = f"a result of {count} columns where {len(self._fields)} were selected"
            raise DecodeError(message)
        self._state = _COLUMNS

    def _definition(self, body: bytes) -> None:
        cursor = Cursor(body)
        for _ in range(_DEFINITION_TEXTS):
            cursor.skip(_length(cursor))
        fixed = cursor.clamp(_length(cursor))
        fixed.skip(6)
        code, self._column = fixed.u8(), len(self._types)
        if not is_expected(self._shape.plans[self._column].kind, code):
            message = f"a result of type {code} where another was planned"
            raise DecodeError(message)
        self._column = -1
        self._types.append(code)
        if len(self._types) == len(self._fields):
            self._state = _COLUMNS_END

    def _row(self, body: bytes) -> None:
        cursor = Cursor(body)
        if cursor.u8() != _ROW:
            message = "a packet that is no row of a result set"
            raise DecodeError(message)
        nulls = int.from_bytes(cursor.take((len(self._fields) + 9) // 8), "little") >> 2
        for i, field in enumerate(self._fields):
            self._column = i
            if nulls >> i & 1:
                field.null()
                continue
            image = Cursor(self._images[i](self._value(cursor, i)))
            field.value(image)
            image.finish()
        self._column = -1
        cursor.finish()
        self._rows += 1
        self.byte_count += len(body)

    def _value(self, cursor: Cursor, i: int) -> bytes:
        code = self._types[i]
        if code in FIXED_BYTES:
            return cursor.take(FIXED_BYTES[code])
        return cursor.take(cursor.u8() if code in TEMPORAL else _length(cursor))

    def take(self) -> pa.RecordBatch | None:
        batch = take_rows(self._shape, self._rows, self._fields, self._count)
        self._rows = self.byte_count = 0
        return batch


def _length(cursor: Cursor) -> int:
    """A length-encoded number of bytes."""
    length = lenenc(cursor)
    if length > _MOST_BYTES:
        message = "a length that no packet has"
        raise DecodeError(message)
    return length
