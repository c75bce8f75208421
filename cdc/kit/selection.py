"""Which tables a source follows: globs on `schema.table`, in order; a later entry wins.

Names are compared verbatim, case included, unless the database itself ignores it (`ignoring_case`). A part in
double quotes is literal (`"odd.schema"."*"`), any other part is a glob (`*`, `?`, `[ab]`). System schemas,
which each connector names, are never matched.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cdc.model import TableId
from cdc.spi.source import Absence

_PART = r'(?:"(?:[^"]|"")+"|[^".]+)'
_ENTRY = re.compile(rf"(?P<schema>{_PART})\.(?P<name>{_PART})")
_GLOB_CHARACTERS = frozenset("*?[")
# What needs no quotes as a part of an entry: no dot, quote, glob or leading `!`.
_BARE_PART = re.compile(r'[^".*?\[!][^".*?\[]*')


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry of `tables`."""

    text: str
    excludes: bool
    schema: re.Pattern[str]
    name: re.Pattern[str]
    exact: TableId | None

    def matches(self, table: TableId) -> bool:
        return self.schema.fullmatch(table.schema) is not None and self.name.fullmatch(table.name) is not None


@dataclass(frozen=True, slots=True)
class TableSelection:
    """The tables that a list of patterns selects; built by `TableSelection.parse`."""

    patterns: tuple[Pattern, ...]
    system: re.Pattern[str]
    ignores_case: bool = False

    @classmethod
    def parse(cls, entries: Sequence[str], system: re.Pattern[str]) -> TableSelection:
        """Parse entries of `tables`; `system` matches the schemas that the server keeps for itself.

        Raises:
            ValueError: an entry is not `schema.table` (the message names it), or no entry selects anything.
        """
        patterns = tuple(_parse_entry(entry) for entry in entries)
        if not any(not pattern.excludes for pattern in patterns):
            raise ValueError("the list selects nothing: begin it with a pattern such as public.*")
        return cls(patterns, system)

    def ignoring_case(self) -> TableSelection:
        """Return the selection for a database to which names that differ only in case are the same."""
        lowered = (replace(_parse_entry(each.text.lower()), text=each.text) for each in self.patterns)
        return TableSelection(tuple(lowered), self.system, ignores_case=True)

    def matches(self, table: TableId) -> bool:
        if self.system.fullmatch(table.schema):
            return False
        wanted = self._cased(table)
        for pattern in reversed(self.patterns):
            if pattern.matches(wanted):
                return not pattern.excludes
        return False

    def names(self, table: TableId) -> bool:
        """Return whether an entry names the table without a glob, so that skipping it would surprise."""
        wanted = self._cased(table)
        return any(pattern.exact == wanted and not pattern.excludes for pattern in self.patterns)

    def unmatched(self, tables: Iterable[TableId]) -> list[str]:
        """Return the entries that no table matches, but for exclusions."""
        known = [self._cased(table) for table in tables]
        return [p.text for p in self.patterns if not p.excludes and not any(p.matches(t) for t in known)]

    def _cased(self, table: TableId) -> TableId:
        return table.lower() if self.ignores_case else table


def parse_table(text: str) -> TableId:
    """Parse `schema.table`, quoted or not; raise ValueError for globs and anything else."""
    pattern = _parse_entry(text)
    if pattern.excludes or pattern.exact is None:
        message = f"{text!r} must name one table as schema.table, without a glob"
        raise ValueError(message)
    return pattern.exact


def nearest(text: str, tables: Iterable[TableId]) -> str:
    """Return the table that an entry without a match probably means; empty if none is close."""
    wanted = text.lstrip("!").replace('"', "").lower()
    schema, _, name = wanted.rpartition(".")
    known = {str(table).lower(): table for table in tables}
    # Most tables share their schema, which would make any two of them look alike: compare the parts.
    names = {table.name.lower(): table for key, table in known.items() if key.rpartition(".")[0] == schema}
    for candidates, given in ((known, wanted), (names, name)):
        near = difflib.get_close_matches(given, candidates, n=1, cutoff=0.9 if candidates is known else 0.6)
        if near:
            return str(candidates[near[0]])
    return ""


def _parse_entry(text: str) -> Pattern:
    excludes = text.startswith("!")
    body = text[1:] if excludes else text
    match = _ENTRY.fullmatch(body)
    if match is None:
        raise ValueError(_not_a_table(text, body))
    schema, schema_is_exact = _parse_part(match["schema"])
    name, name_is_exact = _parse_part(match["name"])
    literal = TableId(_unquote(match["schema"]), _unquote(match["name"]))
    exact = literal if schema_is_exact and name_is_exact else None
    return Pattern(text, excludes, schema, name, exact)


def _not_a_table(text: str, body: str) -> str:
    if body and "." not in body and '"' not in body:
        mark = "!" if text != body else ""
        return f"{text!r} has no schema: write schema.table, such as {mark}public.{body}"
    return f"{text!r} is not schema.table (put a part that holds a dot or a glob character in double quotes)"


def _parse_part(part: str) -> tuple[re.Pattern[str], bool]:
    if part.startswith('"') or not _GLOB_CHARACTERS.intersection(part):
        return re.compile(re.escape(_unquote(part)), re.DOTALL), True
    return re.compile(fnmatch.translate(part)), False


def _unquote(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def entry_for(table: TableId) -> str:
    """Return the entry of `tables` that matches this table and no other."""
    return f"{quoted_part(table.schema)}.{quoted_part(table.name)}"


def exclusion_of(table: TableId) -> str:
    """Return the entry that excludes this table, as YAML text to paste into the list of `tables`."""
    return json.dumps(f"!{entry_for(table)}", ensure_ascii=not all(map(str.isprintable, entry_for(table))))


def renamed(table: TableId, now: TableId) -> Absence:
    """Return why a table is absent whose present name is not selected."""
    reason = f"{table} was renamed to {now}, which `tables` does not select"
    remedy = f"Add to tables: {entry_for(now)}, or to exclude the old name: {exclusion_of(table)}"
    return Absence(reason, remedy)


def quoted_part(name: str) -> str:
    """Return a schema or table name as a literal part of an entry."""
    if _BARE_PART.fullmatch(name):
        return name
    return '"' + name.replace('"', '""') + '"'
