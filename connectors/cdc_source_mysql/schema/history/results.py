"""What the history returns: the outcome of a statement, the outcome of an event, and why a table is copied
again when the binlog has only the text of a statement that changed its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cdc.model import Resnapshot, TableId
from cdc_source_mysql.schema.ddl.changes import Dml
from cdc_source_mysql.schema.definitions import TableDefinition

ROWS_REMEDY = "Run: set global binlog_format = row; and let no session set another."
# Definitions that no statement in the binlog tells come from such sessions only.
UNLOGGED_REMEDY = (
    "Let sessions that alter tables log their statements (sql_log_bin = 1; in Galera wsrep_OSU_method = TOI)."
)
_VERSIONS_REMEDY = (
    "MariaDB logs every change of a table with versions by transaction as a statement: give it versions by"
    " timestamp(6), or exclude the table."
)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a statement means for the caller.

    `memory` goes with the ChangeSet. `changed` are the selected tables whose definition is another, or gone:
    plans made from the old one are void. `truncated` get a truncate row. `resnapshots` are to be copied again
    (with CREATE or RENAME over a selected name too). `statements` are those that change rows without row
    events, and maybe, by what hangs on their tables, rows of other selected ones than `resnapshots` has.
    `notes` are for the log.
    """

    memory: Mapping[str, str | None] = field(default_factory=dict)
    changed: tuple[TableId, ...] = ()
    truncated: tuple[TableId, ...] = ()
    resnapshots: tuple[Resnapshot, ...] = ()
    statements: tuple[Dml, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """The definition for a TABLE_MAP event. None: read the catalog again with a proof, give it to
    `History.learn`, resolve once more; `reason` says why. `memory` goes with the current ChangeSet.
    `resnapshots`: the event proves a change that no statement made and that may have changed rows.
    """

    definition: TableDefinition | None
    reason: str = ""
    memory: Mapping[str, str | None] = field(default_factory=dict)
    resnapshots: tuple[Resnapshot, ...] = ()


@dataclass(slots=True)
class AppliedDraft:
    """An Applied while it is being made."""

    memory: dict[str, str | None] = field(default_factory=dict)
    changed: dict[TableId, None] = field(default_factory=dict)
    truncated: list[TableId] = field(default_factory=list)
    resnapshots: dict[TableId, Resnapshot] = field(default_factory=dict)
    statements: list[Dml] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def finish(self) -> Applied:
        return Applied(
            memory=self.memory,
            changed=tuple(self.changed),
            truncated=tuple(self.truncated),
            resnapshots=tuple(self.resnapshots.values()),
            statements=tuple(self.statements),
            notes=tuple(self.notes),
        )


def statement_logged(keyword: str, where: str) -> str:
    return f"{keyword} was logged as a statement, without its rows, at {where}"


def rows_remedy(definition: TableDefinition | None) -> str:
    """What makes the server log rows of the table."""
    by_transaction = definition is not None and definition.has_versions_by_transaction
    return _VERSIONS_REMEDY if by_transaction else ROWS_REMEDY
