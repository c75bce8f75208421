"""The tables of one source in a catalog: whose they are, and how a new one is made."""

from __future__ import annotations

from itertools import count

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import BadRequestError, NoSuchNamespaceError, NoSuchTableError, ValidationError
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import parse_transform

from cdc.errors import SinkRefused, UnsupportedSchema
from cdc.lake.layout import check_folder_name
from cdc.model import TableId, TableSchema
from cdc_sink_iceberg.catalog import location
from cdc_sink_iceberg.columns import check, evolved, ids_by_name
from cdc_sink_iceberg.commit import TableCommit
from cdc_sink_iceberg.control import NAMESPACE
from cdc_sink_iceberg.files import TableFiles
from cdc_sink_iceberg.options import IcebergOptions
from cdc_sink_iceberg.work import COLUMNS, LOG, RELATION, SOURCE, Work

_FIRST_SPEC_ID = 1000
_PROPERTIES = {
    "format-version": "2",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "write.parquet.compression-codec": "zstd",
}


class CatalogTables:
    """Opens, makes and claims tables."""

    name = "Iceberg"

    def __init__(self, catalog: Catalog, options: IcebergOptions, source: str, log_id: str) -> None:
        self._catalog = catalog
        self._options = options
        self._source = source
        self._log_id = log_id
        self._open: dict[TableId, tuple[Table, TableFiles] | None] = {}
        self._adopted: dict[TableId, int | None] = {}

    def forget(self) -> None:
        """Read the tables again when they are needed: another writer may have changed them."""
        self._open.clear()
        self._adopted.clear()

    def known(self) -> list[TableId]:
        """Return the tables that are open."""
        return [table for table, found in self._open.items() if found is not None]

    def find(self, table: TableId) -> tuple[Table, TableFiles] | None:
        """Return a table and its files; None if there is none."""
        if table not in self._open:
            try:
                found = self._catalog.load_table((table.schema, table.name))
                self._open[table] = found, TableFiles(found)
            except (NoSuchTableError, NoSuchNamespaceError):
                self._open[table] = None
            except BadRequestError as error:
                raise _refused(table) from error
        return self._open[table]

    def work(self, schema: TableSchema) -> Work:
        """Return the work on a table, which is made if it is new."""
        found = self.find(schema.table) or self._create(schema)
        work = Work(*found, self._options.mode)
        if schema.table in self._adopted:
            work.set_properties({RELATION: str(self._adopted[schema.table])})
        return work

    def _create(self, schema: TableSchema) -> tuple[Table, TableFiles]:
        table = schema.table
        mode = self._options.mode
        none = Schema()
        made, _, _ = evolved(none, ids_by_name(none, schema), schema, mode, 0, kept=(), may_replace=True)
        properties = {**_PROPERTIES, SOURCE: self._source, RELATION: str(schema.relation)}
        try:
            self._catalog.create_namespace_if_not_exists((table.schema,))
            created = self._catalog.create_table(
                (table.schema, table.name),
                made,
                location(self._options, table),
                partition_spec=self._spec(made),
                properties=properties,
            )
        except (BadRequestError, ValidationError) as error:
            raise _refused(table) from error
        # The catalog has given the fields other numbers.
        commit = TableCommit(created)
        commit.set_properties({COLUMNS: ids_by_name(created.schema(), schema).to_json()})
        commit.commit()
        self._open[table] = created, TableFiles(created)
        return created, self._open[table][1]  # type: ignore[index]

    def _spec(self, schema: Schema) -> PartitionSpec:
        by_name = {field.name: field for field in schema.fields}
        fields, numbers = [], count(_FIRST_SPEC_ID)
        for one in self._options.partition_fields:
            if one.column not in by_name:
                continue
            text = f"{one.transform}[{one.size}]" if one.size else one.transform
            name = one.column if one.transform == "identity" else f"{one.column}_{one.transform}"
            field = by_name[one.column]
            transform = parse_transform(text)
            if not transform.can_transform(field.field_type):
                raise UnsupportedSchema(
                    f"the column {one.column} has the type {field.field_type}, which has no {one.transform}",
                    where="partition",
                    remedy="Change `partition`, or exclude the table.",
                )
            fields.append(PartitionField(field.field_id, next(numbers), transform, name))
        return PartitionSpec(*fields)

    def partition_prefix(self, schema: TableSchema) -> None:
        """See `Homes.partition_prefix`."""
        table = schema.table
        check_folder_name(table)
        if table.schema == NAMESPACE:
            raise UnsupportedSchema(
                f"the namespace {NAMESPACE} is the sink's own", where=str(table), remedy="Exclude the table."
            )
        found = self.find(table)
        owner = found and found[0].metadata.properties.get(SOURCE)
        if found is not None and owner != self._source:
            message = (
                f"the table belongs to the source {owner!r}" if owner else "this sink did not make the table"
            )
            remedy = "Drop or rename it in the catalog, or exclude the table."
            raise SinkRefused(message, where=str(table), remedy=remedy)
        log_id = found and found[0].metadata.properties.get(LOG)
        if log_id and self._log_id and log_id != self._log_id:
            raise SinkRefused(
                "the table was filled from another log than that of this state_dir",
                where=str(table),
                remedy="Drop the table in the catalog: it is then copied again.",
            )

    def is_home(self, schema: TableSchema) -> bool:
        """See `Homes.is_home`."""
        found = self.find(schema.table)
        if schema.table in self._adopted or found is None:
            return True
        relation = found[0].metadata.properties.get(RELATION)
        if relation in (None, str(None)):
            self.adopt(schema)
            return True
        return relation == str(schema.relation)

    def adopt(self, schema: TableSchema) -> None:
        """See `Homes.adopt`."""
        self._adopted[schema.table] = schema.relation

    def check(self, schema: pa.Schema) -> None:
        """See `Form.check`."""
        check(schema)


def _refused(table: TableId) -> UnsupportedSchema:
    return UnsupportedSchema(
        "the catalog refuses the table, probably for its name",
        where=str(table),
        remedy="Exclude the table in the source's `tables`, or use a catalog that takes the name.",
    )
