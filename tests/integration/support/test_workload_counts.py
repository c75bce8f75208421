"""The workload counts what it commits as the server decodes it: the judge is checked before it judges."""

from __future__ import annotations

from tests.support.postgres.server import Database
from tests.support.waiting import wait_until
from tests.support.workload.events import counts
from tests.support.workload.postgres import PostgresWorkload
from tests.support.workload.run import SHORT_PAUSE_SECONDS

# Enough for every operation, truncates too, with any seed.
TRANSACTIONS = 1200


def test_workload_tally_equals_what_the_server_decodes(database: Database) -> None:
    with PostgresWorkload(database, seed=1, pause_seconds=SHORT_PAUSE_SECONDS) as workload:
        wait_until(lambda: workload.tally.transactions >= TRANSACTIONS, "the writers")
    events = workload.oracle.events()
    assert dict(counts(events)) == workload.tally.counts
    assert {event.op for items in events.values() for event in items} == {"c", "u", "d", "t"}
