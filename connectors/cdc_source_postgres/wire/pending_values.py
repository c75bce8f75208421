"""Values that wait until their column is complete, and are then converted all together.

Both decoders convert so what they do not decode themselves: the text form of types that are not text, and the
binary form of types that become the server's text.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cdc.native.unrepresentable import RowError, UnrepresentablePolicy
from cdc_source_postgres.schema.codec import Codec
from cdc_source_postgres.wire.parse.text import TextError, convert_renders, convert_texts


class PendingValues:
    """Pairs of row number and bytes of one column."""

    __slots__ = ("_codec", "_policy", "_rows", "_values")

    def __init__(self, codec: Codec, policy: UnrepresentablePolicy) -> None:
        self._codec = codec
        self._policy = policy
        self._rows: list[int] = []
        self._values: list[bytes] = []

    def add(self, row: int, value: bytes) -> None:
        self._rows.append(row)
        self._values.append(value)

    def merge(self, array: pa.Array) -> pa.Array:
        """Return `array` with the converted values in their rows, and forget them.

        Raises:
            RowError: a value cannot be converted.
        """
        if not self._rows:
            return array
        rows, self._rows = self._rows, []
        values, self._values = self._values, []
        try:
            converted = self._convert(values)
        except TextError as error:
            raise RowError(rows[error.index], error.cause) from error.cause
        if len(rows) == len(array):
            return converted
        places = np.arange(len(array), dtype=np.int64)
        places[rows] = np.arange(len(array), len(array) + len(rows))
        return pa.concat_arrays([array, converted]).take(pa.array(places))

    def _convert(self, values: list[bytes]) -> pa.Array:
        if self._codec.kind == "render":
            return convert_renders(self._codec, values)
        return convert_texts(self._codec, values, self._policy)
