"""The sink itself: one delivery, one transaction (or a few, see `steps`), the cursor in each.

After any error the transaction is rolled back and the same delivery can be applied again on the same object.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import duckdb
from pydantic import BaseModel

from cdc.errors import CdcError, SinkRefused, SinkUnavailable
from cdc.model import TableId, TableSchema
from cdc.spi import Cursor, Delivery, Finding, SetAside, SinkContext, continuity
from cdc.spi.units import format_size
from cdc_sink_duckdb import aside, cursor, indexes, steps
from cdc_sink_duckdb.applying import Application
from cdc_sink_duckdb.aside import Shelf, TableRefused, report_set_aside
from cdc_sink_duckdb.checks import findings, named_like
from cdc_sink_duckdb.database import (
    CHECKPOINT_WAL_BYTES,
    IDLE_WAL_BYTES,
    connect,
    is_fatal,
    is_out_of_memory,
    lock_of,
    translated,
    wal_bytes,
)
from cdc_sink_duckdb.options import Options as DuckDBOptions
from cdc_sink_duckdb.progress import Overfull, Progress
from cdc_sink_duckdb.publish import Publisher
from cdc_sink_duckdb.shape import run
from cdc_sink_duckdb.steps import Done, Room
from cdc_sink_duckdb.tables import Tables

# So many intervals after the last copy the next is made between deliveries, though the sink has not caught
# up.
PUBLISH_PATIENCE = 2.0
# Any commit is larger: DuckDB then makes a checkpoint instead of writing its log.
SMALLEST_WAL_BYTES = 1
# The memory limit is doubled up to this when DuckDB can't do with less; beyond it, something else is wrong.
MOST_MEMORY_BYTES = 2 * 2**30


class DuckDBSink:
    """Writes to a local DuckDB file. One connection an object; the file's lock orders two objects of one
    process.
    """

    Options: ClassVar[type[BaseModel]] = DuckDBOptions

    def __init__(self, options: DuckDBOptions, context: SinkContext) -> None:
        self._options = options
        self._context = context
        self._lock = lock_of(options.path)
        self._connection: Any = None
        self._tables: Tables | None = None
        # Tables that could not be taken in this process: they are not asked for again and again.
        self._returned_in_vain: set[TableId] = set()
        self._room: Room | None = None
        self._memory_limit = options.memory_limit
        self._publisher = Publisher(options.path, options.publish) if options.publish else None

    def check(self) -> Sequence[Finding]:
        """See `Sink.check`."""
        return findings(self._options, self._context.daemon_pid)

    def check_schemas(self, schemas: Collection[str]) -> Sequence[Finding]:
        """See `ChecksSchemas.check_schemas`."""
        return named_like(self._options.path, schemas)

    def prepare(self, source: str) -> None:
        """See `Sink.prepare`."""
        with self._guarded("preparing the database"), self._transaction() as connection:
            cursor.prepare(connection, source, self._context, str(self._options.path))
            aside.prepare(connection)
            for statement in steps.TABLES:
                run(connection, statement)
            indexes.prepare(connection)
            self._check_modes(Tables(connection, source, self._options, self._context), source)
        with self._guarded("making indexes again"):
            indexes.make_again(self._open(), self._context)

    def committed(self, source: str) -> Cursor | None:
        """See `Sink.committed`."""
        with self._guarded("reading the cursor"):
            connection = self._open()
            return cursor.read(connection, source) if cursor.is_there(connection) else None

    def peek(self, source: str) -> Cursor | None:
        """See `SupportsPeek.peek`."""
        if not self._options.path.exists():
            return None
        with translated("reading the cursor", self._options.path):
            connection = duckdb.connect(str(self._options.path), read_only=True)
            try:
                return cursor.read(connection, source) if cursor.is_there(connection) else None
            finally:
                connection.close()

    def apply(self, delivery: Delivery) -> None:
        """See `Sink.apply`."""
        refused: list[TableRefused] = []
        apart: set[int] = set()
        rest = delivery
        while True:
            try:
                with self._guarded(f"applying changes of {delivery.source}"):
                    self._apply(rest, refused, apart)
            except TableRefused as error:
                # The next attempt goes without that table.
                refused.append(error)
            except Overfull as error:
                apart.add(error.first)
            except SinkUnavailable as error:
                if not (is_out_of_memory(error) and self._raise_memory_limit()):
                    raise
            else:
                break
            rest = self._rest(delivery)
        self._lower_memory_limit()
        for one in refused:
            self._returned_in_vain.add(one.schema.table)
            report_set_aside(self._context, one)

    def set_aside(self, source: str) -> Sequence[SetAside]:
        """See `SetsAside.set_aside`."""
        with self._guarded("reading what is set aside"):
            return list(Shelf(self._open(), source))

    def reconsider(self, source: str, schema: TableSchema) -> bool:
        """See `SetsAside.reconsider`."""
        if schema.table in self._returned_in_vain:
            return False
        with self._guarded("looking again at what is set aside"), self._transaction() as connection:
            entry = Shelf(connection, source).find(schema)
            tables = Tables(connection, source, self._options, self._context)
            if entry is None or tables.refusal(schema) is not None:
                return False
            Shelf(connection, source).mark_deliverable(entry, schema.table)
            return True

    def _rest(self, delivery: Delivery) -> Delivery:
        """What of a delivery is left: attempts before may have committed steps of it."""
        reached = self.committed(delivery.source)
        if reached is None or reached.next <= delivery.first:
            return delivery
        return delivery.behind(reached.next)

    def _apply(self, delivery: Delivery, refused: Sequence[TableRefused], apart: Collection[int]) -> None:
        path = str(self._options.path)
        with self._transaction() as connection:
            cursor.check_fence(connection, delivery.source, self._context, path)
            before = cursor.read(connection, delivery.source)
            if continuity.is_applied(before, delivery, f"{path}: source {delivery.source}"):
                return
            # A sink that is told where to begin anew gets copies of its tables.
            done = (
                Done() if delivery.begins else steps.read(connection, delivery.source, delivery.first, path)
            )
            progress = Progress(delivery, done)
            self._application(connection, progress, before, delivery, refused, apart).run(delivery)
            steps.clear(connection, delivery.source)
            cursor.write(connection, continuity.advanced(before, delivery, self._context.epoch))
        indexes.make_again(self._open(), self._context)
        if self._publisher is not None:
            self._publisher.changed()
            if self._publisher.due(PUBLISH_PATIENCE):
                self._publish(self._publisher)

    def _application(
        self,
        connection: Any,
        progress: Progress,
        before: Cursor | None,
        delivery: Delivery,
        refused: Sequence[TableRefused],
        apart: Collection[int],
    ) -> Application:
        if self._tables is None:
            self._tables = Tables(connection, delivery.source, self._options, self._context)
        shelf = Shelf(connection, delivery.source)
        for one in refused:
            shelf.put(one.schema, delivery.first, one.error, deliverable=self._tables.heals_anew(one.error))
        room = self._new_room(connection)

        def step(prefix: Delivery | None) -> None:
            if prefix is not None:
                steps.clear(connection, delivery.source)
                cursor.write(connection, continuity.advanced(before, prefix, self._context.epoch))
            elif not progress.is_saved:
                steps.write(connection, delivery.source, progress.cursor, progress.done)
            room.end_step()
            self._commit(connection)
            room.begin()
            run(connection, "begin transaction")

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

    def _new_room(self, connection: Any) -> Room:
        """The room of a transaction; wide values that are in the write-ahead log still count."""
        if self._room is None:
            self._room = Room(is_wide=steps.is_wide(connection))
            if self._room.is_wide:
                steps.keep_row_groups(connection)
        self._room.begin()
        return self._room

    def rewind(self, source: str, offset: int) -> None:
        """See `SupportsRewind.rewind`. Only the cursor moves: a replay never takes away what is there."""
        path = str(self._options.path)
        with self._guarded("rewinding"), self._transaction() as connection:
            cursor.check_fence(connection, source, self._context, path)
            at = cursor.read(connection, source)
            steps.read(connection, source, offset, path)
            at = continuity.check_rewind(at, offset, f"{path}: source {source}")
            cursor.write(connection, replace(at, next=offset, epoch=self._context.epoch))

    def idle(self) -> None:
        """See `SupportsIdle.idle`."""
        if self._connection is None:
            return
        with self._guarded("checkpointing"):
            if self._publisher is not None and self._publisher.due():
                self._publish(self._publisher)
            elif wal_bytes(self._options.path) >= IDLE_WAL_BYTES:
                self._checkpoint()

    def close(self) -> None:
        """See `Sink.close`."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._tables = self._room = None
            if connection is not None:
                with translated("closing the database", self._options.path):
                    connection.close()

    def _check_modes(self, tables: Tables, source: str) -> None:
        for stored in tables.stored():
            if (stored.mode, stored.deletes) != (self._options.mode, self._options.deletes):
                raise SinkRefused(
                    f"the table {stored.table} was made with mode {stored.mode}, deletes {stored.deletes}; "
                    f"the config says {self._options.mode}, {self._options.deletes}",
                    where=f"{self._options.path}: source {source}",
                    remedy="Set them back, or give the sink a new path.",
                )

    def _open(self) -> Any:
        if self._connection is None:
            self._connection = connect(self._options)
            if self._memory_limit != self._options.memory_limit:
                run(self._connection, f"set memory_limit = '{self._memory_limit}B'")
        return self._connection

    def _raise_memory_limit(self) -> bool:
        """Let DuckDB have twice as much for this delivery; False when it had enough of that.

        Some things that it can't do in pieces are larger than the limit: one value of 100 MB is.
        """
        if self._memory_limit >= MOST_MEMORY_BYTES:
            return False
        self._memory_limit *= 2
        self._context.log(
            "doubled DuckDB's memory limit for this delivery, which holds very large values",
            memory_limit=format_size(self._memory_limit),
        )
        with self._guarded("raising the memory limit"):
            run(self._open(), f"set memory_limit = '{self._memory_limit}B'")
        return True

    def _lower_memory_limit(self) -> None:
        if self._memory_limit != self._options.memory_limit:
            self._memory_limit = self._options.memory_limit
            with self._guarded("lowering the memory limit"):
                run(self._open(), f"set memory_limit = '{self._memory_limit}B'")

    @contextmanager
    def _guarded(self, operation: str) -> Iterator[None]:
        """The file's lock, our errors instead of DuckDB's, and a new connection after a fatal one."""
        try:
            with self._lock, translated(operation, self._options.path):
                yield
        except CdcError as error:
            if is_fatal(error):
                self._abandon()
            raise

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        connection = self._open()
        run(connection, "begin transaction")
        try:
            yield connection
            self._commit(connection)
        except BaseException:
            self._tables = self._room = None
            self._roll_back(connection)
            raise

    def _commit(self, connection: Any) -> None:
        """Commit; after much of wide values, or many tables, by a checkpoint at once instead of through the
        write-ahead log: it frees what they take, and what comes later goes into row groups of its own.
        """
        room = self._room
        if room is None or not room.wants_checkpoint:
            run(connection, "commit")
            return
        if room.has_wide_values and not room.is_wide:
            steps.mark_wide(connection)
            steps.keep_row_groups(connection)
        run(connection, f"set checkpoint_threshold = '{SMALLEST_WAL_BYTES}B'")
        try:
            run(connection, "commit")
        finally:
            run(connection, f"set checkpoint_threshold = '{CHECKPOINT_WAL_BYTES}B'")
        if wal_bytes(self._options.path):
            self._checkpoint()
        room.renew()

    def _roll_back(self, connection: Any) -> None:
        try:
            run(connection, "rollback")
        except duckdb.Error:
            # A commit that failed has rolled back by itself; in a database that is gone nothing remains.
            self._context.log("DuckDB had already rolled back the failed transaction", level="debug")

    def _abandon(self) -> None:
        connection, self._connection = self._connection, None
        self._tables = self._room = None
        if connection is not None:
            try:
                connection.close()
            except duckdb.Error:
                self._context.log("could not close the DuckDB database after an error; opening it again")

    def _checkpoint(self) -> bool:
        """Move the write-ahead log into the file; False when another transaction is in the way."""
        try:
            run(self._open(), "checkpoint")
        except duckdb.TransactionException:
            return False
        return wal_bytes(self._options.path) == 0

    def _publish(self, publisher: Publisher) -> None:
        """Make the copy. What prevents it is reported and tried again; it must not stop the deliveries."""
        if not self._checkpoint():
            publisher.postpone()
            return
        try:
            publisher.copy()
        except OSError as error:
            publisher.postpone()
            self._context.log(
                "could not publish a copy of the database, retrying",
                level="warning",
                reason=os.strerror(error.errno or 0),
            )
            self._context.count("publish_errors", 1)
