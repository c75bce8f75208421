from __future__ import annotations

import os
from pathlib import Path

import pytest

from cdc.errors import StateError
from cdc.files import FolderLock, write_atomically


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
