"""Running statements: the wrapper of a target's driver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from cdc.errors import CdcError
from cdc.model import TableId
from cdc.sql.dialect import OWN_SCHEMA, Dialect


class Connection(ABC):
    """One open connection. All errors of `run` and `query` are the driver's own (`Error`)."""

    Error: ClassVar[type[Exception]]
    """What the driver's errors have in common."""
    dialect: Dialect

    @abstractmethod
    def run(self, statement: str, given: pa.Table | None = None) -> int:
        """Run a statement, which may read the Arrow table as `GIVEN`; return how many rows it changed."""

    @abstractmethod
    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement with these values for its `?`, and return its rows."""

    @abstractmethod
    def places(self) -> Collection[TableId]:
        """Return all tables and views, as of the running transaction."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def table_refusal(self, error: Exception) -> CdcError | None:
        """The driver's error as ours, if it refused what was done to one table; None if the database, its
        disk or its memory is at fault, or the driver does not tell.
        """
        del error
        return None

    def is_conversion(self, error: Exception) -> bool:
        """Whether the driver could not convert a value to another type."""
        del error
        return False

    def begin(self) -> None:
        """Begin a transaction."""
        self.run("begin transaction")

    def commit(self) -> None:
        """Commit the running transaction."""
        self.run("commit")

    def roll_back(self) -> None:
        """Roll back the running transaction; raise no errors of the driver."""
        self.run("rollback")

    def indexes_of(self, place: TableId) -> Collection[str]:
        """Return the statements that create the table's indexes, for a table that replaces it."""
        del place
        return ()

    def has(self, name: str) -> bool:
        """Whether the sink's own table of that name exists."""
        return self.dialect.place(TableId(OWN_SCHEMA, name)) in self.places()

    def keep(self, name: str, query: str, given: pa.Table | None = None) -> str:
        """Store the result of a query in a temporary table; return its qualified name."""
        table = self.dialect.temporary(name)
        self.run(f"drop table if exists {table}")
        self.run(f"create temp table {name} as {query}", given)
        return table
