"""A commit at every place where it can break off, and who may write."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdc.errors import SinkFenced, SinkRefused, SinkUnavailable
from cdc.lake import generations, journal, sink, store
from cdc.lake.layout import LakePaths
from cdc.lake.store import LocalStore
from cdc.spi import Delivery
from cdc.testing.events import changes, delivery, position, sink_context, table
from cdc_sink_parquet import ParquetSink
from cdc_sink_parquet.options import ParquetOptions

OpenLake = Callable[..., ParquetSink]
ORDERS = table("public.orders", {"id": pa.int64(), "note": pa.string()})
EVENTS = table("public.events", {"id": pa.int64()})


class Crash(BaseException):
    """Stands for the end of the process at this step."""


def some(first: int, after: int) -> Delivery:
    orders = changes(ORDERS, [("c", {"id": i}) for i in range(first, after - 1)], start=first)
    events = changes(EVENTS, [("c", {"id": after})], start=after - 1)
    return delivery([orders, events], first=first, next=after)


def key_of(lake: Path, name: str) -> Path:
    """The path of one of the source's objects, or of a folder of them."""
    return lake / str(getattr(LakePaths(LocalStore(lake), "shop"), name))


def found(lake: Path) -> list[int]:
    tables = [pq.ParquetFile(path).read(["_cdc_seq"]) for path in lake.glob("public.*/**/*.parquet")]
    return sorted(seq for one in tables for seq in one.column(0).to_pylist())


def crash_at(monkeypatch: pytest.MonkeyPatch, module: object, name: str, call: int = 1) -> None:
    """Let the `call`th use of a function in that module be the last."""
    original, left = getattr(module, name), [call]

    def run(*args: object, **kwargs: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            raise Crash
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, run)


@pytest.mark.parametrize(
    ("module", "name", "call", "decided"),
    [
        (sink, "save_state", 1, False),
        (sink, "complete", 1, True),
        # Two staged files, the cursor, two files' names, the manifest.
        (LocalStore, "_made", 2, False),
        (LocalStore, "_made", 3, False),
        (LocalStore, "_made", 4, True),
        (LocalStore, "_made", 5, True),
        (LocalStore, "_made", 6, True),
        (store, "sync_folders", 2, True),
        (journal, "write_manifest", 1, True),
        (store, "create_atomically", 1, True),
    ],
)
def test_a_commit_that_breaks_off_is_completed_or_undone_by_the_next_process(
    lake: Path,
    open_lake: OpenLake,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    name: str,
    call: int,
    *,
    decided: bool,
) -> None:
    first = open_lake()
    first.apply(some(0, 5))
    with monkeypatch.context() as patch:
        crash_at(patch, module, name, call)
        with pytest.raises(Crash):
            first.apply(some(5, 9))
    first.close()
    second = open_lake(epoch=2)
    cursor = second.committed("shop")
    assert cursor is not None
    assert cursor.next == (9 if decided else 5)
    assert found(lake) == list(range(cursor.next))
    second.apply(some(5, 9))
    assert found(lake) == list(range(9))


def test_a_cursor_read_from_outside_never_names_what_is_not_there(
    lake: Path, open_lake: OpenLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_lake()
    first.apply(some(0, 5))
    with monkeypatch.context() as patch:
        crash_at(patch, sink, "complete")
        with pytest.raises(Crash):
            first.apply(some(5, 9))
    outside = ParquetSink(ParquetOptions(url=str(lake)), sink_context())
    cursor = outside.committed("shop")
    assert cursor is not None
    assert (cursor.next, cursor.position) == (5, position(5))


def test_the_same_object_goes_on_after_a_commit_that_broke_off(
    lake: Path, open_lake: OpenLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = open_lake()
    one.apply(some(0, 5))
    with monkeypatch.context() as patch:
        crash_at(patch, journal, "write_manifest")
        with pytest.raises(Crash):
            one.apply(some(5, 9))
    one.apply(some(5, 9))
    one.apply(some(9, 12))
    assert found(lake) == list(range(12))


def replay_all(sink: ParquetSink) -> None:
    sink.rewind("shop", 7)
    sink.apply(some(7, 14))
    sink.apply(some(14, 20))


@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        (generations, "_inherit", 2),
        (generations, "save_state", 1),
        (generations, "clear_generations", 1),
        (store, "_swap", 1),
        (store, "_swap", 2),
        (generations, "save_state", 2),
    ],
)
@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_replay_that_breaks_off_is_taken_up_again(
    lake: Path,
    open_lake: OpenLake,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    name: str,
    call: int,
    *,
    can_exchange: bool,
) -> None:
    given = LocalStore(lake) if can_exchange else LocalStore(lake, exchange=lambda _one, _other: False)
    first = open_lake(store=given)
    for start in range(0, 20, 5):
        first.apply(some(start, start + 5))
    with monkeypatch.context() as patch:
        crash_at(patch, module, name, call)
        with pytest.raises(Crash):
            replay_all(first)
    first.close()
    second = open_lake(epoch=2, store=given)
    cursor = second.committed("shop")
    assert cursor is not None
    if cursor.next == 20 and name in {"_inherit", "save_state"} and call < 2:
        second.rewind("shop", 7)
    while (cursor := second.committed("shop")) and cursor.next < 20:
        second.apply(some(cursor.next, min(cursor.next + 7, 20)))
    assert found(lake) == list(range(20))
    assert not any((lake / "_cdc/generations").rglob("*.parquet"))


def test_readers_keep_the_old_generation_until_the_new_one_is_whole(lake: Path, open_lake: OpenLake) -> None:
    one = open_lake()
    for start in range(0, 20, 5):
        one.apply(some(start, start + 5))
    one.rewind("shop", 0)
    for start in range(0, 15, 5):
        one.apply(some(start, start + 5))
        assert found(lake) == list(range(20))
    cursor = one.committed("shop")
    assert cursor is not None
    assert (cursor.next, cursor.high) == (15, 20)
    one.apply(some(15, 25))
    assert found(lake) == list(range(25))


def test_files_below_the_offset_are_linked_not_copied(lake: Path, open_lake: OpenLake) -> None:
    one = open_lake()
    for start in range(0, 20, 5):
        one.apply(some(start, start + 5))
    before = {path.name: path.stat().st_ino for path in lake.glob("public.*/**/*.parquet")}
    one.rewind("shop", 10)
    one.apply(some(10, 20))
    after = {path.name: path.stat().st_ino for path in lake.glob("public.*/**/*.parquet")}
    kept = [name for name in after if before.get(name) == after[name]]
    assert len(kept) == 4


def test_going_back_to_what_the_lake_has_not_reached_is_refused(open_lake: OpenLake) -> None:
    one = open_lake()
    one.apply(some(0, 5))
    with pytest.raises(SinkRefused, match="rewinding to offset 9 is not possible: the sink is at offset 5"):
        one.rewind("shop", 9)


def test_a_delivery_that_overlaps_the_cursor_is_refused(open_lake: OpenLake) -> None:
    one = open_lake()
    one.apply(some(0, 5))
    with pytest.raises(SinkRefused, match="the delivery starts at offset 3, the sink is at 5"):
        one.apply(some(3, 8))


def test_a_second_process_waits_until_the_first_is_gone(open_lake: OpenLake) -> None:
    one = open_lake()
    with pytest.raises(SinkUnavailable, match="another process writes this source's changes"):
        open_lake(epoch=1)
    one.close()
    open_lake(epoch=2).apply(some(0, 5))


def test_an_epoch_that_was_overtaken_is_fenced_where_locks_do_not_hold(
    lake: Path, open_lake: OpenLake
) -> None:
    one = open_lake(epoch=1)
    key_of(lake, "owner").write_bytes(orjson.dumps({"epoch": 5}))
    with pytest.raises(SinkFenced, match="opened with epoch 5, this process has epoch 1"):
        one.apply(some(0, 5))


def test_two_sources_share_a_lake_but_not_a_table(lake: Path, open_lake: OpenLake) -> None:
    shop, bank = open_lake("shop"), open_lake("bank")
    shop.apply(some(0, 5))
    other = table("public.accounts", {"id": pa.int64()})
    bank.apply(delivery([changes(other, [("c", {"id": 1})])], source="bank", first=0, next=1))
    clash = delivery([changes(ORDERS, [("c", {"id": 1})], start=1)], source="bank", first=1, next=2)
    bank.apply(clash)
    (said,) = bank.set_aside("bank")
    assert "the table public.orders of this lake belongs to the source 'shop'" in said.message
    assert found(lake) == [0, 0, 1, 2, 3, 4]


def test_a_damaged_cursor_is_refused_by_name(lake: Path, open_lake: OpenLake) -> None:
    open_lake().close()
    key_of(lake, "cursor").write_text("{")
    with pytest.raises(SinkRefused, match=r"cursor\.json: the cursor is not valid JSON"):
        open_lake(epoch=2)


def test_a_lake_of_a_newer_format_is_refused(lake: Path, open_lake: OpenLake) -> None:
    one = open_lake()
    one.apply(some(0, 5))
    one.close()
    path = key_of(lake, "cursor")
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), "format": 99}))
    with pytest.raises(SinkRefused, match="the lake has format 99, this version writes 1"):
        open_lake(epoch=2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_named_cleaned_up_and_waited_out(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 1_300_000)
    made = ParquetSink(ParquetOptions(url=str(small_disk / "lake"), compression="none"), sink_context())
    made.prepare("shop")
    rows = [("c", {"id": i, "note": f"{i * 7919:09d}" * 20}) for i in range(5_000)]
    big = delivery([changes(ORDERS, rows)], first=0, next=5_000)
    with pytest.raises(SinkUnavailable, match="the disk is full"):
        made.apply(big)
    assert not any(key_of(small_disk / "lake", "staging").iterdir())
    assert made.committed("shop") is None
    filler.unlink()
    made.apply(big)
    assert found(small_disk / "lake") == list(range(5_000))
    made.close()
