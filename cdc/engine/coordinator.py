"""Beside the stream, one thread a source: finds new tables, has them followed and copied,
and watches the source's position.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from cdc.engine.held import HeldLogs
from cdc.engine.routing import Router
from cdc.engine.snapshot import TableCopier
from cdc.engine.status import SourceStatus, Trouble
from cdc.errors import UnsupportedSchema
from cdc.model import ChangeSet, TableId, TableSchema
from cdc.spi import ChangeLog, Source

# A new table is copied within seconds of its creation,
# and the catalog is asked rarely enough not to be noticed.
DISCOVER_INTERVAL_SECONDS = 5.0
# How often tables that the stream showed first are looked for.
POLL_SECONDS = 0.1


class Coordinator:
    """Runs discovery and snapshots of one source.

    `settled` is set while every selected table is live or refused.
    """

    def __init__(
        self,
        source: Source,
        log: ChangeLog,
        held: HeldLogs,
        router: Router,
        status: SourceStatus,
        *,
        workers: int,
        opened: threading.Event,
    ) -> None:
        self._source = source
        self._log = log
        self._held = held
        self._router = router
        self._status = status
        self._opened = opened
        self._copier = TableCopier(source, log, held, router, status, workers=workers)
        self._discovered_at = float("-inf")
        self.refused: dict[TableId, UnsupportedSchema] = {}
        self.settled = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Until stopped; raises what the source raises, and may be called again."""
        while not self._opened.wait(POLL_SECONDS):
            if stop.is_set():
                return
        while not stop.is_set():
            if self._due() or self._to_copy():
                self._round(stop)
            stop.wait(POLL_SECONDS)

    def _due(self) -> bool:
        return time.monotonic() - self._discovered_at >= DISCOVER_INTERVAL_SECONDS

    def _to_copy(self) -> list[TableId]:
        return [table for table in self._router.book.unfinished() if table not in self.refused]

    def _round(self, stop: threading.Event) -> None:
        due = self._due()
        schemas = {schema.table: schema for schema in self._source.discover()}
        self._discovered_at = time.monotonic()
        if due:
            self.refused.clear()
        self._adopt(list(schemas.values()))
        self._follow(list(schemas.values()))
        self._forget_dropped(schemas)
        wanted = [schemas[table] for table in self._to_copy() if table in schemas]
        self._status.waiting_tables = len(wanted)
        self._status.source_position = self._source.current()
        if wanted:
            self.settled.clear()
            self._copier.copy(wanted, stop)
        if not self.refused:
            self._status.copying.trouble = None
        if not stop.is_set() and not self._to_copy():
            self._status.waiting_tables = 0
            self.settled.set()

    def _adopt(self, schemas: Sequence[TableSchema]) -> None:
        with self._router.lock:
            for schema in schemas:
                facts = self._router.adopt(schema)
                end = self._log.end
                if facts and end is not None:
                    self._log.append(ChangeSet((), end.position), facts=facts)

    def _follow(self, schemas: Sequence[TableSchema]) -> None:
        """Have all tables followed; a table that the source refuses is left out, named,
        and tried again later.
        """
        try:
            self._source.follow(schemas)
        except UnsupportedSchema:
            for schema in schemas:
                self._follow_one(schema)

    def _follow_one(self, schema: TableSchema) -> None:
        try:
            self._source.follow([schema])
        except UnsupportedSchema as error:
            self.refused[schema.table] = error
            self._status.copying.trouble = Trouble.of(error, DISCOVER_INTERVAL_SECONDS)

    def _forget_dropped(self, schemas: dict[TableId, TableSchema]) -> None:
        """A table that went away before it was copied has nothing left to copy.

        What was held of it goes too.
        """
        for table in self._to_copy():
            if table in schemas:
                continue
            with self._router.lock:
                state = self._router.book[table]
                end = self._log.end
                if end is None:
                    return
                self._log.append(ChangeSet((), end.position), facts=self._router.book.facts_of(table, None))
                self._router.book.remove(table)
                if state.held is not None:
                    self._held.destroy(state.held)
            self._status.count("tables_dropped_before_copy", 1)
