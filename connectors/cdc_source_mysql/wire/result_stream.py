"""Binary result sets into Arrow.

One source for both implementations: `result_stream_native` is compiled from it, with the types in
`result_stream_native.pxd`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from cdc.errors import CdcError, DecodeError
from cdc.native.record_batches import Count, TableShape, locate, take_rows
from cdc_source_mysql.schema.type_plan import ColumnPlan
from cdc_source_mysql.wire.codes import is_expected

try:
    import cython
except ImportError:
    from cdc.native import interpreted as cython
if not cython.compiled:
    from cdc.native.cursor_python import Reader
    from cdc_source_mysql.wire.events import read_lenenc
    from cdc_source_mysql.wire.result_row_python import ResultRow
    from cdc_source_mysql.wire.values_python import make_field

PACKET_HEADER = 4
# A payload of this length continues in the next packet.
FULL_PAYLOAD_BYTES = 0xFFFFFF
ERR, EOF = 0xFF, 0xFE
# An EOF packet is shorter than this; anything longer that begins so is something else.
EOF_LIMIT_BYTES = 9
# Catalog, schema, table, original table, name, original name.
DEFINITION_TEXTS = 6
# The offset of the column's type in a definition's fixed part.
TYPE_AT = 6
# What a signed size can say.
MOST_BYTES = 2**63 - 1
# What the stream is at.
COUNT, COLUMNS, COLUMNS_END, ROWS = 0, 1, 2, 3


class ResultDecoder:
    """See `cdc_source_mysql.wire.decoder.Results`."""

    def __init__(self, table: str, plans: Sequence[ColumnPlan], unrepresentable: str, count: Count) -> None:
        self.shape = TableShape(0, table, plans, unrepresentable=unrepresentable)
        plans = self.shape.plans
        self.fields = [make_field(p, r) for p, r in zip(plans, self.shape.policies, strict=True)]
        self.row = ResultRow(plans)
        self.width = len(self.fields)
        # How many columns were defined so far; and the one that is being defined, for errors.
        self.known = 0
        self.column = -1
        self.count = count
        self.reader = Reader()
        self.body = Reader()
        # What has come of a packet, and of a payload that has several.
        self.pending = bytearray()
        self.joined = bytearray()
        self.sequence = 1
        self.state = COUNT
        self.rows = 0
        self.byte_count = 0
        self.finished = False
        self.error: bytes | None = None

    def feed(self, data: bytes | memoryview) -> None:
        is_whole = not self.pending
        if not is_whole:
            self.pending += data
        reader = self.reader
        reader.open(data if is_whole else self.pending)
        try:
            self.read_payloads(reader)
            used = reader.tell()
            rest = reader.rest() if is_whole else b""
        except CdcError as error:
            raise locate(error, self.shape.place(max(self.column, self.row.column), "")) from None
        finally:
            reader.close()
        if is_whole:
            self.pending += rest
        else:
            del self.pending[:used]

    def read_payloads(self, reader: Reader) -> int:
        """Consume the packets that are whole; join those of a long payload as they come."""
        while True:
            held = reader.remaining()
            if held < PACKET_HEADER:
                return 0
            length = reader.little_at(0, 3)
            if reader.little_at(3, 1) != self.sequence:
                message = "a packet out of sequence"
                raise DecodeError(message)
            if held < PACKET_HEADER + length:
                return 0
            self.sequence = (self.sequence + 1) & 0xFF
            reader.skip(PACKET_HEADER)
            if length < FULL_PAYLOAD_BYTES and not self.joined:
                reader.share(self.body, length)
                self.packet(self.body)
                continue
            self.joined += reader.take(length)
            if length < FULL_PAYLOAD_BYTES:
                self.packet_of(self.joined)
                self.joined = bytearray()

    def packet_of(self, payload: bytearray) -> int:
        """Consume a payload whose memory is not to be held any longer."""
        self.body.open(payload)
        try:
            return self.packet(self.body)
        finally:
            self.body.close()

    def packet(self, body: Reader) -> int:
        if self.finished or self.error is not None:
            message = "data after the end of a result set"
            raise DecodeError(message)
        size = body.remaining()
        if size == 0:
            message = "an empty packet in a result set"
            raise DecodeError(message)
        first = body.little_at(0, 1)
        if first == ERR:
            self.error = body.rest()
        elif self.state == COUNT:
            self.read_count(body)
        elif self.state == COLUMNS:
            self.read_definition(body)
        elif first == EOF and size < EOF_LIMIT_BYTES:
            self.finished = self.state == ROWS
            self.state = ROWS
        elif self.state == ROWS:
            self.row.append(body, self.fields)
            self.rows += 1
            self.byte_count += size
        else:
            message = "no end after the columns of a result set"
            raise DecodeError(message)
        return 0

    def read_count(self, body: Reader) -> int:
        count = read_length(body)
        body.finish()
        if count != self.width or not count:
            message = f"a result of {count} columns where {self.width} were selected"
            raise DecodeError(message)
        self.state = COLUMNS
        return 0

    def read_definition(self, body: Reader) -> int:
        for _ in range(DEFINITION_TEXTS):
            body.skip(read_length(body))
        fixed = body.clamp(read_length(body))
        fixed.skip(TYPE_AT)
        code = fixed.u8()
        self.column = self.known
        if not is_expected(self.shape.plans[self.known].kind, code):
            message = f"a result of type {code} where another was planned"
            raise DecodeError(message)
        self.column = -1
        self.row.define(self.known, code)
        self.known += 1
        if self.known == self.width:
            self.state = COLUMNS_END
        return 0

    def take(self) -> pa.RecordBatch | None:
        batch = take_rows(self.shape, self.rows, self.fields, self.count)
        self.rows = self.byte_count = 0
        return batch


def read_length(reader: Reader) -> int:
    """A length-encoded number of bytes."""
    length = read_lenenc(reader)
    if length > MOST_BYTES:
        message = "a length that no packet has"
        raise DecodeError(message)
    return length
