"""The contract suite of states: subclass `StateContract` and return its store; every test is a
promise of `cdc.spi.state`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from cdc.errors import StateError
from cdc.model import Position, TableId
from cdc.spi import Checkpoint, Plan, PublishedCursor, State, StateHolder, StateReader, StateStore
from cdc.spi.state import DefinedColumn, DefinedTable, TableVersion
from cdc.testing.contract_waivers import honours_waivers

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
# A position may be far beyond 64 bits (GTID sets).
FAR = Position(2**90 + 1, "uuid:1-99")
ORDERS, ITEMS = TableId("public", "orders"), TableId("public", "items")


def definition(*names: str) -> DefinedTable:
    columns = tuple(DefinedColumn(name, "int64", "bigint", name != "id") for name in names)
    return DefinedTable(columns, names[:1], "key")


def version(
    table: TableId,
    number: int,
    shape: DefinedTable,
    at: datetime | None = None,
    position: str | None = None,
) -> TableVersion:
    """A version that is to be added: the state gives it its id and source."""
    return TableVersion(0, "", table, number, at, position, shape)


@honours_waivers
class StateContract:
    """Promises of every state. `place` is where one test's state is; what it is made of is its own affair."""

    waived: ClassVar[Mapping[str, str]] = {}

    def store(self, place: Any) -> StateStore:
        """Return what opens the state at this place."""
        raise NotImplementedError

    @pytest.fixture
    def place(self) -> Any:
        """A place without a state. Override this fixture."""
        raise NotImplementedError

    @pytest.fixture
    def state(self, place: Any) -> Iterator[State]:
        with closing(self.store(place).open()) as state:
            yield state

    @pytest.fixture
    def reader(self, place: Any, state: State) -> Iterator[StateReader]:
        """A reader beside the process that holds `state`."""
        del state
        with closing(self.store(place).reader()) as reader:
            yield reader

    def reopened(self, place: Any, state: State) -> State:
        state.close()
        return self.store(place).open()

    def test_a_state_that_another_holds_is_refused(self, place: Any, state: State) -> None:
        with pytest.raises(StateError):
            self.store(place).open()
        state.close()
        self.store(place).open().close()

    def test_there_is_nothing_to_read_before_the_first_start(self, place: Any) -> None:
        with pytest.raises(StateError, match="cdc run"):
            self.store(place).reader()
        assert self.store(place).status() is None

    def test_epochs_grow_over_restarts_and_are_per_sink(self, place: Any, state: State) -> None:
        assert [state.next_epoch(sink) for sink in ("lake", "lake", "mart")] == [1, 2, 1]
        state = self.reopened(place, state)
        assert state.next_epoch("lake", at_least=2) == 3
        assert state.next_epoch("lake", at_least=9) == 9
        state.close()

    def test_definitions_are_read_newest_first_with_the_one_before(
        self, state: State, reader: StateReader
    ) -> None:
        first, second = definition("id"), definition("id", "note")
        state.add_definitions("shop", [version(ORDERS, 1, first), version(ITEMS, 1, first)])
        state.add_definitions("shop", [version(ORDERS, 2, second, NOON, "0/9")])
        state.add_definitions("crm", [version(ORDERS, 1, first)])
        state.add_definitions("crm", [])
        newest, altered, items, orders = reader.definitions()
        assert (altered.source, altered.table, altered.version) == ("shop", ORDERS, 2)
        assert (altered.at, altered.position, altered.definition) == (NOON, "0/9", second)
        assert (altered.earlier, newest.earlier, items.earlier, orders.earlier) == (first, None, None, None)
        assert reader.definitions(limit=2) == [newest, altered]
        assert reader.definitions(limit=2, before=altered.id) == [items, orders]
        assert reader.definitions("shop", "ORD") == [altered, orders]
        assert state.definition_versions("shop") == {ORDERS: 2, ITEMS: 1}

    def test_of_a_table_that_changes_for_ever_the_newest_definitions_stay(self, state: State) -> None:
        for number in range(1, 1001, 100):
            several = [version(ORDERS, number + one, definition(f"c{number + one}")) for one in range(100)]
            state.add_definitions("shop", [*several, version(ITEMS, 1, definition("id"))])
        found = [one.version for one in state.definitions("shop", "orders", limit=2000)]
        assert found[:50] == list(range(1000, 950, -1))
        assert len(found) < 300

    def test_checkpoints_are_read_newest_first(self, state: State, reader: StateReader) -> None:
        numbers = [
            state.add_checkpoint("shop", i, Position(i, f"0/{i}"), NOON + timedelta(seconds=i))
            for i in range(5)
        ]
        other = state.add_checkpoint("crm", 7, FAR, NOON)
        assert [c.id for c in reader.checkpoints("shop", limit=2)] == [numbers[4], numbers[3]]
        assert len(reader.checkpoints()) == 6
        assert reader.checkpoint(other) == Checkpoint(other, "crm", 7, FAR, NOON)
        assert reader.checkpoint(99) is None
        assert state.thin_checkpoints("shop", 3, NOON) == 3
        assert [c.offset for c in reader.checkpoints("shop")] == [4, 3]
        assert len(reader.checkpoints("crm")) == 1

    def test_a_plan_is_there_after_a_restart_until_it_is_cleared(self, place: Any, state: State) -> None:
        plan = Plan(5, 9, FAR, NOON)
        state.save_plan("lake", "shop", Plan(0, 5, Position(1, "0/1"), None))
        state.save_plan("lake", "shop", plan)
        state.save_plan("lake", "crm", Plan(0, 1, FAR, None))
        state = self.reopened(place, state)
        assert state.plan("lake", "shop") == plan
        assert state.plan("mart", "shop") is None
        state.clear_plan("lake", "shop")
        state.clear_plan("lake", "shop")
        assert state.plan("lake", "shop") is None
        assert state.plan("lake", "crm") == Plan(0, 1, FAR, None)
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

    def test_a_reader_sees_how_far_sinks_are(self, state: State, reader: StateReader) -> None:
        assert reader.cursors("shop") == {}
        cursor = PublishedCursor("lake", 9, FAR)
        state.publish_cursor("shop", cursor, state.next_epoch("lake"))
        assert reader.cursors("shop") == {"lake": cursor}
        state.close()
        assert reader.cursors("shop") == {"lake": cursor}

    def test_the_newest_status_is_read_beside_the_daemon_and_after_it(self, place: Any, state: State) -> None:
        state.write_status({"running": True, "sources": {"shop": {"position": "0/1"}}})
        state.write_status({"running": False})
        assert self.store(place).status() == {"running": False}
        state.close()
        assert self.store(place).status() == {"running": False}

    def test_the_holder_of_the_state_is_known_beside_it(self, place: Any, state: State) -> None:
        store, first = self.store(place), state.holder
        assert StateHolder.parse(first.text) == first
        assert store.holds(first)
        assert store.holds(None)
        state.close()
        assert not store.holds(first)
        assert not store.holds(None)
        with closing(store.open()) as again:
            assert again.holder != first
            assert store.holds(again.holder)
            assert not store.holds(first)

    def test_a_state_that_never_was_has_no_holder(self, place: Any) -> None:
        assert not self.store(place).holds(None)
        assert not self.store(place).holds(StateHolder.here())

    def test_a_replay_request_waits_until_it_is_finished(self, state: State, reader: StateReader) -> None:
        first = reader.request_replay("lake", "shop", 40)
        second = reader.request_replay("mart", "shop", 50)
        assert [(r.id, r.offset) for r in state.pending_replays()] == [(first, 40), (second, 50)]
        assert [r.id for r in state.pending_replays("mart", "shop")] == [second]
        state.finish_replay(first)
        state.finish_replay(second, "the log begins at offset 60")
        assert list(state.pending_replays()) == list(reader.pending_replays()) == []
        answers = [reader.replay(first), reader.replay(second)]
        assert [(r.finished_at is not None, r.error) for r in answers if r] == [
            (True, None),
            (True, "the log begins at offset 60"),
        ]
        assert reader.replay(99) is None

    def test_a_request_of_a_reader_reaches_the_daemon_and_its_answer_the_reader(
        self, state: State, reader: StateReader
    ) -> None:
        number = reader.request_copy("shop", [ORDERS], "lake")
        (request,) = state.unfinished_copies("shop")
        assert request == reader.copy_request(number)
        state.finish_copy(number, "the table is gone")
        assert list(reader.unfinished_copies()) == []
        answer = reader.copy_request(number)
        assert answer is not None
        assert answer.error == "the table is gone"
        assert reader.copy_request(99) is None

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

    def test_a_pause_is_there_after_a_restart_until_it_is_removed(
        self, place: Any, state: State, reader: StateReader
    ) -> None:
        reader.add_pause("sink", "lake", "ops")
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

    def test_a_request_to_pause_a_table_waits_until_it_is_finished(
        self, state: State, reader: StateReader
    ) -> None:
        first = reader.request_table_pause("shop", ORDERS, pauses=True)
        second = reader.request_table_pause("shop", ORDERS, pauses=False)
        found = [(r.id, r.table, r.pauses) for r in state.table_pause_requests()]
        assert found == [(first, ORDERS, True), (second, ORDERS, False)]
        state.finish_table_pause(first)
        state.finish_table_pause(second, "this table is not known")
        assert list(state.table_pause_requests()) == []
        answer = reader.table_pause_request(second)
        assert answer is not None
        assert answer.error == "this table is not known"

    def test_a_reload_request_waits_until_it_is_finished(
        self, place: Any, state: State, reader: StateReader
    ) -> None:
        first = reader.request_reload("ops", dry_run=True)
        second = state.request_reload("SIGHUP", dry_run=False)
        state = self.reopened(place, state)
        found = [(r.id, r.by, r.dry_run, r.result) for r in state.reload_requests()]
        assert found == [(first, "ops", True, None), (second, "SIGHUP", False, None)]
        state.finish_reload(first, {"changes": ["sink lake added"]})
        assert [r.id for r in state.reload_requests()] == [second]
        answer = reader.reload_request(first)
        assert answer is not None
        assert answer.result == {"changes": ["sink lake added"]}
        state.finish_reload(second, {"refused": "the file has an error"})
        assert list(reader.reload_requests()) == []
        assert reader.reload_request(99) is None
        state.close()

    def test_a_standby_shows_itself_while_it_waits(self, place: Any, state: State) -> None:
        store = self.store(place)
        assert list(store.standbys()) == []
        with store.standing_by():
            assert len(self.store(place).standbys()) == 1
            # Waiting takes no lock.
            state = self.reopened(place, state)
        assert list(store.standbys()) == []
        state.close()

    def test_old_checkpoints_are_thinned_and_the_newest_are_kept(
        self, state: State, reader: StateReader
    ) -> None:
        ages = [timedelta(minutes=m) for m in range(0, 60, 10)]
        old = [timedelta(days=400, minutes=m) for m in range(0, 60, 10)]
        for age in sorted(ages + old, reverse=True):
            state.add_checkpoint("shop", 1, FAR, NOON - age)
        assert state.thin_checkpoints("shop", 0, NOON) > 0
        kept = {c.at for c in reader.checkpoints("shop")}
        assert {NOON - age for age in ages} <= kept
        assert len(kept & {NOON - age for age in old}) in (1, 2)
        assert state.thin_checkpoints("shop", 0, NOON) == 0

    def test_close_may_be_repeated(self, state: State, reader: StateReader) -> None:
        for one in (reader, state):
            one.close()
            one.close()
