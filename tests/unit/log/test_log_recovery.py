from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from cdc.errors import LogCorrupt, StateError
from cdc.log import LogView, SegmentedLog, verify_log
from cdc.log.frame import encode_preamble
from cdc.testing.events import append, position
from tests.support.logs import ids, newest, one, opened, parts, schemas


def _fill(folder: Path, commits: int = 3, segment_bytes: int = 1 << 20) -> list[int]:
    """The file size after each commit."""
    with opened(folder, segment_bytes=segment_bytes) as log:
        sizes = []
        for at in range(commits):
            append(log, one(at, at, at + 100), metadata={"n": str(at)})
            sizes.append(newest(folder).stat().st_size)
        return sizes


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_a_torn_tail_is_cut_and_the_next_append_follows_the_last_commit(tmp_path: Path) -> None:
    sizes = _fill(tmp_path)
    with newest(tmp_path).open("ab") as file:
        file.write(b"\x00" * 1000)
    with opened(tmp_path) as log:
        assert log.recovered_bytes == 1000
        assert newest(tmp_path).stat().st_size == sizes[-1]
        append(log, one(9, 9))
        assert [i for i, _ in ids(log)] == list(range(7))


def test_parts_that_were_never_ended_are_cut(tmp_path: Path) -> None:
    _fill(tmp_path, 1)
    log = SegmentedLog(tmp_path)
    log.begin().append(parts(5, 2, 10)[0])
    shutil.copytree(tmp_path, tmp_path / "crashed", ignore=shutil.ignore_patterns("crashed"))
    log.close()
    with opened(tmp_path / "crashed") as again:
        assert again.recovered_bytes > 0
        assert len(ids(again)) == 2


def test_a_damaged_newest_commit_is_taken_for_torn(tmp_path: Path) -> None:
    sizes = _fill(tmp_path)
    _flip(newest(tmp_path), sizes[-1] - 3)
    with opened(tmp_path) as log:
        assert len(ids(log)) == 4
        assert log.metadata == {"n": "1"}


@pytest.mark.parametrize("commit", [0, 1])
def test_damage_before_a_later_commit_is_refused_and_nothing_is_cut(tmp_path: Path, commit: int) -> None:
    sizes = _fill(tmp_path)
    path = newest(tmp_path)
    _flip(path, sizes[commit] - 3)
    damaged = path.read_bytes()
    with pytest.raises(LogCorrupt, match="a commit after it proves that it was whole") as caught:
        SegmentedLog(tmp_path)
    assert path.name in caught.value.where
    assert f"offset {2 * commit}" in caught.value.where
    assert "Restore this file from a backup" in caught.value.remedy
    assert path.read_bytes() == damaged


def test_damaged_rows_that_every_reader_has_passed_do_not_prevent_the_opening(tmp_path: Path) -> None:
    sizes = _fill(tmp_path)
    path = newest(tmp_path)
    # In the rows of the second commit: its commit frame is behind them.
    at = sizes[0] + (sizes[1] - sizes[0]) // 3
    _flip(path, at)
    with pytest.raises(LogCorrupt):
        SegmentedLog(tmp_path, needed_from=2)
    with closing(SegmentedLog(tmp_path, needed_from=4)) as log:
        (damage,) = log.damage
        assert path.name in damage.where
        assert ids(log, 4) == [(4, 2), (5, 102)]
        assert log.metadata == {"n": "2"}
        with pytest.raises(LogCorrupt):
            ids(log)
        append(log, one(9, 9), metadata={"n": "9"})
        # The damaged segment is sealed, and goes without a limit, but not before every cursor is past it.
        assert log.trim(2).byte_count == 0
        assert log.trim(6).byte_count > 0
        assert (log.start, log.metadata) == (6, {"n": "9"})
    with opened(tmp_path) as again:
        assert len(ids(again, 6)) == 1
        assert not again.damage


@pytest.mark.parametrize("damage", ["missing", "cut", "index and frame"])
def test_segments_up_to_a_damaged_one_that_every_reader_has_passed_are_removed(
    tmp_path: Path, damage: str
) -> None:
    _fill(tmp_path, 4, segment_bytes=1)
    segments = sorted(tmp_path.glob("*.cdclog"))
    if damage == "missing":
        segments[1].unlink()
    elif damage == "cut":
        segments[1].write_bytes(segments[1].read_bytes()[:-10])
    else:
        segments[1].with_suffix(".index").unlink()
        _flip(segments[1], 41)
    with pytest.raises(LogCorrupt):
        SegmentedLog(tmp_path, needed_from=3)
    with closing(SegmentedLog(tmp_path, needed_from=4)) as log:
        assert len(log.damage) == 1
        assert (log.start, len(ids(log, 4))) == (4, 4)
    assert sorted(tmp_path.glob("*.cdclog")) == segments[2:]


def test_a_refused_folder_is_not_left_locked(tmp_path: Path) -> None:
    sizes = _fill(tmp_path)
    _flip(newest(tmp_path), sizes[0] - 3)
    for _ in range(2):
        with pytest.raises(LogCorrupt):
            SegmentedLog(tmp_path)


def test_damage_in_a_sealed_segment_is_found_when_it_is_read(tmp_path: Path) -> None:
    _fill(tmp_path, 4, segment_bytes=1)
    first = min(tmp_path.glob("*.cdclog"))
    _flip(first, first.stat().st_size - 300)
    with opened(tmp_path) as log:
        with pytest.raises(LogCorrupt) as caught:
            ids(log)
        assert first.name in caught.value.where
        assert len(list(log.read(2, 8))) == 3
    assert [first.name in error.where for error in verify_log(tmp_path).damage] == [True]


@pytest.mark.parametrize("keep", ["index", "no index"])
def test_a_sealed_segment_that_lost_its_end_is_refused(tmp_path: Path, keep: str) -> None:
    _fill(tmp_path, 4, segment_bytes=1)
    second = sorted(tmp_path.glob("*.cdclog"))[1]
    second.write_bytes(second.read_bytes()[:-10])
    if keep == "no index":
        second.with_suffix(".index").unlink()
    with pytest.raises(LogCorrupt, match="newer segments prove that it was whole") as caught:
        SegmentedLog(tmp_path)
    assert second.name in caught.value.where


def test_a_missing_segment_between_is_refused(tmp_path: Path) -> None:
    _fill(tmp_path, 4, segment_bytes=1)
    sorted(tmp_path.glob("*.cdclog"))[1].unlink()
    with pytest.raises(LogCorrupt, match="segment 2 is missing before this one"):
        SegmentedLog(tmp_path)


def test_a_segment_of_another_log_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _fill(tmp_path / name, 3, segment_bytes=1)
    theirs = sorted((tmp_path / "b").glob("*.cdclog"))[1]
    shutil.copy(theirs, tmp_path / "a" / theirs.name)
    (tmp_path / "a" / theirs.name).with_suffix(".index").unlink()
    with pytest.raises(LogCorrupt, match="belongs to another log"):
        SegmentedLog(tmp_path / "a")


@pytest.mark.parametrize("damage", ["missing", "flipped", "empty"])
def test_an_index_is_built_again(tmp_path: Path, damage: str) -> None:
    _fill(tmp_path, 4, segment_bytes=1)
    with opened(tmp_path) as log:
        before = log.segments
    index = min(tmp_path.glob("*.index"))
    good = index.read_bytes()
    if damage == "missing":
        index.unlink()
    else:
        index.write_bytes(b"" if damage == "empty" else good[:60] + b"\x00" + good[61:])
    with opened(tmp_path) as log:
        assert log.segments == before
        assert len(ids(log)) == 8
    assert index.read_bytes() == good


def test_leftovers_of_an_interrupted_write_are_removed(tmp_path: Path) -> None:
    _fill(tmp_path, 2)
    leftovers = [tmp_path / "0000000009-00000000000000000000.cdclog.tmp", tmp_path / "0000000000-1.index"]
    for path in leftovers:
        path.write_bytes(b"half")
    with opened(tmp_path) as log:
        assert len(ids(log)) == 4
    assert not any(path.exists() for path in leftovers)


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    _fill(tmp_path, 1)
    path = newest(tmp_path)
    data = path.read_bytes()
    head = encode_preamble(data[12:28], 1, version=2)
    path.write_bytes(head + data[len(head) :])
    with pytest.raises(StateError, match="the log has format 2; this version reads up to 1"):
        SegmentedLog(tmp_path)


def test_a_view_sees_only_whole_commits(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        append(log, one(1, 1))
        view = LogView(tmp_path)
        first, last = parts(5, 2, 2)
        with log.begin() as entry:
            entry.append(first)
            assert not view.refresh()
            assert len(ids(view)) == 1
            entry.append(last)
            entry.commit(position(6))
        assert view.refresh()
        assert (view.end, ids(view)) == (log.end, ids(log))


def test_a_view_follows_over_segments_and_retention(tmp_path: Path) -> None:
    with opened(tmp_path, segment_bytes=1) as log:
        append(log, one(1, 1), metadata={"a": "1"})
        view = LogView(tmp_path)
        for at in range(2, 6):
            append(log, one(at, at), metadata={"a": str(at)})
        log.trim(3, max_bytes=0)
        assert view.refresh()
        assert (view.start, view.end, view.metadata, schemas(view)) == (
            log.start,
            log.end,
            {"a": "5"},
            schemas(log),
        )
        assert ids(view) == [(3, 4), (4, 5)]


def test_a_view_of_nothing_says_what_makes_it(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(StateError, match=r"there is no log here\. `cdc run` creates it"):
            LogView(folder)


def test_verify_counts_all_and_finds_nothing_wrong_in_a_good_log(tmp_path: Path) -> None:
    _fill(tmp_path, 5, segment_bytes=1)
    found = verify_log(tmp_path)
    assert (found.part_count, found.commit_count, found.batch_count, found.tail_bytes) == (5, 5, 5, 0)
    assert list(found.damage) == []
    assert found.byte_count == sum(path.stat().st_size for path in tmp_path.glob("*.cdclog"))


def test_verify_names_damage_in_the_newest_segment(tmp_path: Path) -> None:
    sizes = _fill(tmp_path)
    _flip(newest(tmp_path), sizes[0] - 3)
    assert "proves that it was whole" in str(verify_log(tmp_path).damage[0])


def test_verify_tells_a_torn_tail_from_damage(tmp_path: Path) -> None:
    _fill(tmp_path)
    with newest(tmp_path).open("ab") as file:
        file.write(b"torn")
    found = verify_log(tmp_path)
    assert (found.tail_bytes, list(found.damage)) == (4, [])
