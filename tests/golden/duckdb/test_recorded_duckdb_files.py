"""Files that were written before `cdc.sql` was there are read and go on.

Recorded by the DuckDB sink of format 1 with `BEFORE`, in the middle of a copy. To record a new format:
`python -m tests.golden.duckdb.test_recorded_duckdb_files FOLDER`.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from cdc.model import ChangeBatch, CopyMark, CopyStep, TableSchema
from cdc.testing.events import EPOCH, LOG_ID, changes, delivery, sink_context, table
from cdc_sink_duckdb import DuckDBSink
from cdc_sink_duckdb.options import Options

RECORDED = Path(__file__).parent / "v1"
MODES: dict[str, dict[str, Any]] = {
    "mirror": {},
    "soft": {"deletes": "soft"},
    "append": {"mode": "append"},
    "history": {"mode": "history"},
}
ORDERS = table(
    "public.Orders",
    {"id": pa.int64(), "note": pa.string(), "amount": pa.decimal128(12, 2)},
    relation=1,
    version=1,
)
WIDER = table(
    "public.Orders",
    {"id": pa.int64(), "remark": pa.string(), "amount": pa.decimal128(14, 2), "extra": pa.list_(pa.int32())},
    relation=1,
    version=2,
)
KEYLESS = table(
    "public.measures",
    {"at": pa.int64(), "value": pa.float64()},
    key=(),
    identity="full",
    relation=2,
    version=1,
)
ODD = table(
    "public.odd", {"id": pa.int64(), "n": pa.month_day_nano_interval()}, relation=3, version=1
)  # Set aside: DuckDB has no type for it.


def _order(i: int) -> dict[str, Any]:
    return {"id": i, "note": f"n{i}", "amount": i}


def _wide(i: int) -> dict[str, Any]:
    return {"id": i, "remark": f"w{i}", "amount": i, "extra": [i, None]}


def _mark(schema: TableSchema, step: CopyStep, seq: int) -> ChangeBatch:
    rows = [("t", None)] if step is CopyStep.BEGIN else []
    return replace(changes(schema, rows, start=seq), mark=CopyMark(step, EPOCH, seq))


_MEASURE = {"at": 1, "value": 0.5}
_FIRST = [("c", _order(1)), ("c", _order(2)), ("c", _order(3)), ("d", _order(3)), ("u", _order(4), {"id": 2})]
# Batches and the offset behind them.
Step = tuple[list[ChangeBatch], int]
BEFORE: list[Step] = [
    (
        [
            changes(ORDERS, _FIRST),
            changes(ODD, [("c", {"id": 1})], start=5),
            changes(KEYLESS, [("c", _MEASURE), ("c", _MEASURE)], start=6),
        ],
        8,
    ),
    ([changes(WIDER, [("c", _wide(5)), ("u", _wide(1), {"id": 1})], start=8)], 10),
    (
        [
            _mark(WIDER, CopyStep.BEGIN, 10),
            changes(WIDER, [("r", _wide(1)), ("r", _wide(6))], start=11),
        ],
        13,
    ),
]
AFTER: list[Step] = [
    ([changes(WIDER, [("u", _wide(6) | {"remark": None}, None, ["remark"])], start=13)], 14),
    ([_mark(WIDER, CopyStep.FINISHED, 14), changes(KEYLESS, [("d", _MEASURE)], start=15)], 16),
    ([changes(WIDER, [("d", _wide(1)), ("c", _wide(7))], start=16)], 18),
]


def _apply(path: Path, mode: str, steps: Sequence[Step], *, epoch: int, log_id: str = LOG_ID) -> None:
    context = replace(sink_context(epoch=epoch), log_id=log_id)
    with closing(DuckDBSink(Options(path=path, **MODES[mode]), context)) as sink:
        sink.prepare("shop")
        cursor = sink.committed("shop")
        first = cursor.next if cursor else 0
        for batches, end in steps:
            sink.apply(delivery(batches, first=first, next=end))
            first = end


def _content(path: Path) -> dict[str, Any]:
    """Columns and rows of every table, but for when something was noted, and in which words."""
    with duckdb.connect(str(path), read_only=True) as connection:
        names = connection.execute(
            "select schema_name, table_name from duckdb_tables() order by all"
        ).fetchall()
        found = {}
        for schema, name in names:
            columns = connection.execute(f'describe "{schema}"."{name}"').fetchall()
            timeless = "* exclude (noted_at, reason, remedy)" if name == "set_aside" else "*"
            timeless = "* exclude (applied_at)" if name == "cursors" else timeless
            rows = connection.sql(f'select {timeless} from "{schema}"."{name}"').to_arrow_table().to_pylist()
            found[f"{schema}.{name}"] = (columns, sorted(rows, key=repr))
    return found


@pytest.mark.parametrize("mode", MODES)
def test_a_recorded_file_goes_on_as_one_that_is_written_now(mode: str, tmp_path: Path) -> None:
    recorded, new = tmp_path / "recorded" / "warehouse.duckdb", tmp_path / "new" / "warehouse.duckdb"
    for path in (recorded, new):
        path.parent.mkdir()
    recorded.write_bytes(gzip.decompress((RECORDED / f"{mode}.duckdb.gz").read_bytes()))
    _apply(new, mode, BEFORE, epoch=1, log_id="")
    assert _content(recorded) == _content(new)
    for path in (recorded, new):
        _apply(path, mode, AFTER, epoch=2)
    assert _content(recorded) == _content(new)
    assert len(_content(new)["public.Orders"][1]) >= 2


def record(folder: Path) -> None:
    """Write the files of every mode."""
    for mode in MODES:
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "warehouse.duckdb"
            _apply(path, mode, BEFORE, epoch=1, log_id="")
            (folder / f"{mode}.duckdb.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))


if __name__ == "__main__":
    record(Path(sys.argv[1]))
