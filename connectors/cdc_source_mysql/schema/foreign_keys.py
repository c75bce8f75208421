"""Foreign keys as SHOW CREATE TABLE tells them: MariaDB lists them in information_schema only for accounts
that may do more with a table than SELECT.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cdc.model import TableId

# As the server writes it, on a line of its own: names in backquotes, actions behind the parent's columns.
_NAME: Final = r"`((?:[^`]|``)+)`"
_FOREIGN_KEY: Final = re.compile(
    rf"^\s*CONSTRAINT {_NAME} FOREIGN KEY \([^\n]*?\) REFERENCES (?:{_NAME}\.)?{_NAME} \([^\n]*?`\)([^\n]*)",
    re.MULTILINE,
)
_ACTION: Final = re.compile(r"ON (DELETE|UPDATE) (CASCADE|SET NULL|SET DEFAULT)")


@dataclass(frozen=True, slots=True)
class Cascade:
    """A foreign key that changes its table's rows when the parent's change. `actions`: what it does on
    DELETE and UPDATE.
    """

    name: str
    parent: TableId
    actions: dict[str, str]


def cascades(table: TableId, definition: str) -> Iterator[Cascade]:
    """Those of a table, by its SHOW CREATE TABLE."""
    for name, schema, parent, said in _FOREIGN_KEY.findall(definition):
        actions = dict(_ACTION.findall(said))
        if actions:
            parent_id = TableId(_unquoted(schema) or table.schema, _unquoted(parent))
            yield Cascade(_unquoted(name), parent_id, actions)


def _unquoted(name: str) -> str:
    return name.replace("``", "`")
