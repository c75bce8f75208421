"""MySQL and MariaDB as a source of changes: ties binlog, history and snapshot together behind the contract of
`cdc.spi.source`.

The capture thread owns the stream's connections; everything else shares one ordinary connection under a lock.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import pymysql
from pydantic import BaseModel

from cdc.errors import CdcError
from cdc.kit.selection import TableSelection, renamed
from cdc.kit.source import SourceFrame, UndeliverableTables
from cdc.model import ChangeSet, Position, TableId, TableSchema
from cdc.spi.finding import Finding
from cdc.spi.source import Absence, EarlierSnapshot, Snapshot, SourceContext, SourceIdentity
from cdc_source_mysql.binlog.catalog_lookups import CatalogLookups
from cdc_source_mysql.binlog.dump import Dump, Replica, dump_after, dump_from
from cdc_source_mysql.binlog.opening import Opening, Start
from cdc_source_mysql.binlog.positions import (
    MEMORY_SERVER,
    BinlogPosition,
    PositionTracker,
    ServerMemory,
    parse,
)
from cdc_source_mysql.binlog.queries import BinlogQueries, FileSizes
from cdc_source_mysql.binlog.reach import Reach
from cdc_source_mysql.binlog.replay import BinlogReader
from cdc_source_mysql.binlog.side_effects import SideEffects
from cdc_source_mysql.binlog.stream import (
    Captured,
    SessionParts,
    StreamProgress,
    StreamSession,
    reach,
    suspect,
)
from cdc_source_mysql.binlog.temporary_tables import TemporaryTables, open_temporary
from cdc_source_mysql.binlog.tracking import RefusedTables, Tracking, TrackingParts
from cdc_source_mysql.binlog.transactions import Grammar, RolledBackRows, XaBook, memory_of, place_in
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.checks.preflight import run_checks
from cdc_source_mysql.connection import Connector, ServerFacts
from cdc_source_mysql.options import DEFAULTS, URL_SCHEMES, URL_SHAPE, Limits, MysqlOptions
from cdc_source_mysql.schema import catalog
from cdc_source_mysql.schema.catalog import Knowledge, read_databases, read_knowledge
from cdc_source_mysql.schema.definitions import TableDefinition
from cdc_source_mysql.schema.history.history import MEMORY_PREFIX as TABLE_MEMORY
from cdc_source_mysql.schema.history.history import History
from cdc_source_mysql.schema.type_plan import (
    OmittedColumns,
    leaves_generated_out,
    planned,
    remembered,
    schema_of,
    sent_again,
)
from cdc_source_mysql.snapshot.copying import SnapshotSource
from cdc_source_mysql.snapshot.snapshot import open_snapshot
from cdc_source_mysql.starter import describe, from_url
from cdc_source_mysql.statements import denied
from cdc_source_mysql.wire.decoder import BinlogDecoder


@dataclass(frozen=True, slots=True)
class FirstOpening:
    """Findings of `open` for an empty log: the definitions at a position, the server, and the memory of
    prepared XA transactions.
    """

    order: int
    definitions: Mapping[TableId, TableDefinition]
    databases: Mapping[str, str]
    server: ServerMemory
    prepared: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SessionStart:
    """Start of a session. `kept` goes into its first set."""

    after: Position
    memory: Mapping[str, str]
    knowledge: Knowledge
    history: History
    kept: Mapping[str, str | None]
    temporary: TemporaryTables


class CatalogNow(NamedTuple):
    """The catalog at one moment, with the default collations of tables and databases."""

    tables: Mapping[TableId, TableDefinition]
    table_collations: Mapping[TableId, str | None]
    databases: Mapping[str, str]


# Definitions and position are read again when a table was altered between them.
BEGIN_ATTEMPTS = 5


class MysqlSource:
    """One MySQL or MariaDB server. See `cdc.spi.source.Source` for what each method promises."""

    Options: ClassVar[type[BaseModel]] = MysqlOptions
    url_schemes: ClassVar[tuple[str, ...]] = URL_SCHEMES
    url_shape: ClassVar[str] = URL_SHAPE
    starter = staticmethod(describe)
    from_url = staticmethod(from_url)

    def __init__(self, options: MysqlOptions, context: SourceContext, limits: Limits = DEFAULTS) -> None:
        self._options = options
        self._context = context
        self._connector = Connector(options, context.name, limits)
        self._replica = Replica.of(options, context.name, context.owner)
        self._progress = StreamProgress()
        # The definitions at the position that `open` gave to an empty log.
        self._first: FirstOpening | None = None
        self._rolled_back = RolledBackRows()
        self._omitted = OmittedColumns(context.log)
        self._refusals = RefusedTables()
        self._undeliverable = UndeliverableTables()
        self._epoch = 0
        self._sizes = FileSizes()
        self._dump: Dump | None = None
        self._frame: SourceFrame[Connection] = SourceFrame(
            self._connector, lambda connection: connection.open, pymysql.MySQLError
        )
        self._ignores_case = False

    def check(self) -> Sequence[Finding]:
        return run_checks(self._options, self._context.name, self._context.owner)

    def verify_reach(self, after: Position, memory: Mapping[str, str]) -> Sequence[Finding]:
        """As `cdc.spi.VerifiesReach`: the binlogs still hold everything after the log's end."""
        with self._opened("to compare the binlog with the log") as (connection, facts):
            self._start(self._opening(connection, facts), after, memory)
        return ()

    def whole_rows_statement(self, table: TableId) -> str:
        """As `cdc.spi.WholeRowsOnRequest`."""
        del table
        return "set global binlog_row_image = full"

    def identity(self) -> SourceIdentity:
        with self._frame.connection("identifying the server") as connection:
            facts = self._connector.facts(connection)
        values: dict[str, str] = {"flavour": facts.flavour}
        if not facts.has_gtids:
            values["server_uuid"] = facts.server_uuid
        return SourceIdentity(values)

    def discover(self) -> Sequence[TableSchema]:
        with self._frame.connection("reading the tables") as connection:
            facts = self._connector.facts(connection)
            definitions = self._definitions(connection, facts)
        suspect(self._progress, self.current, self._definitions_now, definitions)

        def schema_of_table(table: TableId) -> TableSchema:
            plans = planned(definitions[table], facts, self._options.unrepresentable)
            self._omitted.warn(table, plans)
            return schema_of(definitions[table], plans)

        return self._undeliverable.listed(dict.fromkeys(sorted(definitions)), schema_of_table)

    def selects(self, table: TableId) -> bool:
        return self._options.selection(ignores_case=self._ignores_case).matches(table)

    def absent(self, known: Mapping[TableId, int | None]) -> Mapping[TableId, Absence]:
        """As `cdc.spi.source.ExplainsAbsence`: tables that the stream has seen renamed."""
        if not self._progress.moved.keys().isdisjoint(known):
            # Later statements may have dropped them, or renamed them again.
            reach(self._progress, self.current)
        moved = self._progress.moved
        away = {table: moved[table] for table in known if table in moved and not self.selects(moved[table])}
        return {table: renamed(table, now) for table, now in away.items()}

    def follow(self, tables: Sequence[TableSchema]) -> None:
        """The binlog holds the changes of every table; those that the stream cannot read are refused."""
        names = {schema.table for schema in tables}
        self._undeliverable.require_none(names)
        self._refusals.look()
        self._refusals.require_none(names)

    def unreadable(self, hidden: Collection[TableId]) -> Mapping[TableId, CdcError]:
        found = {table: denied(self._frame.connection, table, self._connector.where) for table in hidden}
        return {**self._refusals.current(), **{t: error for t, error in found.items() if error is not None}}

    def open(self, after: Position | None, memory: Mapping[str, str]) -> Position:
        with self._opened("to open the stream") as (connection, facts), self._frame.noting_gaps():
            if after is None:
                return self._open_new(connection, facts)
            self._start(self._opening(connection, facts), after, memory)
            history = self._history(read_knowledge(connection, facts))
            self._restore(history, after, memory)
            self._progress.moved = history.moved()
            self._progress.captured = Captured(after, dict(history.definitions()), XaBook(memory).keys())
            return after

    def stream(self, after: Position, memory: Mapping[str, str]) -> Generator[ChangeSet | None]:
        with self._frame.noting_gaps(), self._session(after, memory) as session:
            yield from session.changes()

    def acknowledge(self, durable: Position) -> None:
        """The server keeps its binlog by its own rules."""

    def snapshot(self, tables: Sequence[TableSchema], earlier: Mapping[TableId, EarlierSnapshot]) -> Snapshot:
        self._refusals.look()
        if self._progress.captured is None:
            # No stream runs yet: the copy and the stream then begin at the present position.
            self.open(None, {})
        source = SnapshotSource(self._connector, self._context, self._options, self._progress)
        return open_snapshot(source, tables, earlier)

    def current(self) -> Position:
        with self._frame.connection("asking for the current position") as connection:
            queries = BinlogQueries(connection, self._connector.facts(connection), self._connector.where)
            queries.require_binlog()
            end = queries.end()
            self._sizes.read_if_due(queries)
        position = BinlogPosition(end.file, end.offset, self._epoch).to_position()
        self._progress.wanted = max(self._progress.wanted, position.order)
        return position

    def distance(self, position: Position, target: Position) -> int | None:
        return self._sizes.distance(position, target)

    def position(self, text: str) -> Position:
        return parse(text, self._connector.where).to_position()

    def close(self) -> None:
        dump = self._dump
        if dump is not None:
            dump.close()
        self._frame.close()

    def _open_new(self, connection: Connection, facts: ServerFacts) -> Position:
        reader = self._reader(read_knowledge(connection, facts))
        # Positions after a gap are not those of the history before it.
        epoch = self._epoch + 1 if self._frame.has_gap else self._epoch
        opening = self._opening(connection, facts)
        before = self._catalog(connection, facts)
        for _ in range(BEGIN_ATTEMPTS):
            start = opening.begin(reader, epoch)
            found = self._catalog(connection, facts)
            if before == found:
                break
            before = found
        else:
            # Tables are altered all the time: each definition is proven when it is needed.
            found = CatalogNow({}, {}, {})
        definitions = found.tables
        position = start.position.to_position()
        prepared = memory_of(start.prepared)
        self._first = FirstOpening(position.order, definitions, found.databases, start.server, prepared)
        self._epoch, self._progress.server = epoch, start.server
        self._frame.begin_history()
        self._progress.captured = Captured(position, definitions, frozenset(start.prepared))
        return position

    def _start(self, opening: Opening, after: Position, memory: Mapping[str, str]) -> Start:
        place = parse(after.text, self._connector.where)
        self._epoch = max(self._epoch, place.epoch)
        start = opening.resume(place, self._server_of(after, memory))
        self._epoch, self._progress.server = start.server.epoch, start.server
        return start

    def _server_of(self, after: Position, memory: Mapping[str, str]) -> ServerMemory | None:
        text = memory.get(MEMORY_SERVER)
        if text:
            return ServerMemory.from_json(text)
        first = self._first
        return first.server if first is not None and first.order == after.order else None

    @contextmanager
    def _session(self, after: Position, memory: Mapping[str, str]) -> Iterator[StreamSession]:
        """A started stream; its connections end with the block."""
        with self._opened("to start the stream") as (connection, facts):
            opening = self._opening(connection, facts)
            start = self._start(opening, after, memory)
            knowledge = read_knowledge(connection, facts)
            history = self._history(knowledge)
            kept = self._restore(history, after, memory)
            with connection.cursor() as cursor:
                history.expect(catalog.list_tables(cursor))
            temporary = open_temporary(opening.queries, memory, self._epoch)
        if memory.get(MEMORY_SERVER) != start.server.to_json():
            kept[MEMORY_SERVER] = start.server.to_json()
        kept |= remembered(memory, facts)
        with closing(self._start_dump(start)) as dump:
            self._dump = dump
            self._context.log("streaming", position=start.position.place, by_gtid=start.by_gtid)
            try:
                beginning = SessionStart(after, memory, knowledge, history, kept, temporary)
                yield self._new_session(dump, start, beginning)
            finally:
                self._dump = None

    def _start_dump(self, start: Start) -> Dump:
        place = start.place
        if isinstance(place, tuple):
            return dump_from(self._connector, *place, self._replica)
        return dump_after(self._connector, place, self._replica)

    def _history(self, knowledge: Knowledge) -> History:
        return History(
            self._selection(knowledge.facts).matches,
            flavour=knowledge.flavour,
            collations=knowledge.collations,
            default_collations=knowledge.defaults,
            fold=knowledge.facts.ignores_case,
            unrepresentable=self._options.unrepresentable,
        )

    def _restore(self, history: History, after: Position, memory: Mapping[str, str]) -> dict[str, str | None]:
        """Bring the history to the stream's position; gives what the next set is to keep."""
        first = self._first
        known = any(key.startswith(TABLE_MEMORY) for key in memory)
        if not known and first is not None and first.order == after.order:
            learned = history.begin(first.definitions.values(), first.databases)
            return {**learned, **first.prepared}
        history.restore(memory)
        return {}

    def _new_session(self, dump: Dump, start: Start, beginning: SessionStart) -> StreamSession:
        knowledge, epoch = beginning.knowledge, start.server.epoch
        flavour = knowledge.flavour
        decoder = BinlogDecoder(self._options.unrepresentable, self._context.count, flavour, epoch)
        grammar = Grammar(flavour, knowledge.collations, lambda: place_in(decoder))
        reader = self._reader(knowledge)
        positions = PositionTracker(epoch, start.position.gtids)
        selects = self._selection(knowledge.facts).matches
        lookups = CatalogLookups(
            self._frame.connection, reader, knowledge, decoder, start.place, epoch, selects
        )
        tracking_parts = self._tracking_parts(beginning, lookups)
        tracking_parts.effects.refresh()
        tracking = Tracking(tracking_parts, decoder)
        tracking.remember(beginning.kept)
        known = {**beginning.memory, **beginning.kept}
        xa = XaBook({key: text for key, text in known.items() if text is not None})
        self._progress.moved = tracking.moved()
        self._progress.captured = Captured(beginning.after, tracking.definitions(), xa.keys())
        distrusted = start.lost or sent_again(beginning.kept)
        if distrusted:
            tracking.distrust(distrusted)
        parts = SessionParts(
            dump=dump,
            decoder=decoder,
            tracking=tracking,
            grammar=grammar,
            xa=xa,
            positions=positions,
            lookups=lookups,
            rolled_back=self._rolled_back,
            heartbeat_seconds=self._options.heartbeat.total_seconds(),
            server=start.server,
            progress=self._progress,
        )
        place = start.place
        return StreamSession(parts, beginning.after, *(place if isinstance(place, tuple) else ("", 0)))

    def _tracking_parts(self, beginning: SessionStart, lookups: CatalogLookups) -> TrackingParts:
        facts = beginning.knowledge.facts
        selection = self._selection(facts)
        return TrackingParts(
            history=beginning.history,
            selection=selection,
            flavour=beginning.knowledge.flavour,
            unrepresentable=self._options.unrepresentable,
            lookups=lookups,
            refusals=self._refusals,
            leaves_generated_out=leaves_generated_out(beginning.knowledge.facts),
            omitted=self._omitted,
            temporary=beginning.temporary,
            reach=Reach(lookups, beginning.history, selection),
            effects=SideEffects(
                lookups, beginning.history, selection.matches, self._context.log, fold=facts.ignores_case
            ),
            log=self._context.log,
        )

    def _reader(self, knowledge: Knowledge) -> BinlogReader:
        return BinlogReader(
            self._connector,
            knowledge.flavour,
            self._options.unrepresentable,
            self._context.count,
            knowledge.collations,
        )

    def _selection(self, facts: ServerFacts) -> TableSelection:
        return self._options.selection(ignores_case=facts.ignores_case)

    def _definitions(self, connection: Connection, facts: ServerFacts) -> dict[TableId, TableDefinition]:
        with connection.cursor() as cursor:
            infos = catalog.select_tables(cursor, self._selection(facts), facts.flavour)
            return catalog.definitions(infos)

    def _definitions_now(self) -> dict[TableId, TableDefinition]:
        with self._frame.connection("reading the tables") as connection:
            return self._definitions(connection, self._connector.facts(connection))

    def _catalog(self, connection: Connection, facts: ServerFacts) -> CatalogNow:
        definitions = self._definitions(connection, facts)
        collations = {table: found.default_collation for table, found in definitions.items()}
        return CatalogNow(definitions, collations, read_databases(connection))

    def _opening(self, connection: Connection, facts: ServerFacts) -> Opening:
        return Opening(self._connector, self._context, connection, facts)

    @contextmanager
    def _opened(self, purpose: str) -> Iterator[tuple[Connection, ServerFacts]]:
        """A connection of its own for the block, and who answers."""
        with closing(self._connector.connect(purpose)) as connection:
            facts = self._connector.facts(connection)
            self._ignores_case = facts.ignores_case
            with self._connector.translated("checking the server"):
                yield connection, facts
