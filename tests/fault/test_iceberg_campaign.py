"""A random workload on every kind of table into Iceberg while the daemon is killed again and again: it holds
what the DuckDB mirror of the same daemon holds, and that equals the source, value by value.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pyarrow as pa
import pytest

from cdc.model import TableId
from cdc_sink_iceberg.options import IcebergOptions
from cdc_sink_iceberg.types import converted
from tests.support.campaign import FULL_KILLS, FULL_SECONDS, SHORT_KILLS, SHORT_SECONDS, campaign
from tests.support.equality.values import plain
from tests.support.iceberg import read_table
from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.workload.postgres import PostgresWorkload


def assert_same_rows(options: IcebergOptions, mirror: Path, table: TableId, name: str) -> None:
    """Compare a table of the DuckDB mirror with the one in Iceberg, by the values of the sink's types."""
    with duckdb.connect(str(mirror), read_only=True) as duck:
        theirs = duck.sql(f"select * exclude (_cdc_commit_at) from {name}").to_arrow_table()
    found = read_table(options, table)
    assert found is not None, name
    expected, ours = [], []
    for field in theirs.schema:
        column = found[field.name]
        expected.append(_values(theirs[field.name], column.type))
        ours.append(_values(column, column.type))
        # Column by column first: the failure shows which.
        assert Counter(expected[-1]) - Counter(ours[-1]) == Counter(), f"{name}.{field.name} ({field.type})"
    assert Counter(zip(*expected, strict=True)) == Counter(zip(*ours, strict=True)), name


def _values(column: Any, kind: pa.DataType) -> list[Any]:
    """Values as the sink stores them; DuckDB gives uuids as text."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.nulls(0, array.type)
    if "uuid" not in str(kind):
        array = converted(array, kind)
        array = array.cast(_numbers(kind))
    return [_plain(value) for value in array.to_pylist()]


def _numbers(kind: pa.DataType) -> pa.DataType:
    """The type with numbers in place of dates and times, which Python has of the years 1 to 9999 only."""
    if pa.types.is_list(kind):
        return pa.list_(_numbers(kind.value_type))
    if pa.types.is_date32(kind):
        return pa.int32()
    return pa.int64() if pa.types.is_temporal(kind) else kind


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_plain(one) for one in value)
    return str(value) if isinstance(value, UUID) else plain(value)


def run_campaign(database: Database, folder: Path, seconds: float, kills: int, seed: int) -> None:
    workload = PostgresWorkload(database, seed=seed)
    pipeline = Pipeline(database, folder)
    place = folder / "iceberg"
    pipeline.add_sink("iceberg", type="iceberg", warehouse=str(place), flush={"interval": "1s"})
    campaign(workload, pipeline, seconds, kills, seed=seed)
    options = IcebergOptions(warehouse=str(place))
    for table in workload.keys:
        assert_same_rows(options, pipeline.mirror, TableId("app", table), workload.source(table).name)


@pytest.mark.slow
def test_random_workload_into_iceberg_survives_kill9(database15: Database, tmp_path: Path) -> None:
    run_campaign(database15, tmp_path, SHORT_SECONDS, SHORT_KILLS, seed=14)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_minute_of_random_workload_into_iceberg_survives_ten_kills(
    database15: Database, tmp_path: Path, seed: int
) -> None:
    run_campaign(database15, tmp_path, FULL_SECONDS, FULL_KILLS, seed)
