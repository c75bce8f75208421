"""The daemon runs on while its MySQL or MariaDB server is killed under writes, and comes back."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import pymysql
import pytest

from tests.support.equality.lake import read_lake, replay
from tests.support.equality.mysql import read_source
from tests.support.equality.tables import differences, read_mirror
from tests.support.mysql.fixtures import MysqlFactory
from tests.support.mysql.server import MysqlServer
from tests.support.pipeline import MysqlPipeline
from tests.support.processes import run_cdc
from tests.support.waiting import wait_until

KILLS = 2
# Enough for the daemon to be in the middle of something.
TRANSACTIONS_BETWEEN = 100
KEYS = {"app.k": ("id",), "app.n": ()}


class Writer:
    """Small transactions on a table with a key and one without, again after each lost connection."""

    def __init__(self, server: MysqlServer) -> None:
        self.committed = 0
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for_more(self) -> None:
        target = self.committed + TRANSACTIONS_BETWEEN
        wait_until(lambda: self.committed >= target, "more transactions")

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._server.connect(autocommit=False) as connection:
                    self._write(connection)
            except pymysql.MySQLError:
                self._stop.wait(0.05)

    def _write(self, connection: pymysql.connections.Connection) -> None:
        with connection.cursor() as cursor:
            while not self._stop.is_set():
                number = self.committed
                cursor.execute("replace into app.k values (%s, repeat('x', %s))", [number % 50, number % 90])
                cursor.execute("delete from app.k where id = %s", [number * 7 % 50])
                cursor.execute("insert into app.n values (%s)", [number % 10])
                cursor.execute("update app.n set v = v + 1 where v = %s limit 1", [number % 7])
                connection.commit()
                self.committed += 1


@pytest.mark.halved(other=True)
@pytest.mark.parametrize("name", ["mysql9", "mariadb10"])
def test_nothing_is_lost_or_doubled_when_the_server_is_killed(
    mysql_server_factory: MysqlFactory, tmp_path: Path, name: str
) -> None:
    server = mysql_server_factory(None, name)
    server.execute("create database app", "create table app.n (v int)")
    server.execute("create table app.k (id int primary key, note varchar(100))")
    server.execute("insert into app.k values (1, 'copied')")
    pipeline = MysqlPipeline(server, tmp_path)
    with pipeline.start() as process:
        pipeline.wait_until_streaming(process)
        with Writer(server) as writer:
            for _ in range(KILLS):
                writer.wait_for_more()
                server.kill9()
                pipeline.wait_until_retrying(process)
                server.start()
            writer.wait_for_more()
        pipeline.wait_until_streaming(process)
        server.kill9()
        pipeline.wait_until_retrying(process)
        assert process.terminate() == 0
    shown = run_cdc("status", cwd=tmp_path)
    assert "SourceUnavailable" in shown.stdout
    server.start()
    pipeline.catch_up()
    for table, key in KEYS.items():
        source = read_source(server, table, key)
        assert differences(source, read_mirror(pipeline.mirror, source)) == []
        held = replay(read_lake(pipeline.lake, source), source, copies_run_ahead=True)
        assert differences(source, held) == []
