"""PostgreSQL as a source of changes: ties slot, publication, stream and snapshot together behind the contract
of `cdc.spi.source`.

The capture thread owns the stream's connections; everything else shares one ordinary connection under a lock.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import ClassVar

import psycopg
from pydantic import BaseModel

from cdc.errors import CdcError, ConfigError, DecodeError, SourceMismatch, SourceRefused, SourceUnavailable
from cdc.kit.source import SourceFrame, UndeliverableTables
from cdc.model import ChangeSet, Position, TableId, TableSchema
from cdc.spi.finding import Finding, Severity
from cdc.spi.source import Absence, EarlierSnapshot, Leftover, Snapshot, SourceContext, SourceIdentity
from cdc_libpq.urls import URL_SCHEMES, URL_SHAPE
from cdc_source_postgres.connection import (
    Connection,
    Connector,
    ReplicationConnection,
    takes_any_bytes,
)
from cdc_source_postgres.errors import not_utf8, publication_dropped
from cdc_source_postgres.limits import DEFAULTS, Limits
from cdc_source_postgres.options import PostgresOptions
from cdc_source_postgres.schema.absence import absences
from cdc_source_postgres.schema.catalog import read_relations, read_tables
from cdc_source_postgres.schema.ddl_setup import listens, use_trigger
from cdc_source_postgres.schema.inheritance import HeirsWarning
from cdc_source_postgres.schema.money import MoneyScale
from cdc_source_postgres.schema.reported_history import ReportedHistory
from cdc_source_postgres.schema.shapes import Shaper
from cdc_source_postgres.schema.tables import TableInfo
from cdc_source_postgres.snapshot import snapshot as snapshots
from cdc_source_postgres.snapshot.context import SnapshotContext
from cdc_source_postgres.snapshot.planning import Turns
from cdc_source_postgres.starter import describe, from_url
from cdc_source_postgres.statements import replica_identity_full
from cdc_source_postgres.stream.monitor import MEMORY_PUBLICATION, Monitor, find_publication
from cdc_source_postgres.stream.ownership import Ownership
from cdc_source_postgres.stream.publication import (
    SENT_ANOTHER_WAY,
    Layout,
    add_to_publication,
    ensure_publication,
    read_publication,
    sent_columns,
)
from cdc_source_postgres.stream.slot import (
    SlotState,
    check_ours,
    check_reach,
    check_slot,
    create_slot,
    drop_slot,
    position_of,
    read_slot,
    release_slot,
)
from cdc_source_postgres.stream.stream import (
    BINARY_SINCE,
    Acknowledgements,
    SessionParts,
    StreamSession,
    start_command,
)
from cdc_source_postgres.stream.tracking import TextWanted, Tracking
from cdc_source_postgres.teardown import Teardown
from cdc_source_postgres.wire.decoder import PgoutputDecoder
from cdc_source_postgres.wire.messages import lsn_int

_RETAINED = """
    select pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                                else pg_current_wal_flush_lsn() end, restart_lsn)::bigint
    from pg_replication_slots where slot_name = %s
"""
_CURRENT = """
    select case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                else pg_current_wal_flush_lsn() end::text
"""
_SENDER_TIMEOUT = "select setting::int8 from pg_settings where name = 'wal_sender_timeout'"


class PostgresSource:
    """One PostgreSQL database. See `cdc.spi.source.Source` for what each method promises."""

    Options: ClassVar[type[BaseModel]] = PostgresOptions
    url_schemes: ClassVar[tuple[str, ...]] = URL_SCHEMES
    url_shape: ClassVar[str] = URL_SHAPE
    starter = staticmethod(describe)
    from_url = staticmethod(from_url)

    def __init__(self, options: PostgresOptions, context: SourceContext, limits: Limits = DEFAULTS) -> None:
        self._options = options
        self._context = context
        self._connector = Connector(options, context.name, limits)
        self._slot = options.slot_name(context.name)
        self._publication = options.publication_name(context.name)
        self._shaper = Shaper(options.unrepresentable, lambda: self._money.digits, context.count)
        self._money = MoneyScale(self._connector, self._shaper)
        self._history = ReportedHistory(options.selection)
        self._layout = Layout(configured=options.publish_via_partition_root)
        self._monitor = Monitor(
            self._connector,
            context,
            self._slot,
            self._publication,
            self._history,
            self._layout,
            self._money,
        )
        self._turns = Turns(limits)
        self._heirs = HeirsWarning(context.log)
        self._undeliverable = UndeliverableTables()
        self._ownership = Ownership(context, self._slot, self._publication, self._connector.where)
        self._acks: Acknowledgements | None = None
        self._durable = 0
        self._wanted = 0
        # Until a table shows a type whose binary form we do not read.
        self._binary = True
        self._frame: SourceFrame[Connection] = SourceFrame(
            self._connector, lambda connection: not connection.closed, psycopg.Error
        )
        self._closed = False

    def check(self) -> Sequence[Finding]:
        # Only `cdc check` and `cdc doctor` wait for these imports.
        from cdc_source_postgres.checks.preflight import run_checks  # noqa: PLC0415

        return run_checks(self._options, self._context.name, self._context.owner)

    def verify_reach(self, after: Position, memory: Mapping[str, str]) -> Sequence[Finding]:
        """As `cdc.spi.VerifiesReach`: the slot is there, whole, and not past the log's end; the publication
        is the one that the log was written from.
        """
        with self._frame.connection("comparing the slot with the log") as connection:
            state = check_slot(read_slot(connection, self._slot), self._slot, self._connector.where)
            publication = read_publication(connection, self._publication)
            known = memory.get(MEMORY_PUBLICATION)
            if known:
                find_publication(connection, self._publication, int(known), self._connector.where)
        check_reach(state, self._slot, after, self._connector.where)
        layout = Layout(configured=self._options.publish_via_partition_root)
        layout.restore(memory)
        if publication is None or not layout.differs(via_root=publication.via_root):
            return ()
        message = f"the publication '{self._publication}' {SENT_ANOTHER_WAY}"
        return (Finding(Severity.WARNING, "log-partitions", message, layout.remedy(self._publication)),)

    def identity(self) -> SourceIdentity:
        with closing(self._connector.replicate()) as connection:
            row = connection.command("IDENTIFY_SYSTEM", "identifying the server")[0]
        return SourceIdentity(
            {
                "system_identifier": str(row["systemid"]),
                "timeline": str(row["timeline"]),
                "database": str(row["dbname"]),
            }
        )

    def discover(self) -> Sequence[TableSchema]:
        with self._frame.connection("reading the tables") as connection:
            publication = read_publication(connection, self._publication)
            self._shaper.learn_types(connection)
            infos = {info.table: info for info in self._infos(connection)}
            self._heirs.look(connection, [info.relation for info in infos.values()])

        def schema_of(table: TableId) -> TableSchema:
            info = infos[table]
            return self._shaper.shape(info, sent_columns(info, publication, self._options)).schema

        return self._undeliverable.listed({info.table: info.relid for info in infos.values()}, schema_of)

    def selects(self, table: TableId) -> bool:
        return self._options.selection.matches(table)

    def absent(self, known: Mapping[TableId, int | None]) -> Mapping[TableId, Absence]:
        """As `cdc.spi.source.ExplainsAbsence`: partitions of followed tables, unlogged and renamed tables."""
        with self._frame.connection("reading the tables") as connection:
            relations = read_relations(connection)
        via_root = self._layout.via_root is not False
        return absences(relations, known, self._options.selection, via_root=via_root)

    def unreadable(self, hidden: Collection[TableId]) -> Mapping[TableId, CdcError]:
        """As `cdc.spi.source.NamesUnreadable`: partitioned tables, or partitions, that the publication sends
        in another way than the log has them.
        """
        del hidden
        with self._frame.connection("reading the publication") as connection:
            publication = read_publication(connection, self._publication)
            if publication is None or not self._layout.differs(via_root=publication.via_root):
                return {}
            infos = self._infos(connection)
        remedy = f"Run: {self._layout.remedy(self._publication)}"
        message = f"the publication '{self._publication}' {SENT_ANOTHER_WAY}"
        error = SourceRefused(message, where=self._connector.where, remedy=remedy)
        return {info.table: error for info in infos if info.is_partitioned or info.relation.parent}

    def whole_rows_statement(self, table: TableId) -> str:
        """As `cdc.spi.WholeRowsOnRequest`."""
        return replica_identity_full(table)

    def follow(self, tables: Sequence[TableSchema]) -> None:
        self._undeliverable.require_none({table.table for table in tables})
        wanted = {table.relation for table in tables}
        with self._frame.connection("following tables") as connection:
            infos = [info for info in self._infos(connection) if info.relid in wanted]
            added = add_to_publication(connection, self._connector, self._options, self._publication, infos)
        if added:
            self._context.log("added tables to the publication", tables=[str(table) for table in added])

    def open(self, after: Position | None, memory: Mapping[str, str]) -> Position:
        self._layout.restore(memory)
        self._money.restore(memory)
        connection = self._connector.connect("to open the slot")
        with self._frame.noting_gaps(), closing(connection), self._connector.translated("opening the slot"):
            position = self._open_new(connection) if after is None else self._open_again(connection, after)
            use_trigger(connection, self._connector, self._options, self._context.log)
        return position

    def stream(self, after: Position, memory: Mapping[str, str]) -> Generator[ChangeSet | None]:
        self._monitor.restore(memory, after.order)
        with self._frame.noting_gaps():
            while not self._closed:
                with self._session(after) as session:
                    try:
                        yield from session.changes()
                    except TextWanted as wanted:
                        self._binary = False
                        if session.in_parts:
                            raise self._restart_in_text() from wanted
                    after = session.position
                    self._monitor.rewind(after.order)

    def acknowledge(self, durable: Position) -> None:
        self._durable = max(self._durable, durable.order)
        if self._acks is not None:
            self._acks.acknowledge(self._durable)

    def snapshot(self, tables: Sequence[TableSchema], earlier: Mapping[TableId, EarlierSnapshot]) -> Snapshot:
        self._follow_first(tables)
        return snapshots.open_snapshot(self._snapshot_context(), tables, earlier)

    def current(self) -> Position:
        with self._frame.connection("asking for the current position") as connection:
            row = connection.execute(_CURRENT).fetchone()
        position = position_of(str(row[0]) if row else "0/0")
        self._wanted = max(self._wanted, position.order)
        return position

    def retained_bytes(self) -> int | None:
        """See `MeasuresRetained`: the WAL behind the slot."""
        with self._frame.connection("asking for the WAL that the slot keeps") as connection:
            row = connection.execute(_RETAINED, [self._slot]).fetchone()
        return None if row is None or row[0] is None else max(0, int(row[0]))

    def leftovers(self) -> Sequence[Leftover]:
        """As `cdc.spi.LeavesObjects`: slot, publication, event triggers."""
        return self._teardown().leftovers()

    def remove(self, leftover: Leftover) -> None:
        """As `cdc.spi.LeavesObjects`."""
        self._teardown().remove(leftover)

    def position(self, text: str) -> Position:
        try:
            return Position(lsn_int(text), text)
        except ValueError as error:
            remedy = "Write it as in _cdc_position, such as 16/B374D848."
            raise ConfigError(
                f"{text!r} is not a position of PostgreSQL", where=self._connector.where, remedy=remedy
            ) from error

    def close(self) -> None:
        self._closed = True
        self._frame.close()

    def _teardown(self) -> Teardown:
        return Teardown(self._options, self._connector, self._context.owner)

    def _open_new(self, connection: Connection) -> Position:
        """Return the start position of an empty log: that of an existing healthy slot, or of a new one."""
        with self._ownership.decided(connection):
            state = read_slot(connection, self._slot)
            if state is not None:
                # First: a slot of another database or plugin is not to be adopted either.
                check_ours(state, self._slot, self._connector.where)
            self._ownership.verify(connection, exists=state is not None)
            created = ensure_publication(connection, self._connector, self._options, self._publication)
            if created:
                self._context.log("created the publication", publication=self._publication)
            return self._open_slot(connection, state, created=created)

    def _open_slot(self, connection: Connection, state: SlotState | None, *, created: bool) -> Position:
        if state is not None:
            release_slot(connection, self._connector, self._slot, self._context.log)
            # A slot that a lost session was still creating is gone with it.
            state = read_slot(connection, self._slot)
        if state is not None:
            self._ownership.claim(connection, self._context.log)
            # Servers up to 17 look the publication up as it was when the change was made: before it was, they
            # stop permanently.
            is_usable = state.confirmed is not None and not state.is_lost
            if is_usable and not (created or self._frame.has_gap):
                return state.position
            drop_slot(connection, self._slot)
            self._context.log(
                "dropped the slot to start a new history", slot=self._slot, position=state.confirmed
            )
        self._ownership.claim(connection, self._context.log)
        position = create_slot(
            self._connector, connection, self._slot, failover=self._options.failover, log=self._context.log
        )
        self._frame.begin_history()
        return position

    def _open_again(self, connection: Connection, after: Position) -> Position:
        where = self._connector.where
        if read_publication(connection, self._publication) is None:
            raise publication_dropped(where, self._publication)
        check_slot(read_slot(connection, self._slot), self._slot, where)
        with self._ownership.decided(connection):
            # While we waited, another log may have read on, or have been given the slot.
            release_slot(connection, self._connector, self._slot, self._context.log)
            self._ownership.verify(connection, exists=True)
            state = check_slot(read_slot(connection, self._slot), self._slot, where)
            check_reach(state, self._slot, after, where)
            self._require_history(connection, after)
            self._ownership.claim(connection, self._context.log)
        return after

    def _require_history(self, connection: Connection, after: Position) -> None:
        row = connection.execute(_CURRENT).fetchone()
        if row is not None and lsn_int(str(row[0])) < after.order:
            message = (
                f"the server is at {row[0]}, before the end of our log at {after.text}: it was "
                "restored to an earlier state"
            )
            raise SourceMismatch(
                message,
                where=self._connector.where,
                remedy="Start with an empty state_dir and new, empty sinks, or set url to the server that "
                "the log was written from.",
            )

    @contextmanager
    def _session(self, after: Position) -> Iterator[StreamSession]:
        """A started stream; its connections end with the block."""
        with closing(self._monitor):
            ordinary = self._monitor.connection
            self._history.listens = listens(ordinary, self._options)
            self._monitor.look()
            with self._connector.translated("starting the stream"):
                release_slot(ordinary, self._connector, self._slot, self._context.log)
                self._ownership.verify(ordinary, exists=True)
                state = check_slot(read_slot(ordinary, self._slot), self._slot, self._connector.where)
                check_reach(state, self._slot, after, self._connector.where)
                row = ordinary.execute(_SENDER_TIMEOUT).fetchone()
            timeout_seconds = row[0] / 1000 if row else 0.0
            with closing(self._connector.replicate()) as connection:
                binary = self._binary and connection.server_version >= BINARY_SINCE
                start = start_command(
                    self._slot, self._publication, after, binary=binary, with_messages=self._history.listens
                )
                connection.command(start, "starting the stream")
                self._context.log("streaming", slot=self._slot, position=after.text, binary=binary)
                acks = Acknowledgements(connection.send, after.order, timeout_seconds)
                acks.acknowledge(self._durable)
                self._acks = acks
                try:
                    yield self._new_session(connection, acks, after, binary=binary)
                except DecodeError as error:
                    if not takes_any_bytes(connection.pgconn):
                        raise
                    raise not_utf8(error, self._connector.where) from error
                finally:
                    self._acks = None

    def _new_session(
        self,
        connection: ReplicationConnection,
        acks: Acknowledgements,
        after: Position,
        *,
        binary: bool,
    ) -> StreamSession:
        decoder = PgoutputDecoder(self._options.unrepresentable, self._context.count)
        tracking = Tracking(
            self._connector,
            self._monitor,
            self._history,
            self._layout,
            self._shaper,
            self._options.selection,
            decoder,
        )
        parts = SessionParts(
            connection=connection,
            decoder=decoder,
            tracking=tracking,
            monitor=self._monitor,
            acks=acks,
            heartbeat_seconds=self._options.heartbeat.total_seconds(),
            where=self._connector.where,
            wanted=lambda: self._wanted,
            limits=self._connector.limits,
        )
        return StreamSession(parts, after, binary=binary)

    def _infos(self, connection: Connection) -> list[TableInfo]:
        publication = read_publication(connection, self._publication)
        if publication is None:
            via_root = self._options.publish_via_partition_root
        else:
            via_root = self._layout.decide(published=publication.via_root)
        return read_tables(connection, self._options.selection, via_root=via_root)

    def _snapshot_context(self) -> SnapshotContext:
        return SnapshotContext(
            connector=self._connector,
            source=self._context,
            options=self._options,
            publication=self._publication,
            shaper=self._shaper,
            history=self._history,
            turns=self._turns,
        )

    def _follow_first(self, tables: Sequence[TableSchema]) -> None:
        """A snapshot of a table that is not in the publication would have no changes to continue with. Where
        there is no publication at all, nobody streams.
        """
        with self._frame.connection("reading the publication") as connection:
            publication = read_publication(connection, self._publication)
        if publication is not None and any(table.table not in publication.tables for table in tables):
            self.follow(tables)

    def _restart_in_text(self) -> SourceUnavailable:
        message = "a table has a type that can only be read as text; restarting the stream in text"
        return SourceUnavailable(
            message,
            where=self._connector.where,
            remedy="No action needed: the stream restarts automatically.",
        )
