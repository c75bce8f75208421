"""The connection to the database: its settings, how Arrow tables get in, and who may write when."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
from psycopg.conninfo import make_conninfo
from psycopg.types.string import TextLoader

from cdc.deferred import compute as pc
from cdc.errors import CdcError
from cdc.failpoints import hit
from cdc.kit.connections import closed_on_error
from cdc.model import TableId
from cdc.sql import Connection
from cdc.sql.dialect import GIVEN
from cdc_libpq.connecting import connect as open_connection
from cdc_libpq.urls import LIVENESS, MAX_NAME_BYTES
from cdc_sink_postgres import errors
from cdc_sink_postgres.dialect import PostgresDialect
from cdc_sink_postgres.encoding import NUL_SYMBOL, encode, given_kind, is_direct
from cdc_sink_postgres.options import PostgresSinkOptions

# A delivery that waits this long for a lock gives up and is retried: a reader's query may hold one for hours,
# and the status should say so.
LOCK_TIMEOUT = "30s"
# Longer than any pause of ours within a transaction. A daemon that is stopped (SIGSTOP, a paused machine)
# must not block the one that takes over.
IDLE_IN_TRANSACTION_TIMEOUT = "10min"
# Settings that values and statements depend on, and the role's timeouts that must not end a large delivery.
# They are set after the login: poolers refuse them in its parameters.
_SETTINGS = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    # A policy that hides rows from the sink would make it skip them: the statement fails instead.
    "row_security": "off",
    "search_path": "pg_catalog",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "lock_timeout": LOCK_TIMEOUT,
    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT,
    # A host that is gone is noticed by the server too, which otherwise keeps its locks for two hours.
    "tcp_keepalives_idle": LIVENESS["keepalives_idle"],
    "tcp_keepalives_interval": LIVENESS["keepalives_interval"],
    "tcp_keepalives_count": LIVENESS["keepalives_count"],
    # Statements of milliseconds; compiling them takes longer.
    "jit": "off",
    "client_min_messages": "warning",
}
# (server_version_num, setting) that older servers do not know.
_NEWER_SETTINGS = ((140000, "idle_session_timeout"), (170000, "transaction_timeout"))
# The cursor must be as durable as the daemon believes. A role with `off` would lose both, after which the log
# may no longer hold the changes.
_DURABLE = (
    "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'"
)
_SESSION = "select pg_backend_pid()"
# Staging tables that a session keeps: a table for each set of column types, so that tables of one shape share
# it. Each is truncated at every commit, which takes 30 µs.
MOST_STAGING_TABLES = 32
# After so long they are dropped. VACUUM does not reach the temporary tables of another session: kept for
# weeks, they would keep the server from freezing old transactions, until it takes no more writes.
STAGING_SECONDS = 600.0
# From this many rows on, rows that are all new are copied into the table itself: below it, the savepoint
# costs more than staging.
SMALLEST_DIRECT_ROWS = 100
# Quoted names and strings, which are left alone, and what is replaced outside of them.
_QUOTED_OR_GIVEN = re.compile(rf""""(?:[^"]|"")*"|'(?:[^']|'')*'|\b{GIVEN}\b""")
_QUOTED_OR_MARK = re.compile(r""""(?:[^"]|"")*"|'(?:[^']|'')*'|\?""")
_UNIQUE_VIOLATION = "23505"
NUL_COUNTER = "nul_characters_replaced"
# The comment by which the sink finds the index that it made.
INDEX_COMMENT = "cdc: key of the source"
_INDEXES = """
    select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid),
           coalesce(obj_description(i.indexrelid, 'pg_class'), '')
      from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = ? and c.relname = ?
"""


class PostgresConnection(Connection):
    """A connection to the database; `where` names it in errors, `session` is the number of the server's
    process that has our settings.
    """

    Error = psycopg.Error

    def __init__(
        self,
        handle: psycopg.Connection[Any],
        where: str,
        count: Callable[[str, int], None] | None = None,
        *,
        session: int,
        replaces_nul: bool,
    ) -> None:
        self.handle = handle
        self.session = session
        self.where = where
        self.dialect = PostgresDialect(handle.info.server_version, replaces_nul=replaces_nul)
        self._cursor = psycopg.RawCursor(handle)
        self._count = count or _count_nothing
        self._replaces_nul = replaces_nul
        self._staging: dict[tuple[tuple[str, str], ...], str] = {}
        self._staging_since = time.monotonic()
        self.staging_seconds = STAGING_SECONDS
        self._made = 0
        self._in_use: set[str] = set()
        self._refuses_direct: set[str] = set()

    def run(self, statement: str, given: pa.Table | None = None) -> int:
        if given is not None:
            statement = _with_given(statement, self._stage(given))
        self._cursor.execute(statement.encode())
        return self._cursor.rowcount

    def run_all(self, statements: Sequence[str], given: pa.Table | None = None) -> None:
        """Stage the Arrow table once for all of the statements."""
        staged = GIVEN if given is None else self._stage(given)
        for statement in statements:
            self.run(_with_given(statement, staged))

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if values:
            statement = _numbered(statement)
        self._cursor.execute(statement.encode(), list(values) or None)
        return self._cursor.fetchall() if self._cursor.description else []

    def load(
        self, target: str, columns: Sequence[tuple[str, str, str]], given: pa.Table, *, is_new: bool
    ) -> bool:
        kinds = [kind for _, kind, _ in columns]
        chosen = given.select([staged for _, _, staged in columns])
        if not all(is_direct(of, kind) for of, kind in zip(chosen.schema.types, kinds, strict=True)):
            return False
        names = [name for name, _, _ in columns]
        if not is_new:
            self._copy(target, names, kinds, chosen)
            return True
        if given.num_rows < SMALLEST_DIRECT_ROWS or target in self._refuses_direct:
            return False
        self.run("savepoint cdc_load")
        try:
            self._copy(target, names, kinds, chosen)
        except psycopg.Error as error:
            if errors.state_of(error) != _UNIQUE_VIOLATION:
                raise
            self.run("rollback to savepoint cdc_load")
            # More rows of this table will exist already.
            self._refuses_direct.add(target)
            return False
        self.run("release savepoint cdc_load")
        return True

    def places(self) -> Collection[TableId]:
        found = self.query(
            "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where c.relkind in ('r', 'v', 'm', 'f', 'p', 'S', 'c', 'i', 'I') "
            "and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') "
            "and n.nspname !~ '^pg_temp'"
        )
        return [TableId(*row) for row in found]

    def begin(self) -> None:
        self.drop_old_staging()
        # Each statement sees what was committed before it, after the lock. Not `read write`, which a standby
        # refuses with the SQLSTATE of a missing feature: its first write says what it is.
        self.run("begin isolation level read committed")

    def commit(self) -> None:
        hit("target.before-save")
        self.run("commit")
        hit("target.saved")
        self._in_use.clear()
        self._refuses_direct.clear()

    def roll_back(self) -> None:
        # Staging tables of the transaction are gone with it.
        self._staging.clear()
        self._in_use.clear()
        self._refuses_direct.clear()
        self.run("rollback")
        self.run("discard temp")

    def lock(self, source: str) -> None:
        """Wait for other processes that write for this source, also for one whose commit is not known to have
        ended.
        """
        digest = hashlib.sha256(f"cdc {source}".encode()).digest()
        number = int.from_bytes(digest[:8], "big", signed=True)
        ((session, _),) = self.query(f"{_SESSION}, pg_advisory_xact_lock(?)", [number])
        if session != self.session:
            raise errors.another_session(self.where)

    def close(self) -> None:
        self.handle.close()

    def drop_old_staging(self) -> None:
        """Drop the staging tables, outside of a transaction, if they are older than `staging_seconds`."""
        if self._staging and time.monotonic() - self._staging_since >= self.staging_seconds:
            self._staging.clear()
            self.run("discard temp")

    def table_refusal(self, error: Exception) -> CdcError | None:
        return errors.table_refusal(error) if isinstance(error, psycopg.Error) else None

    def is_conversion(self, error: Exception) -> bool:
        return errors.is_conversion(error)

    def indexes_of(self, place: TableId) -> Collection[str]:
        found = self.query(_INDEXES, [place.schema, place.name])
        return [statement for _, statement, comment in found if comment != INDEX_COMMENT]

    def index_key(self, place: TableId, columns: Sequence[str], *, is_unique: bool) -> None:
        for name, _, comment in self.query(_INDEXES, [place.schema, place.name]):
            if comment == INDEX_COMMENT:
                self.run(f"drop index {name}")
        if not columns:
            return
        target, quoted = self.dialect.qualified(place), ", ".join(map(self.dialect.quoted, columns))
        before = {name for name, _, _ in self.query(_INDEXES, [place.schema, place.name])}
        self.run(f"create {'unique ' if is_unique else ''}index on {target} ({quoted})")
        (made,) = {name for name, _, _ in self.query(_INDEXES, [place.schema, place.name])} - before
        self.run(f"comment on index {made} is {self.dialect.literal(INDEX_COMMENT)}")

    def _stage(self, given: pa.Table) -> str:
        """Copy an Arrow table into an empty temporary table; return its name."""
        kinds = [given_kind(of) or "text" for of in given.schema.types]
        signature = tuple(zip(given.column_names, kinds, strict=True))
        name = self._staging.get(signature)
        if name is None:
            name = self._new_staging(signature)
        elif name in self._in_use:
            self.run(f"truncate {name}")
        self._in_use.add(name)
        self._copy(name, given.column_names, kinds, given)
        return name

    def _new_staging(self, signature: tuple[tuple[str, str], ...]) -> str:
        if len(self._staging) >= MOST_STAGING_TABLES:
            oldest = next(iter(self._staging))
            self.run(f"drop table {self._staging.pop(oldest)}")
        if not self._staging:
            self._staging_since = time.monotonic()
        self._made += 1
        name = f"pg_temp._cdc_given_{self._made}"
        columns = ", ".join(f"{column} {kind}" for column, kind in signature)
        self.run(f"create temp table {name.removeprefix('pg_temp.')} ({columns}) on commit delete rows")
        self._staging[signature] = name
        return name

    def _copy(self, target: str, names: Sequence[str], kinds: Sequence[str], rows: pa.Table) -> None:
        if self._replaces_nul:
            rows = self._without_nul(rows)
        statement = f"copy {target} ({', '.join(names)}) from stdin (format binary)"
        hit("target.before-insert")
        with self._cursor.copy(statement.encode()) as copy:
            for block in encode(rows, kinds):
                copy.write(block)
        hit("target.inserted")

    def _without_nul(self, rows: pa.Table) -> pa.Table:
        made = [without_nul(column) for column in rows.columns]
        self._count(NUL_COUNTER, sum(count for _, count in made))
        return pa.table([column for column, _ in made], names=rows.column_names)


def without_nul(array: Any) -> tuple[Any, int]:
    """Return a column with ␀ in place of each NUL character, and how many there were."""
    of = array.type
    if isinstance(array, pa.ChunkedArray):
        made = [without_nul(chunk) for chunk in array.chunks]
        return pa.chunked_array([chunk for chunk, _ in made], of), sum(count for _, count in made)
    if pa.types.is_list(of):
        values, count = without_nul(array.values)
        if not count:
            return array, 0
        return pa.ListArray.from_buffers(
            of, len(array), array.buffers()[:2], offset=array.offset, children=[values]
        ), count
    if not (pa.types.is_string(of) or pa.types.is_large_string(of)):
        return array, 0
    count = pc.sum(pc.count_substring(array, "\x00")).as_py() or 0
    return (pc.replace_substring(array, "\x00", NUL_SYMBOL) if count else array), count


def connect(
    options: PostgresSinkOptions, name: str, count: Callable[[str, int], None] | None = None
) -> PostgresConnection:
    """Connect and set up the session. `name` is the sink's, `count` adds to its counters; errors are
    psycopg's.
    """
    given = options.settings
    ours = {
        **{key: value for key, value in LIVENESS.items() if key not in given},
        "client_encoding": "UTF8",
        "application_name": (given.get("application_name") or f"cdc_{name}")[:MAX_NAME_BYTES],
    }
    with closed_on_error(open_connection(make_conninfo(options.url.get_secret_value(), **ours))) as handle:
        for kind in ("json", "jsonb"):
            handle.adapters.register_loader(kind, TextLoader)
        version = handle.info.server_version
        settings = _SETTINGS | {name: "0" for since, name in _NEWER_SETTINGS if version >= since}
        statements = [f"set {key} = '{value}'" for key, value in settings.items()]
        # One message, which a pooler sends to one session.
        made = handle.execute("; ".join([*statements, _DURABLE, _SESSION]).encode())
        while made.nextset():
            pass
        ((session,),) = made.fetchall()
        return PostgresConnection(
            handle, where_of(options), count, session=session, replaces_nul=options.nul == "replace"
        )


def _count_nothing(_name: str, _amount: int) -> None:
    """Only the daemon reads counters."""


def where_of(options: PostgresSinkOptions) -> str:
    """Return the database in words, for errors."""
    return options.places()["url"]


@contextmanager
def translated(operation: str, where: str) -> Iterator[None]:
    """Translate errors of psycopg; `operation` is a gerund."""
    try:
        yield
    except psycopg.Error as error:
        raise errors.translate(error, where, operation) from error


def _with_given(statement: str, name: str) -> str:
    return _QUOTED_OR_GIVEN.sub(lambda found: name if found[0] == GIVEN else found[0], statement)


def _numbered(statement: str) -> str:
    """Return a statement with $1, $2 … in place of its `?`."""
    numbers = iter(range(1, statement.count("?") + 1))
    return _QUOTED_OR_MARK.sub(lambda found: f"${next(numbers)}" if found[0] == "?" else found[0], statement)
