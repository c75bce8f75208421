"""The workload counts what it commits as the server decodes it: the campaign's oracle is checked before it judges."""

from __future__ import annotations

import threading

from tests.support.postgres import Database
from tests.support.workload import Workload
from tests.support.workload.oracle import counts

WORKLOAD_SECONDS = 4.0


def test_workload_tally_equals_what_the_server_decodes(database: Database) -> None:
    with Workload(database, seed=1) as workload:
        threading.Event().wait(WORKLOAD_SECONDS)
    events = workload.oracle.events()
    assert dict(counts(events)) == workload.tally.counts
    assert {event.op for items in events.values() for event in items} == {"c", "u", "d", "t"}
