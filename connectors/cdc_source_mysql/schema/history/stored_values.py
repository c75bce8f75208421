"""Which changes of a column's definition leave the values in its stored rows as they are.

`changed_by` says '' only where every value, as sinks get it, is the same before and after, under the same
Arrow type; anything not known to be so counts as a change. `changes_what_is_computed` asks the same of
columns that the server computes from it.
"""

from __future__ import annotations

from cdc_source_mysql.schema.column_types import ParsedType, parse_type
from cdc_source_mysql.schema.definitions import ColumnDefinition

# Sizes in characters or bytes may grow within a family, and a size into the unlimited type behind it.
_TEXT_ORDER = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext")
_BYTES_ORDER = ("varbinary", "tinyblob", "blob", "mediumblob", "longblob")
_LARGEST = {
    "tinytext": 255,
    "text": 65535,
    "mediumtext": 16777215,
    "longtext": 4294967295,
    "tinyblob": 255,
    "blob": 65535,
    "mediumblob": 16777215,
    "longblob": 4294967295,
}
# Integers of one Arrow type, narrow to wide.
_SAME_INTEGERS = frozenset({("mediumint", "int")})
# Every character of the first is the same character of the second.
_SUPERSETS = frozenset({("ascii", "utf8mb3"), ("ascii", "utf8mb4"), ("utf8mb3", "utf8mb4")})
# Their values look the same whatever the size of the type.
_SHOWN_AS_THEY_ARE = frozenset({"varchar", "varbinary", "enum", "set"})
# The longest character of any character set, in bytes.
_LONGEST_CHARACTER = 4


def changed_by(old: ColumnDefinition, new: ColumnDefinition, *, strict: bool) -> str:
    """Why stored values may be others under the new definition; '' when they aren't.

    `strict`: the server refuses what doesn't fit instead of changing it.
    """
    if new.generated:
        return "a generated column is computed again"
    if old.nullable and not new.nullable and not strict:
        return "NULL becomes a value in a column that is NOT NULL now"
    if old.charset != new.charset and (old.charset, new.charset) not in _SUPERSETS:
        return f"the character set changes from {old.charset or 'binary'} to {new.charset or 'binary'}"
    if old.is_json != new.is_json:
        return "JSON becomes text, or text JSON"
    return _by_type(parse_type(old.column_type), parse_type(new.column_type), _shape(old, new))


def changes_what_is_computed(old: ColumnDefinition, new: ColumnDefinition) -> bool:
    """Whether an expression over the column may give other values though the column's own are the same: by
    another collation, or digits that a wider type shows.
    """
    if (old.charset, old.collation) != (new.charset, new.collation):
        return True
    before, after = parse_type(old.column_type), parse_type(new.column_type)
    is_the_same_kind = before.base == after.base and before.base in _SHOWN_AS_THEY_ARE
    return before != after and not is_the_same_kind


def _shape(old: ColumnDefinition, new: ColumnDefinition) -> str:
    return f"the type changes from {old.column_type} to {new.column_type}"


def _by_type(old: ParsedType, new: ParsedType, reason: str) -> str:
    if old == new:
        return ""
    if old.base in {"enum", "set"}:
        is_longer = new.base == old.base and new.labels[: len(old.labels)] == old.labels
        return "" if is_longer else reason
    if (old.base, new.base) in _SAME_INTEGERS and old.unsigned == new.unsigned:
        return ""
    if old.base in {"datetime", "timestamp"} and old.base == new.base and new.first >= old.first:
        return ""
    if old.base == new.base == "bit" and 1 < old.first <= new.first:
        return ""
    return "" if _grows(old, new) else reason


def _grows(old: ParsedType, new: ParsedType) -> bool:
    for order in (_TEXT_ORDER, _BYTES_ORDER):
        if old.base in order and new.base in order:
            if new.base == "char" and old.base != "char":
                # Trailing spaces are lost.
                return False
            return _capacity(new) >= _wanted(old, new)
    return False


def _capacity(parsed: ParsedType) -> int:
    return _LARGEST.get(parsed.base) or parsed.first


def _wanted(old: ParsedType, new: ParsedType) -> int:
    """What the new type has to hold, in its own unit: bytes of a text, characters of a char."""
    if old.base in {"char", "varchar"} and new.base in _LARGEST:
        return old.first * _LONGEST_CHARACTER
    return _capacity(old)
