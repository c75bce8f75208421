"""XA transactions that stand prepared when a source begins: the binlog shows their rows before that place."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pymysql

from cdc.errors import SourceUnavailable
from cdc.spi.source import SourceContext
from cdc_source_mysql.binlog.xa import Prepared
from cdc_source_mysql.binlog.xa_listed import listed
from cdc_source_mysql.binlog.xa_search import Search
from cdc_source_mysql.channel import Connection

# XA transactions that were prepared before us mostly end within this time.
XA_PATIENCE_SECONDS = 3.0
XA_POLL_SECONDS = 0.1
_XA_DENIED = (1227, 1401, 1142, 1044)


class Branches:
    """Asks one server for them."""

    def __init__(self, connection: Connection, flavour: str, context: SourceContext, where: str) -> None:
        self._connection = connection
        self._flavour = flavour
        self._context = context
        self._where = where

    def places(self, search: Callable[[frozenset[str]], Search]) -> Mapping[str, Prepared]:
        """Where the rows are of those that don't end within a moment, by `Xid.key`: they are read again at
        their commit.

        Raises:
            SourceUnavailable: the rows of some are in no binlog any more.
        """
        pending = self._prepared() or frozenset()
        deadline = time.monotonic() + XA_PATIENCE_SECONDS
        while pending and time.monotonic() < deadline:
            time.sleep(XA_POLL_SECONDS)
            pending &= self._prepared() or frozenset()
        if not pending:
            return {}
        found = search(pending)
        for _ in found.steps():
            pass
        purged = found.missing & (self._prepared() or frozenset())
        if purged:
            raise SourceUnavailable(
                f"{len(purged)} prepared XA transactions hold rows that no binary log has any more",
                where=self._where,
                remedy="Commit them or roll them back: XA RECOVER lists them. The source then starts.",
            )
        return found.found

    def _prepared(self) -> frozenset[str] | None:
        """The XA transactions that are prepared now; None when we may not know."""
        try:
            with self._connection.cursor() as cursor:
                return listed(cursor, self._flavour)
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in _XA_DENIED:
                self._context.log(
                    "can't see prepared XA transactions: needs the privilege XA_RECOVER_ADMIN",
                    level="warning",
                )
                return None
            raise
