"""The SQL that findings and errors ask an operator to run, such as the GRANT of a missing privilege:
quoted, ready to paste, without the semicolon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from pymysql.err import MySQLError

from cdc.errors import CdcError, SourceRefused
from cdc.model import TableId
from cdc_source_mysql.channel import Connection

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
# "You may not": of a database, a table, a column, a global privilege, a routine, and (MySQL) XA RECOVER.
_DENIED = frozenset({1044, 1142, 1143, 1227, 1370, 1401})


def is_denied(error: BaseException | None) -> bool:
    """Return whether the driver's error says that the account lacks a privilege."""
    return isinstance(error, MySQLError) and bool(error.args) and error.args[0] in _DENIED


def identifier(name: str) -> str:
    """A name as SQL wants it: bare where that is safe, else in backquotes."""
    if _PLAIN_NAME.fullmatch(name) and name not in _KEYWORDS:
        return name
    return quoted(name)


def quoted(name: str) -> str:
    """A name in backquotes, whatever sql_mode says."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A text as a SQL literal, in every sql_mode (quotes are doubled; a backslash is kept)."""
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
    """Return the statement that rewrites the table in the server's current formats."""
    return f"alter table {table_name(table)} force"


def use_innodb(table: TableId) -> str:
    return f"alter table {table_name(table)} engine = InnoDB"


def add_key(table: TableId) -> str:
    return f"alter table {table_name(table)} add primary key (...)"


def lacks(account: str, privileges: str, tables: Sequence[TableId], where: str) -> SourceRefused:
    """The account (as CURRENT_USER() names it) lacks the privileges on these tables."""
    names = ", ".join(map(str, tables))
    grants = " ".join(f"{_grant(privileges, table, account)};" for table in tables)
    return SourceRefused(
        f"the account {account} lacks {privileges.upper()}",
        where=f"{where}, {names}",
        remedy=f"Run: {grants}",
    )


@contextmanager
def granted(account: str, privileges: str, tables: Sequence[TableId], where: str) -> Iterator[None]:
    """Turn a refusal of these privileges into the statement that grants them."""
    try:
        yield
    except MySQLError as error:
        if not is_denied(error):
            raise
        raise lacks(account, privileges, tables, where) from error


def probe(table: TableId, column: str = "") -> str:
    """Reads nothing, but is refused without the privilege to read: any column, or this one."""
    wanted = quoted(column) if column else "1"
    return f"select {wanted} from {quoted(table.schema)}.{quoted(table.name)} where false"


def denied(
    look: Callable[[str], AbstractContextManager[Connection]],
    table: TableId,
    where: str,
    column: str = "",
) -> CdcError | None:
    """The privilege that the account lacks on a table or column that it does not see; None when it lacks
    none. `look` opens the catalog.
    """
    account = ""
    try:
        with look(f"reading {table}") as connection, connection.cursor() as cursor:
            cursor.execute("select current_user()")
            account = str(cursor.fetchone()[0])
            cursor.execute(probe(table, column))
    except CdcError as error:
        if is_denied(error.__cause__):
            return lacks(account, "select", [table], where)
    return None


def _grant(privileges: str, table: TableId, account: str) -> str:
    # LOCK TABLES is a privilege of whole databases.
    on = f"{quoted(table.schema)}.*" if "lock tables" in privileges else table_name(table)
    return f"grant {privileges} on {on} to {account_name(account)}"
