from collections.abc import Sequence

from cdc.native.rowwise_python import Bytes, Offsets, RowField

def rowwise(
    count: int, fields: Sequence[RowField], prefix: Bytes, measured: bool = False
) -> tuple[bytes, Offsets | None]: ...
