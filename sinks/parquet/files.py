"""File system steps with the durability they need, and the one place where OSError becomes an error of the
tree.

Whole small files are replaced by tmp → fsync → rename → fsync(folder). Nothing here knows what a lake is.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cdc.errors import CdcError, SinkRefused, SinkUnavailable, UnsupportedSchema

_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_MISPLACED = {errno.ENOTDIR, errno.EISDIR, errno.EXDEV, errno.ELOOP}

# From <fcntl.h> and <linux/fs.h>.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


@contextmanager
def translated(operation: str, where: Path) -> Iterator[None]:
    """Turn an OSError of the block into the CdcError that the retry table knows."""
    try:
        yield
    except OSError as error:
        raise _translate(error, operation, where) from error


def _translate(error: OSError, operation: str, where: Path) -> CdcError:
    place = str(error.filename or where)
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    if error.errno in _FULL:
        message = f"{operation}: the disk is full"
        return SinkUnavailable(
            message, where=place, remedy="Free space there. Delivery resumes automatically."
        )
    if error.errno in _DENIED:
        message = f"{operation}: {reason.lower()}"
        return SinkRefused(message, where=place, remedy="Let the daemon's user write there.")
    if error.errno in _MISPLACED:
        message = f"{operation}: {reason.lower()}"
        return SinkRefused(message, where=place, remedy="The lake must be one folder on one file system.")
    if error.errno == errno.ENAMETOOLONG:
        message = f"{operation}: the escaped table name is too long for a folder name"
        return UnsupportedSchema(message, where=place, remedy="Leave the table out, or rename it.")
    message = f"{operation}: {reason.lower()}"
    return SinkUnavailable(
        message, where=place, remedy="Check the file system. Delivery is retried automatically."
    )


def sync_file(path: Path) -> None:
    """Make a closed file's content durable."""
    _sync(path, os.O_RDONLY)


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the entries of these folders durable."""
    for folder in sorted(set(folders)):
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def make_folders(folder: Path, below: Path) -> None:
    """Create a folder and its parents up to `below`, each durable in its parent."""
    if folder.is_dir():
        return
    if folder != below:
        make_folders(folder.parent, below)
    folder.mkdir(exist_ok=True, parents=folder == below)
    sync_folders([folder.parent])


def replace_file(path: Path, content: bytes) -> None:
    """Put a whole new content at `path`, durable on return; a crash leaves the old or the new one."""
    draft = path.with_name(f".{path.name}.tmp")
    _write(draft, content)
    draft.replace(path)
    sync_folders([path.parent])


def create_file(path: Path, content: bytes) -> bool:
    """Create `path` whole and durable, or give False and leave what is there."""
    draft = path.with_name(f".{path.name}.tmp")
    _write(draft, content)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    sync_folders([path.parent])
    return True


def exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step; False where the kernel or the file system can't."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    code = rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), ctypes.c_uint(_RENAME_EXCHANGE))
    if code == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(one))


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
