"""Files that survive a crash: one way to write them whole, one way to lock, and what errors of a disk mean.

A file written here is either the old one, whole, or the new one, whole: draft → fsync → rename → fsync of the
folder.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from cdc.errors import CdcError, SinkRefused, SinkUnavailable, StateHeld

# Names that end so are leftovers of a crash between write and rename; whoever owns the folder removes them.
TEMPORARY_SUFFIX = ".tmp"
LOCK_NAME = "LOCK"
# `holder_of` has a free lock for microseconds. A lock that is taken at every one of these looks has an owner.
LOCK_LOOKS = 5
LOCK_LOOK_SECONDS = 0.01
# More than a host's name, a pid and a token need.
NOTE_BYTES = 1024

# No room on the disk, none in the quota, or a file size limit (RLIMIT_FSIZE): all go away without us.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Rights that only an operator can give.
DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# A path that leads to something else than a folder or a file of ours.
MISPLACED = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EXDEV, errno.ELOOP})

# From <fcntl.h> and <linux/fs.h>.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NO_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})

# Changes hold the users' data: files for the owner and to read for the group, nothing for others.
DEFAULT_UMASK = 0o027

_mask = DEFAULT_UMASK
_locks: dict[Path, threading.RLock] = {}
_locks_guard = threading.Lock()


def set_umask(mask: int) -> None:
    """Have all files and folders of this process made without these rights, whatever the umask was before."""
    global _mask  # noqa: PLW0603  (it is the process's own state, like the umask itself)
    _mask = mask
    os.umask(mask)


def file_mode() -> int:
    """The rights of a new file."""
    return 0o666 & ~_mask


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[BinaryIO]:
    """Give a new file that takes the place of `path` at the end of the block; after an error `path` is as it
    was.

    Durable then, unless `durable` is False: for what is written every second and means nothing after a crash.
    """
    draft = draft_of(path)
    try:
        with open_draft(draft) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.rename(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def write_atomically(path: Path, chunks: Iterable[bytes | memoryview], *, durable: bool = True) -> None:
    """Make `path` hold exactly these bytes, or leave it as it was; see `replacing`."""
    with replacing(path, durable=durable) as file:
        for chunk in chunks:
            file.write(chunk)


def create_atomically(path: Path, content: bytes) -> bool:
    """Make `path` hold these bytes, whole and durable; or give False and leave what is there."""
    draft = draft_of(path)
    try:
        with open_draft(draft) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def draft_of(path: Path) -> Path:
    """Return the name of the hidden file that later replaces `path`, in the same folder."""
    return path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")


def open_draft(draft: Path) -> BinaryIO:
    """Open a new file under a name of `draft_of`.

    A leftover is removed, not written into: a process that outlived a killed daemon may have it open.
    """
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(draft, flags, file_mode()), "wb")


def lock_of(path: Path) -> threading.RLock:
    """The one lock of this file in this process."""
    with _locks_guard:
        return _locks.setdefault(path.resolve(), threading.RLock())


def write_all(descriptor: int, data: bytes | memoryview, at: int | None = None) -> int:
    """Write all of `data` (at byte `at`, or at the descriptor's offset) and give its length."""
    view = memoryview(data).cast("B")
    done = 0
    while done < len(view):
        rest = view[done:]
        done += os.write(descriptor, rest) if at is None else os.pwrite(descriptor, rest, at + done)
    return done


# The kernel takes 1,024 chunks in one call (IOV_MAX).
_CHUNKS = 1024


def write_chunks(descriptor: int, chunks: Sequence[bytes | memoryview], at: int) -> int:
    """Write the chunks one behind the other from byte `at` on, by few calls; give
    their length in bytes.
    """
    total = 0
    for first in range(0, len(chunks), _CHUNKS):
        some = chunks[first : first + _CHUNKS]
        length = sum(len(chunk) for chunk in some)
        done = os.pwritev(descriptor, some, at + total)
        if done < length:
            write_all(descriptor, memoryview(b"".join(some))[done:], at + total + done)
        total += length
    return total


def make_folder(folder: Path) -> None:
    """Make the folder and those above it, durably; no-op when it is there."""
    if folder.is_dir():
        return
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    sync_folders(path.parent for path in missing)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries (created, renamed, removed names) durable."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def sync_folders(folders: Iterable[Path]) -> None:
    """`sync_folder` for each, outermost first."""
    for folder in sorted(set(folders)):
        sync_folder(folder)


def sync_file(path: Path) -> None:
    """Make a closed file's content durable."""
    _sync(path, os.O_RDONLY | os.O_CLOEXEC)


def truncate_file(path: Path, size: int) -> None:
    """Cut a file to `size` bytes, and make that durable."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def sink_error(error: OSError, operation: str, where: Path) -> CdcError:
    """Return what a sink on a local disk raises for this error; `operation` is a gerund."""
    place = str(error.filename or where)
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    if error.errno in NO_ROOM:
        remedy = "Free space on that disk. Delivery resumes automatically."
        return SinkUnavailable(f"{operation}: the disk is full", where=place, remedy=remedy)
    message = f"{operation}: {reason.lower()}"
    if error.errno in DENIED:
        return SinkRefused(message, where=place, remedy="Let the daemon's user write there.")
    if error.errno in MISPLACED:
        return SinkRefused(message, where=place, remedy="The sink must be in one folder on one file system.")
    remedy = "Check the file system. Delivery is retried automatically."
    return SinkUnavailable(message, where=place, remedy=remedy)


class FileLock:
    """An exclusive lock of a file for one process; the kernel drops it when the process dies. Raises
    BlockingIOError when another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, file_mode())
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            # What some network file systems say instead.
            if error.errno == errno.EACCES:
                raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), path) from error
            raise

    def release(self) -> None:
        """Give the lock back; may be called twice."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> FileLock:
    """Lock the file, past the readers that look whether it is locked."""
    for _ in range(LOCK_LOOKS - 1):
        with suppress(BlockingIOError):
            return FileLock(path)
        time.sleep(LOCK_LOOK_SECONDS)
    return FileLock(path)


def holder_of(folder: Path) -> str | None:
    """Return the note of the process that holds this folder (`FolderLock`); None if no process does.

    The kernel knows, whichever container or machine the process runs in. '' is the note of a process that has
    left none, or of a lock that this user may not look at, which counts as held.
    """
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return os.pread(descriptor, NOTE_BYTES, 0).decode("utf-8", "replace").partition("\n")[2].strip("\n")
    else:
        return None
    finally:
        os.close(descriptor)


class FolderLock:
    """An exclusive lock of a folder for one process.

    The file holds the owner's pid, for the error message, and a `note` for `holder_of`; the lock of the file
    decides.
    """

    def __init__(self, folder: Path, purpose: str, note: str = "") -> None:
        path = folder / LOCK_NAME
        try:
            self._lock = _locked(path)
        except BlockingIOError as error:
            owner = path.read_bytes()[:32].decode("ascii", "replace").partition("\n")[0]
            message = f"process {owner or 'unknown'} holds {purpose}"
            raise StateHeld(
                message, where=str(folder), remedy="Stop that process first; only one may write here."
            ) from error
        try:
            os.ftruncate(self._lock.descriptor, 0)
            os.pwrite(self._lock.descriptor, f"{os.getpid()}\n{note}\n".encode(), 0)
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        """Give the lock back; may be called twice."""
        self._lock.release()
