"""Sessions that a statement of ours waits for, and the statement that ends the wait.

Works for a role that may not look into other sessions: everyone sees their numbers, transaction ids and
locks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cdc_source_postgres.connection import Connection
from cdc_source_postgres.statements import literal, terminate

# As many as an operator reads; the oldest come first.
_SHOWN = 5

_OPEN = """
    select a.pid, null::text as gid, a.datname as database, nullif(a.application_name, '') as application,
           a.usename as role, extract(epoch from now() - a.xact_start)::int8 as seconds
      from pg_stat_activity a
     where a.backend_xid is not null and a.pid <> pg_backend_pid()
     union all
    select null, p.gid, p.database, null, p.owner, extract(epoch from now() - p.prepared)::int8
      from pg_prepared_xacts p
     order by seconds desc nulls last
"""
_EXCLUSIVE = """
    select distinct wanted.relid
      from pg_locks l
      cross join lateral unnest(array[l.relation, pg_partition_root(l.relation)::oid]) as held(relid)
      join unnest(%s::oid[]) as wanted(relid) on wanted.relid = held.relid
     where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'
       and l.database = (select oid from pg_database where datname = current_database())
"""
_HOLDERS = """
    select l.pid, p.gid, p.database, nullif(a.application_name, '') as application,
           coalesce(a.usename, p.owner) as role,
           extract(epoch from now() - coalesce(a.xact_start, p.prepared))::int8 as seconds
      from pg_locks l
      left join pg_stat_activity a on a.pid = l.pid
      left join pg_locks x on l.pid is null and x.pid is null and x.locktype = 'transactionid'
                          and x.virtualtransaction = l.virtualtransaction
      left join pg_prepared_xacts p on p.transaction = x.transactionid
     where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'
       and %(relid)s::oid in (l.relation, pg_partition_root(l.relation))
     order by l.granted desc, seconds desc nulls last
"""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session or a prepared transaction."""

    pid: int | None
    gid: str | None
    database: str | None
    application: str | None
    role: str | None
    seconds: int | None

    @property
    def who(self) -> str:
        """Return the session and its start, as a message names them."""
        since = "" if self.seconds is None else f", open for {self.seconds} s"
        if self.gid is not None:
            return f"the prepared transaction {literal(self.gid)} of {self.role}{since}"
        name = f"{self.application or 'no name'}, user {self.role}"
        return f"process {self.pid} ({name}{since})"

    @property
    def remedy(self) -> str:
        """The statement that ends it."""
        if self.gid is not None:
            return f"In the database {self.database}, run: rollback prepared {literal(self.gid)};"
        return f"Wait until it ends, or run on the server: {terminate(self.pid or 0)};"


def open_transactions(conn: Connection) -> list[Blocker]:
    """Transactions with an id, the oldest first: the creation of a slot waits for all that it finds."""
    return _blockers(conn, _OPEN, ())


def exclusive_locks(conn: Connection, relids: Sequence[int]) -> set[int]:
    """Those of the tables on which, or on a partition of which, somebody holds or awaits ACCESS EXCLUSIVE."""
    return {int(row[0]) for row in conn.execute(_EXCLUSIVE, (list(relids),))}


def lock_holders(conn: Connection, relid: int) -> list[Blocker]:
    """Return the sessions that hold or await ACCESS EXCLUSIVE on the table, holders first."""
    return _blockers(conn, _HOLDERS, {"relid": relid})


def _blockers(conn: Connection, query: Any, parameters: Any) -> list[Blocker]:
    return [Blocker(*row) for row in conn.execute(query, parameters).fetchmany(_SHOWN)]
