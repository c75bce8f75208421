"""Every type and ugly value of MySQL and MariaDB: what a copy reads and what the stream brings must be what
the server's own SELECT renders, under every policy for what Arrow can't hold.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from cdc.errors import UnrepresentableValue
from cdc.model import ChangeBatch
from tests.support.equality.mysql import MysqlColumn, source_columns
from tests.support.mysql.fixtures import EVERY_SERVER
from tests.support.mysql.follower import MysqlFollower
from tests.support.mysql.server import MysqlDatabase
from tests.support.mysql.type_values import type_values

_TEMPORAL = ("date", "datetime", "timestamp")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Neither zero dates nor days that no month has are refused.
_SESSION = "set session sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'"
_MICROSECOND = 1_000_000


def create(database: MysqlDatabase) -> dict[str, str]:
    """A table with a column of every type; the columns' types."""
    types = {f"v{number}": type_ for number, type_ in enumerate(type_values(database.server.flavour))}
    declared = ", ".join(f"{name} {type_}" for name, type_ in types.items())
    database.execute(f"create table odd (id int primary key, {declared})")
    return types


def fill(database: MysqlDatabase, names: Sequence[str]) -> None:
    """A row for every value."""
    values = type_values(database.server.flavour)
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute(_SESSION)
        for number, row in enumerate(itertools.zip_longest(*values.values())):
            given = [
                (name, value if value is not None else missing(type_, listed))
                for name, (type_, listed), value in zip(names, values.items(), row, strict=True)
            ]
            listed = ", ".join(value for _, value in given)
            cursor.execute(f"insert into odd (id, {', '.join(names)}) values ({number}, {listed})")


def missing(type_: str, values: Sequence[str]) -> str:
    return values[0] if "not null" in type_ else "null"


def rendered(database: MysqlDatabase, policy: str) -> dict[str, list[Any]]:
    """Column → what the server shows, in canonical form."""
    found = {}
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute(_SESSION)
        for column in source_columns(cursor, database.name, "odd"):
            is_temporal = column.base in _TEMPORAL
            quoted = f"`{column.name}`"
            expression = f"cast({quoted} as char)" if is_temporal else column.expression
            cursor.execute(f"select {expression} from odd order by id")
            values = [row[0] for row in cursor.fetchall()]
            if not is_temporal:
                values = column.from_source(values)
            elif policy == "null":
                values = [moment(column.base, value) for value in values]
            found[column.name] = values
    return found


def moment(base: str, text: str | None) -> int | None:
    """Days or microseconds since 1970 of what the server shows; None for what is no day of the calendar."""
    if text is None:
        return None
    try:
        if base == "date":
            return (date.fromisoformat(text) - _EPOCH.date()).days
        whole, _, fraction = text.partition(".")
        since = datetime.fromisoformat(whole).replace(tzinfo=UTC) - _EPOCH
    except ValueError:
        return None
    return (since.days * 86400 + since.seconds) * _MICROSECOND + int(fraction.ljust(6, "0"))


def delivered(
    database: MysqlDatabase, batches: Iterable[ChangeBatch], policy: str
) -> tuple[dict[str, list[Any]], pa.Schema]:
    """Column → what a sink would get, in canonical form and in the order of the ids; and the types."""
    table = pa.Table.from_batches([batch.data.select(batch.schema.arrow.names) for batch in batches])
    table = table.take(pa.compute.sort_indices(table.column("id")))
    with database.connect() as connection, connection.cursor() as cursor:
        columns = source_columns(cursor, database.name, "odd")
    found = {}
    for column in columns:
        is_text = policy == "string" and column.base in _TEMPORAL
        reader = MysqlColumn(column.name, "char", "char") if is_text else column
        found[column.name] = reader.from_arrow(table.column(column.name))
    return found, table.schema


@EVERY_SERVER
@pytest.mark.parametrize("policy", ["null", "string"])
def test_copy_and_stream_of_every_mysql_type_are_what_the_server_shows(
    mysql_database: MysqlDatabase, policy: str
) -> None:
    types = create(mysql_database)
    follower = MysqlFollower(mysql_database, unrepresentable=policy)
    follower.open()
    try:
        fill(mysql_database, list(types))
        follower.catch_up()
        streamed, stream_types = delivered(
            mysql_database, [b for changes in follower.sets for b in changes.batches], policy
        )
        snapshot = follower.source.snapshot(follower.source.discover(), {})
        try:
            batches = [batch for chunk in snapshot.chunks for batch in snapshot.read(chunk)]
        finally:
            snapshot.close()
        copied, copy_types = delivered(mysql_database, batches, policy)
    finally:
        follower.close()
    assert copy_types == stream_types
    shown = rendered(mysql_database, policy)
    for name, type_ in types.items():
        assert copied[name] == shown[name], f"copy: {type_}"
        assert streamed[name] == shown[name], f"stream: {type_}"
    assert (follower.counts.get("unrepresentable_values", 0) > 0) == (policy == "null")


@pytest.mark.parametrize("value", ["0000-00-00", "2020-00-10", "2019-02-30"])
@pytest.mark.parametrize("type_", ["date", "datetime(3)"])
def test_copy_and_stream_refuse_what_is_no_date_unless_told(
    mysql_database: MysqlDatabase, type_: str, value: str
) -> None:
    mysql_database.execute(f"create table odd (id int primary key, v {type_})")
    follower = MysqlFollower(mysql_database)
    follower.open()
    try:
        mysql_database.execute(_SESSION, f"insert into odd values (1, '{value}')")
        with pytest.raises(UnrepresentableValue) as streaming:
            follower.catch_up()
        with pytest.raises(UnrepresentableValue) as copying:
            follower.copy()
    finally:
        follower.close()
    for caught in (streaming, copying):
        assert f"{mysql_database.name}.odd" in str(caught.value)
        assert value[:4] == "0000" or value not in str(caught.value)
