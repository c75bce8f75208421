"""Columns gathered as stored bytes and converted when they are finished, each distinct value once.

Used by both decoders for the character sets that they don't read themselves.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from cdc.errors import CdcError
from cdc.native.columns_python import build_array
from cdc.native.gathered import Refusals, RowError
from cdc_source_mysql.schema.charsets import decode_text
from cdc_source_mysql.wire import codes


def convert_texts(stored: pa.Array, charset: str, arrow: Any, refusals: Refusals) -> pa.Array:
    """`stored` (binary) as text.

    Raises:
        RowError: a value has no text and the policy is not lenient.
    """
    encoded = stored.dictionary_encode()
    texts = [decode_text(data, charset) for data in encoded.dictionary.to_pylist()]
    undefined = {index for index, text in enumerate(texts) if text is None}
    if undefined:
        _refuse(encoded.indices, undefined, refusals)
    return build_array(arrow, texts).take(encoded.indices)


def _refuse(indices: pa.Array, undefined: set[int], refusals: Refusals) -> None:
    rows = [row for row, index in enumerate(indices.to_pylist()) if index is not None and index in undefined]
    for row in rows:
        try:
            refusals.refuse(codes.UNDEFINED_BYTES)
        except CdcError as error:
            raise RowError(row, error) from error
