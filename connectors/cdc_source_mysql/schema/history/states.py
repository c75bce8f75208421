"""The history's record of one table, from its catalog entry or its CREATE TABLE, and of each database: its
default character set at the stream's position. Both as text in the source state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import orjson

from cdc.errors import StateError
from cdc.model import TableId
from cdc_source_mysql.schema.charsets import Collation, holds
from cdc_source_mysql.schema.ddl.changes import Created, DatabaseDefaults, Default
from cdc_source_mysql.schema.definitions import ColumnDefinition, TableDefinition
from cdc_source_mysql.schema.history.edits import (
    UNKNOWN_CHARSET,
    CharacterSet,
    KnownTable,
    ShapeUnsure,
    create,
    guess_created,
    require_no_hash,
)
from cdc_source_mysql.schema.table_map import TableMap


@dataclass(frozen=True, slots=True)
class HistoryState:
    """One table. Without a `definition` its shape isn't sure, for that `reason`.

    `draft` is then what it would be but for character sets that are UNKNOWN_CHARSET; `hint` is only good to
    recognise columns in an event. `characters` is the default character set for columns to come,
    `has_primary_key` whether the key is the primary one; both None where not known. `fills` are the defaults
    of added columns, by name, `dropped` the names (in lower case) of columns that are gone: a sink may still
    have their values. `is_unproven`: rows may have changed without a statement; the next event that is
    understood says so.
    """

    table: TableId
    definition: TableDefinition | None = None
    draft: TableDefinition | None = None
    hint: TableDefinition | None = None
    characters: CharacterSet | None = None
    has_primary_key: bool | None = None
    fills: Mapping[str, Default] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    reason: str = ""
    is_unproven: bool = False

    @classmethod
    def of(cls, known: KnownTable) -> HistoryState:
        definition = known.definition
        state = cls(
            definition.table,
            characters=known.characters,
            has_primary_key=known.has_primary_key,
            hint=definition,
        )
        if known.is_sure:
            return replace(state, definition=definition)
        return replace(state, draft=definition, reason="a column has the table's default character set")

    @property
    def known(self) -> KnownTable | None:
        """Return the table as statements are applied to it."""
        definition = self.definition or self.draft
        return None if definition is None else KnownTable(definition, self.characters, self.has_primary_key)

    def renamed(self, table: TableId) -> HistoryState:
        """Return this state for a table renamed to `table` or created like this one. That table is copied
        again, so no fills remain.
        """
        moved = (
            None if d is None else replace(d, table=table) for d in (self.definition, self.draft, self.hint)
        )
        definition, draft, hint = moved
        return replace(
            self, table=table, definition=definition, draft=draft, hint=hint, fills={}, dropped=frozenset()
        )

    def to_json(self) -> str:
        value = {
            "schema": self.table.schema,
            "name": self.table.name,
            "definition": _text(self.definition),
            "draft": _text(self.draft),
            # A sure definition is its own hint.
            "hint": None if self.definition is not None else _text(self.hint),
            "characters": [self.characters.charset, self.characters.collation] if self.characters else None,
            "primary": self.has_primary_key,
            "fills": {name: [default.kind, default.text] for name, default in self.fills.items()},
            "dropped": sorted(self.dropped),
            "reason": self.reason,
            "untold": self.is_unproven or None,
        }
        return orjson.dumps(
            {key: item for key, item in value.items() if item not in (None, "", {}, [])}
        ).decode()

    @classmethod
    def from_json(cls, text: str) -> HistoryState:
        try:
            value = orjson.loads(text)
            definition, draft, hint = (_definition(value.get(key)) for key in ("definition", "draft", "hint"))
            return cls(
                table=TableId(str(value["schema"]), str(value["name"])),
                definition=definition,
                draft=draft,
                hint=definition or hint,
                characters=CharacterSet(*value["characters"]) if value.get("characters") else None,
                has_primary_key=value.get("primary"),
                fills={name: Default(*default) for name, default in value.get("fills", {}).items()},
                dropped=frozenset(value.get("dropped", ())),
                reason=str(value.get("reason", "")),
                is_unproven=bool(value.get("untold", False)),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = "the stored definition of a table cannot be read"
            raise StateError(message, remedy="Copy the tables of this source again.") from error


def _text(definition: TableDefinition | None) -> str | None:
    return None if definition is None else definition.to_json()


def _definition(text: str | None) -> TableDefinition | None:
    return TableDefinition.from_json(text) if text else None


def completed(
    draft: TableDefinition, table_map: TableMap, collations: Mapping[int, Collation]
) -> TableDefinition | None:
    """Return the draft with the character sets of an event; None when the event has none."""
    ids = table_map.collation_ids
    if ids is None or len(ids) != len(draft.columns):
        return None
    columns = [
        _with_charset(column, collations.get(number))
        for column, number in zip(draft.columns, ids, strict=True)
    ]
    definition = replace(draft, columns=tuple(columns))
    return definition if all(column.charset != UNKNOWN_CHARSET for column in columns) else None


def _with_charset(column: ColumnDefinition, collation: Collation | None) -> ColumnDefinition:
    if column.charset != UNKNOWN_CHARSET or collation is None:
        return column
    if collation.charset == "binary":
        # The table's default may be bytes: then it is another type.
        return column
    if not all(holds(collation.charset, label) for label in column.labels):
        return column
    return replace(column, charset=collation.charset, collation=collation.name)


def created(
    table: TableId,
    change: Created,
    original: HistoryState | None,
    default_collations: Mapping[str, str],
    database: CharacterSet | None,
    flavour: str,
) -> HistoryState:
    """`original` is the state of the table that it is created like, if that is kept; `database` the default
    character set of its database, None where that is not known.
    """
    if change.like is not None:
        if original is not None and original.known is not None and not original.is_unproven:
            return original.renamed(table)
    elif change.shape is not None:
        try:
            known = create(table, change.shape, default_collations, database)
            if flavour == "mariadb":
                require_no_hash(known.definition, change.shape.indexes)
            return HistoryState.of(known)
        except ShapeUnsure as error:
            return HistoryState(table, hint=guess_created(table, change.shape), reason=str(error))
    return HistoryState(table, reason=change.reason)


MEMORY_PREFIX = "database:"
Memory = dict[str, str | None]


class Databases:
    """Kept by CREATE, ALTER and DROP DATABASE from what the catalog said where the history began. A database
    that is missing here has a default that is not known.
    """

    def __init__(self) -> None:
        self._known: dict[str, CharacterSet] = {}

    def get(self, name: str) -> CharacterSet | None:
        return self._known.get(name)

    def restore(self, memory: Mapping[str, str]) -> None:
        for key, text in memory.items():
            if key.startswith(MEMORY_PREFIX):
                self._known[key.removeprefix(MEMORY_PREFIX)] = CharacterSet(*orjson.loads(text))

    def begin(self, known: Mapping[str, CharacterSet]) -> Memory:
        memory = self.clear()
        for name, characters in known.items():
            memory |= self._put(name, characters)
        return memory

    def clear(self) -> Memory:
        """Nothing that is known is sure any more."""
        memory: Memory = {}
        for name in list(self._known):
            memory |= self.forget(name)
        return memory

    def apply(self, name: str, change: DatabaseDefaults, default_collations: Mapping[str, str]) -> Memory:
        if change.if_not_exists:
            # Where it is not known, nothing says whether it was there before.
            return {}
        if change.charset is None:
            return self.forget(name)
        collation = change.collation or default_collations.get(change.charset)
        return self._put(name, CharacterSet(change.charset, collation))

    def forget(self, name: str) -> Memory:
        return {} if self._known.pop(name, None) is None else {f"{MEMORY_PREFIX}{name}": None}

    def _put(self, name: str, characters: CharacterSet) -> Memory:
        self._known[name] = characters
        text = orjson.dumps([characters.charset, characters.collation]).decode()
        return {f"{MEMORY_PREFIX}{name}": text}
