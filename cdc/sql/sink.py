"""The shared part of sinks into SQL targets: one delivery is one transaction (or a few, see `steps`), with
the cursor in each.

After any error the transaction is rolled back and the same delivery can be applied again on the same object.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import ClassVar

from cdc.errors import SinkRefused, SinkUnavailable
from cdc.merge import TableRefused, continuity
from cdc.model import TableId, TableSchema
from cdc.spi import Atomicity, Capabilities, Cursor, Delivery, Finding, SetAside, SinkContext
from cdc.sql import own_tables, steps
from cdc.sql.applying import Application
from cdc.sql.dialect import Connection
from cdc.sql.options import TableOptions
from cdc.sql.own_tables import Shelf, report_set_aside
from cdc.sql.progress import DeliveryProgress, Overfull
from cdc.sql.steps import Done, Room, StepLimits
from cdc.sql.tables import Tables


class SqlSink(ABC):
    """Keeps the promises of `cdc.spi.Sink`, `SetsAside` and `SupportsRewind`; one connection an object.

    A target says how to connect, what its errors mean (`guarded`), what one transaction may hold
    (`new_room`), and what else belongs to its transactions (`preparing`, `committing`, `applied`). `where`
    names it in errors.

    A target without transactional DDL declares so, and its connection notes definitions
    (`Connection.define`). Without transactions at all, its rows have versions (`Dialect.is_versioned`), and
    its own tables are saved by one insert (`cdc.sql.saved_state`).
    """

    capabilities: ClassVar[Capabilities] = Capabilities(
        modes=("mirror", "append", "history"),
        deletes=("hard", "soft"),
        atomic=Atomicity.ALL_TABLES,
        transactional_ddl=True,
    )

    def __init__(self, options: TableOptions, context: SinkContext, where: str) -> None:
        self._options = options
        self._context = context
        self._where = where
        self._connection: Connection | None = None
        self._tables: Tables | None = None
        # Tables that this process could not store: they are not requested again.
        self._still_refused: set[TableId] = set()
        self._room: Room | None = None

    @abstractmethod
    def connect(self) -> Connection:
        """Open the target; create it if it is missing."""

    @abstractmethod
    def guarded(self, operation: str) -> AbstractContextManager[None]:
        """Convert the driver's errors to errors of `cdc.errors`; `operation` is a gerund."""

    @abstractmethod
    def check(self) -> Sequence[Finding]:
        """See `Sink.check`."""

    def new_room(self, connection: Connection) -> Room:
        """Return the room of a new transaction."""
        del connection
        return Room(StepLimits())

    def preparing(self, connection: Connection) -> None:  # noqa: B027  (nothing unless a target has some)
        """Create the target's own tables; within the transaction of `prepare`."""

    def committing(self, connection: Connection) -> None:
        """Commit the running transaction."""
        connection.commit()

    def applied(self, connection: Connection) -> None:  # noqa: B027  (nothing unless a target has some)
        """Called after the transaction of every delivery."""

    def works_again(self, error: SinkUnavailable) -> bool:
        """Return whether the cause of an attempt's error was removed, so that the next attempt may succeed at
        once.
        """
        del error
        return False

    def prepare(self, source: str) -> None:
        """See `Sink.prepare`."""
        with self.guarded("preparing the database"), self._transaction() as connection:
            own_tables.make(connection, self._where)
            self.preparing(connection)
            own_tables.take_fence(connection, source, self._context, self._where)
            self._check_modes(self._new_tables(connection, source), source)
        with self.guarded("recreating indexes"):
            own_tables.recreate_indexes(self._open(), self._context)

    def committed(self, source: str) -> Cursor | None:
        """See `Sink.committed`."""
        with self.guarded("reading the cursor"):
            return cursor_of(self._open(), source)

    def apply(self, delivery: Delivery) -> None:
        """See `Sink.apply`."""
        refused: list[TableRefused] = []
        apart: set[int] = set()
        rest = delivery
        while True:
            try:
                with self.guarded(f"applying changes of {delivery.source}"):
                    self._apply(rest, refused, apart)
            except TableRefused as error:
                # The next attempt goes without that table.
                refused.append(error)
            except Overfull as error:
                apart.update(error.offsets)
            except SinkUnavailable as error:
                if not self.works_again(error):
                    raise
            else:
                break
            rest = self._rest(delivery)
        for one in refused:
            self._still_refused.add(one.schema.table)
            report_set_aside(self._context, one)

    def set_aside(self, source: str) -> Sequence[SetAside]:
        """See `SetsAside.set_aside`."""
        with self.guarded("reading the tables that are set aside"):
            return list(Shelf(self._open(), source))

    def reconsider(self, source: str, schema: TableSchema) -> bool:
        """See `SetsAside.reconsider`."""
        if schema.table in self._still_refused:
            return False
        with self.guarded("rechecking the tables that are set aside"), self._transaction() as connection:
            entry = Shelf(connection, source).find(schema)
            if entry is None or self._new_tables(connection, source).refusal(schema) is not None:
                return False
            Shelf(connection, source).mark_deliverable(entry, schema.table)
            return True

    def rewind(self, source: str, offset: int) -> None:
        """See `SupportsRewind.rewind`. Only the cursor moves: a replay never deletes rows."""
        with self.guarded("rewinding"), self._transaction() as connection:
            own_tables.check_fence(connection, source, self._context, self._where)
            at = own_tables.read_cursor(connection, source)
            steps.read(connection, source, offset, self._where)
            at = continuity.check_rewind(at, offset, f"{self._where}: source {source}")
            own_tables.write_cursor(connection, replace(at, next=offset, epoch=self._context.epoch))

    def close(self) -> None:
        """See `Sink.close`."""
        connection, self._connection = self._connection, None
        self._tables = self._room = None
        if connection is not None:
            with self.guarded("closing the database"):
                connection.close()

    def abandon(self) -> None:
        """Drop the connection after an error that only a new connection can resolve."""
        connection, self._connection = self._connection, None
        self._tables = self._room = None
        if connection is not None:
            try:
                connection.close()
            except connection.Error:
                self._context.log("could not close the database after an error; opening it again")

    def _rest(self, delivery: Delivery) -> Delivery:
        """Return the rest of a delivery: earlier attempts may have committed some of its steps."""
        reached = self.committed(delivery.source)
        if reached is None or reached.next <= delivery.first:
            return delivery
        return delivery.behind(reached.next)

    def _apply(self, delivery: Delivery, refused: Sequence[TableRefused], apart: Collection[int]) -> None:
        source = delivery.source
        with self._transaction() as connection:
            own_tables.check_fence(connection, source, self._context, self._where)
            before = own_tables.read_cursor(connection, source)
            if continuity.is_applied(before, delivery, f"{self._where}: source {source}"):
                return
            # A sink that starts at a given offset gets copies of its tables.
            done = Done() if delivery.begins else steps.read(connection, source, delivery.first, self._where)
            progress = DeliveryProgress(delivery, done)
            self._application(connection, progress, before, delivery, refused, apart).run(delivery)
            steps.clear(connection, source)
            own_tables.write_cursor(connection, continuity.advanced(before, delivery, self._context))
        own_tables.recreate_indexes(connection, self._context)
        self.applied(connection)

    def _application(
        self,
        connection: Connection,
        progress: DeliveryProgress,
        before: Cursor | None,
        delivery: Delivery,
        refused: Sequence[TableRefused],
        apart: Collection[int],
    ) -> Application:
        if self._tables is None:
            self._tables = self._new_tables(connection, delivery.source)
        if self._room is None:
            self._room = self.new_room(connection)
        room = self._room
        room.begin()
        shelf = Shelf(connection, delivery.source)
        for one in refused:
            deliverable = self._tables.is_healed_by_copy(one.error)
            since = delivery.first if one.since is None else one.since
            shelf.put(one.schema, since, one.error, deliverable=deliverable)

        def step(prefix: Delivery | None) -> None:
            if prefix is not None:
                steps.clear(connection, delivery.source)
                own_tables.write_cursor(connection, continuity.advanced(before, prefix, self._context))
            elif not progress.is_saved:
                steps.write(connection, delivery.source, progress.cursor, progress.done)
            room.end_step()
            self.committing(connection)
            room.begin()
            connection.begin()

        return Application(
            connection=connection,
            tables=self._tables,
            shelf=shelf,
            options=self._options,
            context=self._context,
            refused={one.schema.table for one in refused},
            apart=apart,
            room=room,
            progress=progress,
            high=before.high if before else 0,
            step=step,
        )

    def _new_tables(self, connection: Connection, source: str) -> Tables:
        return Tables(connection, source, self._options, self._context, self._where)

    def _check_modes(self, tables: Tables, source: str) -> None:
        for stored in tables.stored():
            if (stored.mode, stored.deletes) != (self._options.mode, self._options.deletes):
                raise SinkRefused(
                    f"the table {stored.table} was created with mode {stored.mode}, deletes "
                    f"{stored.deletes}; "
                    f"the config says {self._options.mode}, {self._options.deletes}",
                    where=f"{self._where}: source {source}",
                    remedy="Restore these options, or give the sink a new path.",
                )

    def _open(self) -> Connection:
        if self._connection is None:
            connection = self.connect()
            if connection.alters_in_transactions != self.capabilities.transactional_ddl:
                raise TypeError(
                    f"{type(self).__qualname__} declares transactional_ddl="
                    f"{self.capabilities.transactional_ddl}, {type(connection).__qualname__} has "
                    f"alters_in_transactions={connection.alters_in_transactions}"
                )
            self._connection = connection
        return self._connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        connection = self._open()
        connection.begin()
        try:
            yield connection
            self.committing(connection)
        except BaseException:
            self._tables = self._room = None
            self._roll_back(connection)
            raise

    def _roll_back(self, connection: Connection) -> None:
        try:
            connection.roll_back()
        except connection.Error:
            # A commit that failed has rolled back already; in a database that is gone nothing remains.
            self._context.log("the database had already rolled back the failed transaction", level="debug")


def cursor_of(connection: Connection, source: str) -> Cursor | None:
    """Return the cursor of a source, from a target that may not be a sink yet."""
    at = own_tables.read_cursor(connection, source) if connection.own.has("cursors") else None
    return None if at is None else replace(at, log_id=own_tables.log_of(connection, source))
