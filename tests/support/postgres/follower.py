"""A capture loop for tests of the Postgres source."""

from __future__ import annotations

from typing import Any

from cdc.spi.source import LogIdentity, SourceContext
from cdc_source_postgres import PostgresSource
from cdc_source_postgres.limits import DEFAULTS, Limits
from cdc_source_postgres.options import PostgresOptions
from tests.support.follower import Follower
from tests.support.postgres.server import Database
from tests.support.waiting import wait_until


class PostgresFollower(Follower):
    """One source object after the other on the same slot."""

    def __init__(
        self,
        database: Database,
        *,
        owner: LogIdentity | None = None,
        limits: Limits = DEFAULTS,
        **options: Any,
    ) -> None:
        # Slots are shared by all databases of a server.
        options.setdefault("slot", database.name)
        self.options = PostgresOptions(**{"url": database.url, **options})
        self._database = database
        self.owner = owner
        self.limits = limits
        super().__init__()

    def let_go(self) -> None:
        """Close, and wait until the server has noticed: then the slot can be changed."""
        self.close()
        wait_until(self._slot_is_free, f"the slot {self.options.slot} to be free")

    def _slot_is_free(self) -> bool:
        active = "select count(*) = 0 from pg_replication_slots where active and slot_name = %s"
        return bool(self._database.value(active, [self.options.slot]))

    def _new_source(self) -> PostgresSource:
        context = SourceContext("shop", self._log, self._count, self.owner)
        return PostgresSource(self.options, context, self.limits)
