"""A capture loop for tests of the Postgres source."""

from __future__ import annotations

from typing import Any

from cdc.spi.source import SourceContext
from connectors.postgres import PostgresSource
from connectors.postgres.options import PostgresOptions
from tests.support.follower import Follower
from tests.support.postgres import Database


class PostgresFollower(Follower):
    """One source object after the other on the same slot."""

    def __init__(self, database: Database, **options: Any) -> None:
        # Slots are shared by all databases of a server.
        options.setdefault("slot", database.name)
        self.options = PostgresOptions(**{"url": database.url, **options})
        super().__init__()

    def _new_source(self) -> PostgresSource:
        return PostgresSource(self.options, SourceContext("shop", self._log, self._count))
