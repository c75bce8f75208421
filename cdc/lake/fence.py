"""The right to write: one process per source and lake, the one with the newest epoch.

The lock ends with the process. The epoch in `owner.json` also works without locks (object storage, a copied
folder, some network file systems). Two copies of one daemon's state have the same epoch: the process that
took the lake first keeps it.
"""

from __future__ import annotations

import functools
import os
import secrets

import orjson

from cdc.errors import SinkFenced, SinkUnavailable
from cdc.lake.journal import encode
from cdc.lake.layout import LakePaths
from cdc.lake.store import ABSENT, StoreLock
from cdc.merge import continuity
from cdc.spi import SinkContext

# Random bytes in the name of a process: two that write the same lake by mistake must not have the same one.
WRITER_BYTES = 4


@functools.cache
def _process() -> str:
    return secrets.token_hex(WRITER_BYTES)


def writer_name(context: SinkContext) -> str:
    """Return the name of this process's epoch in a lake."""
    return f"{context.epoch}-{_process()}"


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
        fence, writer, _ = self._newest()
        self._check(fence, has_rows=True)
        self._refuse_copy(fence, writer)

    def release(self) -> None:
        if self._lock is not None:
            self._lock.release()
        self._lock = None

    def _check(self, fence: continuity.Fence | None, *, has_rows: bool) -> None:
        where = self._paths.store.path(self._paths.owner)
        continuity.check_fence(fence, self._context, has_rows=has_rows, where=where)

    def _refuse_copy(self, fence: continuity.Fence | None, writer: str) -> None:
        """Raise SinkFenced if another process of the same log and epoch has taken the lake."""
        if fence is None or not writer or writer == writer_name(self._context):
            return
        if (fence.epoch, fence.log_id) == (self._context.epoch, self._context.log_id):
            message = f"another process opened the lake with the same epoch {fence.epoch}: a daemon on a copy"
            message += " of this state_dir writes to it"
            remedy = "Stop one of the two daemons, and give it a state_dir and a sink of its own."
            raise SinkFenced(message, where=self._paths.store.path(self._paths.owner), remedy=remedy)

    def _enforce(self) -> None:
        ours = continuity.Fence(self._context.epoch, self._context.log_id)
        found, writer, version = self._newest()
        self._check(found, has_rows=self._paths.store.has(self._paths.cursor))
        self._refuse_copy(found, writer)
        if found == ours:
            return
        name = writer_name(self._context)
        owner = encode({"epoch": ours.epoch, "log": ours.log_id, "pid": os.getpid(), "writer": name})
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

    def _newest(self) -> tuple[continuity.Fence | None, str, str]:
        """The fence in force, the process that took it ('' by an older version), and the object's version."""
        found = self._paths.store.get(self._paths.owner)
        if found is None:
            return None, "", ABSENT
        owner = orjson.loads(found.data)
        fence = continuity.Fence(int(owner["epoch"]), str(owner.get("log", "")))
        return fence, str(owner.get("writer", "")), found.version
