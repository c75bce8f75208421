from collections.abc import Sequence

from cdc.native.rowwise_python import Bytes, Field, Offsets

def rowwise(
    count: int, fields: Sequence[Field], prefix: Bytes, measured: bool = False
) -> tuple[bytes, Offsets | None]: ...
