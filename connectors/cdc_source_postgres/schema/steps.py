"""Judges the step between two definitions of a table: proven harmless, or a reason to copy it again.

Pure functions. Two things are judged: whether rows changed without row events (rewritten, unlogged,
attached, left out of the publication), and whether every row event between the two can be given its column
numbers. What is not proven is copied again.

What the proofs rest on: column numbers are only ever appended and never used again. A pg_attribute row that
has its xmin still was never renamed or retyped in between. A rewrite gives a table new files, TRUNCATE too,
but only a rewrite gives it another TOAST table. Postgres refuses to make a table unlogged that a
publication lists by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from cdc_source_postgres.schema.definition import ColumnDefinition, Definition, Node, Sent
from cdc_source_postgres.statements import identifier

# pg_class.relpersistence of a table whose changes are logged.
LOGGED = "p"
PARTITIONED = "p"
# Types whose values stay the same bytes and the same text under another length or precision, as long as the
# server did not rewrite them: varchar, numeric, varbit, time, timetz, timestamp, timestamptz, interval.
_MODIFIABLE = frozenset((1043, 1700, 1562, 1083, 1266, 1114, 1184, 1186))
# text and varchar.
_TEXTS = frozenset((25, 1043))
# Bits of table_rewrite's reason: 8, a new access method, changes no row.
HARMLESS_REWRITES = 8
# So many columns are named in a reason.
_NAMED = 5
# Event triggers do not send `named`, and older logs do not have it.
UNNAMED = "nothing shows that the table stayed in the publication's schemas: its stored definition is older"
_TRIGGER_HINT = "; with `ddl: trigger` this needs no copy"


class Reading(Enum):
    """How the columns of a row event between two definitions find their numbers."""

    BY_NAME = auto()
    BY_PLACE = auto()


@dataclass(frozen=True, slots=True)
class DefinitionStep:
    """The judgement: `reason` says why the table is copied again, empty when it need not be."""

    reason: str = ""
    reading: Reading = Reading.BY_NAME


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Circumstances that two definitions alone do not show.

    `listed`: a publication lists the table by name, at both ends. `watched`: an event trigger would have
    told of DDL. `triggers`: there are event triggers now. `empty`: partitions that have no rows and had none
    since they were created. `rewriting`: the reason bits of a `table_rewrite` event.
    """

    listed: bool = False
    watched: bool = False
    triggers: bool = False
    empty: frozenset[int] = field(default_factory=frozenset)
    rewriting: int = 0

    @property
    def hint(self) -> str:
        """Return what would spare the copy; empty where that is in use."""
        return "" if self.watched or self.triggers else _TRIGGER_HINT


def classify(before: Definition, after: Definition, circumstances: Circumstances) -> DefinitionStep:
    """Judge the step between two definitions of one table."""
    if before == after and not circumstances.rewriting:
        return DefinitionStep()
    for reason in _reasons(before, after, circumstances):
        return DefinitionStep(reason)
    gone = _numbers(before) - _numbers(after)
    return DefinitionStep("", Reading.BY_NAME if gone else Reading.BY_PLACE)


def why_unsent(before: Sent, after: Sent) -> str:
    """Why changes between two definitions of what is sent of a table may be missing; empty when none are."""
    if before == after or not after.is_sent:
        return ""
    if not before.is_sent:
        return "the table was not in the publication for a while"
    if before.operations != after.operations:
        return "the publication's operations were changed (publish)"
    if before.via_root != after.via_root:
        return "the publication's publish_via_partition_root was changed"
    if before.generated != after.generated:
        return "the publication's publish_generated_columns was changed"
    return _why_unlisted(before, after) or "the publication was altered, possibly only for a while"


def why_moved(before: Definition, after: Definition, circumstances: Circumstances) -> str:
    """Why a table that is sent because of its schema may have been in another one; empty when it was not."""
    if before.namespace == after.namespace and (
        circumstances.watched or before.named == after.named or _keeps_name(before, after)
    ):
        return ""
    if before.namespace == after.namespace and not (before.named and after.named):
        return UNNAMED
    return "the table was renamed or moved, possibly out of the publication's schemas for a while"


def _keeps_name(before: Definition, after: Definition) -> bool:
    """Return whether what was read without `named` shows that names stayed: it has other catalog rows of the
    transactions that wrote the present names, as of the one that created the table.
    """
    if before.named or not after.named:
        return False
    versions = {c.version for c in before.columns} | {c.default_version for c in before.columns}
    versions |= {_xmin(key.version) for key in before.keys} | {node.version for node in before.tree}
    return {_xmin(name) for name in after.named.split(",")} <= versions


def _xmin(version: str) -> str:
    """Return the xmin of an `oid:xmin`."""
    return version.rpartition(":")[2]


def _why_unlisted(before: Sent, after: Sent) -> str:
    if before.members.keys() != after.members.keys() or before.schemas.keys() != after.schemas.keys():
        return "the publication lists the table in another way"
    if before.schemas != after.schemas:
        return "the table's schema was taken out of the publication and put back"
    for relid, member in after.members.items():
        former = before.members[relid]
        if former.columns != member.columns:
            return "the publication's column list was changed"
        if former.row_filter != member.row_filter:
            return "the publication's row filter was changed"
        if former != member:
            return "the table was taken out of the publication and put back"
    return ""


def same_values(old: tuple[int, int], now: tuple[int, int]) -> bool:
    """Return whether stored values, which were not rewritten, are the same under both (type oid, typmod)."""
    if old[0] == now[0]:
        return old[1] == now[1] or old[0] in _MODIFIABLE
    return {old[0], now[0]} <= _TEXTS


def _reasons(before: Definition, after: Definition, circumstances: Circumstances) -> Iterator[str]:
    """Every reason to copy again, the most telling first."""
    yield from _logged_again(before, after)
    if after.persistence != LOGGED:
        # Nothing of it is sent, and it is copied when it is logged again.
        return
    yield from _text_forms_changed(before, after)
    if after.kind == PARTITIONED:
        yield from _partitions_moved(before, after, circumstances.empty)
    yield from _columns_retyped(before, after)
    yield from _columns_reused(before, after, circumstances)
    if circumstances.rewriting & ~HARMLESS_REWRITES:
        yield "ALTER TABLE rewrote its rows"
    yield from _rewritten(before, after, circumstances)


def _logged_again(before: Definition, after: Definition) -> Iterator[str]:
    files = after.files
    if before.persistence != LOGGED and after.persistence == LOGGED:
        yield "the table was unlogged for a while"
    for relid, node in before.files.items():
        if node.persistence != LOGGED and relid in files and files[relid].persistence == LOGGED:
            yield "a partition was unlogged for a while"


def _text_forms_changed(before: Definition, after: Definition) -> Iterator[str]:
    """Stored values whose text depends on catalog rows that moved."""
    for oid, parts in before.types.items():
        now = after.types.get(oid)
        if now is not None and any(now.get(part) != text for part, text in parts.items()):
            yield f"a type that it uses was altered{_using(before, int(oid))}"
        elif now is not None and len(now) > len(parts) and not _is_enum(now):
            yield f"an attribute was added to a type that it uses{_using(before, int(oid))}"


def _is_enum(parts: object) -> bool:
    """An enum's parts are texts `xmin:label`, a composite's JSON arrays."""
    assert isinstance(parts, dict)
    return all(not text.startswith(("[", "{")) for text in parts.values())


def _using(definition: Definition, oid: int) -> str:
    return _columns([c.name for c in definition.columns if c.type_oid == oid])


def _partitions_moved(before: Definition, after: Definition, empty: frozenset[int]) -> Iterator[str]:
    nodes = {node.relid: node for node in after.tree}
    for old in before.tree:
        now = nodes.get(old.relid)
        if now is None and old.file:
            yield "a partition was detached or dropped"
        elif now is not None and (now.version, now.bound, now.parent) != (old.version, old.bound, old.parent):
            yield "a partition was detached and attached again"
    known = before.files
    for node in after.tree:
        # A partition that has no rows yet and still the file it was created with: all its rows are to come.
        if node.file and node.relid not in known and not (node.relid in empty and node.file == node.relid):
            yield "a partition was attached that may have had rows"


def _columns_retyped(before: Definition, after: Definition) -> Iterator[str]:
    for old, now in _common(before, after):
        if not same_values((old.type_oid, old.typmod), (now.type_oid, now.typmod)):
            yield f"the type of a column was changed{_columns([now.name])}"
        if old.generated != now.generated:
            yield f"a generated column became an ordinary one{_columns([now.name])}"


def _columns_reused(before: Definition, after: Definition, circumstances: Circumstances) -> Iterator[str]:
    """Steps in which a name can have gone from one column to another unseen."""
    added = [c for c in after.columns if c.number not in _numbers(before)]
    gone = [c for c in before.columns if c.number not in _numbers(after)]
    unseen = after.attributes - before.attributes - len(added)
    names = list(dict.fromkeys(c.name for c in [*gone, *added]))
    if (gone and (added or unseen)) or (added and unseen):
        yield (
            f"columns were added and dropped between two reads of the catalog{_columns(names)}"
            f"{circumstances.hint}"
        )
    if gone and any(old.version != now.version for old, now in _common(before, after)):
        yield (
            f"columns were dropped and others altered between two reads of the catalog{_columns(names)}"
            f"{circumstances.hint}"
        )


def _rewritten(before: Definition, after: Definition, circumstances: Circumstances) -> Iterator[str]:
    moved = [
        (old, after.files[relid])
        for relid, old in before.files.items()
        if relid in after.files
        and old.file != after.files[relid].file
        and after.files[relid].persistence == LOGGED
    ]
    if not moved:
        return
    if before.attributes != after.attributes or before.columns != after.columns:
        yield "ALTER TABLE rewrote its rows, or VACUUM FULL ran at the same time"
    elif after.kind == PARTITIONED:
        yield "a partition was truncated or rewritten, which the stream does not report"
    elif not (circumstances.listed or circumstances.watched or _only_truncated(*moved[0])):
        yield f"the table was rewritten, and may have been unlogged for a while{circumstances.hint}"


def _only_truncated(before: Node, after: Node) -> bool:
    """Return whether TRUNCATE removed the rows, which the stream contains."""
    return before.toast != 0 and before.toast == after.toast


def _common(before: Definition, after: Definition) -> Iterator[tuple[ColumnDefinition, ColumnDefinition]]:
    later = {column.number: column for column in after.columns}
    for column in before.columns:
        if column.number in later:
            yield column, later[column.number]


def _numbers(definition: Definition) -> set[int]:
    return {column.number for column in definition.columns}


def _columns(names: list[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(identifier(name) for name in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f" (column{'s' if len(names) > 1 else ''} {shown})"
