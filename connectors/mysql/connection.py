"""The one place that makes connections to a source server.

All carry the same session settings, so that a value has the same form whatever the server's and the user's
defaults say. PyMySQL's errors leave this boundary translated (`connectors.mysql.errors`); the url, which holds
the password, never does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pymysql.connections import Connection as PyConnection

from connectors.mysql.options import MysqlOptions

Connection = PyConnection[Any]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server is, asked once per connection that needs it. `flavour` is `mysql` or `mariadb`;
    `server_uuid` is empty on MariaDB; `gtid_mode` is ON, OFF, ON_PERMISSIVE, OFF_PERMISSIVE; ON on MariaDB.
    """

    flavour: str
    version: tuple[int, int, int]
    version_text: str
    server_id: int
    server_uuid: str
    gtid_mode: str
    lower_case_table_names: int
    log_bin: bool

    @property
    def is_mariadb(self) -> bool:
        return self.flavour == "mariadb"

    @property
    def has_gtids(self) -> bool:
        """Whether positions carry GTIDs: every transaction has one."""
        return self.is_mariadb or self.gtid_mode == "ON"


class Connector:
    """Makes connections for one source; holds none."""

    def __init__(self, options: MysqlOptions, source: str) -> None:
        self.options = options
        self.source = source
        self.where = f"sources.{source}"

    def connect(self, purpose: str) -> Connection:
        """An autocommit connection with our session settings; `purpose` as in `for the copy`."""
        raise NotImplementedError

    def facts(self, connection: Connection) -> ServerFacts:
        """Who the server at the other end is."""
        raise NotImplementedError

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turns PyMySQL's errors inside the block into ours; `doing` is a gerund."""
        yield
