"""The Iceberg sink: mirrors and changelogs as tables of a catalog, exactly once.

Every table has one commit for a delivery, with rows, deletes and the offset that it has reached; a retry
passes over the tables that have it. Then the source's cursor is replaced (`control`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import BaseModel
from pyiceberg.catalog import Catalog

from cdc.errors import SinkRefused
from cdc.lake.setaside import LakeShelf, refusal, report
from cdc.merge import TableRefused, continuity
from cdc.model import TableId, TableSchema
from cdc.spi import (
    Atomicity,
    Capabilities,
    Cursor,
    Delivery,
    Finding,
    FlushPolicy,
    SetAside,
    SinkContext,
)
from cdc_sink_iceberg.applying import Attempt
from cdc_sink_iceberg.catalog import guard, location, open_catalog
from cdc_sink_iceberg.checks import findings
from cdc_sink_iceberg.control import Control, SourceState, identifier
from cdc_sink_iceberg.options import IcebergOptions
from cdc_sink_iceberg.tables import CatalogTables
from cdc_sink_iceberg.upkeep import Schedule

DOCS = "docs/sinks/iceberg.md"
# Each flush makes a snapshot and a file a table.
FLUSH_INTERVAL_SECONDS = 30.0


class IcebergSink:
    """One (source, catalog) pair."""

    Options: ClassVar[type[BaseModel]] = IcebergOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        modes=("mirror", "append"),
        deletes=("hard",),
        atomic=Atomicity.ONE_TABLE,
        transactional_ddl=True,
        flush=FlushPolicy(interval_seconds=FLUSH_INTERVAL_SECONDS),
    )

    def __init__(self, options: IcebergOptions, context: SinkContext) -> None:
        self._options = options
        self._context = context
        self._catalog: Catalog | None = None
        self._tables: CatalogTables | None = None
        self._control: Control | None = None
        self._schedule = Schedule()
        # Tables that this process could not store: they are not requested again.
        self._still_refused: set[TableId] = set()

    @property
    def _where(self) -> str:
        options = self._options
        return f"{options.warehouse or options.catalog} ({options.catalog} catalog)"

    def check(self) -> Sequence[Finding]:
        """See `Sink.check`."""
        return findings(self._options, self._where, DOCS)

    def prepare(self, source: str) -> None:
        """See `Sink.prepare`."""
        with guard("opening the catalog", self._where):
            self._catalog = self._catalog or open_catalog(self._options)
            control = self._control_of(source)
            control.take(location(self._options, TableId(*identifier(source))))
            self._control = control
            self._tables = CatalogTables(self._catalog, self._options, source, self._context.log_id)

    def _control_of(self, source: str) -> Control:
        assert self._catalog is not None
        return Control(self._catalog, source, self._context, self._where)

    def committed(self, source: str) -> Cursor | None:
        """See `Sink.committed`."""
        return self.peek(source)

    def peek(self, source: str) -> Cursor | None:
        """See `SupportsPeek.peek`."""
        state = self._read(source)
        return state.cursor

    def _read(self, source: str) -> SourceState:
        file = self._options.sqlite_file
        if self._catalog is None and file is not None and not file.exists():
            return SourceState()
        with guard("reading the sink's cursor", self._where):
            self._catalog = self._catalog or open_catalog(self._options)
            return self._control_of(source).read()

    def set_aside(self, source: str) -> Sequence[SetAside]:
        """See `SetsAside.set_aside`."""
        return [one.details for one in self._read(source).aside]

    def reconsider(self, source: str, schema: TableSchema) -> bool:
        """See `SetsAside.reconsider`."""
        del source
        with guard("rechecking the tables that are set aside", self._where):
            control, tables = self._opened()
            state = control.verified()
            if schema.table in self._still_refused or refusal(schema, tables, tables) is not None:
                return False
            made = tuple(
                replace(one, details=replace(one.details, deliverable=True))
                if one.details.table == schema.table
                else one
                for one in state.aside
            )
            if made != state.aside:
                control.save(replace(state, aside=made))
            return made != state.aside

    def apply(self, delivery: Delivery) -> None:
        """See `Sink.apply`."""
        with guard("writing to the catalog", self._where):
            control, tables = self._opened()
            state = control.verified()
            if continuity.is_applied(state.cursor, delivery, self._where):
                return
            if _changes_nothing(delivery, state.cursor):
                return
            try:
                made = self._write(delivery, state, tables)
            except BaseException:
                # Only the catalog knows what the tables have now.
                tables.forget()
                raise
            report(self._context, state.aside, made.aside)
            cursor = continuity.advanced(state.cursor, delivery, self._context)
            control.save(replace(made, cursor=cursor))

    def _write(self, delivery: Delivery, state: SourceState, tables: CatalogTables) -> SourceState:
        """Write and commit the tables; return the state with those that are set aside."""
        refused: list[TableRefused] = []
        while True:
            shelf = LakeShelf(state.aside, tables, tables, refused, delivery.first)
            made = Attempt(tables, shelf, self._options.mode, delivery, self._context)
            try:
                made.run()
            except TableRefused as error:
                made.discard()
                tables.forget()
                refused.append(error)
                self._still_refused.add(error.schema.table)
            except BaseException:
                made.discard()
                raise
            else:
                self._context.count("changes_set_aside", shelf.skipped)
                self._context.gauge("tables_in_last_commit", made.commit())
                return replace(state, aside=shelf.entries)

    def rewind(self, source: str, offset: int) -> None:
        """See `SupportsRewind.rewind`. Tables pass over what they have."""
        del source
        with guard("beginning a replay", self._where):
            control, _ = self._opened()
            state = control.verified()
            cursor = continuity.check_rewind(state.cursor, offset, self._where)
            control.save(replace(state, cursor=replace(cursor, next=offset)))

    def idle(self) -> None:
        """See `SupportsIdle.idle`."""
        tables = self._tables
        if tables is not None:
            with guard("maintaining the tables", self._where):
                try:
                    due = self._schedule.take(tables.known())
                    if due is not None:
                        self._opened()[0].verified()
                        self._schedule.maintain(due, tables, self._options, self._context.count)
                except BaseException:
                    tables.forget()
                    raise

    def close(self) -> None:
        """See `Sink.close`."""
        catalog, self._catalog = self._catalog, None
        self._control = self._tables = None
        if catalog is not None:
            catalog.close()

    def _opened(self) -> tuple[Control, CatalogTables]:
        if self._control is None or self._tables is None:
            raise SinkRefused("the sink is not open", where=self._where, remedy="Call prepare first.")
        return self._control, self._tables


def _changes_nothing(delivery: Delivery, cursor: Cursor | None) -> bool:
    is_empty = delivery.first == delivery.next
    return (
        is_empty
        and cursor is not None
        and (cursor.next, cursor.position) == (delivery.next, delivery.position)
    )
