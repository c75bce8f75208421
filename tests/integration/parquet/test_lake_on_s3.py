"""A lake in a bucket: a commit and a replay that end at any request, or are overtaken there by another
process; requests that fail; and what is left behind.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs
import pytest

from cdc.errors import CdcError, SinkFenced, SinkUnavailable
from cdc.lake import fence
from cdc.lake.generations import manifests
from cdc.lake.journal import load_state
from cdc.lake.layout import LakePaths
from cdc.spi import Delivery
from cdc.testing.events import changes, delivery, table
from cdc.testing.servers.process import HOST
from cdc.testing.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY
from cdc_sink_parquet import ParquetSink
from tests.support import bucket_writer
from tests.support.buckets import SOURCE, BucketLake, Crash, Requests
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

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


SOME = [(begin_empty, 11), (begin_with_a_commit, 4)]
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


@pytest.mark.parametrize("every", [41, pytest.param(1, marks=pytest.mark.slow)])
def test_a_replay_that_ends_at_any_request_is_taken_up_again(bucket_lake: BucketLake, every: int) -> None:
    check_crashes(bucket_lake, begin_replay, replay, continue_replay, 15, every)


@pytest.mark.parametrize("every", [29, pytest.param(1, marks=pytest.mark.slow)])
def test_a_process_that_was_overtaken_at_any_request_of_a_replay_changes_nothing(
    bucket_lake: BucketLake, every: int
) -> None:
    check_overtaking(bucket_lake, begin_replay, replay, continue_replay, 15, every)


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_commit_whose_connections_are_cut_at_each_request_is_made_once(
    bucket_lake: BucketLake, lost: str
) -> None:
    with Proxy(bucket_lake.server.port) as proxy:
        begun = replace(bucket_lake.fresh(), endpoint=f"http://{HOST}:{proxy.port}")
        total = request_count(begun, begin_with_a_commit, commit)
        one = begun.fresh()
        store = one.store()
        sink = one.opened(1, store)
        begin_with_a_commit(sink)
        requests = Requests(store)
        for number in range(1, total + 1):
            requests.meet((lambda: proxy.cut_after(1)) if lost == "answer" else proxy.cut, number)
            deliver(sink, 5 * (number + 1))
        sink.close()
        assert_clean(one, 5 * (total + 1))


def test_a_server_that_is_down_is_waited_for(bucket_lake: BucketLake) -> None:
    with Proxy(bucket_lake.server.port) as proxy:
        one = replace(bucket_lake.fresh(), endpoint=f"http://{HOST}:{proxy.port}")
        store = one.store()
        sink = one.opened(1, store)
        begin_with_a_commit(sink)
        # The cursor's request, after the owner's and two staged files.
        Requests(store).meet(proxy.refuse, 4)
        with pytest.raises(SinkUnavailable, match="writing to the lake: the request to S3 failed") as caught:
            commit(sink)
        assert "Delivery is retried automatically" in caught.value.remedy
        proxy.accept()
        deliver(sink, 15)
        sink.close()
        assert_clean(one, 15)


def test_a_flush_sends_two_writes_a_file_and_two_more(bucket_lake: BucketLake) -> None:
    store = bucket_lake.store()
    sink = bucket_lake.opened(1, store)
    begin_with_a_commit(sink)
    requests = Requests(store)
    sink.apply(some(5, 10))
    assert sorted(requests.names) == ["GET", "POST"] + ["PUT"] * 6
    requests.names.clear()
    sink.apply(delivery([], first=10, next=12))
    assert sorted(requests.names) == ["GET", "PUT"]
    sink.close()


@pytest.fixture(scope="module")
def processes() -> multiprocessing.context.ForkServerContext:
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["tests.support.bucket_writer"])
    return made


def test_of_two_processes_the_newer_one_takes_over_and_the_older_one_changes_nothing(
    bucket_lake: BucketLake, processes: multiprocessing.context.ForkServerContext
) -> None:
    options = bucket_lake.options().model_dump(exclude_unset=True)
    environment = dict(bucket_lake.server.environment)
    started = []
    for epoch, total in ((1, 1_000_000), (2, 300)):
        ours, theirs = processes.Pipe()
        process = processes.Process(
            target=bucket_writer.write, args=(options, environment, epoch, total, theirs)
        )
        process.start()
        assert process.pid is not None
        started.append((process, ours))
        if epoch == 1:
            while ours.recv() < 50:
                pass
            os.kill(process.pid, signal.SIGSTOP)
    (older, from_older), (newer, from_newer) = started
    while from_newer.recv() != "done":
        pass
    newer.join()
    assert older.pid is not None
    os.kill(older.pid, signal.SIGCONT)
    older.join()
    told: list[object] = []
    with suppress(EOFError):
        while True:
            told.append(from_older.recv())
    assert told[-1] == "SinkFenced"
    assert_clean(bucket_lake, 300)


def test_uploads_of_a_killed_process_are_aborted_at_the_next_start(
    bucket_lake: BucketLake, processes: multiprocessing.context.ForkServerContext
) -> None:
    bucket_lake.opened(1).close()
    deliver_first = bucket_lake.opened(1)
    deliver_first.apply(delivery([], first=0, next=0, begins=True))
    deliver_first.close()
    options = bucket_lake.options().model_dump(exclude_unset=True) | {"compression": "none"}
    ours, theirs = processes.Pipe()
    arguments = (options, dict(bucket_lake.server.environment), 2, theirs)
    process = processes.Process(target=bucket_writer.write_large, args=arguments)
    process.start()
    assert ours.recv() == "written"
    wait_until(bucket_lake.uploads, "an upload to have begun")
    process.kill()
    process.join()
    assert bucket_lake.uploads() != []
    bucket_lake.opened(3).close()
    assert bucket_lake.uploads() == []


def test_a_copy_of_the_daemons_state_is_refused(
    bucket_lake: BucketLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = bucket_lake.opened(1)
    begin_with_a_commit(sink)
    with monkeypatch.context() as patch:
        patch.setattr(fence, "_process", lambda: "another")
        with pytest.raises(SinkFenced, match="with the same epoch 1: a daemon on a copy of this state_dir"):
            bucket_lake.opened(1)
    commit(sink)
    sink.close()
    assert bucket_lake.seqs() == list(range(10))


def test_pyarrow_reads_a_table_from_the_bucket(bucket_lake: BucketLake) -> None:
    sink = bucket_lake.opened(1)
    deliver(sink, 15)
    sink.close()
    server = bucket_lake.server
    reached = pyarrow.fs.S3FileSystem(
        endpoint_override=server.endpoint, access_key=ACCESS_KEY, secret_key=SECRET_KEY, region=REGION
    )
    folder = f"{bucket_lake.url.removeprefix('s3://')}/public.orders"
    rows = ds.dataset(folder, filesystem=reached, format="parquet", partitioning="hive").to_table()
    assert sorted(rows["id"].to_pylist()) == [i for i in range(15) if i % 5 != 4]
