"""The contract suite of states: subclass `StateContract` and say how a state is opened; every test is a
promise of `cdc.spi.state`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from cdc.model import Position, TableId
from cdc.spi import Plan, PublishedCursor, State
from cdc.testing.contract_waivers import honours_waivers

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
# A position may be far beyond 64 bits (GTID sets).
FAR = Position(2**90 + 1, "uuid:1-99")
ORDERS = TableId("public", "orders")


@honours_waivers
class StateContract:
    """Promises of every state. `place` is where one test's state is; what it is made of is its own affair."""

    waived: ClassVar[Mapping[str, str]] = {}

    def open_state(self, place: Any) -> State:
        """Open the state at this place; a new one when there is none."""
        raise NotImplementedError

    def request_replay(self, place: Any, sink: str, source: str, offset: int) -> int:
        """Leave a request as an operator does, beside the daemon; return its id."""
        raise NotImplementedError

    def request_table_pause(self, place: Any, source: str, table: TableId, *, pauses: bool) -> int:
        """The same for a table that is to be paused or resumed."""
        raise NotImplementedError

    @pytest.fixture
    def place(self) -> Any:
        """A place without a state. Override this fixture."""
        raise NotImplementedError

    @pytest.fixture
    def state(self, place: Any) -> Iterator[State]:
        state = self.open_state(place)
        yield state
        state.close()

    def reopened(self, place: Any, state: State) -> State:
        state.close()
        return self.open_state(place)

    def test_epochs_grow_over_restarts_and_are_per_sink(self, place: Any, state: State) -> None:
        assert [state.next_epoch(sink) for sink in ("lake", "lake", "mart")] == [1, 2, 1]
        state = self.reopened(place, state)
        assert state.next_epoch("lake", at_least=2) == 3
        assert state.next_epoch("lake", at_least=9) == 9
        state.close()

    def test_a_plan_is_there_after_a_restart_until_it_is_cleared(self, place: Any, state: State) -> None:
        plan = Plan(5, 9, FAR, NOON)
        state.save_plan("lake", "shop", Plan(0, 5, Position(1, "0/1"), None))
        state.save_plan("lake", "shop", plan)
        state = self.reopened(place, state)
        assert state.plan("lake", "shop") == plan
        assert state.plan("mart", "shop") is None
        state.clear_plan("lake", "shop")
        state.clear_plan("lake", "shop")
        assert state.plan("lake", "shop") is None
        state.close()

    def test_a_published_cursor_ends_its_plan_and_moves_both_ways(self, place: Any, state: State) -> None:
        epoch = state.next_epoch("lake")
        state.save_plan("lake", "shop", Plan(5, 9, FAR, NOON))
        state.publish_cursor("shop", PublishedCursor("lake", 9, FAR), epoch)
        assert state.plan("lake", "shop") is None
        assert state.cursors("shop") == {"lake": PublishedCursor("lake", 9, FAR)}
        assert state.cursors("crm") == {}
        back = PublishedCursor("lake", 2, Position(3, "0/3"))
        state.publish_cursor("shop", back, epoch)
        state = self.reopened(place, state)
        assert state.cursors("shop") == {"lake": back}
        state.close()

    def test_a_cursor_counts_while_its_epoch_is_the_newest(self, state: State) -> None:
        old = state.next_epoch("lake")
        state.publish_cursor("shop", PublishedCursor("lake", 9, FAR), old)
        new = state.next_epoch("lake")
        assert state.cursors("shop") == {}
        state.publish_cursor("shop", PublishedCursor("lake", 4, FAR), new)
        state.save_plan("lake", "shop", Plan(4, 9, FAR, NOON))
        state.publish_cursor("shop", PublishedCursor("lake", 99, FAR), old)
        assert state.cursors("shop") == {"lake": PublishedCursor("lake", 4, FAR)}
        assert state.plan("lake", "shop") is not None

    def test_a_replay_request_waits_until_it_is_finished(self, place: Any, state: State) -> None:
        first = self.request_replay(place, "lake", "shop", 40)
        second = self.request_replay(place, "mart", "shop", 50)
        assert [(r.id, r.offset) for r in state.pending_replays()] == [(first, 40), (second, 50)]
        assert [r.id for r in state.pending_replays("mart", "shop")] == [second]
        state.finish_replay(first)
        state.finish_replay(second, "the log begins at offset 60")
        assert list(state.pending_replays()) == []

    def test_a_copy_request_is_taken_and_finished(self, place: Any, state: State) -> None:
        number = state.request_copy("shop", None, "lake", "a new sink")
        state.request_copy("crm", [ORDERS], None)
        (request,) = state.unfinished_copies("shop")
        assert (request.id, request.tables, request.sink, request.reason) == (
            number,
            None,
            "lake",
            "a new sink",
        )
        assert not request.is_taken
        state.take_copy(number, [ORDERS])
        state = self.reopened(place, state)
        (request,) = state.unfinished_copies("shop")
        assert (request.tables, request.is_taken) == ((ORDERS,), True)
        state.finish_copy(number, None)
        assert [(r.source, r.tables, r.reason) for r in state.unfinished_copies()] == [
            ("crm", (ORDERS,), None)
        ]
        state.close()

    def test_a_pause_is_there_after_a_restart_until_it_is_removed(self, place: Any, state: State) -> None:
        state.add_pause("sink", "lake", "ops")
        state.add_pause("sink", "lake", "somebody else")
        state.add_pause("source", "lake", "ops")
        state = self.reopened(place, state)
        assert [(p.kind, p.name, p.by) for p in state.pauses()] == [
            ("sink", "lake", "ops"),
            ("source", "lake", "ops"),
        ]
        state.remove_pause("sink", "lake")
        state.remove_pause("sink", "lake")
        assert [p.kind for p in state.pauses()] == ["source"]
        state.close()

    def test_a_request_to_pause_a_table_waits_until_it_is_finished(self, place: Any, state: State) -> None:
        first = self.request_table_pause(place, "shop", ORDERS, pauses=True)
        second = self.request_table_pause(place, "shop", ORDERS, pauses=False)
        found = [(r.id, r.table, r.pauses) for r in state.table_pause_requests()]
        assert found == [(first, ORDERS, True), (second, ORDERS, False)]
        state.finish_table_pause(first)
        state.finish_table_pause(second, "this table is not known")
        assert list(state.table_pause_requests()) == []

    def test_close_may_be_repeated(self, state: State) -> None:
        state.close()
        state.close()
