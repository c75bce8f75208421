"""A lake in a bucket: a commit and a replay that end at any request, or are overtaken there by another
process; requests that fail; and what is left behind.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pyarrow as pa
import pytest

from cdc.errors import CdcError, SinkFenced
from cdc.lake.generations import manifests
from cdc.lake.journal import load_state
from cdc.lake.layout import LakePaths
from cdc.spi import Delivery
from cdc.testing.events import changes, delivery, table
from cdc_sink_parquet import ParquetSink
from tests.support.buckets import SOURCE, BucketLake, Crash, Requests

pytestmark = pytest.mark.xdist_group("seaweed")

ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()})
EVENTS = table("public.events", {"id": pa.int64()})


def some(first: int, after: int) -> Delivery:
    orders = changes(ORDERS, [("c", {"id": i}) for i in range(first, after - 1)], start=first)
    events = changes(EVENTS, [("c", {"id": after})], start=after - 1)
    return delivery([orders, events], first=first, next=after)


def deliver(sink: ParquetSink, end: int, step: int = 5) -> None:
    """Continue where the sink is."""
    cursor = sink.committed(SOURCE)
    first = cursor.next if cursor else 0
    while first < end:
        after = min(first + step, end)
        sink.apply(some(first, after))
        first = after


Step = Callable[[ParquetSink], None]


def begin_empty(sink: ParquetSink) -> None:
    """The lake has no commit, and so no cursor to write into."""


def begin_with_a_commit(sink: ParquetSink) -> None:
    sink.apply(some(0, 5))


def commit(sink: ParquetSink) -> None:
    deliver(sink, 10)


def begin_replay(sink: ParquetSink) -> None:
    deliver(sink, 10)


def replay(sink: ParquetSink) -> None:
    """Rewind into a file, deliver other ranges than before, and show the new generation."""
    sink.rewind(SOURCE, 3)
    deliver(sink, 10, step=4)


def continue_replay(sink: ParquetSink) -> None:
    """As the engine does in a new process: to the end, or from another place if it was not decided."""
    cursor = sink.committed(SOURCE)
    assert cursor is not None
    if cursor.next == cursor.high == 10:
        sink.rewind(SOURCE, 7)
    deliver(sink, 15, step=3)


def request_count(lake: BucketLake, begin: Step, act: Step) -> int:
    store = lake.store()
    sink = lake.opened(1, store)
    begin(sink)
    requests = Requests(store)
    act(sink)
    sink.close()
    return len(requests.names)


def assert_clean(lake: BucketLake, end: int) -> None:
    """All rows once, named by the manifests, and nothing unfinished after the next start."""
    last = lake.opened(9)
    cursor = last.committed(SOURCE)
    assert cursor is not None
    assert (cursor.next, cursor.high) == (end, end)
    last.close()
    assert lake.seqs() == list(range(end))
    assert lake.uploads() == []
    state = load_state(LakePaths(lake.store(), SOURCE))
    assert state is not None
    named = {
        file.path for one in manifests(LakePaths(lake.store(), SOURCE), state.live) for file in one.files
    }
    assert {key for key in lake.keys("public.") if key.endswith(".parquet")} == named
    assert [key for key in lake.keys("_cdc/") if "/staging/" in key or "/generations/" in key] == []


def check_crashes(lake: BucketLake, begin: Step, act: Step, go_on: Step, end: int, every: int = 1) -> None:
    total = request_count(lake, begin, act)
    for number in range(1, total + 1, every):
        for after in (False, True):
            one = lake.fresh()
            store = one.store()
            sink = one.opened(1, store)
            begin(sink)
            Requests(store).die_at(number, after=after)
            with pytest.raises(Crash):
                act(sink)
            successor = one.opened(2)
            go_on(successor)
            successor.close()
            assert_clean(one, end)


def check_overtaking(lake: BucketLake, begin: Step, act: Step, go_on: Step, end: int, every: int = 1) -> None:
    """At each request the process is suspended; it wakes when its successor has finished."""
    total = request_count(lake, begin, act)
    for number in range(1, total + 1, every):
        one = lake.fresh()
        store = one.store()
        sink = one.opened(1, store)
        begin(sink)

        def overtake(one: BucketLake = one) -> None:
            successor = one.opened(2)
            go_on(successor)
            successor.close()

        Requests(store).meet(overtake, number)
        with suppress(CdcError):
            act(sink)
        with pytest.raises(SinkFenced):
            sink.apply(some(end, end + 1))
        sink.close()
        assert_clean(one, end)


SOME = [(begin_empty, 7), (begin_with_a_commit, 2)]
ALL = [pytest.param(begin, 1, marks=pytest.mark.slow) for begin, _ in SOME]


@pytest.mark.parametrize(("begin", "every"), [*SOME, *ALL])
def test_a_commit_that_ends_at_any_request_is_completed_or_undone(
    bucket_lake: BucketLake, begin: Step, every: int
) -> None:
    check_crashes(bucket_lake, begin, commit, lambda sink: deliver(sink, 15), 15, every)


@pytest.mark.parametrize(("begin", "every"), [*SOME, *ALL])
def test_a_process_that_was_overtaken_at_any_request_of_a_commit_changes_nothing(
    bucket_lake: BucketLake, begin: Step, every: int
) -> None:
    check_overtaking(bucket_lake, begin, commit, lambda sink: deliver(sink, 15), 15, every)


@pytest.mark.parametrize("every", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_a_replay_that_ends_at_any_request_is_taken_up_again(bucket_lake: BucketLake, every: int) -> None:
    check_crashes(bucket_lake, begin_replay, replay, continue_replay, 15, every)


@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_a_process_that_was_overtaken_at_any_request_of_a_replay_changes_nothing(
    bucket_lake: BucketLake, every: int
) -> None:
    check_overtaking(bucket_lake, begin_replay, replay, continue_replay, 15, every)
