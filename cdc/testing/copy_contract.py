"""Promises of every sink about marks: copies of tables, and new definitions without rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from cdc.model import ChangeBatch, CopyMark, CopyStep, TableSchema
from cdc.spi import Delivery, Sink, SupportsRewind
from cdc.testing.events import EPOCH, Change, changes, delivery, table
from cdc.testing.fold import Row, fold

SOURCE = "shop"
KEYED = table("public.orders", {"id": pa.int64(), "note": pa.string()}, version=1)
KEYLESS = table("public.orders", {"id": pa.int64(), "note": pa.string()}, key=(), identity="full", version=1)
BOTH = pytest.mark.parametrize("schema", [KEYED, KEYLESS], ids=["keyed", "keyless"])
# The same name, with another key and other columns.
OTHER = table(
    "public.orders",
    {"code": pa.string(), "note": pa.string(), "extra": pa.bool_()},
    version=2,
    relation=7,
)
# The same table with another column.
WIDER = table(
    "public.orders", {"id": pa.int64(), "note": pa.string(), "extra": pa.int64()}, version=2, relation=7
)


class CopyContract:
    """Promises of every sink; `SinkContract` provides the sink."""

    def _close_and_compare(
        self, sink: Sink, place: Path, schema: TableSchema, expected: Sequence[Row]
    ) -> None:
        raise NotImplementedError

    def read_columns(self, place: Path, schema: TableSchema) -> set[str]:
        """The names of the table's columns that readers find there, with or without rows."""
        pytest.skip(f"{place.name} tells columns of {schema.table} with rows only")

    @BOTH
    def test_a_copy_ends_in_the_rows_since_its_beginning(
        self, place: Path, sink: Sink, schema: TableSchema
    ) -> None:
        history = list(copied_history(schema))
        for batches in history:
            sink.apply(_delivery_in_order(batches))
        self._close_and_compare(sink, place, schema, _folded_copy(history, schema))

    def test_a_copy_of_a_table_that_changed_its_shape_takes_its_place(self, place: Path, sink: Sink) -> None:
        old: list[Change] = [("c", _row(i)) for i in range(4)]
        sink.apply(delivery([changes(KEYED, old)], first=0, next=4))
        row = {"code": "x", "note": "n", "extra": True}
        begin = [_mark(OTHER, CopyStep.BEGIN, 4), changes(OTHER, [("r", row)], start=5)]
        sink.apply(_delivery_in_order(begin))
        sink.apply(_delivery_in_order([_mark(OTHER, CopyStep.FINISHED, 6)]))
        update = ("u", row | {"note": "m"})
        sink.apply(delivery([changes(OTHER, [update], start=7)], first=7, next=8))
        self._close_and_compare(sink, place, OTHER, [row | {"note": "m"}])

    def test_a_new_definition_without_rows_moves_the_cursor_and_changes_no_row(
        self, place: Path, sink: Sink
    ) -> None:
        first = list(altered_history())[:2]
        for batches in first:
            sink.apply(_delivery_in_order(batches))
        sink.apply(_delivery_in_order(first[-1]))
        cursor = sink.committed(SOURCE)
        assert cursor is not None
        assert cursor.next == 3
        self._close_and_compare(sink, place, WIDER, [_wide(0), _wide(1)])

    def test_a_new_definition_shows_its_columns_though_no_row_follows(self, place: Path, sink: Sink) -> None:
        for batches in list(altered_history())[:2]:
            sink.apply(_delivery_in_order(batches))
        sink.close()
        assert {column.name for column in WIDER.columns} <= self.read_columns(place, WIDER)

    def test_a_new_definition_is_for_the_rows_behind_it(self, place: Path, sink: Sink) -> None:
        history = list(altered_history())
        for batches in history:
            sink.apply(_delivery_in_order(batches))
        self._close_and_compare(sink, place, WIDER, _folded_copy(history, WIDER, extra=None))

    def test_a_new_definition_and_the_rows_around_it_may_come_in_one_delivery(
        self, place: Path, sink: Sink
    ) -> None:
        history = list(altered_history())
        sink.apply(_delivery_in_order([batch for batches in history for batch in batches]))
        self._close_and_compare(sink, place, WIDER, _folded_copy(history, WIDER, extra=None))

    def test_a_sink_rewound_across_new_definitions_ends_as_if_it_never_was(
        self, place: Path, sink: Sink
    ) -> None:
        if not isinstance(sink, SupportsRewind):
            pytest.skip("this sink does not offer rewind")
        history = list(altered_history())
        for batches in history:
            sink.apply(_delivery_in_order(batches))
        for back in range(len(history)):
            sink.rewind(SOURCE, _start_of(history[back]))
            for batches in history[back:]:
                sink.apply(_delivery_in_order(batches, replaying=True))
        self._close_and_compare(sink, place, WIDER, _folded_copy(history, WIDER, extra=None))

    @BOTH
    def test_a_sink_rewound_across_copies_ends_as_if_it_never_was(
        self, place: Path, sink: Sink, schema: TableSchema
    ) -> None:
        if not isinstance(sink, SupportsRewind):
            pytest.skip("this sink does not offer rewind")
        history = list(copied_history(schema))
        for at, batches in enumerate(history):
            sink.apply(_delivery_in_order(batches))
            if at % 2 == 0:
                continue
            # Back to before, into, or behind what came so far, once at each place.
            back = (at * 5) % (at + 1)
            sink.rewind(SOURCE, _start_of(history[back]))
            for again in history[back : at + 1]:
                sink.apply(_delivery_in_order(again, replaying=True))
        self._close_and_compare(sink, place, schema, _folded_copy(history, schema))


def copied_history(schema: TableSchema) -> Iterator[list[ChangeBatch]]:
    """Deliveries of one table: a first copy, changes, a copy that begins twice, changes in it and after it,
    and a last copy.
    """
    seq = 0

    def batch(*steps: Change) -> ChangeBatch:
        nonlocal seq
        made = changes(schema, steps, start=seq)
        seq += len(steps)
        return made

    def mark(step: CopyStep, *, truncates: bool = False) -> ChangeBatch:
        nonlocal seq
        made = _mark(schema, step, seq, truncates=truncates)
        seq += 1
        return made

    yield [mark(CopyStep.BEGIN), batch(("r", _row(1)), ("r", _row(2)))]
    yield [batch(("r", _row(3))), mark(CopyStep.FINISHED), batch(("c", _row(4)), ("d", _row(2)))]
    yield [batch(("u", _row(1, 0.5), _row(1)), ("c", _row(5)))]
    yield [mark(CopyStep.PENDING)]
    yield [mark(CopyStep.BEGIN, truncates=True), batch(("r", _row(3)), ("r", _row(8)))]
    yield [mark(CopyStep.BEGIN, truncates=True), batch(("r", _row(3)))]
    yield [batch(("r", _row(4)), ("r", _row(6))), batch(("u", _row(4, 0.25), _row(4)))]
    yield [batch(("d", _row(6))), mark(CopyStep.FINISHED)]
    yield [batch(("c", _row(7)), ("u", _row(3, 0.75), _row(3)))]
    yield [mark(CopyStep.BEGIN, truncates=True), batch(("r", _row(3, 0.75)), ("r", _row(4, 0.25)))]
    yield [batch(("r", _row(7)), ("c", _row(9))), mark(CopyStep.FINISHED), batch(("c", _row(10)))]
    yield [batch(("d", _row(10)))]


def altered_history() -> Iterator[list[ChangeBatch]]:
    """Deliveries of one table that is given a column, whose next row comes later."""
    narrow = replace(KEYED, relation=7)
    yield [changes(narrow, [("c", _row(0)), ("c", _row(1))])]
    yield [_mark(WIDER, CopyStep.ALTERED, 2)]
    yield [_mark(WIDER, CopyStep.ALTERED, 3), changes(WIDER, [("u", _wide(1, extra=7))], start=4)]
    yield [changes(WIDER, [("c", _wide(2, extra=8)), ("d", _wide(0))], start=5)]


def _wide(i: int, *, extra: int | None = None) -> Row:
    return _row(i) | {"extra": extra}


def _row(i: int, salt: float = 0.0) -> Row:
    return {"id": i, "note": f"note {i} {salt}"}


def _mark(schema: TableSchema, step: CopyStep, seq: int, *, truncates: bool = True) -> ChangeBatch:
    rows: list[Change] = [("t", None)] if truncates and step is CopyStep.BEGIN else []
    return replace(changes(schema, rows, start=seq), mark=CopyMark(step, EPOCH, seq))


def _start_of(batches: Sequence[ChangeBatch]) -> int:
    first = batches[0]
    return first.mark.seq if first.mark else int(first.seq[0].as_py())


def _delivery_in_order(batches: Sequence[ChangeBatch], *, replaying: bool = False) -> Delivery:
    last = batches[-1]
    end = last.mark.seq if last.mark else last.seq[-1].as_py()
    return delivery(batches, first=_start_of(batches), next=end + 1, replaying=replaying)


def _folded_copy(
    history: Sequence[Sequence[ChangeBatch]], schema: TableSchema, **missing: object
) -> list[Row]:
    """`missing` are the values of columns that older rows lack."""
    rows = [missing | row for batches in history for batch in batches for row in batch.rows()]
    return fold(rows, schema.key)
