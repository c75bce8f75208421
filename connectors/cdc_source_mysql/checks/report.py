"""Report of the checks, with the open connection, the config, and the facts of the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pymysql

from cdc.kit import report
from cdc_source_mysql.connection import flavour_of, version_of
from cdc_source_mysql.options import MysqlOptions
from cdc_source_mysql.statements import is_denied
from cdc_source_mysql.wire.codes import Flavour

# "No such statement or table here": older servers, other products.
UNKNOWN = frozenset({1049, 1064, 1146, 1193, 1235, 1305, 1109})
DOCS = "docs/operations.md#mysql-and-mariadb"

Rows = list[tuple[Any, ...]]
Provider = Literal["", "rds", "aurora", "cloudsql", "azure"]


class MysqlReport(report.Report):
    """The findings so far, in the order of the checks."""

    docs = DOCS


@dataclass(frozen=True, slots=True)
class Server:
    """Facts of the server and of the account."""

    conn: Any
    options: MysqlOptions
    source: str
    text: str
    version: tuple[int, int, int]
    flavour: Flavour
    provider: Provider
    variables: Mapping[str, str]
    account: str

    @property
    def is_mariadb(self) -> bool:
        return self.flavour == "mariadb"

    @property
    def ignores_case(self) -> bool:
        """Whether names of tables and databases that differ only in case are the same."""
        return self.value("lower_case_table_names") not in ("", "0")

    @property
    def product(self) -> str:
        return "MariaDB" if self.is_mariadb else "MySQL"

    @property
    def number(self) -> str:
        """The version without what distributions append."""
        return ".".join(str(part) for part in self.version)

    def value(self, name: str) -> str:
        """A global variable; empty where this server has none of that name."""
        return self.variables.get(name, "")

    def is_on(self, name: str) -> bool:
        return self.value(name).upper() in ("ON", "1", "YES")

    def has(self, name: str) -> bool:
        return name in self.variables

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> Rows:
        with self.conn.cursor(pymysql.cursors.Cursor) as cursor:
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall())

    def named(self, statement: str) -> list[dict[str, Any]]:
        """The rows by column name, for statements whose columns differ between versions."""
        with self.conn.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def first(self, statements: Iterable[str]) -> list[dict[str, Any]] | None:
        """The answer to the first of these forms that the server knows; None when it may not be asked."""
        for statement in statements:
            try:
                return self.named(statement)
            except pymysql.MySQLError as error:
                if is_denied(error):
                    return None
                if not is_unknown(error):
                    raise
        return []


def is_unknown(error: pymysql.MySQLError) -> bool:
    return bool(error.args) and error.args[0] in UNKNOWN


def describe_server(conn: Any, options: MysqlOptions, source: str) -> Server:
    """Ask for everything in `Server`; needs no privilege."""
    with conn.cursor(pymysql.cursors.Cursor) as cursor:
        cursor.execute("show global variables")
        variables = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
        cursor.execute("select version(), current_user()")
        text, account = (str(part) for part in cursor.fetchone())
    comment = variables.get("version_comment", "")
    return Server(
        conn=conn,
        options=options,
        source=source,
        text=text if comment.lower() in text.lower() else f"{text} ({comment})",
        version=version_of(text),
        flavour=flavour_of(f"{text} {comment}"),
        provider=_provider(text, variables),
        variables=variables,
        account=account,
    )


def _provider(text: str, variables: Mapping[str, str]) -> Provider:
    if "aurora_version" in variables:
        return "aurora"
    if variables.get("basedir", "").startswith("/rdsdbbin"):
        return "rds"
    if "google" in text.lower():
        return "cloudsql"
    if "azure" in f"{text} {variables.get('version_comment', '')}".lower():
        return "azure"
    return ""
