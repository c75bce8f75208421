"""Small files that survive a crash: one way to write them, one way to lock a folder.

A file written here is either the old one, whole, or the new one, whole: tmp → fsync → rename → fsync of the
folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cdc.errors import StateError

# Names that end so are leftovers of a crash between write and rename; whoever owns the folder removes them.
TEMPORARY_SUFFIX = ".tmp"
LOCK_NAME = "LOCK"
# Changes hold the users' data: files for the owner and to read for the group, nothing for others.
DEFAULT_UMASK = 0o027

_mask = DEFAULT_UMASK


def set_umask(mask: int) -> None:
    """Have all files and folders of this process made without these rights, whatever the umask was before."""
    global _mask  # noqa: PLW0603  (it is the process's own state, like the umask itself)
    _mask = mask
    os.umask(mask)


def file_mode() -> int:
    """The rights of a new file."""
    return 0o666 & ~_mask


def write_atomically(path: Path, chunks: Iterable[bytes | memoryview], *, durable: bool = True) -> None:
    """Make `path` hold exactly these bytes, or leave it as it was.

    Durable on return, unless `durable` is False: for what is written every second and means nothing after a
    crash.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, file_mode())
        try:
            for chunk in chunks:
                write_all(descriptor, chunk)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def write_all(descriptor: int, data: bytes | memoryview, at: int | None = None) -> int:
    """Write all of `data` (at byte `at`, or where the descriptor stands) and give its length."""
    view = memoryview(data).cast("B")
    done = 0
    while done < len(view):
        rest = view[done:]
        done += os.write(descriptor, rest) if at is None else os.pwrite(descriptor, rest, at + done)
    return done


def make_folder(folder: Path) -> None:
    """Make the folder and those above it, durably; no-op when it is there."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in reversed(missing):
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries (created, renamed, removed names) durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FolderLock:
    """An exclusive lock of a folder for one process; the kernel drops it when the process dies.

    The file holds the owner's pid for the error message only; what counts is the flock.
    """

    def __init__(self, folder: Path, purpose: str) -> None:
        self._path = folder / LOCK_NAME
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, file_mode())
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            self._descriptor = -1
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            message = f"process {owner or 'unknown'} holds {purpose}"
            raise StateError(
                message, where=str(folder), remedy="Stop that process first; only one may write here."
            ) from error

    def release(self) -> None:
        """Give the lock back; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
