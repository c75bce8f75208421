"""The definitions of the selected tables at the stream's position, kept by DDL, events and the catalog.

A table whose shape isn't sure has no definition until an event with full metadata tells it or the catalog is
read again with a proof (connectors.mysql.lookahead). Everything that must survive a restart goes into
`Applied.memory`, which belongs to the ChangeSet that contains the statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from cdc.model import Resnapshot, TableId
from connectors.mysql.charsets import Collation
from connectors.mysql.ddl_changes import TableChange
from connectors.mysql.definitions import TableDefinition
from connectors.mysql.table_map import TableMap

MEMORY_PREFIX = "table:"


@dataclass(frozen=True, slots=True)
class Applied:
    """What a statement means for the caller.

    `memory` goes with the ChangeSet. `changed` are the selected tables whose definition is another, or gone:
    plans made from the old one are void. `truncated` get a truncate row. `resnapshots` are to be copied again
    (with CREATE or RENAME over a selected name too). `notes` are for the log.
    """

    memory: Mapping[str, str | None] = field(default_factory=dict)
    changed: tuple[TableId, ...] = ()
    truncated: tuple[TableId, ...] = ()
    resnapshots: tuple[Resnapshot, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """The definition for a TABLE_MAP event. None: read the catalog again with a proof, give it to
    `History.learn`, resolve once more; `reason` says why. `memory` goes with the current ChangeSet.
    `resnapshots`: the event proves a change that no statement told and that may have changed rows.
    """

    definition: TableDefinition | None
    reason: str = ""
    memory: Mapping[str, str | None] = field(default_factory=dict)
    resnapshots: tuple[Resnapshot, ...] = ()


class History:
    """Not thread-safe: belongs to the stream's thread."""

    def __init__(
        self,
        selects: Callable[[TableId], bool],
        *,
        flavour: str,
        collations: Mapping[int, Collation],
        default_collations: Mapping[str, str] | None = None,
        fold: bool = False,
    ) -> None:
        """`default_collations`: character set → its default collation on this server
        (information_schema.COLLATIONS.IS_DEFAULT). `fold`: lower_case_table_names is not 0.
        """
        raise NotImplementedError

    def restore(self, memory: Mapping[str, str]) -> None:
        """Take back what earlier sets' `memory` kept; other keys are left alone."""
        raise NotImplementedError

    def begin(
        self, definitions: Iterable[TableDefinition], table_collations: Mapping[TableId, str] | None = None
    ) -> Mapping[str, str | None]:
        """Start from the catalog, in place of all that was known; gives the memory to keep.

        `table_collations` (information_schema.TABLES.TABLE_COLLATION) spares re-reads after ADD COLUMN of a
        text without a character set.
        """
        raise NotImplementedError

    def learn(
        self, definition: TableDefinition, table_collation: str | None = None
    ) -> Mapping[str, str | None]:
        """Take in a definition proven right for the stream's position; gives the memory to keep."""
        raise NotImplementedError

    def apply(self, changes: Iterable[TableChange], *, where: str = "") -> Applied:
        """Apply a statement's changes.

        Raises:
            UnknownEvent: statement-based DML on a selected table; or a statement that isn't understood and
                names a selected table. `where` (the position) is in the error.
        """
        raise NotImplementedError

    def resolve(self, table_map: TableMap) -> Resolved:
        """The definition under which the rows of this event are to be read."""
        raise NotImplementedError

    def definition(self, table: TableId) -> TableDefinition | None:
        """What is known of a table; None when it isn't, or isn't sure."""
        raise NotImplementedError

    def definitions(self) -> Mapping[TableId, TableDefinition]:
        """All that is sure."""
        raise NotImplementedError

    def fills(self, table: TableId) -> Mapping[str, pa.Scalar]:
        """Column.fill by column name: what rows older than an added column have (only values that aren't
        NULL).
        """
        raise NotImplementedError
