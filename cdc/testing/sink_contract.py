"""The contract suite of sinks: subclass `SinkContract`, say how to make the sink and how to read what it
holds.

Every test is a promise of `cdc.spi.sink`. The subclass is a pytest class; a promise that a sink can't keep
is waived by name in `waived`, with the reason, and a waived test that passes fails.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, get_args

import pyarrow as pa
import pytest
from pydantic import BaseModel

from cdc.errors import SinkFenced, SinkRefused, SinkUnavailable
from cdc.model import ChangeBatch, Envelope, TableSchema
from cdc.spi import Delivery, Finding, SetsAside, Sink, SupportsRewind
from cdc.testing.contract_waivers import honours_waivers
from cdc.testing.copy_contract import CopyContract
from cdc.testing.events import LOG_ID, Change, altered, changes, delivery, position, table
from cdc.testing.fold import Row, fold
from cdc.testing.prefix_contract import PrefixContract

SOURCE = "shop"
ORDERS = table(
    "public.orders", {"id": pa.int64(), "note": pa.string(), "amount": pa.decimal128(12, 2)}, version=1
)
CUSTOMERS = table("public.customers", {"id": pa.int64(), "name": pa.string()}, version=1)
MEASURES = table(
    "public.measures", {"at": pa.int64(), "value": pa.float64()}, key=(), identity="full", version=1
)

CENT = Decimal("0.01")
RANDOM_SEEDS = (1, 2, 3)
RANDOM_DELIVERIES = 12
RANDOM_CHANGES = 25


class Interrupted(Exception):
    """Raised by a delivery whose log can't be read on."""


@honours_waivers
class SinkContract(CopyContract, PrefixContract):
    """Promises of every sink. `place` is a folder (or a name for a database) of one test."""

    waived: ClassVar[Mapping[str, str]] = {}

    def make_sink(self, place: Path, epoch: int) -> Sink:
        """A new sink object for this place."""
        raise NotImplementedError

    def read_state(self, place: Path, schema: TableSchema) -> list[Row]:
        """The table's current rows at that place, envelope removed; [] when the table isn't there."""
        raise NotImplementedError

    def refused_table(self) -> TableSchema:
        """A table with the column `id` that the sink can't take, for a sink that `SetsAside` tables."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        return tmp_path / "sink"

    @pytest.fixture
    def sink(self, place: Path) -> Iterator[Sink]:
        sink = self.make_sink(place, 1)
        sink.prepare(SOURCE)
        yield sink
        sink.close()

    def test_options_are_a_model_that_refuses_unknown_keys(self, place: Path) -> None:
        sink = self.make_sink(place, 1)
        assert issubclass(type(sink).Options, BaseModel)
        assert type(sink).Options.model_config.get("extra") == "forbid"

    def test_the_declared_modes_and_deletes_are_what_the_options_take(self, place: Path) -> None:
        sink = type(self.make_sink(place, 1))
        fields = sink.Options.model_fields
        declared = {"mode": sink.capabilities.modes, "deletes": sink.capabilities.deletes}
        assert sink.capabilities.modes
        for name, values in declared.items():
            if name in fields:
                assert get_args(fields[name].annotation) == values

    def test_check_reports_findings_and_creates_nothing(self, place: Path) -> None:
        findings = self.make_sink(place, 1).check()
        assert findings
        assert all(isinstance(finding, Finding) for finding in findings)
        assert not place.exists()

    def test_a_new_sink_has_no_cursor(self, sink: Sink) -> None:
        assert sink.committed(SOURCE) is None

    def test_prepare_may_be_repeated(self, sink: Sink) -> None:
        sink.prepare(SOURCE)
        sink.apply(_inserts(0, 3))
        sink.prepare(SOURCE)
        assert _next(sink) == 3

    def test_close_may_be_repeated_and_needs_no_prepare(self, place: Path) -> None:
        sink = self.make_sink(place, 1)
        sink.close()
        sink.close()

    def test_apply_shows_the_rows_and_moves_the_cursor(self, place: Path, sink: Sink) -> None:
        sink.apply(_inserts(0, 3))
        cursor = sink.committed(SOURCE)
        assert cursor is not None
        assert (cursor.source, cursor.next, cursor.position, cursor.high) == (SOURCE, 3, position(3), 3)
        assert cursor.commit_at is not None
        self._close_and_compare(sink, place, ORDERS, [_order(i) for i in range(3)])

    def test_the_cursor_has_the_identity_of_its_log(self, place: Path, sink: Sink) -> None:
        sink.apply(_inserts(0, 3))
        sink.close()
        again = self.make_sink(place, 2)
        again.prepare(SOURCE)
        cursor = again.committed(SOURCE)
        assert cursor is not None
        assert cursor.log_id == LOG_ID
        again.close()

    def test_the_same_delivery_twice_is_applied_once(self, place: Path, sink: Sink) -> None:
        sink.apply(_inserts(0, 3))
        sink.apply(_inserts(0, 3))
        assert _next(sink) == 3
        self._close_and_compare(sink, place, ORDERS, [_order(i) for i in range(3)])

    def test_the_next_process_may_repeat_the_last_delivery(self, place: Path, sink: Sink) -> None:
        sink.apply(_inserts(0, 3))
        sink.close()
        again = self.make_sink(place, 2)
        again.prepare(SOURCE)
        assert _next(again) == 3
        again.apply(_inserts(0, 3))
        again.apply(_inserts(3, 5))
        assert _next(again) == 5
        self._close_and_compare(again, place, ORDERS, [_order(i) for i in range(5)])

    def test_a_delivery_that_breaks_off_leaves_nothing(self, place: Path, sink: Sink) -> None:
        sink.apply(_inserts(0, 3))
        with pytest.raises(Interrupted):
            sink.apply(_breaking_off(3, 9))
        assert _next(sink) == 3
        sink.apply(_inserts(3, 9))
        self._close_and_compare(sink, place, ORDERS, [_order(i) for i in range(9)])

    def test_a_first_delivery_that_breaks_off_leaves_an_empty_sink(self, place: Path, sink: Sink) -> None:
        with pytest.raises(Interrupted):
            sink.apply(_breaking_off(0, 6))
        assert sink.committed(SOURCE) is None
        sink.close()
        assert self.read_state(place, ORDERS) == []

    def test_an_empty_delivery_moves_only_the_position(self, place: Path, sink: Sink) -> None:
        sink.apply(_inserts(0, 3))
        sink.apply(delivery([], first=3, next=3, at=99))
        cursor = sink.committed(SOURCE)
        assert cursor is not None
        assert (cursor.next, cursor.position) == (3, position(99))
        self._close_and_compare(sink, place, ORDERS, [_order(i) for i in range(3)])

    def test_a_delivery_that_leaves_a_hole_is_refused(self, place: Path, sink: Sink) -> None:
        with pytest.raises(SinkRefused, match=r"\b3\b.*\b0\b"):
            sink.apply(_inserts(3, 5))
        assert sink.committed(SOURCE) is None
        sink.apply(_inserts(0, 3))
        with pytest.raises(SinkRefused, match=r"\b7\b.*\b3\b"):
            sink.apply(_inserts(7, 9))
        assert _next(sink) == 3
        sink.apply(_inserts(3, 9))
        self._close_and_compare(sink, place, ORDERS, [_order(i) for i in range(9)])

    def test_a_new_sink_begins_where_it_is_told_to(self, place: Path, sink: Sink) -> None:
        sink.apply(delivery([], first=7, next=7, begins=True))
        sink.apply(delivery([], first=7, next=7, begins=True))
        assert _next(sink) == 7
        sink.apply(_inserts(7, 9))
        with pytest.raises(SinkRefused):
            sink.apply(_inserts(12, 13))
        assert _next(sink) == 9
        self._close_and_compare(sink, place, ORDERS, [_order(i) for i in range(7, 9)])

    def test_a_sink_that_was_passed_goes_on_where_it_is_told_to(self, place: Path, sink: Sink) -> None:
        sink.apply(_inserts(0, 3))
        sink.apply(delivery([], first=7, next=7, begins=True))
        cursor = sink.committed(SOURCE)
        assert cursor is not None
        assert (cursor.next, cursor.high, cursor.position) == (7, 7, position(7))
        sink.apply(_inserts(7, 9))
        self._close_and_compare(sink, place, ORDERS, [_order(i) for i in (0, 1, 2, 7, 8)])

    def test_a_range_without_batches_moves_the_cursor(self, place: Path, sink: Sink) -> None:
        sink.apply(_inserts(0, 3))
        sink.apply(delivery([], first=3, next=6))
        sink.apply(_inserts(6, 8))
        assert _next(sink) == 8
        self._close_and_compare(sink, place, ORDERS, [_order(i) for i in (0, 1, 2, 6, 7)])

    def test_an_older_epoch_is_fenced(self, place: Path, sink: Sink) -> None:
        sink.apply(_inserts(0, 3))
        newer = self.make_sink(place, 2)
        try:
            newer.prepare(SOURCE)
        except SinkUnavailable:
            # Sinks that lock keep the newer one waiting until the older one is gone.
            sink.close()
            newer.prepare(SOURCE)
            sink = self.make_sink(place, 1)
            newer.close()
            with pytest.raises(SinkFenced):
                sink.prepare(SOURCE)
        else:
            with pytest.raises(SinkFenced):
                sink.apply(_inserts(3, 6))
            if isinstance(sink, SupportsRewind):
                with pytest.raises(SinkFenced):
                    sink.rewind(SOURCE, 0)
            assert _next(newer) == 3
            newer.close()

    def test_parts_of_one_delivery_are_applied_in_order(self, place: Path, sink: Sink) -> None:
        update = ("u", _order(1) | {"note": "x"})
        steps: list[Change] = [("c", _order(1)), update, ("d", _order(1)), ("c", _order(1))]
        batches = [changes(ORDERS, [step], start=i) for i, step in enumerate(steps)]
        sink.apply(delivery(batches, first=0, next=4, parts=lambda: ([batch] for batch in batches)))
        self._close_and_compare(sink, place, ORDERS, [_order(1)])

    def test_several_tables_of_one_delivery_are_all_applied(self, place: Path, sink: Sink) -> None:
        customers = changes(CUSTOMERS, [("c", {"id": 1, "name": "Ada"})], seqs=[1])
        orders = changes(ORDERS, [("c", _order(1)), ("c", _order(2))], seqs=[0, 2])
        sink.apply(delivery([orders, customers], first=0, next=3))
        sink.close()
        assert self.read_state(place, CUSTOMERS) == [{"id": 1, "name": "Ada"}]
        assert len(self.read_state(place, ORDERS)) == 2

    def test_an_unchanged_column_keeps_the_stored_value(self, place: Path, sink: Sink) -> None:
        sink.apply(_inserts(0, 1))
        update = ("u", _order(0) | {"amount": None, "note": None}, None, ["note", "amount"])
        sink.apply(delivery([changes(ORDERS, [update], start=1)], first=1, next=2))
        self._close_and_compare(sink, place, ORDERS, [_order(0)])

    def test_a_key_change_moves_the_row(self, place: Path, sink: Sink) -> None:
        sink.apply(_inserts(0, 2))
        moved = ("u", _order(7) | {"note": None}, {"id": 1}, ["note"])
        sink.apply(delivery([changes(ORDERS, [moved], start=2)], first=2, next=3))
        self._close_and_compare(sink, place, ORDERS, [_order(0), _order(7) | {"note": _order(1)["note"]}])

    def test_a_truncate_empties_the_table_at_its_place_in_the_order(self, place: Path, sink: Sink) -> None:
        steps: list[Change] = [("c", _order(1)), ("t", None), ("c", _order(2))]
        sink.apply(delivery([changes(ORDERS, steps)], first=0, next=3))
        self._close_and_compare(sink, place, ORDERS, [_order(2)])

    def test_a_table_without_key_is_a_multiset(self, place: Path, sink: Sink) -> None:
        row = {"at": 1, "value": 0.5}
        moved = {"at": 2, "value": 1.5}
        steps: list[Change] = [("c", row), ("c", row), ("d", row), ("u", moved, row), ("c", row)]
        sink.apply(delivery([changes(MEASURES, steps)], first=0, next=5))
        self._close_and_compare(sink, place, MEASURES, [row, moved])

    def test_a_column_added_inside_of_a_delivery_is_there_from_then_on(self, place: Path, sink: Sink) -> None:
        columns = {c.name: c.type for c in ORDERS.columns}
        wide = table("public.orders", columns | {"extra": pa.string()}, version=2)
        batches = [
            changes(ORDERS, [("c", _order(1))]),
            changes(wide, [("c", _order(2) | {"extra": "new"})], start=1),
        ]
        sink.apply(delivery(batches, first=0, next=2))
        expected = [_order(1) | {"extra": None}, _order(2) | {"extra": "new"}]
        self._close_and_compare(sink, place, wide, expected)

    def test_names_with_quotes_slashes_and_dots_are_kept(self, place: Path, sink: Sink) -> None:
        odd = table(
            'we"ird/s.o.d d', {"i d": pa.int64(), "q\"uo'te": pa.string(), "a.b": pa.string()}, version=1
        )
        row = {"i d": 1, "q\"uo'te": "v", "a.b": "w"}
        sink.apply(delivery([changes(odd, [("c", row)])], first=0, next=1))
        self._close_and_compare(sink, place, odd, [row])

    def test_a_table_that_can_not_be_taken_does_not_stop_the_others(self, place: Path, sink: Sink) -> None:
        if not isinstance(sink, SetsAside):
            pytest.skip("this sink sets no table aside")
        refused = self.refused_table()
        batches = [
            changes(refused, [("c", {"id": 1})], seqs=[0]),
            changes(ORDERS, [("c", _order(1))], seqs=[1]),
        ]
        sink.apply(delivery(batches, first=0, next=2))
        (said,) = sink.set_aside(SOURCE)
        assert (said.table, said.since, said.deliverable) == (refused.table, 0, False)
        assert said.kind
        assert said.message
        assert said.remedy
        # The sink stores the refusal with the cursor, and skips the table until it starts over.
        sink.close()
        again = self.make_sink(place, 2)
        assert isinstance(again, SetsAside)
        again.prepare(SOURCE)
        assert list(again.set_aside(SOURCE)) == [said]
        assert not again.reconsider(SOURCE, refused)
        again.apply(delivery([changes(refused, [("t", None)], start=2)], first=2, next=3))
        assert [one.table for one in again.set_aside(SOURCE)] == [refused.table]
        self._close_and_compare(again, place, ORDERS, [_order(1)])

    def test_a_definition_that_can_not_be_taken_sets_the_table_aside_before_a_row_follows(
        self, place: Path, sink: Sink
    ) -> None:
        if not isinstance(sink, SetsAside):
            pytest.skip("this sink sets no table aside")
        known = table("public.known", {"id": pa.int64()}, version=1, relation=9)
        refused = replace(self.refused_table(), relation=9)
        sink.apply(delivery([changes(known, [("c", {"id": 1})])], first=0, next=1))
        batches = [altered(refused, 1), changes(ORDERS, [("c", _order(1))], seqs=[2]), altered(refused, 3)]
        sink.apply(delivery(batches, first=1, next=4))
        sink.apply(delivery([altered(refused, 4)], first=4, next=5))
        # The sink has the table's changes below the offset of the definition.
        (said,) = sink.set_aside(SOURCE)
        assert 0 < said.since <= 1
        assert not said.deliverable
        sink.apply(delivery([altered(known, 5)], first=5, next=6))
        (said,) = sink.set_aside(SOURCE)
        assert said.deliverable
        self._close_and_compare(sink, place, ORDERS, [_order(1)])

    @pytest.mark.parametrize("seed", RANDOM_SEEDS)
    def test_a_random_history_ends_in_the_state_it_describes(
        self, place: Path, sink: Sink, seed: int
    ) -> None:
        history = list(random_history(seed))
        for batch in history:
            sink.apply(_delivery_of(batch))
        self._close_and_compare(sink, place, ORDERS, _folded(history))

    def test_a_rewound_sink_ends_as_if_it_never_was(self, place: Path, sink: Sink) -> None:
        if not isinstance(sink, SupportsRewind):
            pytest.skip("this sink does not offer rewind")
        history = list(random_history(4))
        for batch in history:
            sink.apply(_delivery_of(batch))
        offset = history[len(history) // 2].seq[0].as_py()
        sink.rewind(SOURCE, offset)
        cursor = sink.committed(SOURCE)
        assert cursor is not None
        assert (cursor.next, cursor.high) == (offset, history[-1].seq[-1].as_py() + 1)
        for batch in history[len(history) // 2 :]:
            sink.apply(_delivery_of(batch, replaying=True))
        assert _next(sink) == cursor.high
        self._close_and_compare(sink, place, ORDERS, _folded(history))

    def test_a_rewound_sink_may_be_given_other_ranges_than_before(self, place: Path, sink: Sink) -> None:
        if not isinstance(sink, SupportsRewind):
            pytest.skip("this sink does not offer rewind")
        history = list(random_history(5))
        for batch in history:
            sink.apply(_delivery_of(batch))
        sink.rewind(SOURCE, 0)
        end = history[-1].seq[-1].as_py() + 1
        sink.apply(delivery(history, first=0, next=end, replaying=True))
        self._close_and_compare(sink, place, ORDERS, _folded(history))

    def _close_and_compare(
        self, sink: Sink, place: Path, schema: TableSchema, expected: Sequence[Row]
    ) -> None:
        sink.close()
        assert _sorted(self.read_state(place, schema)) == _sorted(expected)


def random_history(seed: int) -> Iterator[ChangeBatch]:
    """Batches of random, consistent changes to ORDERS: one a delivery."""
    chance = random.Random(seed)  # noqa: S311  (repeatable on purpose)
    live: list[int] = []
    start = 0
    for _ in range(RANDOM_DELIVERIES):
        steps = [_random_change(chance, live) for _ in range(RANDOM_CHANGES)]
        yield changes(ORDERS, steps, start=start)
        start += len(steps)


def _random_change(chance: random.Random, live: list[int]) -> Change:
    what = chance.random()
    free = [i for i in range(40) if i not in live]
    if what < 0.02:
        live.clear()
        return ("t", None)
    if not live or (what < 0.4 and free):
        live.append(chance.choice(free))
        return ("c", _order(live[-1], chance.random()))
    chosen = chance.choice(live)
    if what < 0.6:
        live.remove(chosen)
        return ("d", {"id": chosen, "note": None, "amount": None}, None, ["note", "amount"])
    if what < 0.75 and free:
        live.remove(chosen)
        live.append(chance.choice(free))
        return ("u", _order(live[-1], chance.random()) | {"note": None}, {"id": chosen}, ["note"])
    if what < 0.85:
        return ("u", _order(chosen, chance.random()) | {"note": None}, None, ["note"])
    return ("u", _order(chosen, chance.random()))


def _order(i: int, salt: float = 0.0) -> Row:
    return {"id": i, "note": f"note {i} {salt}" if i % 5 else None, "amount": Decimal(i).quantize(CENT)}


def _inserts(first: int, after: int) -> Delivery:
    batch = changes(ORDERS, [("c", _order(i)) for i in range(first, after)], start=first)
    return delivery([batch], first=first, next=after)


def _breaking_off(first: int, after: int) -> Delivery:
    whole = _inserts(first, after)

    def parts() -> Iterator[Sequence[ChangeBatch]]:
        yield from whole.parts()
        raise Interrupted

    return delivery([], first=first, next=after, parts=parts)


def _delivery_of(batch: ChangeBatch, *, replaying: bool = False) -> Delivery:
    first, last = batch.seq[0].as_py(), batch.seq[-1].as_py()
    return delivery([batch], first=first, next=last + 1, replaying=replaying)


def _folded(history: Sequence[ChangeBatch]) -> list[Row]:
    return fold([row for batch in history for row in batch.rows()], ORDERS.key)


def _next(sink: Sink) -> int:
    cursor = sink.committed(SOURCE)
    assert cursor is not None
    return cursor.next


def _sorted(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    own = [{k: v for k, v in row.items() if not k.startswith(Envelope.OP[:5])} for row in rows]
    return sorted(own, key=lambda row: repr(sorted(row.items(), key=lambda item: item[0])))
