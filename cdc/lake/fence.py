"""The right to write: one process per source and lake, the one with the newest epoch.

The lock ends with the process. The epoch in `owner.json` also works without locks (a copied folder, some
network file systems).
"""

from __future__ import annotations

import os

import orjson

from cdc.errors import SinkUnavailable
from cdc.lake.journal import encode
from cdc.lake.layout import LakePaths
from cdc.lake.store import ABSENT, StoreLock
from cdc.merge import continuity
from cdc.spi import SinkContext


class LakeFence:
    """The right to write for one source, held from `take` to `release`."""

    def __init__(self, paths: LakePaths, context: SinkContext) -> None:
        self._paths = paths
        self._context = context
        self._lock: StoreLock | None = None

    @property
    def is_taken(self) -> bool:
        return self._lock is not None

    def take(self) -> None:
        """Lock, and store our epoch; SinkFenced if a newer one is stored, SinkUnavailable if another process
        holds the lock.
        """
        if self._lock is None:
            self._lock = self._acquire()
        try:
            self._enforce()
        except BaseException:
            self.release()
            raise

    def verify(self) -> None:
        """Raise SinkFenced if the stored fence is newer than ours, SinkRefused if the lake contains another
        log's rows.
        """
        self._check(self._newest()[0], has_rows=True)

    def release(self) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def _check(self, fence: continuity.Fence | None, *, has_rows: bool) -> None:
        where = self._paths.store.path(self._paths.owner)
        continuity.check_fence(fence, self._context, has_rows=has_rows, where=where)

    def _enforce(self) -> None:
        ours = continuity.Fence(self._context.epoch, self._context.log_id)
        found, version = self._newest()
        self._check(found, has_rows=self._paths.store.has(self._paths.cursor))
        if found == ours:
            return
        owner = encode({"epoch": ours.epoch, "log": ours.log_id, "pid": os.getpid()})
        if self._paths.store.put(self._paths.owner, owner, over=version) is None:
            raise self._held()

    def _acquire(self) -> StoreLock:
        lock = self._paths.store.lock(self._paths.lock)
        if lock is None:
            self.verify()
            raise self._held()
        return lock

    def _held(self) -> SinkUnavailable:
        message = "another process writes this source's changes to this lake"
        where = self._paths.store.path(self._paths.lock)
        return SinkUnavailable(
            message, where=where, remedy="Stop that process. Delivery resumes automatically."
        )

    def _newest(self) -> tuple[continuity.Fence | None, str]:
        """The fence in force, and the version of its object."""
        found = self._paths.store.get(self._paths.owner)
        if found is None:
            return None, ABSENT
        owner = orjson.loads(found.data)
        return continuity.Fence(int(owner["epoch"]), str(owner.get("log", ""))), found.version
