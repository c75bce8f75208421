"""XA transactions that stand prepared when a source begins: the binlog shows their rows before that place."""

from __future__ import annotations

import time
from typing import Any

import pymysql

from cdc.errors import SourceUnavailable
from cdc.spi.source import SourceContext
from connectors.mysql.channel import Connection

# XA transactions that were prepared before us mostly end within this time.
XA_PATIENCE_SECONDS = 3.0
XA_POLL_SECONDS = 0.1
_XA_DENIED = (1227, 1401, 1142, 1044)


class Branches:
    """Asks one server for them."""

    def __init__(self, connection: Connection, context: SourceContext, where: str) -> None:
        self._connection = connection
        self._context = context
        self._where = where

    def wait_for_outcomes(self) -> None:
        """The rows of a transaction that was prepared before our start would be missing at its commit."""
        pending = self._prepared()
        if pending is None:
            return
        deadline = time.monotonic() + XA_PATIENCE_SECONDS
        while True:
            pending &= self._prepared() or set()
            if not pending:
                return
            if time.monotonic() >= deadline:
                break
            time.sleep(XA_POLL_SECONDS)
        raise SourceUnavailable(
            f"{len(pending)} prepared XA transactions hold rows that the binary log does not show again",
            where=self._where,
            remedy="Commit them or roll them back: XA RECOVER lists them; the source starts then.",
        )

    def _prepared(self) -> set[tuple[Any, ...]] | None:
        """The XA transactions that are prepared now; None when we may not know."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("xa recover")
                return {tuple(row) for row in cursor.fetchall()}
        except pymysql.MySQLError as error:
            if error.args and error.args[0] in _XA_DENIED:
                self._context.log(
                    "can't see prepared XA transactions: needs the privilege XA_RECOVER_ADMIN",
                    level="warning",
                )
                return None
            raise
