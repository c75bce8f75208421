"""Rules of one table, combined from the entries of `transforms`: all conditions apply, and the last mask of a
column.

Columns are named as at the source, and match whatever their case: a mask must not miss a column for a
capital letter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cdc.kit.selection import TableSelection
from cdc.model import TableId
from cdc.transform.expression import Expression
from cdc.transform.routing import Route
from cdc.transform.settings import KeepLast, Mask, TransformSettings, TruncateMask

# Enough of a digest to see that a key was changed, and nothing to find it by.
_FINGERPRINT_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Where:
    """A condition; `is_fixed`: its columns never change in a row."""

    place: str
    expression: Expression
    is_fixed: bool


@dataclass(frozen=True, slots=True)
class TableRules:
    """Transforms of one table. Names are lower case; each comes with its place in the configuration."""

    where: tuple[Where, ...] = ()
    hooks: tuple[tuple[str, str], ...] = ()
    masks: Mapping[str, tuple[str, Mask]] = field(default_factory=dict)
    included: tuple[tuple[str, frozenset[str]], ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)
    renames: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    route: Route | None = None
    # Represents the key in `record`.
    fingerprint: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether the rows stay as they are."""
        return not (self.where or self.hooks or self.masks or self.included or self.excluded or self.renames)

    def named_columns(self) -> Iterator[tuple[str, str]]:
        """Place and name of every column that a rule names, conditions aside."""
        for name, (place, _) in self.masks.items():
            yield f"{place}.mask", name
        for name, (place, _) in self.renames.items():
            yield f"{place}.rename", name
        for place, names in self.included:
            yield from ((f"{place}.columns.include", name) for name in sorted(names))
        for name, place in self.excluded.items():
            yield f"{place}.columns.exclude", name

    def record(self) -> str:
        """A text that changes whenever rows would be captured differently; empty where they stay as they are.

        It is kept in the log metadata, so it holds digests of conditions and keys, not their texts.
        """
        if self.is_empty:
            return ""
        columns = {
            name: [
                _mask_text(self.masks[name][1], self.fingerprint) if name in self.masks else "",
                self._new_name(name),
            ]
            for name in sorted({*self.masks, *self.renames})
        }
        others = [
            sorted((where.expression.text, where.is_fixed) for where in self.where),
            [path for path, _ in self.hooks],
            [sorted(names) for _, names in self.included],
            sorted(self.excluded),
        ]
        digests = {
            name: hashlib.sha256(json.dumps(other).encode()).hexdigest()[:_FINGERPRINT_DIGITS]
            for name, other in zip(("where", "python", "include", "exclude"), others, strict=True)
            if other
        }
        return json.dumps({"columns": columns, **digests}, separators=(",", ":"), sort_keys=True)

    def _new_name(self, name: str) -> str:
        return self.renames[name][1] if name in self.renames else ""


class Rules:
    """All entries of one source."""

    def __init__(self, source: str, entries: Sequence[TransformSettings], fingerprint: str = "") -> None:
        self._fingerprint = fingerprint
        self._entries: list[tuple[str, TableSelection, TransformSettings]] = [
            (f"sources.{source}.transforms[{index}]", entry.selection, entry)
            for index, entry in enumerate(entries)
        ]
        self._routes = [
            Route.parse(entry.route, entry.patterns)
            for _, _, entry in self._entries
            if entry.route is not None
        ]
        self._known: dict[TableId, TableRules] = {}

    def of(self, table: TableId) -> TableRules:
        """Return the transforms of the table that has this name at the source."""
        known = self._known.get(table)
        if known is None:
            known = self._known[table] = self._combine(table)
        return known

    def target(self, table: TableId) -> TableId:
        """The name that the table gets."""
        route = self.of(table).route
        return table if route is None else route.target(table)

    def origins(self, target: TableId) -> Iterator[TableId]:
        """The names at the source that become `target`, whether or not such a table exists."""
        candidates = [target, *(found for route in self._routes for found in route.origins(target))]
        yield from (table for table in dict.fromkeys(candidates) if self.target(table) == target)

    def unmatched(self, tables: Sequence[TableId]) -> Iterator[tuple[str, str]]:
        """Place and text of every pattern that matches none of the tables."""
        for place, selection, _ in self._entries:
            yield from ((f"{place}.table", text) for text in selection.unmatched(tables))

    def _combine(self, table: TableId) -> TableRules:
        where: list[Where] = []
        hooks: list[tuple[str, str]] = []
        masks: dict[str, tuple[str, Mask]] = {}
        included: list[tuple[str, frozenset[str]]] = []
        excluded: dict[str, str] = {}
        renames: dict[str, tuple[str, str]] = {}
        route: Route | None = None
        for place, selection, entry in self._entries:
            if not selection.matches(table):
                continue
            if entry.where is not None:
                where.append(Where(f"{place}.where", Expression.parse(entry.where), entry.where_fixed))
            if entry.python is not None:
                hooks.append((entry.python, f"{place}.python"))
            masks |= {name.lower(): (place, mask) for name, mask in entry.mask.items()}
            renames |= {name.lower(): (place, new) for name, new in entry.rename.items()}
            if entry.columns is not None and entry.columns.include is not None:
                included.append((place, frozenset(name.lower() for name in entry.columns.include)))
            if entry.columns is not None and entry.columns.exclude is not None:
                excluded |= {name.lower(): place for name in entry.columns.exclude}
            route = route if entry.route is None else Route.parse(entry.route, entry.patterns)
        return TableRules(
            tuple(where), tuple(hooks), masks, tuple(included), excluded, renames, route, self._fingerprint
        )


def fingerprint(key: bytes | None) -> str:
    """Return the fingerprint of a key, which shows a change of the key and not the key."""
    if key is None:
        return ""
    return hashlib.sha256(b"cdc mask key\0" + key).hexdigest()[:_FINGERPRINT_DIGITS]


def _mask_text(mask: Mask, key: str) -> str:
    if isinstance(mask, KeepLast):
        return f"keep_last {mask.keep_last}"
    if isinstance(mask, TruncateMask):
        return f"truncate {mask.truncate}"
    return f"{mask} {key}" if mask in ("hash", "tokenise") else mask
