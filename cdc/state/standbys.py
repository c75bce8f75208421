"""The processes that wait for the lock of a state directory: a file each, locked while its process lives.

Locks tell the living from the dead wherever they run, also in containers, whose process ids mean nothing
outside.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import orjson

from cdc.files import FileLock, draft_of, make_folder, write_all
from cdc.spi.status import StandbyReport

FOLDER_NAME = "standbys"


@contextmanager
def standing_by(state_dir: Path) -> Iterator[None]:
    """Show this process as one that waits, until the end of the block."""
    folder = state_dir / FOLDER_NAME
    make_folder(folder)
    host, pid = socket.gethostname(), os.getpid()
    path = folder / f"{host}-{pid}.json"
    # Whoever looks removes files without a lock: this one has its own before it has its name.
    draft = draft_of(path)
    draft.unlink(missing_ok=True)
    lock = FileLock(draft)
    try:
        report = StandbyReport(pid, host, datetime.now(UTC).isoformat())
        write_all(lock.descriptor, orjson.dumps(report.document()))
        draft.rename(path)
        yield
    finally:
        for name in (path, draft):
            name.unlink(missing_ok=True)
        lock.release()


def standbys(state_dir: Path) -> list[StandbyReport]:
    """Return who waits now, by file name; remove what dead processes have left."""
    found = []
    for path in sorted((state_dir / FOLDER_NAME).glob("*.json")):
        with suppress(OSError, orjson.JSONDecodeError):
            try:
                lock = FileLock(path)
            except BlockingIOError:
                found.append(StandbyReport.parse(orjson.loads(path.read_bytes())))
                continue
            path.unlink(missing_ok=True)
            lock.release()
    return found
