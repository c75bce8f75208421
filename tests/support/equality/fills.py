"""What rows older than a column have in it, by what the lake's own files tell: never by the source's catalog,
which readers of the lake don't have, and which forgets.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from tests.support.equality.values import SourceColumn


def told_fills(metadata: Mapping[bytes, bytes], types: Mapping[str, pa.DataType]) -> dict[str, pa.Array]:
    """The fills that a file tells, as arrays of one value of the type that the file has the column in."""
    told: dict[str, Any] = json.loads(metadata[b"cdc.fills"])
    return {name: _array(value, types[name]) for name, value in told.items()}


def one_fill(name: str, column: SourceColumn, told: Iterable[pa.Array]) -> Any:
    """The canonical value that all files tell of a column; None where none does."""
    values = [column.from_arrow(array)[0] for array in told]
    different = [value for value in values if value != values[0]]
    assert not different, f"column {name}: the lake tells the fills {values[0]!r} and {different[0]!r}"
    return values[0] if values else None


def _array(told: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(told, dict):
        return pa.ipc.open_stream(base64.b64decode(told["arrow"])).read_next_batch().column(0)
    if isinstance(kind, pa.BaseExtensionType):
        is_uuid = isinstance(kind, pa.UuidType)
        storage = bytes.fromhex(told.replace("-", "")) if is_uuid else told
        return pa.ExtensionArray.from_storage(kind, pa.array([storage], kind.storage_type))
    if pa.types.is_list(kind):
        inner = kind.value_type
        items = [pa.nulls(1, inner) if item is None else _array(item, inner) for item in told]
        flat = pa.concat_arrays(items) if items else pa.nulls(0, inner)
        return pa.ListArray.from_arrays([0, len(flat)], flat, type=kind)
    if pa.types.is_binary(kind):
        return pa.array([bytes.fromhex(told)], kind)
    if pa.types.is_time(kind):
        return pa.array([f"1970-01-01 {told}"]).cast(pa.timestamp("us")).cast(kind)
    return pa.array([told]).cast(kind)
