"""Instructions a row of decoders, log and merge on fixed input, as callgrind counts them on any busy machine.

Usage: python -m benchmarks.instructions [--write]. Prints each part beside its budget (`instructions.json`,
which `--write` replaces); `tests/performance` fails where a part needs more than its budget allows.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from benchmarks import decode, decode_binlog
from cdc.log import SegmentedLog
from cdc.log.arrow import decode_batch, encode_batch
from cdc.merge import reduce_batches
from cdc.model import ChangeSet, Position
from cdc.testing.events import append, changes, table
from cdc_source_mysql.wire import stream_native
from tests.support.postgres import frames
from tests.support.postgres.decoders import compiled

BUDGET = Path(__file__).with_suffix(".json")
# Callgrind counts exactly, but what libc and Arrow do depends on the processor that valgrind imitates.
TOLERANCE = 0.10
ROWS = 2_000
APPENDS = 20
ROWS_OF_APPEND = 10
# Each key three times: a delivery reduces them to one row.
KEYS = ROWS // 3

# Counting on and off, from Python: callgrind's client requests are macros of C. The first dump takes what it
# would else subtract from the part: what threads of Arrow's pool had counted before.
COUNTER = """
#include <valgrind/callgrind.h>
void count_from_here(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_DUMP_STATS_AT("before"); }
void count_until_here(const char *part) { CALLGRIND_DUMP_STATS_AT(part); CALLGRIND_STOP_INSTRUMENTATION; }
"""
# pyarrow imports pandas, where it is installed, for its first array: a third of what the program takes.
PROGRAM = """
import sys

class WithoutPandas:
    def find_spec(name, path, target=None):
        if name == "pandas":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, WithoutPandas)
from benchmarks.instructions import counted
counted(sys.argv[1])
"""
Work = Callable[[], int]
COLUMNS = {"id": pa.int64(), "at": pa.timestamp("us", "UTC"), "n": pa.int32(), "note": pa.string()}
ORDERS = table("public.orders", COLUMNS)


def main() -> None:
    """Count, and compare with the budget or write it."""
    measured = count()
    if "--write" in sys.argv[1:]:
        document = {"python": minor_version(), "instructions": measured}
        BUDGET.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    allowed = budget()
    print(f"{'instructions a row (or append)':<40}{'counted':>10}{'budget':>10}{'ratio':>8}")
    for part, number in measured.items():
        print(f"{part:<40}{number:>10,}{allowed[part]:>10,}{number / allowed[part]:>8.2f}")


def budget() -> dict[str, int]:
    """The budget of each part, in instructions a row, as counted with the Python of `budget_version`."""
    found: dict[str, int] = json.loads(BUDGET.read_text("utf-8"))["instructions"]
    return found


def budget_version() -> str:
    """The version of Python, such as 3.11, whose interpreter the budget was counted with."""
    return str(json.loads(BUDGET.read_text("utf-8"))["python"])


def minor_version() -> str:
    """The version of this Python, such as 3.11."""
    return ".".join(platform.python_version_tuple()[:2])


def count(padding: int = 0) -> dict[str, int]:
    """Run every part under callgrind, and return its instructions a row. Needs valgrind and cc.

    In one of a dozen runs, both decoders of Postgres took a tenth more, as if two names of the loop shared a
    place in the interpreter's cache of attributes, which goes by addresses. `padding`, in bytes, moves those.

    Raises:
        RuntimeError: the program under callgrind failed; with what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="cdc-instructions-") as name:
        folder = Path(name)
        source, library = folder / "counter.c", folder / "counter.so"
        source.write_text(COUNTER, "utf-8")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        valgrind = [
            "valgrind",
            "--tool=callgrind",
            "--instr-atstart=no",
            f"--callgrind-out-file={folder}/out",
        ]
        environment = os.environ | {
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "CDC_PADDING": "." * padding,
        }
        child = subprocess.run(
            [*valgrind, sys.executable, "-c", PROGRAM, str(library)],
            cwd=BUDGET.parents[1],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if child.returncode:
            raise RuntimeError(f"the program under callgrind ended with {child.returncode}:\n{child.stderr}")
        rows: dict[str, int] = json.loads(child.stdout)
        totals = dict(map(_total, folder.glob("out.*")))
    return {part: round(totals[part] / number) for part, number in rows.items()}


def _total(dump: Path) -> tuple[str, int]:
    """The part that this dump of callgrind's belongs to, and its instructions."""
    text = dump.read_text("utf-8")
    part = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
    total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
    return (part[1] if part else "", int(total[1]) if total else 0)


def counted(library: str) -> None:
    """Under callgrind: run each part once to warm up, once counted, and print the rows of each as JSON."""
    counter = ctypes.CDLL(library)
    pa.set_cpu_count(1)
    gc.disable()
    rows = {}
    with tempfile.TemporaryDirectory(prefix="cdc-instructions-") as folder:
        for part, work in parts(Path(folder)).items():
            work()
            counter.count_from_here()
            rows[part] = work()
            counter.count_until_here(part.encode())
    print(json.dumps(rows))


def parts(folder: Path) -> dict[str, Work]:
    """What is counted: each function does its work and returns the number of its rows."""
    wire: Any = compiled()
    stream = decode.stream(ROWS)
    copy = [frames.copy_row(decode.values(i)) for i in range(ROWS)]
    copy[0] = frames.copy_header() + copy[0]
    copy.append(frames.COPY_TRAILER)
    batch = changes(ORDERS, [("u" if i % 3 else "c", _row(i), None) for i in range(ROWS)])
    body = b"".join(encode_batch(batch, ROWS).body)
    few = changes(ORDERS, [("c", _row(i), None) for i in range(ROWS_OF_APPEND)])
    log = SegmentedLog(folder / "log")

    def appends() -> int:
        for _ in range(APPENDS):
            append(log, ChangeSet((few,), Position(1, "0/1"), ROWS_OF_APPEND, 1000))
        return APPENDS

    def encoded() -> int:
        encode_batch(batch, ROWS)
        return ROWS

    def decoded() -> int:
        found = decode_batch(memoryview(body), 0, ORDERS)
        assert found is not None
        return found.row_count

    def reduced() -> int:
        reduce_batches([batch])
        return ROWS

    return {
        "pgoutput to Arrow": lambda: decode.run_stream(wire, stream),
        "COPY BINARY to Arrow": lambda: decode.run_copy(wire, copy),
        "binlog to Arrow, 100 rows a transaction": _binlog(100),
        "binlog to Arrow, one row a transaction": _binlog(1),
        "binlog to Arrow, compressed": _binlog(100, compressed=True),
        "log: encode": encoded,
        "log: decode": decoded,
        "log: append of ten rows": appends,
        "merge: reduce": reduced,
    }


def _binlog(per_transaction: int, *, compressed: bool = False) -> Work:
    data = decode_binlog.stream(ROWS, per_transaction, compressed=compressed)
    wire: ModuleType = stream_native
    return lambda: decode_binlog.run(wire, data)


def _row(i: int) -> dict[str, Any]:
    return {"id": i % KEYS, "at": 1_700_000_000_000_000 + i, "n": i % 1000, "note": f"a short note {i}"}


if __name__ == "__main__":
    main()
