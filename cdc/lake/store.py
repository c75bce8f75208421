"""The store of a lake's objects: a small protocol for local disks and object storage.

It has no rename, no append and no folders. Keys are relative, with `/` between their parts; a prefix
ends with `/`, or is empty.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from cdc.errors import CdcError, SinkRefused, UnsupportedSchema
from cdc.files import (
    FileLock,
    create_atomically,
    draft_of,
    exchange,
    make_folder,
    sink_error,
    sync_file,
    sync_folder,
    sync_folders,
    write_atomically,
)
from cdc.spi import Finding, Severity

# The version of an object that does not exist.
ABSENT = ""
# The place of replaced objects during a local swap, below the prefix of the new ones.
REPLACED = ".replaced"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A small object's content, and its version, which changes with the content."""

    data: bytes
    version: str


class ObjectWriter(Protocol):
    """An unfinished object, invisible before `close`. Its owner calls `close` or `abandon`."""

    file: Any
    """The open file, for pyarrow to write to."""

    @property
    def byte_count(self) -> int:
        """Bytes written so far."""
        ...

    def close(self) -> int:
        """Complete the object and return its size. Its name is durable after `sync`."""
        ...

    def abandon(self) -> None:
        """Remove the unfinished object; may be called twice."""
        ...


Kept = Callable[[str], bool]


def nothing(_name: str) -> bool:
    """Keep no object."""
    return False


class StoreLock(Protocol):
    """The result of `ObjectStore.lock`."""

    def release(self) -> None:
        """Release the lock; may be called twice."""
        ...


class ObjectStore(Protocol):
    """The objects below one root. Writes are durable on return, unless stated otherwise.

    Errors are those of the store's own library; `guard` turns them into errors of `cdc.errors`.
    """

    root: str
    """For people."""

    has_locks: bool
    """Whether `lock` excludes other processes."""

    open_bytes: int
    """The most memory that one unfinished object holds."""

    def guard(self, operation: str, key: str = "") -> AbstractContextManager[None]:
        """Turn the store's errors of the block into the CdcError that the retry table knows."""
        ...

    def check(self, docs: str) -> Finding:
        """Check whether objects can be written here and conditions are honoured; leave no object."""
        ...

    def path(self, key: str) -> str:
        """Return the name of the object for errors."""
        ...

    def get(self, key: str) -> StoredObject | None:
        """Return a small object; None if it does not exist."""
        ...

    def put(self, key: str, data: bytes, *, over: str | None = None) -> str | None:
        """Write a whole object, and return its version.

        With `over` only if the object there has that version (`ABSENT`: only if there is none), else None.
        """
        ...

    def has(self, key: str) -> bool: ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Return the keys below a prefix, sorted."""
        ...

    def children(self, prefix: str) -> list[str]:
        """The next parts of the names below a prefix, sorted."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove these objects; ignore missing ones."""
        ...

    def delete_all(self, prefix: str, kept: Kept = nothing) -> None:
        """Remove all objects below a prefix, unfinished ones too, except those whose next part of the name is
        `kept`.
        """
        ...

    def write(self, key: str) -> ObjectWriter:
        """Start a large object."""
        ...

    def read(self, key: str) -> pa.NativeFile:
        """Open an object for reading in any order."""
        ...

    def copy(self, source: str, target: str) -> None:
        """Give an immutable object a second key, without copying its bytes through this process. Durable
        after `sync`.
        """
        ...

    def sync(self, prefix: str) -> None:
        """Make durable what `write` and `copy` made below a prefix."""
        ...

    def publish(self, moves: Mapping[str, str]) -> None:
        """Give finished objects (the keys of `moves`) their final keys (the values), each whole at once.

        May be repeated after a crash: an object that has no key of the first kind has its final one.
        SinkRefused if it has neither.
        """
        ...

    def swap(self, prefixes: Mapping[str, str], mark: str) -> None:
        """Have readers of each prefix (the keys) see the objects of another one (the values) instead, in one
        step where the store can; nothing where the other one has none.

        May be repeated after a crash: a prefix that was swapped has an object `mark`.
        """
        ...

    def lock(self, key: str) -> StoreLock | None:
        """Lock for this process; None if another one holds the lock. A store without locks returns a lock
        that does nothing: there, `put` with `over` excludes a second writer.
        """
        ...

    def close(self) -> None:
        """Release connections and threads. May be called twice, and the store used again."""
        ...


def lost(staged: str, final: str) -> SinkRefused:
    """Return the error for a committed object that has neither its staged nor its final key."""
    message = f"a committed file is missing here and at {final}: it was removed from outside"
    remedy = "Restore the file, or give the sink a new, empty location: its tables are then copied again."
    return SinkRefused(message, where=staged, remedy=remedy)


class LocalStore:
    """A folder on a local disk. Files are written under hidden names and renamed when they are whole."""

    has_locks = True
    open_bytes = 0

    def __init__(self, folder: Path, exchange: Callable[[Path, Path], bool] = exchange) -> None:
        """`exchange` swaps two paths in one step, or returns False if it cannot."""
        self.folder = folder
        self.root = str(folder)
        self._exchange = exchange

    @contextmanager
    def guard(self, operation: str, key: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _translate(error, operation, self.folder / key) from error

    def check(self, docs: str) -> Finding:
        nearest = self.folder
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            message = f"{nearest} is not a folder"
            return Finding(Severity.ERROR, "lake-folder", message, "Set url to a folder.", docs)
        if not os.access(nearest, os.W_OK | os.X_OK):
            message = f"the lake's folder cannot be written: {nearest}"
            fix = f"chown the folder {nearest} to the daemon's user."
            return Finding(Severity.ERROR, "lake-writable", message, fix, docs)
        message = f"{self.root} can be written; commits are exactly once per table"
        return Finding(Severity.OK, "lake-writable", message, docs=docs)

    def path(self, key: str) -> str:
        return str(self.folder / key)

    def get(self, key: str) -> StoredObject | None:
        try:
            with (self.folder / key).open("rb") as file:
                data = file.read()
        except FileNotFoundError:
            return None
        return StoredObject(data, _version(data))

    def put(self, key: str, data: bytes, *, over: str | None = None) -> str | None:
        # Another process could write between the comparison and the rename: `lock` excludes it.
        path = self._made(key)
        if over == ABSENT:
            return _version(data) if create_atomically(path, data) else None
        if over is not None:
            found = self.get(key)
            if found is None or found.version != over:
                return None
        write_atomically(path, [data])
        return _version(data)

    def has(self, key: str) -> bool:
        return (self.folder / key).exists()

    def keys(self, prefix: str) -> Iterator[str]:
        for path in sorted((self.folder / prefix).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(self.folder).as_posix()

    def children(self, prefix: str) -> list[str]:
        folder = self.folder / prefix
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            (self.folder / key).unlink(missing_ok=True)

    def delete_all(self, prefix: str, kept: Kept = nothing) -> None:
        folder = self.folder / prefix
        if not folder.is_dir():
            return
        if kept is nothing:
            shutil.rmtree(folder)
            return
        for path in folder.iterdir():
            if kept(path.name):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def write(self, key: str) -> LocalWriter:
        return LocalWriter(self._made(key))

    def read(self, key: str) -> pa.NativeFile:
        return pa.OSFile(str(self.folder / key), "rb")

    def copy(self, source: str, target: str) -> None:
        self._made(target).hardlink_to(self.folder / source)

    def sync(self, prefix: str) -> None:
        sync_folders(Path(folder) for folder, _, _ in os.walk(self.folder / prefix))

    def publish(self, moves: Mapping[str, str]) -> None:
        folders: set[Path] = set()
        for source, target in moves.items():
            path = self._made(target)
            try:
                (self.folder / source).replace(path)
            except FileNotFoundError:
                if not path.exists():
                    raise lost(self.path(source), self.path(target)) from None
            folders.add(path.parent)
        sync_folders(folders)

    def swap(self, prefixes: Mapping[str, str], mark: str) -> None:
        folders: set[Path] = set()
        for live, fresh in prefixes.items():
            old, new = self.folder / live, self.folder / fresh
            aside = new.parent / REPLACED
            make_folder(aside)
            _swap(old, new, aside / old.name, mark, self._exchange)
            folders |= {old.parent, new.parent, aside}
        sync_folders(folders)

    def lock(self, key: str) -> FileLock | None:
        try:
            return FileLock(self._made(key))
        except BlockingIOError:
            return None

    def close(self) -> None:
        pass

    def _made(self, key: str) -> Path:
        path = self.folder / key
        make_folder(path.parent)
        return path


class LocalWriter:
    """An `ObjectWriter` of a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = draft_of(path)
        # A leftover is never overwritten: another process may still have it open.
        self._draft.unlink(missing_ok=True)
        self.file = pa.OSFile(str(self._draft), "wb")

    @property
    def byte_count(self) -> int:
        return int(self.file.tell())

    def close(self) -> int:
        self.file.close()
        sync_file(self._draft)
        size = self._draft.stat().st_size
        self._draft.rename(self._path)
        return size

    def abandon(self) -> None:
        self.file.close()
        self._draft.unlink(missing_ok=True)


def _version(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _swap(old: Path, new: Path, aside: Path, mark: str, exchange: Callable[[Path, Path], bool]) -> None:
    """Give `new` the name `old`; what was there goes to `aside`, or to the name `new`."""
    if (old / mark).exists():
        return
    if new.exists():
        (new / mark).touch()
        sync_folder(new)
        if old.exists() and exchange(old, new):
            return
    if old.exists():
        old.rename(aside)
    if new.exists():
        new.rename(old)


def _translate(error: OSError, operation: str, where: Path) -> CdcError:
    if error.errno == errno.ENAMETOOLONG:
        message = f"{operation}: the escaped table name is too long for a folder name"
        place = str(error.filename or where)
        return UnsupportedSchema(message, where=place, remedy="Exclude the table, or rename it.")
    return sink_error(error, operation, where)
