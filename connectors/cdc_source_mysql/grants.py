"""Missing privileges, as the statement that grants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from pymysql.err import MySQLError

from cdc.errors import CdcError, SourceRefused
from cdc.model import TableId
from cdc_source_mysql.channel import Connection
from cdc_source_mysql.statements import account_name, quoted, table_name

# Of a database, a table, a column, a global privilege, a routine.
DENIED = frozenset({1044, 1142, 1143, 1227, 1370})


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
        if not error.args or error.args[0] not in DENIED:
            raise
        raise lacks(account, privileges, tables, where) from error


def probe(table: TableId) -> str:
    """Reads nothing, but is refused without the privilege to read."""
    return f"select 1 from {quoted(table.schema)}.{quoted(table.name)} where false"


def denied(
    look: Callable[[str], AbstractContextManager[Connection]], table: TableId, where: str
) -> CdcError | None:
    """The privilege that the account lacks on a table that it does not see; None when it lacks none. `look`
    opens the catalog.
    """
    account = ""
    try:
        with look(f"reading {table}") as connection, connection.cursor() as cursor:
            cursor.execute("select current_user()")
            account = str(cursor.fetchone()[0])
            cursor.execute(probe(table))
    except CdcError as error:
        cause = error.__cause__
        if isinstance(cause, MySQLError) and cause.args and cause.args[0] in DENIED:
            return lacks(account, "select", [table], where)
    return None


def _grant(privileges: str, table: TableId, account: str) -> str:
    # LOCK TABLES is a privilege of whole databases.
    on = f"{quoted(table.schema)}.*" if "lock tables" in privileges else table_name(table)
    return f"grant {privileges} on {on} to {account_name(account)}"
