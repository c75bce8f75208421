"""The SQL that findings and errors tell an operator to run: quoted, ready to paste, without the semicolon."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cdc.model import TableId

# What reads well without backquotes and is no word of the statements below.
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_KEYWORDS = frozenset(
    """
    add all alter analyze and as asc before between both by call cascade case change char character check
    collate column condition constraint convert create cross current_date current_user cursor database
    databases date dec decimal declare default delayed delete desc describe distinct div double drop dual
    each else empty enclosed except exists exit explain false fetch float for force foreign from fulltext
    function generated get grant group grouping groups having if ignore in index infile inner inout insert
    int integer intersect interval into is iterate join json_table key keys kill lag lateral lead leading
    leave left like limit linear lines load lock long loop manual match mod natural not null numeric of on
    optimize option or order out outer over partition precision primary procedure purge qualify range rank
    read reads real recursive references release rename repeat replace require restrict return returning
    revoke right rlike row row_number rows schema schemas select separator set show signal smallint spatial
    sql ssl starting stored system table terminated text then to trailing trigger true undo union unique
    unlock unsigned update usage use using utc_date values varchar varying virtual when where while window
    with write xor zerofill
    """.split()  # noqa: SIM905  (as a list it would be a hundred lines)
)


def identifier(name: str) -> str:
    """A name as SQL wants it: bare where that is safe, else in backquotes."""
    if _PLAIN_NAME.fullmatch(name) and name not in _KEYWORDS:
        return name
    return quoted(name)


def quoted(name: str) -> str:
    """A name in backquotes, whatever sql_mode says."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A text as a SQL literal, in every sql_mode (quotes are doubled; a backslash is taken as it stands)."""
    return "'" + text.replace("'", "''") + "'"


def table_name(table: TableId) -> str:
    return f"{identifier(table.schema)}.{identifier(table.name)}"


def account_name(account: str) -> str:
    """`cdc@10.%` (as CURRENT_USER() gives it) → `'cdc'@'10.%'`."""
    user, _, host = account.rpartition("@")
    return f"{literal(user)}@{literal(host)}"


def grant(privileges: str, account: str, on: str = "*.*") -> str:
    """`grant replication slave on *.* to 'cdc'@'%'`."""
    return f"grant {privileges} on {on} to {account_name(account)}"


def grant_select(account: str, tables: Sequence[TableId]) -> str:
    """One statement a table: MySQL's GRANT names one object."""
    return "; ".join(grant("select", account, table_name(table)) for table in tables)


def force(table: TableId) -> str:
    """Writes the table anew in the present formats."""
    return f"alter table {table_name(table)} force"


def use_innodb(table: TableId) -> str:
    return f"alter table {table_name(table)} engine = InnoDB"


def add_key(table: TableId) -> str:
    return f"alter table {table_name(table)} add primary key (...)"
