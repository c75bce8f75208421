"""A read-only copy of the database for other programs, always whole and always at a commit.

The copy is made right after a checkpoint, when the file alone holds everything, with the file's lock held, so
that nothing writes to it meanwhile; then renamed into place. A reader that has the old copy open keeps it.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from sinks.duckdb.options import Publish

# Linux: make one file share another's blocks (btrfs, xfs): a copy of any size in milliseconds.
_FICLONE = 0x40049409


class Publisher:
    """Knows when a copy is due; copies on demand."""

    def __init__(self, database: Path, options: Publish) -> None:
        self._database = database
        self._target = options.path
        self._interval_seconds = options.interval.total_seconds()
        self._next_at = 0.0
        self._changed = True

    def changed(self) -> None:
        """There is something newer than the copy."""
        self._changed = True

    def due(self, patience: float = 1.0) -> bool:
        """Whether `patience` intervals have passed since the last copy and there is something new."""
        late = (patience - 1.0) * self._interval_seconds
        return self._changed and time.monotonic() >= self._next_at + late

    def postpone(self) -> None:
        """Try again one interval from now."""
        self._next_at = time.monotonic() + self._interval_seconds

    def copy(self) -> None:
        """Replace the copy. The database has just been checkpointed and nobody writes to it."""
        temporary = self._target.with_name(f".{self._target.name}.tmp")
        try:
            with self._database.open("rb") as source, temporary.open("wb") as copy:
                _copy(source.fileno(), copy.fileno())
                os.fsync(copy.fileno())
            temporary.replace(self._target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(self._target.parent)
        self._changed = False
        self.postpone()


def _copy(source: int, target: int) -> None:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        # The file system can't share blocks, or these are two of them; the kernel copies.
        _copy_bytes(source, target)


def _copy_bytes(source: int, target: int) -> None:
    left = os.fstat(source).st_size
    offset = 0
    while left > 0:
        done = os.sendfile(target, source, offset, left)
        if done == 0:
            raise OSError(f"the database file ended {left} bytes early")
        offset += done
        left -= done


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
