"""Rows a second of each transform on batches in memory: no server, no log.

    python benchmarks/transforms.py [--rows 200000] [--distinct 1.0]

A batch is 10,000 updates of ten columns, half of them with the old key, as a busy stream gives them.
`--distinct` is the share of distinct values: keyed masks call Python once for each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from cdc.model import ChangeBatch
from cdc.testing.events import changes, table
from cdc.transform.masks import KeyedHash
from cdc.transform.rules import Rules
from cdc.transform.settings import TransformList
from cdc.transform.tables import TableTransform

BATCH_ROWS = 10_000
SCHEMA = table(
    "app.people",
    {
        "id": pa.int64(),
        "email": pa.string(),
        "name": pa.string(),
        "tenant": pa.int32(),
        "total": pa.decimal128(12, 2),
        "born": pa.date32(),
        "at": pa.timestamp("us", "UTC"),
        "note": pa.string(),
        "n": pa.int64(),
        "flag": pa.bool_(),
    },
)
CASES: dict[str, dict[str, Any]] = {
    "rename": {"rename": {"email": "mail"}},
    "exclude a column": {"columns": {"exclude": ["note"]}},
    "where tenant <> 0": {"where": "tenant <> 0"},
    "where with like and or": {"where": "tenant <> 0 and (lower(email) like '%7@example.com' or n > 500)"},
    "redact": {"mask": {"email": "redact"}},
    "keep_last": {"mask": {"email": {"keep_last": 4}}},
    "truncate a text": {"mask": {"email": {"truncate": 3}}},
    "truncate a date": {"mask": {"born": {"truncate": "year"}}},
    "hash a text": {"mask": {"email": "hash"}},
    "hash a key": {"mask": {"id": "hash"}},
    "tokenise": {"mask": {"name": "tokenise"}},
    "hook that returns its batch": {"python": "benchmarks.transforms:same"},
}


def same(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The least that a hook can do."""
    return batch


def batches(rows: int, distinct: float) -> Iterator[ChangeBatch]:
    kinds = max(1, int(BATCH_ROWS * distinct))
    for start in range(0, rows, BATCH_ROWS):
        numbers = [start + i % kinds for i in range(BATCH_ROWS)]
        yield changes(
            SCHEMA,
            [
                (
                    "u",
                    {
                        "id": n,
                        "email": f"somebody{n}@example.com",
                        "name": f"Some Body {n}",
                        "tenant": n % 10,
                        "total": n % 1000,
                        "born": n % 20000,
                        "at": n,
                        "note": "a note of forty characters or a few more",
                        "n": n % 1000,
                        "flag": n % 2 == 0,
                    },
                    {"id": n + 1} if i % 2 else None,
                )
                for i, n in enumerate(numbers)
            ],
        )


def measure(entry: dict[str, Any], given: list[ChangeBatch]) -> float:
    """Rows a second, the best of three rounds."""
    made = TransformList.model_validate({"transforms": [{"table": "app.*", **entry}]})
    rules = Rules("bench", made.transforms).of(SCHEMA.table)
    transform = TableTransform(SCHEMA, SCHEMA.table, rules, KeyedHash(b"k" * 32))
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for batch in given:
            transform.apply(batch)
        best = min(best, time.perf_counter() - start)
    return sum(batch.row_count for batch in given) / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--distinct", type=float, default=1.0)
    options = parser.parse_args()
    given = list(batches(options.rows, options.distinct))
    for name, entry in CASES.items():
        print(f"{name:<30} {measure(entry, given):>14,.0f} rows/s")


if __name__ == "__main__":
    main()
