"""Plans, replay requests and requests for copies, kept in the state store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cdc.engine.copies import CopyRequest
from cdc.engine.planning import Plan
from cdc.engine.workers import Log
from cdc.model import TableId
from cdc.state import StateStore
from cdc.state.store import Plan as StoredPlan


class StoredPlans:
    """The PlanStore of a delivery."""

    def __init__(self, state: StateStore, sink: str, source: str, report: Log) -> None:
        self._state = state
        self._sink = sink
        self._source = source
        self._report = report

    def load(self) -> Plan | None:
        stored = self._state.plan(self._sink, self._source)
        if stored is None:
            return None
        return Plan(stored.first, stored.next, stored.position, stored.commit_at)

    def save(self, plan: Plan) -> None:
        stored = StoredPlan(self._sink, self._source, plan.first, plan.next, plan.position, plan.commit_at)
        self._state.save_plan(stored)

    def clear(self) -> None:
        self._state.clear_plan(self._sink, self._source)

    def replay_request(self) -> tuple[Any, int] | None:
        for request in self._state.pending_replays():
            if (request.sink, request.source) == (self._sink, self._source):
                return request.id, request.offset
        return None

    def request_copy(self, table: TableId) -> None:
        for request in self._state.unfinished_copies(self._source):
            if request.sink == self._sink and (request.tables is None or table in request.tables):
                return
        self._state.request_copy(self._source, [table], self._sink)

    def replay_finished(self, handle: Any, error: str | None) -> None:
        event = "replaying" if error is None else "replay refused"
        level = "info" if error is None else "warning"
        self._report(event, level=level, sink=self._sink, source=self._source, request=handle, reason=error)
        self._state.finish_replay(handle, error)


class StoredCopyRequests:
    """The CopyRequestStore of one source."""

    def __init__(self, state: StateStore, source: str) -> None:
        self._state = state
        self._source = source

    def unfinished(self) -> Sequence[CopyRequest]:
        return [
            CopyRequest(stored.id, stored.tables, stored.sink, stored.taken_at is not None)
            for stored in self._state.unfinished_copies(self._source)
        ]

    def take(self, number: int, tables: Sequence[TableId]) -> None:
        self._state.take_copy(number, tables)

    def finish(self, number: int, error: str | None) -> None:
        self._state.finish_copy(number, error)
