"""A delivery of any size needs little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from tests.support.processes import child_environment
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

ROWS = 3_000_000
LIMIT_MIB = 400
WRITER = """
import re, sys
import pyarrow as pa
import pyarrow.compute as pc
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS
from cdc.testing.events import changes, delivery, sink_context, table
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions

rows, lake, tables = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
texts, numbers = {f"text{i}": pa.string() for i in range(5)}, {f"n{i}": pa.int64() for i in range(4)}
columns = {"id": pa.int64(), **texts, **numbers}
made = []  # 50 MiB of batches in all, however many tables
for i in range(tables):
    schema = table(f"public.t{i}", columns)
    row = {"id": 1, **{f"text{i}": "some text of a usual length" for i in range(5)}}
    made.append(changes(schema, [("c", row)] * 100))
small = [type(b)(b.schema, pa.concat_batches([b.data] * (3000 // tables))) for b in made]

counted = pa.array(range(small[0].row_count), pa.int64())

def parts():
    size = small[0].row_count
    for i in range(-(-rows // size)):
        batch = small[i % tables]
        index = batch.data.schema.get_field_index("_cdc_seq")
        seq = pc.add(counted, i * size)
        yield [type(batch)(batch.schema, batch.data.set_column(index, "_cdc_seq", seq))]

sink = ParquetSink(ParquetOptions(url=lake), sink_context())
sink.prepare("shop")
sink.apply(delivery([], first=0, next=2 * rows, parts=parts))
sink.close()
# Not ru_maxrss: a child starts with the peak of the process that forked it, even after exec.
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024)
"""


WIDE_WRITER = """
import re, sys
import pyarrow as pa
from cdc.testing.events import changes, delivery, sink_context, table
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions

schema = table("public.t", {"id": pa.int64(), "v": pa.string()})

def parts():
    for i in range(3):
        yield [changes(schema, [("c", {"id": i, "v": "z" * 50_000_000})], start=i)]

sink = ParquetSink(ParquetOptions(url=sys.argv[2]), sink_context())
sink.prepare("shop")
sink.apply(delivery([], first=0, next=3, parts=parts))
sink.close()
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024)
"""


def peak_mib(lake: Path, tables: int, writer: str = WRITER) -> int:
    command = [sys.executable, "-c", writer, str(ROWS), str(lake), str(tables)]
    done = subprocess.run(
        command,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=DEFAULT_TIMEOUT_SECONDS,
    )
    return int(done.stdout)


def test_three_million_rows_in_one_delivery_stay_under_400_mib(tmp_path: Path) -> None:
    assert peak_mib(tmp_path / "lake", tables=1) < LIMIT_MIB
    found = sum(pq.read_metadata(path).num_rows for path in (tmp_path / "lake").rglob("*.parquet"))
    assert found >= ROWS


def test_three_million_rows_over_sixty_tables_stay_under_400_mib(tmp_path: Path) -> None:
    assert peak_mib(tmp_path / "lake", tables=60) < LIMIT_MIB


def test_values_of_50_mb_stay_under_400_mib(tmp_path: Path) -> None:
    assert peak_mib(tmp_path / "lake", tables=1, writer=WIDE_WRITER) < LIMIT_MIB
