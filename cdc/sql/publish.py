"""A read-only copy of a database that is one file, for other programs: always whole, always at a commit.

The sink has the copy made while the file alone holds everything and nobody writes to it; it is renamed into
place. A reader that has the old copy open keeps it.

The database file is never opened here: closing it would drop the POSIX locks that the database has on it,
which belong to the process, not to a descriptor. A child process reads it (`copy_file`).
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field

from cdc.files import replacing
from cdc.spi import SinkContext
from cdc.sql import copy_file
from cdc.units import Duration

# A copy costs a checkpoint and, without reflinks, a read and a write of the whole file.
DEFAULT_PUBLISH_INTERVAL = timedelta(minutes=5)
# So many intervals after the last copy the next is made between deliveries, though the sink has not caught
# up.
PUBLISH_PATIENCE = 2.0


class Publish(BaseModel):
    """A consistent read-only copy of the file for other programs, which can't open the live one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(
        description=("The path of the copy, which is replaced atomically. Put it on the same file system.")
    )
    interval: Duration = Field(
        default=DEFAULT_PUBLISH_INTERVAL, description="The minimum time between two copies."
    )


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
        """Return whether `patience` intervals have passed since the last copy and there is something new."""
        late = (patience - 1.0) * self._interval_seconds
        return self._changed and time.monotonic() >= self._next_at + late

    def offer(self, checkpoint: Callable[[], bool], context: SinkContext, patience: float = 1.0) -> bool:
        """Copy if that is due; return whether it was. `checkpoint` moves everything into the file, or returns
        False if it cannot now: the copy is then made later.
        """
        if not self.due(patience):
            return False
        if checkpoint():
            self.copy_or_report(context)
        else:
            self._postpone()
        return True

    def _postpone(self) -> None:
        """Try again one interval from now."""
        self._next_at = time.monotonic() + self._interval_seconds

    def copy(self) -> None:
        """Replace the copy; the file holds everything, and nobody writes to it."""
        with replacing(self._target) as copy:
            _copy(self._database, copy)
        self._changed = False
        self._postpone()

    def copy_or_report(self, context: SinkContext) -> None:
        """`copy`, but report an error and try again later: it must not stop the deliveries."""
        try:
            self.copy()
        except OSError as error:
            self._postpone()
            reason = os.strerror(error.errno or 0)
            message = "could not publish a copy of the database, retrying"
            context.log(message, level="warning", reason=reason)
            context.count("publish_errors", 1)


def _copy(database: Path, target: IO[bytes]) -> None:
    """Raises: OSError: what the child met, or EINTR when it was killed."""
    command = [sys.executable, "-I", "-S", copy_file.__file__, str(database)]
    # A session of its own: Ctrl-C asks the daemon for an orderly end, which waits for the copy.
    status = subprocess.run(command, stdout=target, start_new_session=True, check=False).returncode
    if status != 0:
        number = status if status > 0 else errno.EINTR
        raise OSError(number, os.strerror(number))
