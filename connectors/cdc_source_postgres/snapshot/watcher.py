"""Sees to it that no statement of an application waits for a snapshot's locks: looks who waits, and ends the
snapshot.

A statement waits for us when it asks for ACCESS EXCLUSIVE on something that our sessions have locked (ALTER,
TRUNCATE, DROP, VACUUM FULL, CLUSTER, REINDEX, REFRESH, LOCK: the table, its TOAST table or an index), or when
it waits for our transaction itself (the CONCURRENTLY forms). pg_locks shows both to every role.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import psycopg

from cdc.errors import CdcError, SnapshotYielded, SourceUnavailable
from cdc_source_postgres.connection import Connection
from cdc_source_postgres.snapshot.context import SnapshotContext
from cdc_source_postgres.snapshot.planning import Waiter

# With the time to cancel a reader, a statement waits well under a second; one look costs about a millisecond.
LOOK_SECONDS = 0.2
# A reader that does not answer a cancellation by then waits for us to take rows from its socket.
CANCEL_SECONDS = 0.05

_WAITERS = """
    with locks as materialized (
        select * from pg_locks where locktype in ('relation', 'virtualxid')
    )
    select w.pid, w.mode, coalesce(n.nspname || '.' || c.relname, '')
      from locks w
      left join pg_class c on w.database = (select oid from pg_database where datname = current_database())
                          and c.oid = w.relation
      left join pg_namespace n on n.oid = c.relnamespace
     where not w.granted and w.pid <> all(%(ours)s)
       and exists (select from locks h
                    where h.granted and h.pid = any(%(ours)s) and h.locktype = w.locktype
                      and case w.locktype
                          when 'relation' then h.database = w.database and h.relation = w.relation
                                           and w.mode = 'AccessExclusiveLock'
                          else h.virtualxid = w.virtualxid end)
     limit 1
"""
_ENDING = {
    False: "select pg_cancel_backend(pid) from pg_stat_activity where {}",
    True: "select pg_terminate_backend(pid) from pg_stat_activity where {}",
}
_OURS = "pid = any(%s) and application_name = %s and usename = current_user"


class Watcher:
    """Owns an ordinary connection; its thread runs from `watch` to `close`."""

    def __init__(self, context: SnapshotContext, connection: Connection) -> None:
        self._context = context
        self._connection = connection
        # Of the connection, which `connection` lends.
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pids: list[int] = []
        self._end: Callable[[], None] = lambda: None
        self._yielded: Callable[[Waiter], None] = lambda waiter: None
        self.waiter: Waiter | None = None

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """The connection, between two looks."""
        with self._lock:
            yield self._connection

    def watch(self, end: Callable[[], None], pids: Sequence[int]) -> None:
        """Begin: `end` frees what these sessions have locked, apart from what readers are at."""
        self._end = end
        self._pids = list(pids)
        self._thread = threading.Thread(
            target=self._run, name=f"locks-{self._context.source.name}", daemon=True
        )
        self._thread.start()

    def tell(self, end: Callable[[], None], yielded: Callable[[Waiter], None]) -> None:
        """Replace `end`, and the callback for ended statements."""
        self._end, self._yielded = end, yielded

    def add(self, pid: int) -> None:
        """One more session of the snapshot: a reader."""
        self._pids = [*self._pids, pid]

    def explained(self, error: CdcError) -> CdcError:
        """Return the error of a reader: another one if the snapshot was ended under it."""
        if self.waiter is None:
            return error
        where = self._context.connector.where
        return SnapshotYielded(
            f"the snapshot gave way to {self.waiter}", where=where, remedy="It continues automatically."
        )

    def close(self) -> None:
        """May be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._connection.close()

    def _run(self) -> None:
        try:
            while not self._stop.wait(LOOK_SECONDS):
                waiter = self._look()
                if waiter is not None:
                    self._give_way(waiter)
                    return
        except (psycopg.Error, SourceUnavailable):
            # From now on, nothing would notice a waiting session.
            self._end()

    def _look(self) -> Waiter | None:
        with self._lock:
            row = self._connection.execute(_WAITERS, {"ours": self._pids}).fetchone()
        return Waiter(*row) if row else None

    def _give_way(self, waiter: Waiter) -> None:
        """End the snapshot; after that the readers, the second time with force."""
        self.waiter = waiter
        self._end()
        self._yielded(waiter)
        forced = False
        while not self._stop.is_set():
            with self._lock:
                statement = _ENDING[forced].format(_OURS)
                self._connection.execute(
                    statement.encode(), (self._pids, self._context.connector.application_name)
                )
            forced = True
            if self._stop.wait(CANCEL_SECONDS) or self._look() is None:
                return
