"""What the decoders of result sets make of rows, in a form that compares, and the corpus to begin with.

An entry's frames are rows of one column, each behind one byte that chooses the column; behind a byte of RAW,
bytes of the connection. Usage of the corpus' writer: python -m fuzz.result_sets.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from cdc.errors import CdcError
from fuzz.mutation import FOLDER
from tests.support.mysql.result_sets import COLUMNS, result_set, row
from tests.support.plain_arrow import plain

REFUSED = "refused"
RAW = 0xFF
_VALUES = {
    "decimal": b"-12.3456",
    "moment": b"\xe8\x07\x02\x1d\x17\x3b\x3b\x3f\x42\x0f\0",
    "clock": b"\1\x22\0\0\0\x16\x3b\x3b\x3f\x42\x0f\0",
    "bytes": b"\1",
}


def results(wire: ModuleType) -> Callable[[list[bytes]], Any]:
    return lambda frames: [_outcome(wire, frame) for frame in frames if frame]


def _outcome(wire: ModuleType, frame: bytes) -> Any:
    column, code, _ = COLUMNS[0 if frame[0] == RAW else frame[0] % len(COLUMNS)]
    data = frame[1:] if frame[0] == RAW else result_set(code, [frame[1:]])
    decoder = wire.ResultDecoder("t", (column,), "null", lambda name, amount: None)
    try:
        # Cut in two, so that what waits for the rest is seen too.
        decoder.feed(data[: len(data) // 2])
        decoder.feed(data[len(data) // 2 :])
        record = decoder.take()
    except CdcError:
        return REFUSED
    return decoder.finished, decoder.error, None if record is None else plain(record.column(0))


def main() -> None:
    folder = FOLDER / "corpus" / "result_sets"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index, (_, _, kind) in enumerate(COLUMNS):
        value = _VALUES[kind] if kind in _VALUES else (2001).to_bytes(8, "little")[: int(kind)]
        rows.append(bytes([index]) + row(kind, value))
    (folder / "every_kind.hex").write_text("".join(f"{line.hex()}\n" for line in rows))
    whole = result_set(COLUMNS[0][1], [row("1", b"\7"), row("1", None)])
    (folder / "connection.hex").write_text(f"{bytes([RAW]).hex()}{whole.hex()}\n")


if __name__ == "__main__":
    main()
