"""The part of a source that no database changes: the connection that all but the stream share, gaps, and
tables whose columns cannot be delivered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, Protocol, TypeVar

from cdc.errors import SourceGap, UnsupportedSchema
from cdc.kit.connections import Closable
from cdc.model import TableId, TableSchema

ConnectionT = TypeVar("ConnectionT", bound=Closable)
ConnectionT_co = TypeVar("ConnectionT_co", bound=Closable, covariant=True)


class MakesConnections(Protocol[ConnectionT_co]):
    """A connector's maker of connections."""

    def connect(self, purpose: str) -> ConnectionT_co:
        """Open a connection; `purpose` is as in `connecting to read the catalog`."""
        ...

    def translated(self, doing: str) -> AbstractContextManager[None]:
        """Turn the driver's errors inside the block into `cdc.errors`; `doing` is a gerund."""
        ...


class UndeliverableTables:
    """Tables of the catalog that have no schema, and why: `discover` lists them, `follow` refuses them, and
    no other table waits for them.
    """

    def __init__(self) -> None:
        self._errors: Mapping[TableId, UnsupportedSchema] = {}

    def listed(
        self, tables: Mapping[TableId, int | None], schema_of: Callable[[TableId], TableSchema]
    ) -> list[TableSchema]:
        """Return the schemas of these tables, whose numbers are given; one that `schema_of` refuses has no
        columns.
        """
        found: list[TableSchema] = []
        errors: dict[TableId, UnsupportedSchema] = {}
        for table, relation in tables.items():
            try:
                found.append(schema_of(table))
            except UnsupportedSchema as error:
                errors[table] = error
                found.append(TableSchema(table, (), relation=relation))
        self._errors = errors
        return found

    def require_none(self, tables: Collection[TableId]) -> None:
        """Raise the refusal of the first of these tables that has one."""
        for table, error in self._errors.items():
            if table in tables:
                raise error


class SourceFrame(Generic[ConnectionT]):
    """The shared connection of a source, and the note of its gaps. A source holds one; none inherits from it.

    `is_open` says whether the server still holds a connection. An error of the driver (`errors`) closes the
    shared connection, because its session is in an unknown state; the next use opens another. `has_gap`: the
    source raised SourceGap since `begin_history`, so its positions continue no history.
    """

    def __init__(
        self,
        connector: MakesConnections[ConnectionT],
        is_open: Callable[[ConnectionT], bool],
        errors: type[Exception],
    ) -> None:
        self.has_gap = False
        self._connector = connector
        self._is_open = is_open
        self._errors = errors
        self._lock = threading.Lock()
        self._connection: ConnectionT | None = None

    @contextmanager
    def connection(self, doing: str) -> Iterator[ConnectionT]:
        """Hold the shared connection for the block; other threads wait. `doing` is a gerund, for errors."""
        with self._connector.translated(doing), self._lock:
            if self._connection is None or not self._is_open(self._connection):
                self._connection = self._connector.connect("to read the catalog")
            try:
                yield self._connection
            except self._errors:
                self._connection.close()
                raise

    @contextmanager
    def noting_gaps(self) -> Iterator[None]:
        """Note a SourceGap of the block: the server lacks changes after the log's end."""
        try:
            yield
        except SourceGap:
            self.has_gap = True
            raise

    def begin_history(self) -> None:
        """Forget the gap: the source has a position from which a new history starts."""
        self.has_gap = False

    def close(self) -> None:
        """Close the shared connection once no thread uses it. May be called twice."""
        with self._lock:
            if self._connection is not None and self._is_open(self._connection):
                self._connection.close()
