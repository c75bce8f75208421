"""The output of the fields of the binlog for some bytes, in a form that compares, and the first corpus.

An entry's frames are values, each behind one byte that chooses the column. Usage of the corpus' writer:
python -m fuzz.mysql_fields.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from types import ModuleType
from typing import Any

from cdc.errors import CdcError
from cdc.native.unrepresentable import RowError, UnrepresentablePolicy
from cdc_source_mysql.schema.type_plan import ColumnPlan
from fuzz.mutation import FOLDER
from tests.support.mysql.json_binary import encode
from tests.support.mysql.json_documents import random_value
from tests.support.mysql.plans import PLANS
from tests.support.plain_arrow import plain

REFUSED = "refused"
# Bytes of a stored zero: those of decimals and of dates and times have their sign bit set.
_SIGNED = frozenset({"decimal", "datetime", "time"})
_LONGEST_BYTES = 40
_DOCUMENTS = 40
_DEEPEST = 3


def fields(wire: ModuleType) -> Callable[[list[bytes]], Any]:
    return lambda frames: [_outcome(wire, frame) for frame in frames if frame]


def _outcome(wire: ModuleType, frame: bytes) -> Any:
    policy = UnrepresentablePolicy("null")
    field = wire.make_field(PLANS[frame[0] % len(PLANS)], policy)
    try:
        consumed = field.append(frame[1:])
        return consumed, plain(field.finish()), policy.count
    except (CdcError, RowError):
        return REFUSED


def _fitting(column: ColumnPlan) -> bytes:
    if not column.prefix_bytes:
        return (b"\x80" if column.kind in _SIGNED else b"\1") + bytes(_LONGEST_BYTES)
    data = b"\x89\xc8\x4b\x4a\x1a\x1e\0\0" if column.compressed else b"abcd"
    if column.kind == "geometry":
        data = bytes.fromhex("e6100000 01 01000000") + bytes(16)
    return len(data).to_bytes(column.prefix_bytes, "little") + data


def main() -> None:
    chance = random.Random(1)
    folder = FOLDER / "corpus" / "mysql_fields"
    folder.mkdir(parents=True, exist_ok=True)
    values = [bytes([index]) + _fitting(column) for index, column in enumerate(PLANS)]
    (folder / "every_kind.hex").write_text("".join(f"{value.hex()}\n" for value in values))
    json = next(i for i, c in enumerate(PLANS) if c.kind == "json" and c.prefix_bytes == 2)
    documents = [encode(random_value(chance, chance.randint(0, _DEEPEST))) for _ in range(_DOCUMENTS)]
    lines = [
        bytes([json]) + len(data).to_bytes(2, "little") + data for data in documents if len(data) < 2**16
    ]
    (folder / "documents.hex").write_text("".join(f"{line.hex()}\n" for line in lines))


if __name__ == "__main__":
    main()
