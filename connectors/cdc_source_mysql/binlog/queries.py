"""The binary log of one server, as statements on one connection show it: its files, its end, its GTIDs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pymysql

from cdc.errors import SourceRefused
from cdc.model import Position
from cdc_source_mysql.binlog.gtid import MariadbGtids
from cdc_source_mysql.binlog.positions import BinlogPosition, file_number, parse
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.connection import ServerFacts, one

# A syntax error: the server does not know the statement.
_NO_SUCH_STATEMENT = (1064,)
# The sizes only measure the distance; the server reads every file's size for them.
SIZES_SECONDS = 30.0


class BinlogQueries:
    """Statements about the binary log; the caller closes `connection`. Not thread-safe."""

    def __init__(self, connection: Connection, facts: ServerFacts, where: str) -> None:
        self.connection = connection
        self.facts = facts
        self.where = where

    def require_binlog(self) -> None:
        """Refuse a server without a binary log.

        Raises:
            SourceRefused: log_bin is off.
        """
        if not self.facts.log_bin:
            raise self._no_binlog()

    def end(self) -> BinlogPosition:
        """The end of the binlog now, without GTIDs: the set lags behind while transactions commit."""
        if row := self._first(("show binary log status", "show binlog status", "show master status")):
            return BinlogPosition(str(row[0]), int(row[1]))
        raise self._no_binlog()

    def sizes(self) -> dict[str, int]:
        """The sizes of the server's binlog files in bytes by name, oldest file first."""
        return {str(row[0]): int(row[1]) for row in self._rows("show binary logs")}

    def files(self) -> list[str]:
        """The names of the server's binlog files, oldest first."""
        return list(self.sizes())

    def mariadb_gtids(self, file: str, offset: int) -> MariadbGtids | None:
        """All GTIDs before that offset; None when the file has no such place."""
        try:
            text = self.value("select binlog_gtid_pos(%s, %s)", (file, offset))
            return None if text is None else MariadbGtids.parse(str(text))
        except pymysql.MySQLError:
            return None

    def value(self, statement: str, parameters: Iterable[Any] | None = None) -> Any:
        """The first column of the statement's first row."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, tuple(parameters) if parameters is not None else None)
            return one(cursor)

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def _first(self, statements: Iterable[str]) -> tuple[Any, ...] | None:
        """The first row of the first statement that this server knows."""
        last: Exception | None = None
        for statement in statements:
            try:
                rows = self._rows(statement)
            except pymysql.MySQLError as error:
                if not error.args or error.args[0] not in _NO_SUCH_STATEMENT:
                    raise
                last = error
            else:
                return rows[0] if rows else None
        assert last is not None
        raise last

    def _no_binlog(self) -> SourceRefused:
        return SourceRefused(
            "the server writes no binary log",
            where=self.where,
            remedy="Set log_bin in its configuration (on RDS: turn automated backups on) and restart it.",
        )


class FileSizes:
    """Sizes by file number, read again when they are older than SIZES_SECONDS."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._read_at = float("-inf")

    def read_if_due(self, queries: BinlogQueries) -> None:
        """Read the sizes of the server's binlog files when the known ones are old."""
        if time.monotonic() - self._read_at >= SIZES_SECONDS:
            self._sizes = {file_number(name): size for name, size in queries.sizes().items()}
            self._read_at = time.monotonic()

    def distance(self, position: Position, target: Position) -> int | None:
        """Return the bytes of binlog between two positions of one server, None where a file isn't known."""
        if position.order >= target.order:
            return 0
        start, end = parse(position.text), parse(target.text)
        if start.epoch != end.epoch:
            return None
        between = range(start.file_number, end.file_number)
        if any(number not in self._sizes for number in between):
            return None
        return max(0, sum(self._sizes[number] for number in between) + end.offset - start.offset)
