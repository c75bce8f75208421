"""A lake in a temporary folder, and its two readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from cdc.lake.store import ObjectStore
from cdc.testing.events import sink_context
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions

SOURCE = "shop"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def open_lake(lake: Path) -> Iterator[Callable[..., ParquetSink]]:
    """Open the lake for a source; closed after the test."""
    made: list[ParquetSink] = []

    def make(
        source: str = SOURCE, epoch: int = 1, store: ObjectStore | None = None, **options: Any
    ) -> ParquetSink:
        sink = ParquetSink(ParquetOptions(url=str(lake), **options), sink_context(epoch=epoch), store)
        made.append(sink)
        sink.prepare(source)
        return sink

    yield make
    for sink in made:
        sink.close()


@pytest.fixture
def query() -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Run SQL in DuckDB."""
    connection = duckdb.connect()

    def run(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return connection.execute(sql, list(parameters)).fetchall()

    yield run
    connection.close()
