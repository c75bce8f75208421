"""Every type and ugly value of both kinds of sources, from the server into the warehouse, in copies and in
the stream: what the warehouse prints is what the source prints.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.equality.mysql import source_columns as mysql_columns
from tests.support.equality.postgres import SESSION
from tests.support.equality.values import plain
from tests.support.equality.warehouse import canonical
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.type_values import type_values
from tests.support.pipeline import MysqlPipeline, Pipeline
from tests.support.postgres.server import Database, PostgresServer
from tests.support.postgres.type_values import setup_types
from tests.support.server_pool import lend

# Values that `unrepresentable: null` makes null, or null in part.
UNREPRESENTABLE = re.compile(r"NaN|[Ii]nfinity|BC|24:00:00|=\{|^29\d{4}-|^5874897")
_OUTPUT = "case when num_nulls({0}) = 0 then format('%s', {0}) end"


@pytest.fixture
def target(postgres18: PostgresServer) -> Iterator[Database]:
    yield from lend(postgres18, postgres18.create_database)


def fill_postgres(connection: psycopg.Connection[Any], values: dict[str, list[str]], first: int) -> None:
    for number, (type_, expressions) in enumerate(values.items()):
        for i, expression in enumerate(expressions, first):
            connection.execute(f"insert into app.t{number} values ({i}, ({expression})::{type_})".encode())


def printed(database: Database, number: int, expression: str) -> dict[int, str | None]:
    with database.connect() as connection:
        connection.execute(SESSION)
        return dict(connection.execute(f"select id, {expression} from app.t{number}".encode()).fetchall())


@pytest.mark.parametrize("policy", ["string", pytest.param("null", marks=pytest.mark.slow)])
def test_every_type_of_postgres_arrives_as_its_server_prints_it(
    database18: Database, target: Database, tmp_path: Path, policy: str
) -> None:
    with database18.connect() as connection:
        values = setup_types(connection)
        connection.execute("create schema app")
        connection.execute("set search_path = public, pg_catalog")
        for number, type_ in enumerate(values):
            connection.execute(f"create table app.t{number} (id int primary key, v {type_})".encode())
        fill_postgres(connection, values, 0)
        pipeline = Pipeline(database18, tmp_path, source_options={"unrepresentable": policy})
        pipeline.remove_sink("lake")
        pipeline.mirror_into(target)
        pipeline.catch_up()
        fill_postgres(connection, values, 100)
        pipeline.catch_up()
    assert target.value("select count(*) from _cdc.set_aside") == 0
    for number, type_ in enumerate(values):
        # Of arrays, `string` makes the text that the server writes.
        is_array = policy == "null" and (type_.endswith("[]") or type_ == "odd.grid")
        is_decimal = type_ == "money" or (type_ == "money[]" and is_array)
        shown = f"v::{type_.replace('money', 'numeric')}" if is_decimal else "v"
        # A cast to text is not what these types' output functions write.
        as_array = "::text[]" if is_array and type_ not in ("inet[]", "char(3)[]") else ""
        ours = printed(database18, number, _OUTPUT.format(f"{shown}{as_array}"))
        theirs = printed(target, number, _OUTPUT.format(f"v{as_array}"))
        assert len(ours) == 2 * len(values[type_])
        if policy == "null":
            ours = {i: v for i, v in ours.items() if v is None or not UNREPRESENTABLE.search(v)}
            # Arrays of another number of dimensions than declared are null too.
            theirs = {i: ours[i] if is_array and v is None else v for i, v in theirs.items() if i in ours}
        assert theirs == ours, type_


@pytest.mark.parametrize("name", ["mysql9", pytest.param("mariadb10", marks=pytest.mark.slow)])
def test_every_type_of_mysql_arrives_value_by_value(
    mysql_server_factory: MysqlFactory, target: Database, tmp_path: Path, name: str
) -> None:
    server = mysql_server_factory(None, name)
    server.execute("create database app")
    values = type_values(server.flavour)
    declared = ", ".join(f"v{number} {type_}" for number, type_ in enumerate(values))
    session = "set session sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'"

    def fill(first: int) -> None:
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(session)
            for number, row in enumerate(itertools.zip_longest(*values.values()), first):
                pairs = zip(values.items(), row, strict=True)
                given = [
                    v if v is not None else ("null" if "not null" not in t else e[0]) for (t, e), v in pairs
                ]
                cursor.execute(f"insert into app.odd values ({number}, {', '.join(given)})")
            connection.commit()

    server.execute(f"create table app.odd (id int primary key, {declared})")
    fill(0)
    pipeline = MysqlPipeline(server, tmp_path, source_options={"unrepresentable": "null"})
    pipeline.remove_sink("lake")
    pipeline.mirror_into(target, nul="replace")
    pipeline.catch_up()
    fill(1000)
    pipeline.catch_up()
    assert target.value("select count(*) from _cdc.set_aside") == 0
    mirrored = canonical(target, "app.odd", order="id")
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(session)
        for column in mysql_columns(cursor, "app", "odd"):
            cursor.execute(f"select {column.expression} from app.odd order by id")
            expected = [_without_nul(v) for v in column.from_source([row[0] for row in cursor.fetchall()])]
            if column.base in ("date", "datetime", "timestamp"):
                # The server's calendar has days that ours lacks.
                pairs = zip(expected, mirrored[column.name], strict=True)
                assert all(theirs in (ours, None) for ours, theirs in pairs), column
            else:
                assert mirrored[column.name] == expected, column


def _without_nul(value: Any) -> Any:
    return value.replace("\x00", "\u2400") if isinstance(value, str) else plain(value)
