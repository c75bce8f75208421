"""Lookups of a stream on other connections: the catalog and the binlog as of the stream's position, proven by
the statements since.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Final

from pymysql.err import MySQLError

from cdc.errors import CdcError
from cdc.model import TableId
from cdc_source_mysql.binlog.gtid import Gtids, MariadbGtids
from cdc_source_mysql.binlog.lookahead import Proof, place_of, prove
from cdc_source_mysql.binlog.positions import BinlogPosition, file_number, order_of
from cdc_source_mysql.binlog.queries import BinlogQueries
from cdc_source_mysql.binlog.replay import BinlogReader, Place, Statements
from cdc_source_mysql.binlog.transactions import Xid
from cdc_source_mysql.binlog.xa_prepared import Search
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.connection import one
from cdc_source_mysql.schema.catalog import Knowledge, read_tables
from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.dependents import Dependents, read_dependents
from cdc_source_mysql.statements import denied, probe
from cdc_source_mysql.wire.decoder import Binlog

# The stream waits meanwhile; a table that is altered is compared at a later look. Whole seconds.
UNLOCKED_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class CatalogLookups:
    """`look` opens the catalog; `begin` is the stream's first place, `decoder` at its present one, both of
    `epoch`. A stream that began by GTID knows its file only once a transaction has ended.
    """

    look: Callable[[str], AbstractContextManager[Connection]]
    reader: BinlogReader
    knowledge: Knowledge
    decoder: Binlog
    begin: Place
    epoch: int
    selects: Callable[[TableId], bool]

    def search(self, xid: Xid) -> Search:
        """For an XA transaction that was prepared before the stream began and ends at its present place."""
        with self.look("listing the binary logs") as connection, connection.cursor() as cursor:
            cursor.execute("show binary logs")
            files = [str(row[0]) for row in cursor.fetchall()]
        decoder = self.decoder
        return Search(
            self.reader,
            files,
            self.epoch,
            frozenset({xid.key}),
            self._gtids_at,
            (decoder.file, decoder.offset),
        )

    def _gtids_at(self, file: str, offset: int) -> Gtids | None:
        if self.knowledge.flavour != "mariadb":
            return None
        with self.look("asking for the GTIDs of a place") as connection, connection.cursor() as cursor:
            cursor.execute("select binlog_gtid_pos(%s, %s)", (file, offset))
            text = one(cursor)
        return MariadbGtids.parse(str(text)) if text else None

    def reread(self, table: TableId) -> Proof:
        """The table's definition at the stream's place; see `lookahead.prove`."""
        facts = self.knowledge.facts
        now = place_of(self.decoder.file, self.decoder.offset)
        return prove(table, self._read, self.later(), flavour=facts.flavour, fold=facts.ignores_case, now=now)

    def reread_unlocked(self, table: TableId) -> Proof:
        """As `reread`, while no statement that alters the table is under way: such a one holds a lock until
        the catalog and the binlog both have it, and a read waits for that.
        """
        facts = self.knowledge.facts
        now = place_of(self.decoder.file, self.decoder.offset)
        try:
            with closing(self.reader.connector.connect(f"to read the columns of {table}")) as connection:
                definition = self._read_between(connection, table)
        except MySQLError:
            return Proof(None, "it is locked, or cannot be read")
        return prove(
            table, lambda _: definition, self.later(), flavour=facts.flavour, fold=facts.ignores_case, now=now
        )

    def _read_between(self, connection: Connection, table: TableId) -> TableDefinition | None:
        with connection.cursor() as cursor:
            cursor.execute(f"set session lock_wait_timeout = {UNLOCKED_SECONDS}")
            cursor.execute(probe(table))
            cursor.fetchall()
            info = read_tables(cursor, [table], self.knowledge.flavour).get(table)
            cursor.execute(probe(table))
            cursor.fetchall()
        return info.definition if info else None

    def dependents(self) -> tuple[Dependents, int]:
        """The tables that change with others, and the order of the binlog's end after that look."""
        facts = self.knowledge.facts
        with self.look("reading the foreign keys") as connection:
            queries = BinlogQueries(connection, facts, self.reader.connector.where)
            is_behind = not self._is_at(queries.end())
            found = read_dependents(connection, facts, self.selects, is_behind=is_behind)
            end = queries.end()
        return found, self.order(end.file, end.offset)

    def _is_at(self, end: BinlogPosition) -> bool:
        """Whether the stream is at this end of the binlog, or past it."""
        decoder = self.decoder
        place = (decoder.end_file, decoder.end_offset) if decoder.end_file else self.begin
        return isinstance(place, tuple) and self.order(*place) >= self.order(end.file, end.offset)

    def denied(self, table: TableId, columns: Collection[str] = ()) -> CdcError | None:
        """The privilege that the account lacks on a table that it does not see, or on one of these columns;
        None when it lacks none.
        """
        where = self.reader.connector.where
        found = (denied(self.look, table, where, column) for column in columns or ("",))
        return next((error for error in found if error is not None), None)

    def later(self) -> Statements:
        """The statements after the stream's place, up to the binlog's end."""
        decoder = self.decoder
        place = (decoder.end_file, decoder.end_offset) if decoder.end_file else self.begin
        return Statements(self.reader, place)

    def order(self, file: str, offset: int) -> int:
        """The order of that place among the stream's positions."""
        return order_of(file_number(file), offset, self.epoch)

    def _read(self, table: TableId) -> TableDefinition | None:
        with self.look(f"reading the columns of {table}") as connection, connection.cursor() as cursor:
            infos = read_tables(cursor, [table], self.knowledge.flavour)
        info = infos.get(table)
        return info.definition if info else None
