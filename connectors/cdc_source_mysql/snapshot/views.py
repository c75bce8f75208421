"""Which changes a read contains: waits until a position is visible, opens exact views, locks tables.

The binlog runs ahead of what readers see. On MySQL a transaction is visible when its GTID is in
gtid_executed; on MariaDB a consistent snapshot says which place of the binlog it shows; without either, a
table lock is granted only when every writer of the table has finished, commit included. MariaDB's XA COMMIT
keeps no such order: its rows may become visible after the place says so. Where there was one since the
server started, a table lock counts, and XA RECOVER: it lists a transaction until its rows are visible, also
where another connection ends it, which holds no lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from pymysql.err import MySQLError

from cdc.errors import SourceRefused, SourceUnavailable
from cdc.kit.connections import closed_on_error
from cdc.model import Position, TableId
from cdc_source_mysql.binlog.gtid import Gtids, GtidSet, MariadbGtids
from cdc_source_mysql.binlog.positions import BinlogPosition, parse, parse_gtids
from cdc_source_mysql.binlog.transactions import listed, may_have_xa
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.connection import Connector, ServerFacts
from cdc_source_mysql.statements import account_name, granted, is_denied, quoted

VISIBLE_POLL_SECONDS = 0.1
_LOCK_WAIT_TIMEOUT = 1205
_RENAMED_STATUS_SINCE = (8, 2, 0)
_VIEW = (
    "set session transaction isolation level repeatable read",
    "start transaction with consistent snapshot",
)


@dataclass(slots=True)
class View:
    """A connection that sees tables as they were at `position`; `lock` is held by who reads from it."""

    connection: Connection
    position: Position
    is_locked: bool
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_broken: bool = False


class Views:
    """Opens what a snapshot reads from."""

    def __init__(self, connector: Connector, facts: ServerFacts, connection: Connection) -> None:
        """`connection` is an ordinary one, used for questions."""
        self._connector = connector
        self._limits = connector.limits
        self._facts = facts
        self._connection = connection
        self._account = str(self._value("select current_user()"))

    def wait_until_visible(
        self, position: Position, tables: Sequence[TableId], prepared: frozenset[str] = frozenset()
    ) -> None:
        """Return when every later read of these tables contains all changes before the position, where these
        XA transactions were prepared.
        """
        reached = parse(position.text, self._connector.where)
        if not tables:
            return
        if self._facts.is_mariadb:
            self._wait_for_view(reached)
            if self._had_xa():
                self._wait_for_writers(tables)
                self._wait_for_branches(self._limits.visible_seconds, prepared)
        elif self._facts.has_gtids and isinstance(reached.gtids, GtidSet):
            self._wait_for_gtids(reached.gtids)
        else:
            self._wait_for_writers(tables)

    def exact(self, tables: Sequence[TableId], epoch: int) -> list[View]:
        """Views of all these tables, as many as are read at a time; their engines must be transactional."""
        connections: list[Connection] = []
        try:
            if not tables:
                return []
            if self._facts.is_mariadb:
                views = [] if self._had_xa() else self._mariadb_views(tables, epoch, connections)
                # Asked again after the views: what begins to commit now is in none of them.
                if views and not self._had_xa():
                    return views
                while connections:
                    connections.pop().close()
                self._wait_for_branches(self._limits.lock_seconds * self._limits.lock_attempts)
            with self.locked(tables) as locker:
                if self._facts.is_mariadb:
                    # Whoever prepares one from now on has not written these tables.
                    self._wait_for_branches(self._limits.lock_seconds)
                position = self.place(locker, epoch).to_position()
                for _ in tables[: self._connector.options.snapshot_workers]:
                    connections.append(self._open_view())  # noqa: PERF401  (must be closable as they come)
            return [View(connection, position, is_locked=False) for connection in connections]
        except BaseException:
            for connection in connections:
                connection.close()
            raise

    def _mariadb_views(
        self, tables: Sequence[TableId], epoch: int, connections: list[Connection]
    ) -> list[View]:
        """Each with a place of its own; the open ones are in `connections` at any time."""
        views = []
        for _ in tables[: self._connector.options.snapshot_workers]:
            connection = self._open_view()
            connections.append(connection)
            place = self._place_of_view(connection, epoch)
            whole = BinlogPosition(place.file, place.offset, epoch, self._mariadb_gtids(connection, place))
            views.append(View(connection, whole.to_position(), is_locked=False))
        return views

    def locked_view(self, tables: Sequence[TableId], epoch: int) -> View:
        """The tables under a lock that lasts as long as the view: for engines that have no views."""
        with closed_on_error(self._lock(tables)) as locker:
            return View(locker, self.place(locker, epoch).to_position(), is_locked=True)

    @contextmanager
    def locked(self, tables: Sequence[TableId]) -> Iterator[Connection]:
        """No session writes to these tables inside the block, and everything written before is visible."""
        locker = self._lock(tables)
        try:
            yield locker
        finally:
            locker.close()

    def granted(self, privileges: str, tables: Sequence[TableId]) -> AbstractContextManager[None]:
        """Turns a refusal of these privileges into the statement that grants them."""
        return granted(self._account, privileges, tables, self._connector.where)

    def _wait_for_gtids(self, gtids: GtidSet) -> None:
        deadline = time.monotonic() + self._limits.visible_seconds
        while self._value("select wait_for_executed_gtid_set(%s, 1)", (str(gtids),)) != 0:
            self._require_time(deadline)

    def _wait_for_writers(self, tables: Sequence[TableId]) -> None:
        for table in tables:
            with self.locked([table]):
                pass

    def _wait_for_branches(self, seconds: float, prepared: frozenset[str] = frozenset()) -> None:
        """Until the XA transactions that are listed now are not any more, but for these."""
        deadline = time.monotonic() + seconds
        listed = self._listed() - prepared
        while listed:
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    "a prepared XA transaction does not end",
                    where=self._connector.where,
                    remedy="The copy is retried automatically. End the transaction: XA RECOVER lists it.",
                )
            time.sleep(VISIBLE_POLL_SECONDS)
            listed &= self._listed()

    def _listed(self) -> frozenset[str]:
        with self._connection.cursor() as cursor:
            return listed(cursor, self._facts.flavour)

    def _had_xa(self) -> bool:
        """Return whether an XA COMMIT may have begun since the server's start."""
        with self._connection.cursor() as cursor:
            return may_have_xa(cursor)

    def _wait_for_view(self, reached: BinlogPosition) -> None:
        deadline = time.monotonic() + self._limits.visible_seconds
        wanted: Gtids | None = None
        while True:
            with closing(self._open_view()) as connection:
                place = self._place_of_view(connection, reached.epoch)
                if place.order >= reached.order:
                    return
                # The place of a view follows commits only; that of the stream is after other events too.
                wanted = wanted or self._mariadb_gtids(connection, reached) or reached.gtids
                if _covers(self._mariadb_gtids(connection, place), wanted):
                    return
            self._require_time(deadline)
            time.sleep(VISIBLE_POLL_SECONDS)

    def _require_time(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise SourceUnavailable(
                "the server has not made visible what its binlog already contains",
                where=self._connector.where,
                remedy="Retried automatically. Look for commits that wait for a replica's acknowledgement.",
            )

    def _open_view(self) -> Connection:
        with closed_on_error(self._connector.connect("to hold a view")) as connection:
            for statement in _VIEW:
                self._run(connection, statement)
        return connection

    def _place_of_view(self, connection: Connection, epoch: int) -> BinlogPosition:
        """MariaDB: the place in the binlog of the open consistent snapshot."""
        with connection.cursor() as cursor:
            cursor.execute("show status like 'binlog_snapshot%'")
            status = {str(name).lower(): value for name, value in cursor.fetchall()}
        file, offset = status.get("binlog_snapshot_file"), status.get("binlog_snapshot_position")
        if not file or offset is None:
            raise self._no_binlog()
        return BinlogPosition(str(file), int(offset), epoch)

    def _mariadb_gtids(self, connection: Connection, place: BinlogPosition) -> Gtids | None:
        with connection.cursor() as cursor:
            cursor.execute("select binlog_gtid_pos(%s, %s)", (place.file, place.offset))
            text = cursor.fetchone()[0]
        return MariadbGtids.parse(_text(text)) if text else None

    def place(self, connection: Connection, epoch: int) -> BinlogPosition:
        """The end of the binlog."""
        renamed = not self._facts.is_mariadb and self._facts.version >= _RENAMED_STATUS_SINCE
        statement = "show binary log status" if renamed else "show master status"
        with self._granted_status(), connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone()
        if row is None:
            raise self._no_binlog()
        place = BinlogPosition(_text(row[0]), int(row[1]), epoch)
        if self._facts.is_mariadb:
            gtids = self._mariadb_gtids(connection, place)
        else:
            gtids = parse_gtids(_text(row[4])) if self._facts.has_gtids else None
        return BinlogPosition(place.file, place.offset, epoch, gtids)

    @contextmanager
    def _granted_status(self) -> Iterator[None]:
        try:
            yield
        except MySQLError as error:
            if not is_denied(error):
                raise
            raise SourceRefused(
                f"{self._account} may not read the binlog's position",
                where=self._connector.where,
                remedy=f"Grant it: grant replication client on *.* to {account_name(self._account)};",
            ) from error

    def _lock(self, tables: Sequence[TableId]) -> Connection:
        connection = self._connector.connect("to lock tables")
        names = ", ".join(f"{quoted(t.schema)}.{quoted(t.name)} read" for t in tables)
        try:
            self._run(connection, f"set session lock_wait_timeout = {self._limits.lock_seconds}")
            for _ in range(self._limits.lock_attempts):
                if self._got_lock(connection, f"lock tables {names}", tables):
                    return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        raise SourceUnavailable(
            f"a transaction that writes {' or '.join(map(str, tables))} does not end",
            where=self._connector.where,
            remedy="The copy is retried automatically. See information_schema.innodb_trx for who holds it.",
        )

    def _got_lock(self, connection: Connection, statement: str, tables: Sequence[TableId]) -> bool:
        try:
            with self.granted("select, lock tables", tables):
                self._run(connection, statement)
        except MySQLError as error:
            if error.args and error.args[0] == _LOCK_WAIT_TIMEOUT:
                return False
            raise
        return True

    def _value(self, statement: str, arguments: tuple[Any, ...] = ()) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, arguments)
            return cursor.fetchone()[0]

    def _run(self, connection: Connection, statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    def _no_binlog(self) -> SourceRefused:
        return SourceRefused(
            "the server writes no binlog", where=self._connector.where, remedy="Set log_bin and restart it."
        )


def _covers(gtids: Gtids | None, wanted: Gtids | None) -> bool:
    return isinstance(gtids, MariadbGtids) and isinstance(wanted, MariadbGtids) and gtids.covers(wanted)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
