"""SQL targets that are one local file: who writes when, copies for readers, and their preflight."""

from __future__ import annotations

import os
import shlex
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from cdc.errors import CdcError
from cdc.files import lock_of
from cdc.spi import Cursor, Finding, Severity, SinkContext
from cdc.sql.dialect import Connection
from cdc.sql.options import TableOptions
from cdc.sql.publish import PUBLISH_PATIENCE, Publish, Publisher
from cdc.sql.sink import SqlSink, cursor_of


class FileSink(SqlSink):
    """Writes to the file `path`. A lock of the file orders two objects of one process.

    With `publish`, it is copied for readers when it has changed.
    """

    def __init__(
        self, options: TableOptions, context: SinkContext, path: Path, publish: Publish | None
    ) -> None:
        super().__init__(options, context, str(path))
        self._path = path
        self._lock = lock_of(path)
        self._publisher = Publisher(path, publish) if publish else None

    @abstractmethod
    def connect_to_read(self) -> Connection:
        """Open the file beside others that read it, and create nothing."""

    @abstractmethod
    def translated(self, operation: str) -> AbstractContextManager[None]:
        """Convert the driver's and the system's errors to errors of `cdc.errors`; `operation` is a gerund."""

    @abstractmethod
    def is_fatal(self, error: CdcError) -> bool:
        """Return whether only a new connection resolves the error."""

    @abstractmethod
    def make_whole(self, connection: Connection) -> bool:
        """Move everything that is committed into the file; return whether it is there."""

    def peek(self, source: str) -> Cursor | None:
        """See `SupportsPeek.peek`."""
        if not self._path.exists():
            return None
        with self.translated("reading the cursor"), closing(self.connect_to_read()) as connection:
            return cursor_of(connection, source)

    @contextmanager
    def guarded(self, operation: str) -> Iterator[None]:
        """The file's lock, our errors instead of the driver's, and a new connection after a fatal one."""
        try:
            with self._lock, self.translated(operation):
                yield
        except CdcError as error:
            if self.is_fatal(error):
                self.abandon()
            raise

    def applied(self, connection: Connection) -> None:
        """Publish a copy if one is overdue."""
        if self._publisher is not None:
            self._publisher.changed()
            self.published(connection, PUBLISH_PATIENCE)

    def published(self, connection: Connection, patience: float = 1.0) -> bool:
        """Publish a copy if one is due, by `Publisher.offer`; return whether it was."""
        if self._publisher is None:
            return False
        return self._publisher.offer(lambda: self.make_whole(connection), self._context, patience)


def create_whole(path: Path, make: Callable[[Path], None]) -> None:
    """Create a database file whole or not at all, by `make`; no-op if another process has done it.

    A crash while the database writes its headers would leave a file that it cannot open.
    """
    new = path.with_name(f".{path.name}.new")
    for stale in (new, Path(f"{new}.wal")):
        stale.unlink(missing_ok=True)
    make(new)
    try:
        os.link(new, path)
    except FileExistsError:
        return
    finally:
        new.unlink()


def check_folder(file: Path, code: str, docs: str) -> Finding:
    """Return whether the file's folder can be written."""
    folder = file.absolute().parent
    if not folder.is_dir():
        message = f"the folder {folder} does not exist"
        return Finding(Severity.ERROR, code, message, f"mkdir -p {folder}", docs)
    if not os.access(folder, os.W_OK | os.X_OK):
        message = f"the folder {folder} cannot be written"
        return Finding(Severity.ERROR, code, message, f"chown $USER {shlex.quote(str(folder))}", docs)
    return Finding(Severity.OK, code, f"the folder {folder} can be written")


def check_access(file: Path, code: str, docs: str) -> Finding | None:
    """Return a finding if the file, which exists, cannot be read and written."""
    if os.access(file, os.R_OK | os.W_OK):
        return None
    message = f"the file {file} cannot be written"
    return Finding(Severity.ERROR, code, message, f"chown $USER {shlex.quote(str(file))}", docs)
