"""A delivery far larger than memory is applied part by part, in bounds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.processes import child_environment

# What DuckDB may use (120 MiB), what it takes beyond that, and a part in Arrow with its staged copy.
GROWTH_MIB = 220

_CHILD = """
import sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from cdc.model import ChangeBatch, Envelope, Operation
from cdc.model.batch import constant_text, op_array
from cdc.testing.events import table
from tests.support.ducks import Duck

ROWS, PART = 1_000_000, 50_000
texts = pa.array([f"some text {i}" for i in range(1000)])
schema = table("public.t", {"id": pa.int64(), "n": pa.float64(), **{f"c{i}": pa.string() for i in range(8)}})

def high():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024

def part(first, operation, keys):
    count = len(keys)
    column = texts.take(pa.array(keys % 1000))
    rows = [pa.array(keys), pa.array(keys / 3), *[column] * 8]
    seq = pa.array(np.arange(first, first + count))
    commit_at = pa.array(np.zeros(count, np.int64), Envelope.COMMIT_AT_TYPE)
    envelope = [op_array(operation, count), seq, *[constant_text("1", count)] * 2, commit_at]
    names = [c.name for c in schema.columns] + list(Envelope.ALWAYS)
    return [ChangeBatch(schema, pa.RecordBatch.from_arrays(rows + envelope, names=names))]

class Parts:
    def __init__(self, first, operation):
        self.first, self.operation = first, operation
    def __call__(self):
        for start in range(0, ROWS, PART):
            yield part(self.first + start, self.operation, np.arange(start, start + PART) * 7919 % ROWS)

from cdc.testing.events import delivery
duck = Duck(Path(sys.argv[1]))
before = high()
for i, operation in enumerate([Operation.CREATE, Operation.UPDATE]):
    made = delivery([], first=i * ROWS, next=(i + 1) * ROWS, parts=Parts(i * ROWS, operation))
    duck.sink.apply(made)
print(duck.query("select count(*), min(_cdc_seq) from public.t")[0], high() - before)
"""


def test_million_row_deliveries_stay_in_memory_bounds(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        env=child_environment(),
    )
    rows, _, growth = done.stdout.strip().rpartition(" ")
    assert rows == "(1000000, 1000000)"
    assert int(growth) < GROWTH_MIB
