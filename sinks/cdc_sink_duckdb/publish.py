"""A read-only copy of the database for other programs, always whole and always at a commit.

The copy is made right after a checkpoint, when the file alone holds everything, and renamed into place.
Meanwhile `lock_of` keeps this process from writing, and DuckDB's lock on the file every other. A reader that
has the old copy open keeps it.

The database file is never opened here: closing it would drop DuckDB's lock, which is POSIX's and belongs to
the process, not to a descriptor. A child process reads it (`copying`).
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from cdc.files import replacing
from cdc_sink_duckdb import copying
from cdc_sink_duckdb.options import Publish


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
        with replacing(self._target) as copy:
            _copy(self._database, copy)
        self._changed = False
        self.postpone()


def _copy(database: Path, target: IO[bytes]) -> None:
    """Raises: OSError: what the child met, or EINTR when it was killed."""
    command = [sys.executable, "-I", "-S", copying.__file__, str(database)]
    # A session of its own: Ctrl-C asks the daemon for an orderly end, which waits for the copy.
    status = subprocess.run(command, stdout=target, start_new_session=True, check=False).returncode
    if status != 0:
        number = status if status > 0 else errno.EINTR
        raise OSError(number, os.strerror(number))
