"""The codec of the log: a table's schema, and its changes, as Arrow IPC.

It knows no place where the bytes are stored, so it serves every log. Row columns are stored under their index
("0", "1", …), so any column name may exist; envelope columns keep theirs. A batch keeps the ordinals that the
source gave; the offset of its part is stored apart and added when it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from cdc.errors import StateError
from cdc.log.frame import checksum
from cdc.model import Audience, ChangeBatch, Column, CopyMark, CopyStep, Envelope, TableId, TableSchema

# Below this a set's IPC buffers are too small for lz4 to win anything: its own framing costs 23 bytes a
# buffer.
COMPRESS_FROM_BYTES = 4096
# From this size on the IPC buffers are written from where Arrow has put them: one stream for all doubles when
# it grows, and took up to three times their size more.
APART_FROM_BYTES = 8 * 1024 * 1024

# Of a batch of that size: so much of a buffer shows what lz4 makes of it, and more than this share left is
# not worth the work. Random text in hexadecimal digits, such as hashes, keeps all of its size.
SAMPLE_BYTES = 64 * 1024
WORTHWHILE_SHARE = 0.8

_LZ4 = pa.Codec("lz4")
_LENGTH = struct.Struct("<I")

# Keys of the IPC metadata of a batch; absent from nearly all.
_AUDIENCE, _MARK = b"cdc.audience", b"cdc.copy"


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """A batch that is ready to be written, encoded as far as possible without its place in the log."""

    schema: TableSchema
    body: Sequence[bytes | memoryview]
    crc: int
    row_count: int
    byte_count: int
    audience: Audience


def encode_schema(schema: TableSchema) -> bytes:
    """Encode the schema with its Arrow types and its fills."""
    document = {
        "table": [schema.table.schema, schema.table.name],
        "version": schema.version,
        "key": list(schema.key),
        "identity": schema.identity,
        "relation": schema.relation,
        "columns": [[c.name, c.source_type, c.nullable, c.id, c.has_fill] for c in schema.columns],
    }
    head = orjson.dumps(document)
    fills = [pa.nulls(1, c.type) if c.fill is None else pa.repeat(c.fill, 1) for c in schema.columns]
    row = pa.RecordBatch.from_arrays(fills, schema=_positional(schema))
    return b"".join([_LENGTH.pack(len(head)), head, *_ipc(row, None)])


def decode_schema(body: bytes | memoryview) -> TableSchema:
    """Decode the result of `encode_schema`."""
    data = memoryview(body)
    (length,) = _LENGTH.unpack_from(data)
    document = orjson.loads(data[_LENGTH.size : _LENGTH.size + length])
    fills = pa.ipc.open_stream(pa.py_buffer(data[_LENGTH.size + length :])).read_next_batch()
    columns = tuple(
        Column(name, field.type, source_type, nullable, number, fills.column(i)[0] if has_fill else None)
        for i, (field, (name, source_type, nullable, number, has_fill)) in enumerate(
            zip(fills.schema, document["columns"], strict=True)
        )
    )
    return TableSchema(
        table=TableId(*document["table"]),
        columns=columns,
        key=tuple(document["key"]),
        identity=document["identity"],
        relation=document["relation"],
        version=document["version"],
    )


def encode_batch(batch: ChangeBatch, changes: int) -> EncodedBatch:
    """Encode the batch as IPC. ValueError if it does not match its schema, or an ordinal is not below
    `changes`.
    """
    _check_shape(batch)
    _check_ordinals(batch, changes)
    byte_count = batch.byte_count
    stored = _to_stored(batch).replace_schema_metadata(_metadata(batch))
    pays = byte_count >= COMPRESS_FROM_BYTES and (byte_count < APART_FROM_BYTES or _compresses(stored))
    body = _ipc(stored, "lz4" if pays else None)
    return EncodedBatch(batch.schema, body, checksum(*body), batch.row_count, byte_count, batch.audience)


def decode_batch(
    body: memoryview, base: int, schema: TableSchema, sink: str | None = None
) -> ChangeBatch | None:
    """Return the batch, its ordinals turned into offsets from `base` on; `None` when `sink` is given and not
    in its audience.
    """
    reader = pa.ipc.open_stream(pa.py_buffer(body))
    metadata = reader.schema.metadata or {}
    audience = Audience.from_json(_from_metadata(metadata, _AUDIENCE))
    if sink is not None and not audience.includes(sink):
        return None
    mark = _from_metadata(metadata, _MARK)
    data = _from_stored(reader.read_next_batch(), schema)
    return ChangeBatch(schema, data, audience, mark and _known_mark(mark, schema)).shifted(base)


def _known_mark(value: dict[str, Any], schema: TableSchema) -> CopyMark:
    """A mark that this version does not know may be about rows: it is not skipped."""
    if value["step"] not in set(CopyStep):
        message = f"the log has a mark {value['step']!r}, which this version does not support"
        raise StateError(message, where=str(schema.table), remedy="Run the newer version that wrote it.")
    return CopyMark.from_json(value)


def _metadata(batch: ChangeBatch) -> dict[bytes, bytes] | None:
    values = {_AUDIENCE: batch.audience.to_json(), _MARK: batch.mark and batch.mark.to_json()}
    return {key: orjson.dumps(value) for key, value in values.items() if value is not None} or None


def _from_metadata(metadata: dict[bytes, bytes], key: bytes) -> Any:
    return orjson.loads(metadata[key]) if key in metadata else None


def _ipc(batch: Any, compression: str | None) -> Sequence[bytes | memoryview]:
    is_apart = batch.nbytes >= APART_FROM_BYTES
    pieces = _Pieces()
    out = pa.PythonFile(pieces, mode="w") if is_apart else pa.BufferOutputStream()
    with pa.ipc.new_stream(
        out, batch.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
    ) as writer:
        writer.write_batch(batch)
    return pieces.found if is_apart else [memoryview(out.getvalue())]


def _compresses(batch: Any) -> bool:
    """Whether lz4 makes a large batch smaller, judged by a sample of each of its large buffers. What it does
    not, a reader would hold twice, as it is stored and decompressed.
    """
    large = [buffer for column in batch.columns for buffer in _buffers(column) if buffer.size >= SAMPLE_BYTES]
    total = sum(buffer.size for buffer in large)
    kept = sum(buffer.size * _lz4_share(buffer) for buffer in large)
    return not total or kept <= WORTHWHILE_SHARE * total


def _buffers(array: Any) -> list[Any]:
    return [buffer for buffer in array.buffers() if buffer is not None]


def _lz4_share(buffer: Any) -> float:
    """Return the share that lz4 leaves of the middle of a buffer."""
    sample = buffer.slice((buffer.size - SAMPLE_BYTES) // 2, SAMPLE_BYTES)
    return float(_LZ4.compress(sample).size / SAMPLE_BYTES)


class _Pieces:
    """Sink of a writer: keeps the pieces, large buffers without a copy."""

    closed = False

    def __init__(self) -> None:
        self.found: list[bytes | memoryview] = []

    def write(self, piece: bytes | pa.Buffer) -> None:
        self.found.append(piece if isinstance(piece, bytes) else memoryview(piece))

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The pieces stay."""


def _positional(schema: TableSchema) -> Any:
    return pa.schema([pa.field(str(i), c.type) for i, c in enumerate(schema.columns)])


def _to_stored(batch: ChangeBatch) -> Any:
    names = batch.data.schema.names
    width = len(batch.schema.columns)
    columns = list(batch.data.columns)
    if Envelope.BEFORE in names:
        place = {column.name: str(i) for i, column in enumerate(batch.schema.columns)}
        index = names.index(Envelope.BEFORE)
        columns[index] = _renamed(columns[index], place)
    stored_names = [*(str(i) for i in range(width)), *names[width:]]
    return pa.RecordBatch.from_arrays(columns, names=stored_names)


def _from_stored(stored: Any, schema: TableSchema) -> Any:
    names = stored.schema.names
    columns = list(stored.columns)
    if Envelope.BEFORE in names:
        name = {str(i): column.name for i, column in enumerate(schema.columns)}
        index = names.index(Envelope.BEFORE)
        columns[index] = _renamed(columns[index], name)
    row_names = [column.name for column in schema.columns]
    return pa.RecordBatch.from_arrays(columns, names=[*row_names, *names[len(row_names) :]])


def _renamed(struct_array: Any, names: dict[str, str]) -> Any:
    """The same struct column with its children renamed; no value is copied."""
    fields = [pa.field(names[child.name], child.type) for child in struct_array.type]
    if not fields:
        return struct_array
    children = [struct_array.field(i) for i in range(len(fields))]
    mask = struct_array.is_null() if struct_array.null_count else None
    return pa.StructArray.from_arrays(children, fields=fields, mask=mask)


def _check_shape(batch: ChangeBatch) -> None:
    have = [(f.name, f.type) for f in batch.data.schema][: len(batch.schema.columns)]
    want = [(c.name, c.type) for c in batch.schema.columns]
    if have != want:
        message = f"a batch of {batch.table} does not have the columns of its schema"
        raise ValueError(message)


def _check_ordinals(batch: ChangeBatch, changes: int) -> None:
    seq = batch.seq
    within = not len(seq) or (seq[0].as_py() >= 0 and seq[-1].as_py() < changes)
    if not within or (batch.mark is not None and not 0 <= batch.mark.seq < changes):
        message = f"a batch of {batch.table} has ordinals outside 0 ≤ ordinal < {changes}"
        raise ValueError(message)
