"""What a change did; the letters are Debezium's."""

from __future__ import annotations

from enum import StrEnum

import pyarrow as pa


class Operation(StrEnum):
    """The values of the envelope column `_cdc_op`."""

    READ = "r"
    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    TRUNCATE = "t"

    @property
    def code(self) -> int:
        """The dictionary index of this operation in every batch (`OPERATION_DICTIONARY`)."""
        return _CODES[self]


_CODES = {operation: index for index, operation in enumerate(Operation)}

# Every batch shares this dictionary, so an op column's indices are the codes: r=0 c=1 u=2 d=3 t=4.
OPERATION_DICTIONARY: pa.StringArray = pa.array([o.value for o in Operation], pa.string())
