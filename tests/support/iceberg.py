"""Read the tables of an Iceberg sink with PyIceberg, as anybody would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table import Table

from cdc.model import TableId
from cdc_sink_iceberg import IcebergSink
from cdc_sink_iceberg.catalog import open_catalog, quiet
from cdc_sink_iceberg.options import IcebergOptions
from tests.support.fed_sink import SOURCE, FedSink


def load_table(options: IcebergOptions, table: TableId) -> Table | None:
    """The table as the catalog has it now; None if there is none."""
    file = options.sqlite_file
    if file is not None and not file.exists():
        return None
    with quiet():
        catalog = open_catalog(options)
        try:
            return catalog.load_table((table.schema, table.name))
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        finally:
            catalog.close()


def read_table(options: IcebergOptions, table: TableId) -> pa.Table | None:
    """All rows that a reader sees, in the order of `_cdc_seq`; None without the table."""
    found = load_table(options, table)
    with quiet():
        return None if found is None else found.scan().to_arrow().sort_by("_cdc_seq")


class FedIceberg(FedSink):
    """A sink with a SQLite catalog in a folder, fed with batches."""

    def __init__(self, folder: Path, *, epoch: int = 1, **options: Any) -> None:
        super().__init__()
        self.options = IcebergOptions(warehouse=str(folder), **options)
        self.sink = IcebergSink(self.options, self.context(epoch))
        self.sink.prepare(SOURCE)

    def read(self, name: str) -> pa.Table:
        """All rows of a table, as a reader sees them."""
        schema, _, table = name.partition(".")
        found = read_table(self.options, TableId(schema, table))
        assert found is not None, name
        return found

    def rows(self, name: str, *columns: str) -> list[tuple[Any, ...]]:
        """The values of these columns, in the order of `_cdc_seq`."""
        return [tuple(row[c] for c in columns) for row in self.read(name).to_pylist()]

    @property
    def set_aside(self) -> list[str]:
        """The reasons for which tables are set aside."""
        return [one.message for one in self.sink.set_aside(SOURCE)]
