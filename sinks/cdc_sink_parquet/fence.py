"""Who may write: one process per source and lake, the one with the newest epoch, and one source per table.

The lock falls with the process. The epoch in `owner.json` also holds where locks don't (a copied folder,
some network file systems).
"""

from __future__ import annotations

import fcntl
import os

import orjson

from cdc.errors import SinkRefused, SinkUnavailable
from cdc.files import file_mode
from cdc.model import TableId, TableSchema
from cdc.spi import SinkContext, fencing
from cdc_sink_parquet.files import create_file, make_folders, replace_file
from cdc_sink_parquet.journal import encode
from cdc_sink_parquet.layout import LakePaths, check_folder_name, partition_prefix, table_folder


class Fence:
    """The right to write for one source, held from `take` to `release`."""

    def __init__(self, paths: LakePaths, context: SinkContext) -> None:
        self._paths = paths
        self._context = context
        self._lock: int | None = None

    @property
    def is_taken(self) -> bool:
        return self._lock is not None

    def take(self) -> None:
        """Lock, and put our epoch in force; SinkFenced when a newer one is there, SinkUnavailable when
        another process holds the lock.
        """
        if self._lock is None:
            make_folders(self._paths.home, self._paths.root)
            self._lock = self._acquire()
        try:
            ours = fencing.Fence(self._context.epoch, self._context.log_id)
            if self.verify(has_rows=self._paths.cursor.exists()) != ours:
                owner = {"epoch": ours.epoch, "log": ours.log_id, "pid": os.getpid()}
                replace_file(self._paths.owner, encode(owner))
        except BaseException:
            self.release()
            raise

    def verify(self, *, has_rows: bool = True) -> fencing.Fence | None:
        """The fence in force; SinkFenced when it is newer than ours, SinkRefused when the lake holds another
        log's rows.
        """
        fence = self._newest()
        where = str(self._paths.owner)
        fencing.check_fence(fence, self._context, has_rows=has_rows, where=where)
        return fence

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def _acquire(self) -> int:
        lock = os.open(self._paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, file_mode())
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            self.verify()
            message = "another process writes this source's changes to this lake"
            raise SinkUnavailable(
                message, where=str(self._paths.lock), remedy="Stop it. Delivery resumes automatically."
            ) from error
        return lock

    def _newest(self) -> fencing.Fence | None:
        try:
            owner = orjson.loads(self._paths.owner.read_bytes())
        except FileNotFoundError:
            return None
        return fencing.Fence(int(owner["epoch"]), str(owner.get("log", "")))


class TableClaims:
    """Which tables of the lake are this source's; a table's first write claims it.

    A claim also has the source's number of the table whose rows the folder gives; None until it is known.
    """

    def __init__(self, paths: LakePaths) -> None:
        self._paths = paths
        self._prefixes: dict[TableId, str] = {}
        self._relations: dict[str, int | None] | None = None

    def partition_prefix(self, schema: TableSchema) -> str:
        """The prefix of the table's partition keys; SinkRefused when the table is another source's,
        UnsupportedSchema when its name is too long for a folder.
        """
        if schema.table not in self._prefixes:
            self._prefixes[schema.table] = self._claim(schema)
        return self._prefixes[schema.table]

    def folders(self) -> list[str]:
        """The folders of this source's tables."""
        return list(self._claimed())

    def is_home(self, schema: TableSchema) -> bool:
        """Whether the table's folder gives its rows; a folder of which nothing is known becomes its home."""
        relations, folder = self._claimed(), table_folder(schema.table)
        if relations.get(folder) is None and schema.relation not in relations.values():
            self.adopt(schema)
        return relations.get(folder) == schema.relation

    def adopt(self, schema: TableSchema) -> None:
        """Make the table's folder its home, and no other one."""
        self.partition_prefix(schema)
        relations, home = self._claimed(), table_folder(schema.table)
        for folder, relation in list(relations.items()):
            if folder == home and relation != schema.relation:
                self._note(folder, schema.relation)
            elif folder != home and relation is not None and relation == schema.relation:
                self._note(folder, None)

    def _note(self, folder: str, relation: int | None) -> None:
        path = self._paths.tables / f"{folder}.json"
        replace_file(path, encode(orjson.loads(path.read_bytes()) | {"relation": relation}))
        self._claimed()[folder] = relation

    def _claimed(self) -> dict[str, int | None]:
        """The numbers of the tables by the folders of this source."""
        if self._relations is None:
            paths = sorted(self._paths.tables.glob("*.json")) if self._paths.tables.is_dir() else []
            claims = ((path.stem, orjson.loads(path.read_bytes())) for path in paths)
            self._relations = {
                folder: claim.get("relation")
                for folder, claim in claims
                if claim["source"] == self._paths.source
            }
        return self._relations

    def _claim(self, schema: TableSchema) -> str:
        table, folder = schema.table, table_folder(schema.table)
        path = self._paths.tables / f"{folder}.json"
        check_folder_name(table)
        if not path.exists():
            self._refuse_foreign_files(table, folder)
            make_folders(self._paths.tables, self._paths.root)
            content = {
                "source": self._paths.source,
                "schema": table.schema,
                "table": table.name,
                "partition_prefix": partition_prefix(schema),
                "relation": None,
            }
            create_file(path, encode(content))
        claim = orjson.loads(path.read_bytes())
        if claim["source"] != self._paths.source:
            message = f"the table {table} of this lake belongs to the source {claim['source']!r}"
            remedy = "Give each source a folder of its own, or leave the table out of one of them."
            raise SinkRefused(message, where=str(path), remedy=remedy)
        self._claimed().setdefault(folder, claim.get("relation"))
        return str(claim["partition_prefix"])

    def _refuse_foreign_files(self, table: TableId, folder: str) -> None:
        target = self._paths.root / folder
        if target.is_dir() and any(target.rglob("*.parquet")):
            message = f"the folder of {table} holds files that no cursor of this lake knows"
            raise SinkRefused(
                message, where=str(target), remedy="Move them away, or write to another folder."
            )
