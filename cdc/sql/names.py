"""Names in the target for the names of the source.

A target treats two names as equal if they are equal when folded, and may limit the length of a name. A name
that is taken, or too long, gets a suffix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping

from cdc.errors import SinkRefused
from cdc.model import TableSchema
from cdc.sql.dialect import Dialect
from cdc.sql.options import Identifiers

# Enough to keep apart the few names that differ in case only.
SUFFIX_DIGITS = 6
FAIL_REMEDY = "Set `identifiers: suffix` for this sink, or rename one of them in the source."


def column_names(
    schema: TableSchema,
    reserved: Iterable[str],
    held: Mapping[str, str],
    identifiers: Identifiers,
    dialect: Dialect,
) -> dict[str, str]:
    """Return the name in the target of every column of the schema, by its name in the source.

    A column keeps the name that it holds already. The others are called as in the source, with a suffix
    where the sink or an earlier column has the name.

    Raises:
        SinkRefused: a name is taken or too long, and `identifiers` is `fail`.
    """
    own = {dialect.folded(name): name for name in reserved}
    taken = own | {dialect.folded(name): source for source, name in held.items()}
    made = {}
    for column in schema.columns:
        name = held.get(column.name)
        if name is None:
            name = column.name
            other = taken.get(dialect.folded(name))
            if other is not None or is_too_long(name, dialect):
                if identifiers == "fail":
                    raise _column_refused(schema, name, other, own, dialect)
                name = suffixed(name, name, taken, dialect)
            taken[dialect.folded(name)] = column.name
        made[column.name] = name
    return made


def is_too_long(name: str, dialect: Dialect) -> bool:
    """Return whether the target would truncate or refuse the name."""
    longest = dialect.longest_name
    return longest is not None and len(name.encode("utf-8", "surrogatepass")) > longest


def suffixed(name: str, exact: str, taken: Container[str], dialect: Dialect) -> str:
    """Return the name with a suffix that depends only on `exact`, longer where that is taken too; `taken`
    holds folded names.
    """
    digest = hashlib.sha256(exact.encode("utf-8", "surrogatepass")).hexdigest()
    lengths = range(SUFFIX_DIGITS, len(digest) + 1)
    candidates = (extended(name, digest[:length], dialect) for length in lengths)
    return next(made for made in candidates if dialect.folded(made) not in taken)


def extended(name: str, suffix: str, dialect: Dialect) -> str:
    """Return the name with a suffix, cut before it where the whole would be too long."""
    if dialect.longest_name is not None:
        room = dialect.longest_name - len(f"__{suffix}".encode())
        name = name.encode()[:room].decode(errors="ignore")
    return f"{name}__{suffix}"


def _column_refused(
    schema: TableSchema, name: str, other: str | None, own: Container[str], dialect: Dialect
) -> SinkRefused:
    if other is None:
        message = f"the column {name!r} has a name of more than {dialect.longest_name} bytes"
    else:
        kind = "a column of the sink" if dialect.folded(name) in own else "another column"
        message = (
            f"the column {name!r} has the name of {kind}, {other!r} ({dialect.product} ignores case in names)"
        )
    return SinkRefused(message, where=str(schema.table), remedy=FAIL_REMEDY)
