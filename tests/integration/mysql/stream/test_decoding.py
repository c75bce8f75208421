from __future__ import annotations

from typing import Any

import pytest

from tests.golden.binlog.record import COMMON, LAST, MARIADB, MYSQL
from tests.support.mysql.binlog_dump import Reader, collations_of, record
from tests.support.mysql.decoders import modules, start
from tests.support.mysql.server import MysqlDatabase, MysqlServer


def end_of_binlog(server: MysqlServer) -> tuple[str, int]:
    statement = "show binary log status" if server.flavour == "mysql" else "show master status"
    file, offset, *_ = server.query(statement)[0]
    return file, offset


@pytest.mark.every_server
def test_every_kind_of_transaction_is_read_to_the_servers_own_position(
    mysql: MysqlServer, mysql_database: MysqlDatabase
) -> None:
    begin = end_of_binlog(mysql)
    mysql_database.execute(*COMMON, *(MYSQL if mysql.flavour == "mysql" else MARIADB), *LAST)
    data = record(mysql, *begin)
    prefix = f"{mysql_database.name}."
    seen: list[Any] = []
    for wire in modules():
        running = start(wire, {}, flavour=mysql.flavour)
        reader = Reader(
            running.decoder,
            mysql.flavour,
            collations_of(mysql),
            only=lambda table: table.startswith(prefix),
        )
        reader.read(data[at : at + 1000] for at in range(0, len(data), 1000))
        decoder = running.decoder
        assert (
            (decoder.file, decoder.offset) == (decoder.end_file, decoder.end_offset) == end_of_binlog(mysql)
        )
        assert not decoder.in_transaction
        seen.append([(handle, batch.to_pylist()) for handle, batch in reader.batches])
        assert len(reader.plans) == (2 if mysql.flavour == "mysql" else 3)
    assert all(rows == seen[0] for rows in seen)
