"""Buffers to Arrow arrays, for extension types (uuid, json) too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa


def assemble(
    type_: Any,
    length: int,
    null_count: int,
    buffers: Sequence[Any],
    children: Sequence[pa.Array] | None = None,
) -> pa.Array:
    """An array over these buffers, which it keeps; nothing is copied."""
    if isinstance(type_, pa.BaseExtensionType):
        storage = assemble(type_.storage_type, length, null_count, buffers, children)
        return pa.ExtensionArray.from_storage(type_, storage)
    return pa.Array.from_buffers(type_, length, list(buffers), null_count, children=children)
