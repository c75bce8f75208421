from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.errors import LogCorrupt, LogFull
from cdc.log import SegmentedLog
from cdc.log.log import DEFAULT_SEGMENT_BYTES
from cdc.testing.events import append, append_parts, position, transaction
from tests.support.disks import small_file_system
from tests.support.logs import ORDERS, ids, newest, one, opened, parts, rows

DISK_BYTES = 2 * 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, full after 2 MiB."""
    with small_file_system(tmp_path / "disk", DISK_BYTES) as folder:
        yield folder


def _fill(folder: Path, spare: int) -> Path:
    """Take all but about `spare` bytes of the disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(file.tell() - spare, 0))
    return ballast


def test_full_disk_is_reported_and_the_same_append_works_when_there_is_room(small_disk: Path) -> None:
    told: list[LogFull] = []
    with opened(small_disk / "log", on_full=told.append) as log:
        append(log, one(1, 1), metadata={"a": "1"})
        ballast = _fill(small_disk, 8192)
        big = one(3, *range(20_000))
        with pytest.raises(LogFull, match=r"there is no space left for the log \(ENOSPC\)") as caught:
            append(log, big)
        assert told == [caught.value]
        assert str(small_disk) in caught.value.where
        assert ids(log) == [(0, 1)]
        append(log, one(2, 2))
        before = (log.end, rows(log))
        with pytest.raises(LogFull):
            append(log, big)
        assert (log.end, rows(log)) == before
        ballast.unlink()
        commit = append(log, big)
        assert commit is not None
        after = (log.end, rows(log))
    with opened(small_disk / "log") as log:
        assert (log.end, rows(log)) == after


def test_a_part_that_found_no_room_is_appended_again_after_the_earlier_parts(small_disk: Path) -> None:
    first, second, last = parts(5, 3, 3000)
    with opened(small_disk / "log") as log:
        append(log, one(1, 7))
        with log.begin() as entry:
            entry.append(first)
            ballast = _fill(small_disk, 4096)
            with pytest.raises(LogFull):
                entry.append(second)
            ballast.unlink()
            entry.append(second)
            entry.append(last)
            entry.commit(position(6))
        assert [i for _, i in ids(log)] == [7, *range(9000)]


def test_parts_can_be_abandoned_on_a_full_disk(small_disk: Path) -> None:
    first, second, _ = parts(5, 3, 3000)
    with opened(small_disk / "log") as log:
        append(log, one(1, 7))
        with log.begin() as entry:
            entry.append(first)
            _fill(small_disk, 4096)
            with pytest.raises(LogFull):
                entry.append(second)
        append(log, one(6, 8))
        assert ids(log) == [(0, 7), (1, 8)]


def test_a_new_segment_that_found_no_room_is_made_later(small_disk: Path) -> None:
    with opened(small_disk / "log", segment_bytes=1) as log:
        append(log, one(1, 1), metadata={"large": "x" * 100_000})
        ballast = _fill(small_disk, 4096)
        with pytest.raises(LogFull):
            append(log, one(2, 2))
        ballast.unlink()
        append(log, one(2, 2))
        assert ids(log) == [(0, 1), (1, 2)]
        assert len(log.segments) == 2
    with opened(small_disk / "log") as log:
        assert ids(log) == [(0, 1), (1, 2)]
        assert len(log.metadata["large"]) == 100_000


def test_a_log_that_can_not_be_made_says_so(small_disk: Path) -> None:
    folder = small_disk / "log"
    folder.mkdir()
    _fill(small_disk, 0)
    with pytest.raises(LogFull):
        SegmentedLog(folder)
    (small_disk / "ballast").unlink()
    with opened(folder) as log:
        assert log.end is None


def test_reading_works_on_a_full_disk(small_disk: Path) -> None:
    with opened(small_disk / "log") as log:
        for at in range(20):
            append(log, one(at, at))
        _fill(small_disk, 0)
        assert len(rows(log)) == 20
        assert log.find(position=position(10)) is not None


def test_parts_whose_sync_found_no_room_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with opened(tmp_path) as log:
        append(log, one(1, 7))
        with monkeypatch.context() as patch:
            patch.setattr("os.fdatasync", refuse)
            with pytest.raises(LogFull):
                append_parts(log, parts(5, 3, 2))
        assert ids(log) == [(0, 7)]
        append_parts(log, parts(5, 3, 2))
        assert [i for _, i in ids(log)] == [7, *range(6)]
    with opened(tmp_path) as log:
        assert [i for _, i in ids(log)] == [7, *range(6)]


@pytest.mark.parametrize("segment_bytes", [1, DEFAULT_SEGMENT_BYTES])
def test_after_a_refused_sync_the_log_is_read_again_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segment_bytes: int
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with opened(tmp_path, segment_bytes=segment_bytes) as log:
        append(log, one(1, 1), metadata={"a": "1"})
        end = log.end
        with monkeypatch.context() as patch:
            patch.setattr("os.fdatasync", refuse)
            with pytest.raises(LogCorrupt, match=r"the disk refused to write the log \(EIO\)") as caught:
                append(log, one(2, 2), metadata={"a": "2"})
            assert newest(tmp_path).name in caught.value.where
            patch.setattr("os.fsync", refuse)
            with pytest.raises(LogCorrupt, match=r"the disk refused to write the log \(EIO\)"):
                append(log, one(3, 3))
        # The refused commit is whole in the file, and was never published: it is cut.
        with log.begin():
            assert (log.end, ids(log), dict(log.metadata)) == (end, [(0, 1)], {"a": "1"})
        append(log, one(4, 4))
        assert ids(log) == [(0, 1), (1, 4)]
    with opened(tmp_path) as log:
        append(log, transaction(9, [(ORDERS, "c", {"id": 9})])[0])
        assert ids(log)[0] == (0, 1)
        assert [i for _, i in ids(log)] == [1, 4, 9]


def test_a_disk_that_lost_commits_after_a_refused_sync_stays_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with opened(tmp_path) as log:
        append(log, one(1, 1))
        reached = newest(tmp_path).stat().st_size
        append(log, one(2, 2))
        whole = newest(tmp_path).read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr("os.fdatasync", refuse)
            with pytest.raises(LogCorrupt):
                append(log, one(3, 3))
        os.truncate(newest(tmp_path), reached)
        for _ in range(2):
            with pytest.raises(LogCorrupt, match="has lost commits") as caught:
                append(log, one(3, 3))
            assert "Restore this file" in caught.value.remedy
        newest(tmp_path).write_bytes(whole)
        append(log, one(3, 3))
        assert ids(log) == [(0, 1), (1, 2), (2, 3)]
