"""What is known of a table by the statement that creates it."""

from __future__ import annotations

from collections.abc import Mapping

from cdc.model import TableId
from cdc_source_mysql.schema.ddl.changes import Created
from cdc_source_mysql.schema.history.edits import CharacterSet, ShapeUnsure, create, guess_created
from cdc_source_mysql.schema.history.hashes import require_no_hash
from cdc_source_mysql.schema.history.states import State


def created(
    table: TableId,
    change: Created,
    original: State | None,
    default_collations: Mapping[str, str],
    database: CharacterSet | None,
    flavour: str,
) -> State:
    """`original` is the state of the table that it is created like, if that is kept; `database` the default
    character set of its database, None where that is not known.
    """
    if change.like is not None:
        if original is not None and original.known is not None and not original.is_untold:
            return original.renamed(table)
    elif change.shape is not None:
        try:
            known = create(table, change.shape, default_collations, database)
            if flavour == "mariadb":
                require_no_hash(known.definition, change.shape.indexes)
            return State.of(known)
        except ShapeUnsure as error:
            return State(table, hint=guess_created(table, change.shape), reason=str(error))
    return State(table, reason=change.reason)
