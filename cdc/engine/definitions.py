"""New versions of tables' definitions, between the commit that brings them and the state that keeps them.

Versions that a later one replaces within one commit are not noted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from cdc.model import Commit, TableId, TableSchema
from cdc.spi import LogReader, State
from cdc.spi.state import DefinedColumn, DefinedTable, TableVersion


class NewDefinitions:
    """The versions that the log has, and those of them that the state does not have yet. Entries add, one
    after the other; housekeeping takes.
    """

    def __init__(self, log: LogReader) -> None:
        self._log = log
        # The schemas that batches came with last: what is one of them needs no further look.
        self._seen: dict[TableId, TableSchema] = {}
        self._versions: dict[TableId, int] | None = None
        self._waiting: deque[tuple[TableSchema, Commit]] = deque()

    def is_new(self, schema: TableSchema) -> bool:
        """Return whether the schema is another than that of the table's last committed batch."""
        return self._seen.get(schema.table) is not schema

    def committed(self, schemas: Mapping[TableId, TableSchema], commit: Commit) -> None:
        """Note the versions that came with this commit."""
        self._seen.update(schemas)
        for table in schemas:
            stored = self._log.schema(table)
            if stored is not None:
                self._waiting.append((stored, commit))

    def record(self, state: State, source: str) -> None:
        """Give the state the versions that it lacks. After an error nothing is lost, and a repetition gives
        them again.
        """
        if self._versions is None:
            # What the log had before: of an older version of the daemon, or of one that crashed.
            known = dict(state.definition_versions(source))
            early = [self._log.schema(table) for table in sorted(self._log.tables)]
            missing = [one for one in early if one is not None and known.get(one.table) != one.version]
            waiting = {(one.table, one.version) for one, _ in self._waiting}
            missing = [one for one in missing if (one.table, one.version) not in waiting]
            state.add_definitions(source, [_version(source, one, None) for one in missing])
            self._versions = known | {one.table: one.version for one in missing}
        taken = [self._waiting[index] for index in range(len(self._waiting))]
        fresh = {
            (schema.table, schema.version): (schema, commit)
            for schema, commit in taken
            if self._versions.get(schema.table) != schema.version
        }
        if fresh:
            state.add_definitions(source, [_version(source, *one) for one in fresh.values()])
        for schema, _ in taken:
            self._versions[schema.table] = schema.version
            self._waiting.popleft()


def _version(source: str, schema: TableSchema, commit: Commit | None) -> TableVersion:
    columns = tuple(
        DefinedColumn(one.name, str(one.type), one.source_type, one.nullable) for one in schema.columns
    )
    return TableVersion(
        id=0,
        source=source,
        table=schema.table,
        version=schema.version,
        at=None if commit is None else commit.commit_at or commit.written_at,
        position=None if commit is None else commit.position.text,
        definition=DefinedTable(columns, schema.key, schema.identity),
    )
