"""Writers on MySQL and MariaDB: the session, the statements that differ, truncates and XA transactions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymysql

from tests.support.mysql.branches import wait_until_let_go
from tests.support.mysql.server import MysqlServer
from tests.support.waiting import wait_until
from tests.support.workload.specs import TableSpec
from tests.support.workload.values import ColumnSpec
from tests.support.workload.writers import Conflict, Session, Transaction, Writer

# Lock waits, deadlocks (of XA transactions too), duplicate keys, a table that was altered meanwhile.
CONFLICTS = frozenset({1020, 1062, 1205, 1213, 1399, 1402, 1412, 1613, 1614})
# A transaction branch that is not there, or not yet let go by the session that prepared it.
_NOT_THERE = (1397, 1440)
# Names in double quotes, as the workload writes them.
_SETTINGS = (
    "set session sql_mode = concat(@@sql_mode, ',ANSI_QUOTES'), time_zone = '+00:00',"
    " innodb_lock_wait_timeout = 5, lock_wait_timeout = 10"
)
# One step in so many is a truncate (it commits what is open), one an XA transaction.
TRUNCATE_EVERY = 60
XA_EVERY = 8
# Of the prepared ones, so many are ended by another connection, and so many rolled back.
FOREIGN_END_EVERY = 3
XA_ROLLBACK_EVERY = 4


class MysqlSession:
    """PyMySQL's connection as the writers use it."""

    def __init__(self, server: MysqlServer) -> None:
        self._server = server
        self._connection = self._open()

    def run(self, statement: str, values: Sequence[Any] | None = None) -> int:
        with self._conflicts(), self._connection.cursor() as cursor:
            return int(cursor.execute(statement, values))

    def commit(self) -> None:
        with self._conflicts():
            self._connection.commit()

    def rollback(self) -> None:
        self._connection.rollback()

    def reconnect(self) -> None:
        """MariaDB ends a branch of another connection only where no transaction can be open: in autocommit,
        until `leave_autocommit`.

        And it lets it be ended too early, in the binlog only (test_mariadb_xa_ended_too_early), so wait: else
        a row differs from what the binlog says, after one of some two thousand of these.
        """
        self._connection.close()
        wait_until_let_go(self._server, self._connection)
        self._connection = self._open()
        self._connection.autocommit(True)

    def leave_autocommit(self) -> None:
        self._connection.autocommit(False)

    def close(self) -> None:
        self._connection.close()

    def end_branch(self, statement: str) -> None:
        """End a prepared XA transaction, once the session that prepared it has let go."""

        def ended() -> bool:
            try:
                self.run(statement)
            except pymysql.MySQLError as error:
                if error.args[0] in _NOT_THERE:
                    return False
                raise
            return True

        wait_until(ended, f"{statement} to be possible")

    @contextmanager
    def _conflicts(self) -> Iterator[None]:
        try:
            yield
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in CONFLICTS:
                raise Conflict from error
            raise

    def _open(self) -> pymysql.Connection[Any]:
        return self._server.connect(autocommit=False, init_command=_SETTINGS)


@contextmanager
def connect(server: MysqlServer) -> Iterator[Session]:
    with contextlib.closing(MysqlSession(server)) as session:
        yield session


class MysqlTransaction(Transaction):
    def insert_guard(self, table: TableSpec) -> str:
        name = table.key[0].sql_name
        return f"on duplicate key update {name} = {table.sql_name}.{name}"

    def upsert_tail(self, table: TableSpec, column: ColumnSpec) -> str:
        return f"on duplicate key update {column.sql_name} = values({column.sql_name})"

    def some_rows(self, table: TableSpec) -> str:
        if not table.key:
            return "n %% 40 = %s limit 50"
        return f"crc32({table.key[0].sql_name}) %% 40 = %s limit 50"

    def one_keyless_row(self, table: TableSpec) -> str:
        return "n = %s limit 1"

    def truncate(self, table: TableSpec) -> None:
        """Inside a transaction it would end it."""
        self.delete(table)

    def refill(self, table: TableSpec) -> None:
        """Truncate, and leave a row: a copy that saw the table empty would have none to show its position."""
        self.run(f"lock tables {table.sql_name} write")
        try:
            self.run(f"truncate table {table.sql_name}")
            self.count(table, 1)
            self.insert(table)
            self.session.commit()
        finally:
            self.run("unlock tables")


class MysqlWriter(Writer):
    """Beside ordinary transactions: truncates, and XA transactions, ended by another connection or not."""

    _serial = 0

    def transact(self, session: Session) -> None:
        assert isinstance(session, MysqlSession)
        if self._rng.randrange(TRUNCATE_EVERY) == 0:
            self._truncate(session)
        elif self._rng.randrange(XA_EVERY) == 0:
            self._branch(session)
        else:
            super().transact(session)

    def _truncate(self, session: MysqlSession) -> None:
        table = self._rng.choice([table for table in self._tables if table.truncates])
        transaction = MysqlTransaction(session, self._rng)
        with contextlib.suppress(Conflict):
            transaction.refill(table)
            self._tally.add(transaction.counts)

    def _branch(self, session: MysqlSession) -> None:
        self._serial += 1
        xid = f"'{self.name}','{self._serial}'"
        transaction = MysqlTransaction(session, self._rng)
        session.rollback()
        session.run(f"xa start {xid}")
        try:
            for _ in range(self._rng.randint(1, 4)):
                self.operate(transaction)
            session.run(f"xa end {xid}")
            session.run(f"xa prepare {xid}")
        except Conflict:
            with contextlib.suppress(Conflict, pymysql.MySQLError):
                session.run(f"xa end {xid}")
            with contextlib.suppress(Conflict):
                session.run(f"xa rollback {xid}")
            return
        if self._rng.randrange(FOREIGN_END_EVERY) == 0:
            session.reconnect()
        commits = self._rng.randrange(XA_ROLLBACK_EVERY) != 0
        try:
            session.end_branch(f"xa {'commit' if commits else 'rollback'} {xid}")
        except Conflict:
            # MariaDB has nothing to commit of a branch that changed nothing.
            assert not +transaction.counts, f"{xid} was prepared, and can't be ended"
        else:
            if commits:
                self._tally.add(transaction.counts)
        session.leave_autocommit()
