"""Limits of one transaction of DuckDB, and the point from which a checkpoint commits it better.

DuckDB reads and writes 2,048 rows of a column at once, and keeps a block for each table that rows were
deleted from until the transaction ends. The size of a transaction therefore bounds the memory for wide values
and for very many tables.
"""

from __future__ import annotations

from cdc.sql import Connection, StepLimits
from cdc.sql.steps import Room

LIMITS = StepLimits(
    # So much of wide values in one transaction: DuckDB holds them in memory once or twice, of 72 MiB in all.
    size=16 * 2**20,
    # So many tables in one transaction: 256 KiB each.
    tables=96,
    # DuckDB stores values beyond this in blocks of their own; smaller ones it writes and spills in bulk.
    wide_value_bytes=4096,
    # Rows of a table with wide values whose missing values are filled in before their size is known.
    unknown_rows=32,
)


class DuckDBRoom(Room):
    """Wide values that are in the write-ahead log still count."""

    def __init__(self, connection: Connection) -> None:
        self._table = connection.dialect.own("wide")
        super().__init__(LIMITS, is_wide=bool(connection.query(f"select 1 from {self._table}")))
        if self.is_wide:
            _keep_row_groups(connection)

    @property
    def has_wide_values(self) -> bool:
        """Whether what was written since the last checkpoint wants a row group of its own."""
        return self.wide_bytes >= (self.limits.left_behind if self.ends_step else self.limits.size / 2)

    @property
    def wants_checkpoint(self) -> bool:
        """Whether the transaction is better committed by a checkpoint."""
        return self.ends_step or self.has_wide_values or len(self.tables) >= self.limits.tables / 2

    def mark(self, connection: Connection) -> None:
        """Store permanently that the file has held wide values, if this transaction is the first that has
        any.
        """
        if self.has_wide_values and not self.is_wide:
            table = self._table
            connection.run(f"insert into {table} select now() where not exists (select 1 from {table})")
            _keep_row_groups(connection)

    def renew(self) -> None:
        """There is a new transaction; wide values before it are in a row group of their own."""
        if self.has_wide_values:
            self.is_wide = True
            self.wide_bytes = 0
        self.ends_step = False
        self.begin()


def _keep_row_groups(connection: Connection) -> None:
    """Have checkpoints leave row groups apart: merged, 2,048 wide rows would have to fit into memory."""
    connection.run("set max_vacuum_tasks = 0")
