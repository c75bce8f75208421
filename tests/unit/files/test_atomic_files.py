from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from cdc.errors import StateError
from cdc.files import (
    FolderLock,
    create_atomically,
    draft_of,
    exchange,
    holder_of,
    replacing,
    write_atomically,
)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, [b"old"])

    def chunks() -> list[bytes]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, (chunk for _ in range(1) for chunk in [b"new", *chunks()]))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_names_its_holder_and_can_be_taken_again(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path, "this folder")
    with pytest.raises(StateError, match=f"process {os.getpid()} holds this folder"):
        FolderLock(tmp_path, "this folder")
    lock.release()
    lock.release()
    FolderLock(tmp_path, "this folder").release()


def test_a_holder_is_seen_from_outside_by_its_note(tmp_path: Path) -> None:
    assert holder_of(tmp_path / "nowhere") is None
    lock = FolderLock(tmp_path, "this folder", "machine 7 token")
    assert holder_of(tmp_path) == "machine 7 token"
    lock.release()
    assert holder_of(tmp_path) is None
    FolderLock(tmp_path, "this folder").release()


def test_a_lock_is_taken_past_those_who_look_at_it(tmp_path: Path) -> None:
    FolderLock(tmp_path, "this folder").release()
    looks = threading.Semaphore(0)

    def look() -> None:
        for _ in range(50):
            looks.acquire()
            holder_of(tmp_path)

    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(50):
        looks.release()
        FolderLock(tmp_path, "this folder").release()
    looking.join()


def test_a_leftover_of_a_killed_write_is_not_written_into(tmp_path: Path) -> None:
    path = tmp_path / "file"
    draft_of(path).write_bytes(b"of another process, which may have it open still")
    inode = draft_of(path).stat().st_ino
    with draft_of(path).open() as held, replacing(path) as file:
        assert os.fstat(file.fileno()).st_ino != inode
        file.write(b"new")
        assert held.read().startswith("of another")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_created_once(tmp_path: Path) -> None:
    assert create_atomically(tmp_path / "m", b"one")
    assert not create_atomically(tmp_path / "m", b"two")
    assert (tmp_path / "m").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_two_folders_are_exchanged_in_one_step(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("this file system can't exchange folders")
    assert (tmp_path / "a" / "b").exists()
    assert (tmp_path / "b" / "a").exists()


def test_an_exchange_with_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "b")
