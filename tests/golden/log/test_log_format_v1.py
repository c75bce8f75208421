"""Logs that version 1 of the format wrote stay readable, byte for byte.

`v1/` was written by `python -m tests.golden.log.test_log_format_v1 FOLDER` and is never written again: a
newer format gets a folder of its own beside it.
"""

from __future__ import annotations

import json
import shutil
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from cdc.log import LogView, SegmentedLog, verify_log
from cdc.model import Column
from cdc.testing.events import append, append_parts, table, transaction
from tests.support.logs import opened, rows, schemas

HERE = Path(__file__).parent
WRITTEN_AT = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)

WIDE = table(
    "public.wide",
    {
        "id": pa.int64(),
        'odd "name"': pa.string(),
        "amount": pa.decimal128(12, 2),
        "doc": pa.json_(),
        "ref": pa.uuid(),
        "tags": pa.list_(pa.string()),
        "at": pa.timestamp("us", "UTC"),
        "raw": pa.binary(),
    },
    relation=16384,
)
GROWN = type(WIDE)(
    WIDE.table,
    (*WIDE.columns, Column("added", pa.int32(), "integer", id=9, fill=pa.scalar(5, pa.int32()))),
    WIDE.key,
    "full",
    WIDE.relation,
)
ROW: dict[str, Any] = {
    "id": 1,
    'odd "name"': "ä\nb",
    "amount": Decimal("12.30"),
    "doc": '{"a": [1, null]}',
    "ref": bytes(range(16)),
    "tags": ["x", None, ""],
    "at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "raw": b"\x00\xff",
}


def write(folder: Path) -> None:
    """Every kind of frame, two segments, an index, two schema versions, a transaction in parts."""
    log = SegmentedLog(folder, segment_bytes=12_000, clock=lambda: WRITTEN_AT)
    append(
        log,
        transaction(10, [(WIDE, "c", ROW), (WIDE, "c", ROW | {"id": 2, "doc": None})])[0],
        metadata={"a": "1"},
    )
    append(log, transaction(20, [])[0], metadata={"a": None, "b": "two"})
    update = (GROWN, "u", ROW | {"id": 3, "added": 7}, ROW, ["raw"])
    append_parts(log, transaction(30, [update, (GROWN, "d", {"id": 2}), (GROWN, "t", None)], part_rows=2))
    bulk = [(GROWN, "c", ROW | {"id": i, 'odd "name"': "z" * 100}) for i in range(100, 140)]
    append(log, transaction(40, bulk)[0], metadata={"c": "3"})
    append(log, transaction(50, [(WIDE, "c", ROW | {"id": 4})])[0])
    log.close()
    (folder / "LOCK").unlink()


def contents(log: SegmentedLog | LogView) -> Any:
    """All that users see of a log, as JSON has it."""
    commits = [
        (c.first, c.next, str(c.position), str(c.commit_at), str(c.written_at)) for c in log.commits(0)
    ]
    stored = schemas(log)
    shown = [str(stored), [str(c.fill) for s in stored.values() if s for c in s.columns]]
    versions = [batch.schema.version for batch in log.read(0, log.end.next if log.end else 0)]
    return json.loads(json.dumps([commits, rows(log), dict(log.metadata), shown, versions], default=str))


def test_log_of_format_1_is_read_as_when_it_was_written() -> None:
    expected = json.loads((HERE / "v1.json").read_text(encoding="utf-8"))
    assert contents(LogView(HERE / "v1")) == expected
    assert list(verify_log(HERE / "v1").damage) == []


def test_log_of_format_1_is_continued(tmp_path: Path) -> None:
    shutil.copytree(HERE / "v1", tmp_path / "log")
    before = (HERE / "v1.json").read_text(encoding="utf-8")
    with opened(tmp_path / "log") as log:
        assert contents(log) == json.loads(before)
        assert log.recovered_bytes == 0
        next_offset = log.end.next if log.end else 0
        commit = append(log, transaction(60, [(WIDE, "c", ROW)])[0])
        assert commit is not None
        assert commit.first == next_offset
        assert next(log.read(next_offset, next_offset + 1)).schema.version == 3


def test_format_1_is_still_written_the_same_way(tmp_path: Path) -> None:
    """But for the random identity of a log and the checksums salted with it, and what Arrow may encode
    otherwise.
    """
    write(tmp_path / "log")
    assert contents(LogView(tmp_path / "log")) == contents(LogView(HERE / "v1"))
    assert [p.name for p in sorted((tmp_path / "log").iterdir())] == [
        p.name for p in sorted((HERE / "v1").iterdir())
    ]


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    Path(sys.argv[1]).with_suffix(".json").write_text(
        json.dumps(contents(LogView(Path(sys.argv[1]))), indent=1, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
