"""The SQL of the documentation gives the current state of a table from its lake."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cdc.testing.events import delivery
from cdc.testing.fold import fold
from cdc.testing.sink_contract import ORDERS, random_history
from cdc_sink_parquet import ParquetSink

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "sinks" / "parquet.md"


def documented_sql() -> str:
    blocks: list[str] = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return next(block for block in blocks if "with recursive" in block)


@pytest.mark.parametrize("seed", range(8))
def test_the_documented_sql_equals_the_fold(
    lake: Path, open_lake: Callable[..., ParquetSink], query: Callable[..., list[tuple[Any, ...]]], seed: int
) -> None:
    sink, history = open_lake(), list(random_history(seed))
    for batch in history:
        first = batch.seq[0].as_py()
        sink.apply(delivery([batch], first=first, next=first + batch.row_count))
    found = query(documented_sql().replace("'lake/", f"'{lake}/"))
    expected = fold([row for batch in history for row in batch.rows()], ORDERS.key)
    assert sorted(found, key=repr) == sorted((tuple(row.values()) for row in expected), key=repr)
