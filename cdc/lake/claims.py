"""The owner of each table of a lake, and the folder with each table's rows."""

from __future__ import annotations

from typing import Any

import orjson

from cdc.errors import SinkRefused, SinkUnavailable
from cdc.lake.journal import encode
from cdc.lake.layout import LakePaths, check_folder_name, partition_prefix, table_folder
from cdc.lake.store import ABSENT
from cdc.model import TableId, TableSchema


class TableClaims:
    """The tables of the lake that belong to this source; a table's first write claims it.

    A claim also has the source's number of the table whose rows the folder gives; None until it is known.
    """

    def __init__(self, paths: LakePaths, suffix: str) -> None:
        self._paths = paths
        self._suffix = suffix
        self._prefixes: dict[TableId, str] = {}
        self._relations: dict[str, int | None] | None = None

    def partition_prefix(self, schema: TableSchema) -> str:
        """Return the prefix of the table's partition keys; SinkRefused if the table belongs to another
        source, UnsupportedSchema if its name is too long for a folder.
        """
        if schema.table not in self._prefixes:
            self._prefixes[schema.table] = self._claim(schema)
        return self._prefixes[schema.table]

    def folders(self) -> list[str]:
        """Return the folders of this source's tables."""
        return list(self._claimed())

    def is_home(self, schema: TableSchema) -> bool:
        """Return whether the table's folder contains its rows; a folder without a known table becomes its
        home.
        """
        relations, folder = self._claimed(), table_folder(schema.table)
        if relations.get(folder) is None and schema.relation not in relations.values():
            self.adopt(schema)
        return relations.get(folder) == schema.relation

    def adopt(self, schema: TableSchema) -> None:
        """Make the table's folder its only home."""
        self.partition_prefix(schema)
        relations, home = self._claimed(), table_folder(schema.table)
        for folder, relation in list(relations.items()):
            if folder == home and relation != schema.relation:
                self._note(folder, schema.relation)
            elif folder != home and relation is not None and relation == schema.relation:
                self._note(folder, None)

    def _note(self, folder: str, relation: int | None) -> None:
        claim, version = self._read(folder)
        key = self._key(folder)
        if self._paths.store.put(key, encode(claim | {"relation": relation}), over=version) is None:
            where = self._paths.store.path(key)
            raise SinkUnavailable("another process has changed the claim", where=where)
        self._claimed()[folder] = relation

    def _claimed(self) -> dict[str, int | None]:
        """The numbers of the tables by the folders of this source."""
        if self._relations is None:
            names = self._paths.store.children(self._paths.tables)
            folders = [name.removesuffix(".json") for name in names if name.endswith(".json")]
            claims = {folder: self._read(folder)[0] for folder in folders}
            self._relations = {
                folder: claim.get("relation")
                for folder, claim in claims.items()
                if claim["source"] == self._paths.source
            }
        return self._relations

    def _claim(self, schema: TableSchema) -> str:
        table, folder = schema.table, table_folder(schema.table)
        store, key = self._paths.store, self._key(folder)
        check_folder_name(table)
        if not store.has(key):
            self._refuse_foreign_files(table, folder)
            content = {
                "source": self._paths.source,
                "schema": table.schema,
                "table": table.name,
                "partition_prefix": partition_prefix(schema),
                "relation": None,
            }
            store.put(key, encode(content), over=ABSENT)
        claim, _ = self._read(folder)
        if claim["source"] != self._paths.source:
            message = f"the table {table} of this lake belongs to the source {claim['source']!r}"
            remedy = "Give each source a folder of its own, or exclude the table from one of them."
            raise SinkRefused(message, where=store.path(key), remedy=remedy)
        self._claimed().setdefault(folder, claim.get("relation"))
        return str(claim["partition_prefix"])

    def _refuse_foreign_files(self, table: TableId, folder: str) -> None:
        store = self._paths.store
        if any(key.endswith(f".{self._suffix}") for key in store.keys(f"{folder}/")):
            message = f"the folder of {table} holds files that this lake did not write"
            remedy = "Move them away, or write to another folder."
            raise SinkRefused(message, where=store.path(folder), remedy=remedy)

    def _key(self, folder: str) -> str:
        return f"{self._paths.tables}{folder}.json"

    def _read(self, folder: str) -> tuple[dict[str, Any], str]:
        """A claim that exists, and its version."""
        found = self._paths.store.get(self._key(folder))
        if found is None:
            where = self._paths.store.path(self._key(folder))
            raise SinkUnavailable("the claim was removed while it was read", where=where)
        return orjson.loads(found.data), found.version
