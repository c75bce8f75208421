"""A random workload on every kind of table into ClickHouse while the daemon is killed again and again: it
holds what the DuckDB mirror of the same daemon holds, and that equals the source, value by value.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from cdc.model import Column
from cdc.sql.mapping import by_chunk, decimal_text
from cdc.testing.servers.clickhouse import ClickHouseServer
from cdc_sink_clickhouse.database import connect
from cdc_sink_clickhouse.options import ClickHouseSinkOptions
from tests.support.campaign import FULL_KILLS, FULL_SECONDS, SHORT_KILLS, SHORT_SECONDS, campaign
from tests.support.equality.values import plain
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database
from tests.support.workload import Workload
from tests.support.workload.mysql import MysqlWorkload
from tests.support.workload.postgres import PostgresWorkload


def assert_same_rows(server: ClickHouseServer, mirror: Path, name: str) -> None:
    """Compare a table of the DuckDB mirror with the one in ClickHouse, by the values of the sink's types."""
    connection = connect(ClickHouseSinkOptions(url=server.url(), timestamps="text"))
    dialect, table = connection.dialect, name.replace('"', "`")
    stored = {column: kind for column, kind, *_ in connection.query(f"describe table {table}")}
    with duckdb.connect(str(mirror), read_only=True) as duck:
        theirs = duck.sql(f"select * exclude (_cdc_commit_at) from {name}").to_arrow_table()
    expected: list[list[Any]] = []
    chosen = []
    for field in theirs.schema:
        kind = dialect.column_type(Column(field.name, field.type), name)
        array = dialect.readable(theirs[field.name].combine_chunks(), kind)
        array = array.cast(pa.binary()) if pa.types.is_string(array.type) else array
        expected.append([plain(value) for value in array.to_pylist()])
        quoted = dialect.quoted(field.name)
        chosen.append(f"toString({quoted})" if "UUID" in stored[field.name] else quoted)
    data = connection.client.raw_query(
        f"select {', '.join(chosen)} from {table} final where not _cdc_deleted",
        fmt="ArrowStream",
        settings={"output_format_arrow_string_as_string": 0},
    )
    connection.close()
    found = pa.ipc.open_stream(data).read_all()
    # DuckDB has numbers of more than 38 digits as text.
    ours = [
        [plain(value) for value in _as(column, theirs.schema.field(i).type).to_pylist()]
        for i, column in enumerate(found.columns)
    ]
    for field, one, other in zip(theirs.schema, expected, ours, strict=True):
        # Column by column first: the failure shows which.
        assert Counter(one) - Counter(other) == Counter(), f"{name}.{field.name} ({field.type})"
    assert Counter(zip(*expected, strict=True)) == Counter(zip(*ours, strict=True)), name


def _as(column: Any, kind: pa.DataType) -> Any:
    is_number = pa.types.is_decimal(column.type) and pa.types.is_string(kind)
    return by_chunk(column, decimal_text).cast(pa.binary()) if is_number else column


def run_campaign(
    workload: Workload, pipeline: Pipeline, server: ClickHouseServer, seconds: float, kills: int, seed: int
) -> None:
    pipeline.add_sink("olap", type="clickhouse", url=server.url(), timestamps="text")
    campaign(workload, pipeline, seconds, kills, seed=seed)
    for name in workload.keys:
        assert_same_rows(server, pipeline.mirror, workload.source(name).name)


def test_random_workload_into_clickhouse_survives_kill9(
    database15: Database, clickhouse: ClickHouseServer, tmp_path: Path
) -> None:
    workload, pipeline = PostgresWorkload(database15, seed=14), Pipeline(database15, tmp_path)
    run_campaign(workload, pipeline, clickhouse, SHORT_SECONDS, SHORT_KILLS, seed=14)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_random_mysql_workload_into_clickhouse_survives_kill9(
    mysql_server_factory: MysqlFactory, clickhouse: ClickHouseServer, tmp_path: Path, name: str
) -> None:
    server = mysql_server_factory(None, name)
    workload, pipeline = MysqlWorkload(server, seed=14), MysqlPipeline(server, tmp_path)
    run_campaign(workload, pipeline, clickhouse, SHORT_SECONDS, SHORT_KILLS, seed=14)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2])
def test_minute_of_random_workload_into_clickhouse_survives_ten_kills(
    database15: Database, clickhouse: ClickHouseServer, tmp_path: Path, seed: int
) -> None:
    workload, pipeline = PostgresWorkload(database15, seed=seed), Pipeline(database15, tmp_path)
    run_campaign(workload, pipeline, clickhouse, FULL_SECONDS, FULL_KILLS, seed)
