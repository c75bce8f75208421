"""The replication slot: its state, its creation, and whether it may be streamed from after a given position.

Every version of the server silently moves a start position before the slot's `confirmed_flush_lsn` forward,
so the source compares the two itself. It never recreates a slot to continue: the changes before a new slot
would be a gap.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from cdc.errors import CdcError, SourceUnavailable
from cdc.model import Position
from cdc_source_postgres.connection import Connection, Connector, ReplicationConnection
from cdc_source_postgres.errors import slot_ahead, slot_foreign, slot_lost, slot_missing, slot_taken
from cdc_source_postgres.statements import identifier
from cdc_source_postgres.stream.blockers import Blocker, open_transactions
from cdc_source_postgres.wire.messages import lsn_int, lsn_text

PLUGIN = "pgoutput"
# One is enough unless the server read the running transactions of another slot from disk.
SETTLE_ATTEMPTS = 3
# On a standby creation waits for the primary to log its running transactions (every 15 s when it writes at
# all).
CREATE_SECONDS = 60.0
# A living daemon answers at least every 10 s: a walsender of ours that has heard nothing for three times that
# has lost its client.
SILENCE_SECONDS = 30.0
_POLL_SECONDS = 0.25
FAILOVER_SINCE = 170000
# Slot names have 63 bytes; the rest of a temporary one's takes 22.
_TEMPORARY_PREFIX = 40

_STATE = """
    select s.plugin, s.database, s.active_pid, s.wal_status, s.safe_wal_size,
           s.confirmed_flush_lsn::text as confirmed, s.restart_lsn::text as restart, s.slot_type as kind,
           current_database() as here,
           coalesce(to_jsonb(s) ->> 'invalidation_reason',
                    case when (to_jsonb(s) ->> 'conflicting')::bool then 'conflict' end) as reason,
           a.application_name as application,
           (to_jsonb(r) ->> 'reply_time')::timestamptz < now() - make_interval(secs => %s) as silent
      from pg_replication_slots s
      left join pg_stat_activity a on a.pid = s.active_pid
      left join pg_stat_replication r on r.pid = s.active_pid
     where s.slot_name = %s
"""


@dataclass(frozen=True, slots=True)
class SlotState:
    """One row of pg_replication_slots, and who reads from it."""

    plugin: str | None
    database: str | None
    active_pid: int | None
    wal_status: str | None
    safe_wal_size: int | None
    confirmed: str | None
    restart: str | None
    kind: str
    here: str
    reason: str | None
    application: str | None
    silent: bool | None

    @property
    def is_lost(self) -> bool:
        return self.wal_status == "lost" or self.reason is not None

    @property
    def position(self) -> Position:
        """Where the server will continue: everything before it is confirmed."""
        text = self.confirmed or "0/0"
        return Position(lsn_int(text), text)


def read_slot(conn: Connection, slot: str) -> SlotState | None:
    """The slot's state now; None when there is none of that name."""
    with conn.cursor(row_factory=class_row(SlotState)) as cursor:
        return cursor.execute(_STATE, (SILENCE_SECONDS, slot)).fetchone()


def check_slot(state: SlotState | None, slot: str, where: str) -> SlotState:
    """The state of a slot that is there, ours, and has lost nothing.

    Raises:
        SourceGap: missing or invalidated.
        SourceRefused: the name belongs to something else.
    """
    if state is None:
        raise slot_missing(where, slot)
    check_ours(state, slot, where)
    if state.is_lost:
        raise slot_lost(where, slot, state.reason or "wal_status lost")
    return state


def check_ours(state: SlotState, slot: str, where: str) -> None:
    """SourceRefused when the name belongs to a slot of another kind, plugin or database."""
    if state.kind != "logical":
        raise slot_foreign(where, slot, "physical replication", f"the plugin {PLUGIN}")
    if state.plugin != PLUGIN:
        raise slot_foreign(where, slot, f"the plugin {state.plugin}", PLUGIN)
    if state.database != state.here:
        raise slot_foreign(where, slot, f"the database {state.database}", str(state.here))


def check_reach(state: SlotState, slot: str, after: Position, where: str) -> None:
    """SourceGap when the slot has moved past the end of our log."""
    if after.order < state.position.order:
        raise slot_ahead(where, slot, after.text, state.position.text)


def release_slot(conn: Connection, connector: Connector, slot: str, log: Callable[..., None]) -> None:
    """Wait until a former walsender releases the slot; end one of ours that has lost its client.

    Raises:
        SourceBusy: somebody reads from it and lives.
    """
    deadline = time.monotonic() + connector.limits.release_seconds
    ended = False
    while (state := read_slot(conn, slot)) is not None and state.active_pid is not None:
        is_ours = state.application == connector.application_name
        if is_ours and state.silent and not ended:
            log("ending a walsender that lost its client", slot=slot, pid=state.active_pid)
            conn.execute("select pg_terminate_backend(%s)", (state.active_pid,))
            ended = True
        if time.monotonic() >= deadline:
            raise slot_taken(connector.where, slot, state.active_pid, state.application or "")
        time.sleep(_POLL_SECONDS)


def create_slot(
    connector: Connector, conn: Connection, slot: str, *, failover: bool, log: Callable[..., None]
) -> Position:
    """Create the main slot and give the position from which it can be read.

    Raises:
        SourceUnavailable: transactions that are older than this stay open; the message names them.
    """
    as_failover = failover and conn.info.server_version >= FAILOVER_SINCE
    clause = "(SNAPSHOT 'nothing', FAILOVER true)" if as_failover else "NOEXPORT_SNAPSHOT"
    replication, row = _create(connector, conn, f"{identifier(slot)} LOGICAL {PLUGIN} {clause}", log)
    replication.close()
    try:
        position = _settle(connector, conn, slot, position_of(str(row["consistent_point"])), log)
    except BaseException:
        with contextlib.suppress(psycopg.Error):
            drop_slot(conn, slot)
        raise
    log("created the slot", slot=slot, position=position.text)
    return position


def _settle(
    connector: Connector, conn: Connection, slot: str, made: Position, log: Callable[..., None]
) -> Position:
    """Move a new slot past everything that ran while it was made, and give where it is then.

    Postgres decodes what began meanwhile by a catalog without the DDL that was committed meanwhile: it stops
    at the first row of a table that was truncated or rewritten ("could not map filenumber"; 16 of 52 slots on
    15 and 18, with six writers that truncate). The creation of another slot waits for all of that to end, and
    its records of running transactions are where ours can begin.
    """
    state: SlotState | None = None
    for _ in range(SETTLE_ATTEMPTS):
        name = _temporary_name(slot, "begin")
        clause = f"{identifier(name)} TEMPORARY LOGICAL {PLUGIN} NOEXPORT_SNAPSHOT"
        replication, row = _create(connector, conn, clause, log)
        replication.close()
        conn.execute("select pg_replication_slot_advance(%s, %s::pg_lsn)", (slot, row["consistent_point"]))
        state = check_slot(read_slot(conn, slot), slot, connector.where)
        if lsn_int(state.restart or "0/0") >= made.order:
            return state.position
    log("the new slot begins among transactions that were open while it was created", slot=slot)
    return state.position if state else made


def export_snapshot(
    connector: Connector, conn: Connection, slot: str, log: Callable[..., None]
) -> tuple[ReplicationConnection, str, Position]:
    """A temporary slot's snapshot: the connection that keeps it until it is imported, its name, and its exact
    position.
    """
    name = _temporary_name(slot, "snapshot")
    clause = f"{identifier(name)} TEMPORARY LOGICAL {PLUGIN} EXPORT_SNAPSHOT"
    replication, row = _create(connector, conn, clause, log)
    return replication, str(row["snapshot_name"]), position_of(str(row["consistent_point"]))


def _temporary_name(slot: str, purpose: str) -> str:
    return f"{slot[:_TEMPORARY_PREFIX]}_{purpose}_{secrets.token_hex(6)}"


def _create(
    connector: Connector, conn: Connection, clause: str, log: Callable[..., None]
) -> tuple[ReplicationConnection, dict[str, str | None]]:
    attempts = connector.limits.create_attempts
    for attempt in range(1, attempts + 1):
        replication = connector.replicate()
        try:
            rows = replication.command(f"CREATE_REPLICATION_SLOT {clause}", "creating a slot", CREATE_SECONDS)
        except SourceUnavailable as error:
            replication.close()
            blockers = open_transactions(conn)
            log(
                "waiting for open transactions to create a slot",
                level="warning",
                attempt=attempt,
                blockers=[blocker.who for blocker in blockers],
                remedy=_end_of(conn, blockers),
            )
            if attempt == attempts:
                raise _still_waiting(connector, conn, blockers) from error
        except CdcError:
            replication.close()
            raise
        else:
            return replication, rows[0]
    raise AssertionError(clause)  # The last attempt returned or raised.


def drop_slot(conn: Connection, slot: str) -> None:
    """Drop a slot that no session reads."""
    conn.execute("select pg_drop_replication_slot(%s)", (slot,))


def _still_waiting(connector: Connector, conn: Connection, blockers: Sequence[Blocker]) -> CdcError:
    waited = connector.limits.create_attempts * connector.limits.lock_timeout_seconds
    who = "; ".join(blocker.who for blocker in blockers) or "no visible transaction"
    message = f"creating a slot has waited {waited} s for open transactions: {who}"
    return SourceUnavailable(message, where=connector.where, remedy=_end_of(conn, blockers))


def _end_of(conn: Connection, blockers: Sequence[Blocker]) -> str:
    """The statement that ends the wait, for the oldest transaction."""
    if conn.execute("select pg_is_in_recovery()").fetchone() == (True,):
        return "On the primary, run: select pg_log_standby_snapshot();"
    return blockers[0].remedy if blockers else "It is retried automatically."


def position_of(text: str) -> Position:
    """An LSN as the server prints it, as a position."""
    order = lsn_int(text)
    return Position(order, lsn_text(order))
