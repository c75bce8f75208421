"""The contract suite of sources: subclass `SourceContract`, say how to make the source and how to change its
database.

The suite works on one table, `contract_table`, with the columns `id` (integer, primary key) and `note`
(text). Every test is a promise of `cdc.spi.source`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from cdc.errors import ConfigError
from cdc.model import ChangeSet, Envelope, Position, TableId, TableSchema
from cdc.spi import EarlierSnapshot, Finding, Snapshot, Source
from cdc.testing.conditions import wait_for
from cdc.testing.contract_waivers import honours_waivers
from cdc.testing.fold import fold

# One step of a transaction: ("c", id, note), ("u", id, note), ("d", id) or ("t",).
Step = tuple[Any, ...]

# Enough rows for several chunks where `make_source` cuts small.
SNAPSHOT_ROWS = 500


@honours_waivers
class SourceContract:
    """Promises of every source."""

    waived: ClassVar[Mapping[str, str]] = {}
    contract_table: ClassVar[TableId] = TableId("public", "contract")
    # Whether no row of a snapshot is newer than the position of its table (see `Snapshot`).
    snapshots_are_exact: ClassVar[bool] = True

    def make_source(self) -> Source:
        """A new source object for the test's database, cutting snapshots into small chunks where it can."""
        raise NotImplementedError

    def create_table(self) -> None:
        """Create `contract_table`, empty, where the source will discover it."""
        raise NotImplementedError

    def commit(self, *steps: Step) -> None:
        """Run one transaction; it is committed on return."""
        raise NotImplementedError

    @pytest.fixture
    def source(self) -> Iterator[Source]:
        self.create_table()
        source = self.make_source()
        yield source
        source.close()

    @pytest.fixture
    def opened(self, source: Source) -> Position:
        """The start position of a stream that follows the table."""
        start = source.open(None, {})
        source.follow(self._schemas(source))
        return start

    def test_options_are_a_model_that_refuses_unknown_keys(self, source: Source) -> None:
        assert issubclass(type(source).Options, BaseModel)
        assert type(source).Options.model_config.get("extra") == "forbid"

    def test_check_reports_findings_and_does_not_raise(self, source: Source) -> None:
        assert all(isinstance(finding, Finding) for finding in source.check())

    def test_identity_is_the_same_every_time(self, source: Source) -> None:
        assert source.identity().values
        assert source.identity().differences(self._identity_again()) == {}

    def test_discover_tells_columns_and_key(self, source: Source) -> None:
        schemas = list(source.discover())
        assert [s.table for s in schemas] == sorted(s.table for s in schemas)
        schema = next(s for s in schemas if s.table == self.contract_table)
        assert [column.name for column in schema.columns] == ["id", "note"]
        assert schema.key == ("id",)

    def test_follow_may_be_repeated(self, source: Source, opened: Position) -> None:
        source.follow(self._schemas(source))
        self.commit(("c", 1, "one"))
        assert _ids(self._stream(source, opened, 1)) == [1]

    def test_transactions_come_whole_and_in_commit_order(self, source: Source, opened: Position) -> None:
        self.commit(("c", 1, "one"), ("c", 2, "two"))
        self.commit(("u", 1, "uno"), ("d", 2))
        self.commit(("t",))
        sets = self._stream(source, opened, 5)
        rows = _rows(sets)
        assert [row[Envelope.OP] for row in rows] == ["c", "c", "u", "d", "t"]
        transactions = [row[Envelope.TX] for row in rows]
        assert transactions[0] == transactions[1] != transactions[2] == transactions[3] != transactions[4]
        assert sum(s.transactions for s in sets) >= 3

    def test_ordinals_start_at_zero_and_rise_in_every_set(self, source: Source, opened: Position) -> None:
        self.commit(("c", 1, "one"), ("c", 2, "two"), ("c", 3, "three"))
        for changes in self._stream(source, opened, 3):
            ordinals = [row[Envelope.SEQ] for row in _rows([changes], sort=False)]
            assert ordinals == sorted(set(ordinals))
            assert not ordinals or (ordinals[0] >= 0 and ordinals[-1] < changes.changes)

    def test_a_stream_goes_on_after_any_set(self, source: Source, opened: Position) -> None:
        for i in range(1, 5):
            self.commit(("c", i, "x"))
        sets = self._stream(source, opened, 4)
        for i, changes in enumerate(sets):
            if changes.position is None:
                continue
            rest = _ids(sets[i + 1 :])
            if rest:
                assert _ids(self._stream(source, changes.position, len(rest))) == rest

    def test_a_new_object_goes_on_where_the_old_one_stopped(self, source: Source, opened: Position) -> None:
        self.commit(("c", 1, "one"))
        reached = _last_position(self._stream(source, opened, 1))
        source.acknowledge(reached)
        source.close()
        self.commit(("c", 2, "two"))
        again = self.make_source()
        start = again.open(reached, {})
        assert _ids(self._stream(again, start, 1)) == [2]
        again.close()

    def test_acknowledge_may_be_repeated(self, source: Source, opened: Position) -> None:
        self.commit(("c", 1, "one"))
        reached = _last_position(self._stream(source, opened, 1))
        source.acknowledge(reached)
        source.acknowledge(reached)
        self.commit(("c", 2, "two"))
        assert _ids(self._stream(source, reached, 1)) == [2]

    def test_an_idle_stream_lets_its_caller_look_up(self, source: Source, opened: Position) -> None:
        stream = source.stream(opened, {})
        try:
            wait_for(lambda: next(stream) is None, what="a None from the idle stream")
        finally:
            stream.close()

    def test_the_current_position_is_reached_by_the_stream(self, source: Source, opened: Position) -> None:
        self.commit(("c", 1, "one"))
        target = source.current()
        sets = self._stream(source, opened, 1)
        assert opened <= target
        assert target.order >= 0
        assert _ids(sets) == [1]

    def test_a_position_is_read_back_from_its_text(self, source: Source, opened: Position) -> None:
        assert source.position(opened.text) == opened
        with pytest.raises(ConfigError):
            source.position("no position at all")

    def test_a_snapshot_holds_the_rows_of_its_position_and_no_later_ones(self, source: Source) -> None:
        start = source.open(None, {})
        self.commit(*(("c", i, f"note {i}") for i in range(SNAPSHOT_ROWS)))
        source.follow(self._schemas(source))
        snapshot = source.snapshot(self._schemas(source), {})
        try:
            self.commit(("u", 0, "later"), ("d", 1), ("c", SNAPSHOT_ROWS, "later"))
            rows = _snapshot_rows(snapshot)
        finally:
            snapshot.close()
            snapshot.close()
        assert {row[Envelope.OP] for row in rows} == {"r"}
        if self.snapshots_are_exact:
            assert sorted(row["id"] for row in rows) == list(range(SNAPSHOT_ROWS))
            assert next(row["note"] for row in rows if row["id"] == 0) == "note 0"
        taken = snapshot.positions[self.contract_table]
        later = _beyond(source, self._stream(source, start, 3, beyond=taken), taken)
        assert [row[Envelope.OP] for row in later][-3:] == ["u", "d", "c"]
        folded = {row["id"]: row["note"] for row in rows}
        for row in later:
            folded.pop(row["id"], None)
            folded |= {row["id"]: row["note"]} if row[Envelope.OP] != "d" else {}
        expected = {i: f"note {i}" for i in range(SNAPSHOT_ROWS) if i != 1}
        assert folded == expected | {0: "later", SNAPSHOT_ROWS: "later"}

    def test_snapshot_chunks_have_distinct_ids_and_batches_start_at_zero(self, source: Source) -> None:
        self.commit(*(("c", i, "x") for i in range(SNAPSHOT_ROWS)))
        snapshot = source.snapshot(self._schemas(source), {})
        ids = [chunk.id for chunk in snapshot.chunks]
        assert len(ids) == len(set(ids))
        assert set(snapshot.tokens) == {self.contract_table}
        assert snapshot.schemas == {schema.table: schema for schema in self._schemas(source)}
        for chunk in snapshot.chunks:
            for batch in snapshot.read(chunk):
                assert batch.seq.to_pylist() == list(range(batch.row_count))
        snapshot.close()

    def test_chunks_may_be_read_by_several_threads(self, source: Source) -> None:
        self.commit(*(("c", i, "x") for i in range(SNAPSHOT_ROWS)))
        snapshot = source.snapshot(self._schemas(source), {})
        found: list[int] = []
        halves = [snapshot.chunks[::2], snapshot.chunks[1::2]]

        def read(half: Sequence[Any]) -> None:
            for chunk in half:
                for batch in snapshot.read(chunk):
                    found.extend(batch.data.column("id").to_pylist())

        threads = [threading.Thread(target=read, args=(half,)) for half in halves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        snapshot.close()
        assert sorted(found) == list(range(SNAPSHOT_ROWS))

    def test_a_resumed_snapshot_completes_the_finished_chunks(self, source: Source) -> None:
        start = source.open(None, {})
        self.commit(*(("c", i, f"note {i}") for i in range(SNAPSHOT_ROWS)))
        source.follow(self._schemas(source))
        first = source.snapshot(self._schemas(source), {})
        done = first.chunks[: max(len(first.chunks) // 2, 1)]
        held = _snapshot_rows(first, done)
        begun = first.positions[self.contract_table]
        earlier = EarlierSnapshot(first.tokens[self.contract_table], begun, frozenset(c.id for c in done))
        first.close()
        self.commit(("u", 0, "changed"), ("d", 1), ("u", SNAPSHOT_ROWS - 1, "changed"), ("c", 9_999, "new"))
        second = source.snapshot(self._schemas(source), {self.contract_table: earlier})
        rows = _snapshot_rows(second)
        second.close()
        again = second.positions[self.contract_table]
        streamed = self._stream(source, start, 4, beyond=begun)
        if self.contract_table in second.resumed:
            rows = [*held, *_beyond(source, streamed, begun, again), *rows]
        rows += _beyond(source, streamed, again)
        history = [row | {Envelope.SEQ: i} for i, row in enumerate(rows)]
        state = {row["id"]: row["note"] for row in fold(history, ["id"])}
        expected = {i: f"note {i}" for i in range(2, SNAPSHOT_ROWS - 1)}
        assert state == expected | {0: "changed", SNAPSHOT_ROWS - 1: "changed", 9_999: "new"}

    def test_close_may_be_repeated(self, source: Source) -> None:
        source.close()
        source.close()

    def _schemas(self, source: Source) -> list[TableSchema]:
        return [schema for schema in source.discover() if schema.table == self.contract_table]

    def _identity_again(self) -> Any:
        other = self.make_source()
        identity = other.identity()
        other.close()
        return identity

    def _stream(
        self, source: Source, after: Position, row_count: int, *, beyond: Position | None = None
    ) -> list[ChangeSet]:
        """Return the sets after a position up to the one that ends the transaction with the last of
        `row_count` rows; rows from before `beyond` don't count.
        """
        stream = source.stream(after, {})
        sets: list[ChangeSet] = []

        def is_whole() -> bool:
            changes = next(stream)
            if changes is not None:
                sets.append(changes)
            found = _beyond(source, sets, beyond) if beyond else _rows(sets)
            return len(found) >= row_count and sets[-1].position is not None

        try:
            wait_for(is_whole, what=f"{row_count} rows from the stream")
        finally:
            stream.close()
        return sets


def _rows(sets: Sequence[ChangeSet], *, sort: bool = True) -> list[dict[str, Any]]:
    found = []
    for changes in sets:
        rows = [row for batch in changes.batches for row in batch.rows()]
        found += sorted(rows, key=lambda row: row[Envelope.SEQ]) if sort else rows
    return found


def _ids(sets: Sequence[ChangeSet]) -> list[int]:
    return [row["id"] for row in _rows(sets)]


def _last_position(sets: Sequence[ChangeSet]) -> Position:
    position = sets[-1].position
    assert position is not None
    return position


def _beyond(
    source: Source, sets: Sequence[ChangeSet], start: Position, end: Position | None = None
) -> list[dict[str, Any]]:
    """The streamed rows that a snapshot at `start` does not hold (and one at `end` does)."""
    rows = [(source.position(row[Envelope.POSITION]), row) for row in _rows(sets)]
    return [row for at, row in rows if at >= start and (end is None or at < end)]


def _snapshot_rows(snapshot: Snapshot, chunks: Sequence[Any] | None = None) -> list[dict[str, Any]]:
    chosen = snapshot.chunks if chunks is None else chunks
    return [row for chunk in chosen for batch in snapshot.read(chunk) for row in batch.rows()]
