"""A capture loop for tests of the MySQL source: follows one database, keeping what the log would keep."""

from __future__ import annotations

import zlib
from typing import Any, Self

from cdc.spi.source import SourceContext
from cdc_source_mysql.options import DEFAULTS, Limits, MysqlOptions
from cdc_source_mysql.source import MysqlSource
from tests.support.follower import Follower
from tests.support.mysql.server import MysqlDatabase, MysqlServer
from tests.support.waiting import wait_until


class MysqlFollower(Follower):
    """One source object after the other, with the position and facts of a log. `url` and `limits` may be set
    again.
    """

    def __init__(self, database: MysqlDatabase, *, limits: Limits = DEFAULTS, **options: Any) -> None:
        self.given = {"url": database.url, **options}
        # A number of its own, so that tests that share a server don't end each other's streams.
        self.given.setdefault("server_id", 3_000_000_000 + zlib.crc32(database.name.encode()) % 2**24)
        self.given.setdefault("heartbeat", "1s")
        self.given.setdefault("tables", (f"{database.name}.*",))
        self.name = database.name
        self.limits = limits
        super().__init__()

    def point_to(self, url: str) -> Self:
        """As after a failover: the next source object connects there."""
        self.given["url"] = url
        return self

    def resume(self) -> Self:
        """As the engine after an error that it retries: the same source, without the parts of what has not
        ended.
        """
        assert self._stream is not None
        self._stream.close()  # type: ignore[attr-defined]
        self._stream = None
        while self.sets and self.sets[-1].position is None:
            self.sets.pop()
        return self

    def assert_at_end(self, server: MysqlServer) -> None:
        """The position is that of the binlog's end, in the server's words. MariaDB adds a checkpoint to a
        file some time after it began: then this looks again.
        """

        def is_there() -> bool:
            self.catch_up()
            file, offset = server.position()
            assert self.position is not None
            return self.position.text == f"{file}:{offset} {server.executed()}"

        wait_until(is_there, "the position of the binlog's end")

    def _new_source(self) -> MysqlSource:
        options = MysqlOptions.model_validate(self.given)
        return MysqlSource(options, SourceContext(self.name, self._log, self._count), self.limits)
