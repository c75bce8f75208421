"""Holds both decoders against the usual library, over what that decodes right."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

from cdc.testing.servers.process import HOST
from tests.support.mysql.binlog_dump import Reader, collations_of, record
from tests.support.mysql.decoders import modules, start
from tests.support.mysql.server import SUPERUSER, MysqlDatabase, MysqlServer

COLUMNS = (
    "id int unsigned primary key, tiny tinyint, small smallint unsigned, middle mediumint,"
    " big bigint unsigned, single float, twice double, money decimal(30,10), word varchar(40),"
    " long_word text, raw varbinary(300),"
    " pile longblob, day date, moment datetime(6), moment_s datetime, letter enum('a','b','ü'), fixed char(5)"
)
STATEMENTS = 60
ROWS = 3
FIRST_DAY = datetime(1000, 1, 1)  # noqa: DTZ001  DATETIME has no zone.


def literal(chance: random.Random) -> list[str]:
    """A row's values but for its id, as SQL."""
    word = "".join(chance.choice("aÄß€😀 z'\\") for _ in range(chance.randrange(9)))
    quoted = word.replace("\\", "\\\\").replace("'", "''")
    moment = FIRST_DAY + timedelta(microseconds=chance.randrange(10**17))
    values = [
        str(chance.randrange(-128, 128)),
        str(chance.randrange(2**16)),
        str(chance.randrange(-(2**23), 2**23)),
        str(chance.randrange(2**64)),
        str(chance.randrange(-1000, 1000) / 8),
        repr(chance.uniform(-1e30, 1e30)),
        str(Decimal(chance.randrange(-(10**30) + 1, 10**30)).scaleb(-10)),
        f"'{quoted}'",
        f"repeat('{quoted}', {chance.randrange(80)})",
        f"x'{chance.randbytes(chance.randrange(300)).hex()}'",
        f"repeat(x'{chance.randbytes(3).hex()}', {chance.randrange(500)})",
        f"'{moment.date()}'",
        f"'{moment}'",
        f"'{moment.replace(microsecond=0)}'",
        f"'{chance.choice('abü')}'",
        f"'{chance.choice(['', 'x', 'fünf5'])}'",
    ]
    return [value if chance.randrange(6) else "null" for value in values]


def workload(chance: random.Random) -> Iterator[str]:
    yield f"create table t ({COLUMNS})"
    for number in range(STATEMENTS):
        rows = [f"({number * ROWS + i}, {', '.join(literal(chance))})" for i in range(ROWS)]
        yield f"insert into t values {', '.join(rows)}"
        some = chance.randrange(number * ROWS + ROWS)
        yield f"update t set word = concat(word, '!'), big = null where id between {some} and {some + 2}"
        yield f"update t set id = id + 1000000 where id = {chance.randrange(number * ROWS + ROWS)}"
        yield f"delete from t where id = {chance.randrange(number * ROWS + ROWS)}"


Change = tuple[str, Any, Any]


def place(server: MysqlServer) -> tuple[str, int]:
    """The end of the server's binlog."""
    statement = "show binary log status" if server.flavour == "mysql" else "show master status"
    file, offset, *_ = server.query(statement)[0]
    return file, offset


def by_library(server: MysqlServer, database: str, file: str, offset: int) -> list[Change]:
    # It does not say that this is MariaDB: it would begin with the oldest file then.
    stream = BinLogStreamReader(
        connection_settings={"host": HOST, "port": server.port, "user": SUPERUSER, "charset": "utf8mb4"},
        server_id=4_000_000_001,
        only_events=[WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
        only_schemas=[database],
        resume_stream=True,
        log_file=file,
        log_pos=offset,
    )
    changes: list[Change] = []
    try:
        for event in stream:
            for row in event.rows:
                if isinstance(event, UpdateRowsEvent):
                    changes.append(("u", row["before_values"], row["after_values"]))
                else:
                    op = "c" if isinstance(event, WriteRowsEvent) else "d"
                    changes.append((op, None, row["values"]))
    finally:
        stream.close()
    return changes


def by_us(wire: Any, server: MysqlServer, database: str, data: bytes) -> list[Change]:
    running = start(wire, {}, flavour=server.flavour)
    reader = Reader(
        running.decoder, server.flavour, collations_of(server), only=lambda name: name == f"{database}.t"
    )
    reader.read([data])
    return [
        (
            row["_cdc_op"],
            row.get("_cdc_before"),
            {name: value for name, value in row.items() if not name.startswith("_cdc_")},
        )
        for _, batch in reader.batches
        for row in batch.to_pylist()
    ]


def alike(value: Any) -> Any:
    """What the library gives in another form."""
    if isinstance(value, dict):
        return {name: alike(item) for name, item in value.items()}
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return value


@pytest.mark.every_server
@pytest.mark.filterwarnings("ignore::DeprecationWarning:pymysqlreplication")
@pytest.mark.filterwarnings("ignore:'(db|passwd)' is deprecated:DeprecationWarning")
@pytest.mark.parametrize("wire", modules(), ids=lambda module: module.__name__.rpartition("_")[2])
def test_random_changes_are_what_the_library_reads(
    wire: Any, mysql: MysqlServer, mysql_database: MysqlDatabase
) -> None:
    begin = place(mysql)
    mysql_database.execute(*workload(random.Random(7)))
    expected = by_library(mysql, mysql_database.name, *begin)
    assert len(expected) > STATEMENTS * ROWS
    found = by_us(wire, mysql, mysql_database.name, record(mysql, *begin))
    assert [alike(change) for _, *change in found] == [alike(change) for _, *change in expected]
    assert [op for op, *_ in found] == [op for op, *_ in expected]
    assert isinstance(found[0][2]["day"], date | None)
