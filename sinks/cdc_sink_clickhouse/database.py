"""One connection to a ClickHouse server over HTTP, in a session of its own.

All statements of a sink run in one session, which the server locks while a statement runs: one that an ended
process has left is never overtaken.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar
from uuid import uuid4

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from cdc.errors import CdcError
from cdc.failpoints import hit
from cdc.model import TableId
from cdc.spi import SinkContext
from cdc.sql import Connection, own_tables
from cdc.sql.dialect import GIVEN, OWN_SCHEMA, OwnConnection
from cdc.sql.evolve import create
from cdc.sql.layout import VERSION, own_columns
from cdc.sql.saved_state import FLOOR, Entry, Saved, SavedState, Versions, packed, unpacked
from cdc.sql.stored import StoredTable
from cdc_sink_clickhouse.dialect import ClickHouseDialect
from cdc_sink_clickhouse.errors import (
    UNKNOWN_DATABASE,
    UNKNOWN_TABLE,
    code_of,
    table_refusal,
    translated_error,
)
from cdc_sink_clickhouse.options import ClickHouseSinkOptions

# The driver logs each failure of a connection with its stack; the error says it.
logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)

# The name under which the statements that wait to be run are saved.
_DEFINITIONS = "definitions"
# Below the epoch, a version is a time in microseconds, or one more than the version before: two processes of
# one epoch, as a copied state folder makes them, save different versions, and so notice each other.
_COUNT_BITS = 64
CONNECT_SECONDS = 10
# A statement that alters a large table runs this long, with no answer meanwhile.
STATEMENT_SECONDS = 3600
_SETTINGS = {
    # A row that a join does not find is null, and null is found among nulls.
    "join_use_nulls": 1,
    "transform_null_in": 1,
    # A statement returns when it is done, on every replica that answers.
    "mutations_sync": 2,
    "alter_sync": 2,
    "lightweight_deletes_sync": 2,
    # Rows have versions; two equal blocks may both be needed, one of them behind a truncate.
    "insert_deduplicate": 0,
    "async_insert": 0,
    # Statements on tables with 1,600 columns; by default 256 KiB.
    "max_query_size": 4 * 1024**2,
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_decimals": 1,
    "output_format_decimal_trailing_zeros": 1,
    "output_format_json_quote_denormals": 1,
}
# All rows of an insert become one part, at once: the insert is atomic.
_ONE_PART = {"min_insert_block_size_rows": 1_000_000_000, "min_insert_block_size_bytes": 0}
# A swap of names is repeated only if it was not done: where the name still has the old table.
_UNLESS = "\x00unless\x00"
_STATE_COLUMNS = "source String, name String, value String, version UInt128, written_at DateTime64(6, 'UTC')"


class ClickHouseConnection(Connection):
    """The tables, the sink's own tables (`SavedState`), and the statements that wait for a commit.

    `source` is the one whose changes are written: what its ended processes have left to run is run.
    """

    Error: ClassVar[type[Exception]] = ClickHouseError
    dialect: ClickHouseDialect
    alters_in_transactions = False

    def __init__(self, client: Client, options: ClickHouseSinkOptions, epoch: int, where: str) -> None:
        self.client = client
        self.dialect = ClickHouseDialect(options)
        self._options = options
        self._epoch = epoch
        self._where = where
        self.source = ""
        self._own = SavedState(self._newest, self._load, own_tables.create)
        self._state = f"{self.dialect.quoted(OWN_SCHEMA)}.{self.dialect.quoted('state')}"
        self._version = 0
        # Whether a save may still arrive: of another process, or one whose answer was lost.
        self._is_unsure = True
        self._definitions: list[str] = []
        self._is_recovering = True

    @property
    def own(self) -> OwnConnection:
        return self._own

    @property
    def is_recovering(self) -> bool:
        return self._is_recovering

    @property
    def has_definitions(self) -> bool:
        return bool(self._definitions)

    def define(self, statement: str) -> None:
        self._definitions.append(statement)

    def recovered(self) -> None:
        """Note that no row is behind the cursor: a delivery was applied without an error."""
        self._is_recovering = False

    def run(self, statement: str, given: pa.Table | None = None) -> int:
        if given is None:
            self.client.command(statement)
        elif statement.startswith("insert") and statement.count(GIVEN) == 1:
            self._insert(statement, given, _ONE_PART)
        else:
            self._stage(given)
            self.client.command(statement)
            self.client.command(f"drop temporary table if exists {GIVEN}")
        return 0

    def insert_once(self, statement: str, given: pa.Table, token: str) -> None:
        if self._is_recovering and self._options.engine == "replicated":
            target = statement.split(" (", 1)[0].removeprefix("insert into ")
            self.client.command(f"system sync replica {target}")
        self._insert(
            statement, given, _ONE_PART | {"insert_deduplicate": 1, "insert_deduplication_token": token}
        )

    def query(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        assert not values, "only the own tables are asked with values"
        return [tuple(row) for row in self.client.query(statement).result_rows]

    def places(self) -> Collection[TableId]:
        found = self.query(
            "select database, name from system.tables where not is_temporary and database not in "
            "('system', 'information_schema', 'INFORMATION_SCHEMA')"
        )
        return [TableId(schema, name) for schema, name in found]

    def has(self, name: str) -> bool:
        return self._own.has(name)

    def keep(self, name: str, query: str, given: pa.Table | None = None) -> str:
        self.client.command(f"drop temporary table if exists {name}")
        self.run(f"create temporary table {name} as {query}", given)
        return name

    def exchange(self, place: TableId, other: TableId) -> bool:
        self._define_exchange(place, other, self._uuid_of(other))
        return True

    def rebuild(self, stored: StoredTable, altered: StoredTable, origins: Mapping[str, str]) -> bool:
        """Fill a new table with the newest rows, and swap the names: the order of rows cannot be altered."""
        if stored.mode == "append":
            return False
        dialect = self.dialect
        new = TableId(stored.place.schema, f"{stored.place.name}__cdc_new")
        target, identity = dialect.qualified(new), str(uuid4())
        made = create(altered, target, dialect).replace(target, f"{target} uuid '{identity}'", 1)
        types = {column.name: column.type for column in stored.columns}
        values = {}
        for column in altered.columns:
            origin = origins.get(column.name)
            if origin is None:
                value = column.fill or "null"
            else:
                value = dialect.quoted(origin)
                if types[origin].startswith("Nullable(") and not column.type.startswith("Nullable("):
                    value = f"assumeNotNull({value})"
            values[dialect.quoted(column.name)] = f"cast({value} as {column.type})"
        old = dict(own_columns(stored.mode, stored.deletes, dialect, is_keyed=bool(stored.key)))
        for name, _ in own_columns(altered.mode, altered.deletes, dialect, is_keyed=bool(altered.key)):
            values[name] = name if name in old else "0"
        is_open = f"{VERSION} = 0" if VERSION in old and stored.mode == "mirror" else "1"
        rows = dialect.newest(dialect.qualified(stored.place), is_open)
        self.define(dialect.drop_table(target))
        self.define(made)
        self.define(
            f"insert into {target} ({', '.join(values)}) select {', '.join(values.values())} from {rows}"
        )
        self._define_exchange(stored.place, new, identity)
        self.define(dialect.drop_table(target))
        return True

    def table_refusal(self, error: Exception) -> CdcError | None:
        return table_refusal(error, self._where)

    def begin(self) -> None:
        if self._is_recovering and self._options.engine == "replicated":
            self.client.command(f"system sync replica {self._state}")
        self._own.begin()
        self._definitions.clear()
        left = json.loads(unpacked(self._own.note(self.source, _DEFINITIONS) or "{}"))
        if left and not self._is_fenced():
            self._run_definitions(left["statements"], left["next"])

    def commit(self) -> None:
        """Save what has changed of the own tables with one insert, then run what was defined."""
        changed = dict(self._own.changed(is_unsure=self._is_unsure))
        definitions, self._definitions = self._definitions, []
        if definitions:
            changed[self.source, _DEFINITIONS] = _left(definitions, 0)
        if changed:
            hit("target.before-save")
            self._save(changed)
            hit("target.saved")
        if definitions:
            self._run_definitions(definitions, 0)
        self._own.end()

    def roll_back(self) -> None:
        """Forget what has changed of the own tables. Rows that were inserted stay: they will be again."""
        self._definitions.clear()
        self._is_recovering = True
        self._own.close()

    def close(self) -> None:
        self._own.close()
        self.client.close()

    def make_state(self) -> None:
        """Create the table of what is saved, and its views for readers."""
        on_cluster, database = self.dialect.on_cluster, self.dialect.quoted(OWN_SCHEMA)
        replicated = "Replicated" if self._options.engine == "replicated" else ""
        self.client.command(f"create database if not exists {database}{on_cluster}")
        self.client.command(
            f"create table if not exists {self._state}{on_cluster} ({_STATE_COLUMNS}) "
            f"engine = {replicated}ReplacingMergeTree(version) order by (source, name)"
        )
        self.client.command(
            f"create or replace view {database}.cursors{on_cluster} as select source, "
            "JSONExtractInt(row, 2) as `offset`, JSONExtractString(row, 3) as position, "
            "fromUnixTimestamp64Micro(JSONExtractInt(row, 4), 'UTC') as commit_at, "
            "JSONExtractInt(row, 5) as epoch, JSONExtractInt(row, 6) as high, "
            "fromUnixTimestamp64Micro(JSONExtractInt(row, 7), 'UTC') as applied_at "
            f"from (select source, arrayJoin(JSONExtractArrayRaw(value)) as row from {self._state} final "
            "where name = 'cursors')"
        )

    def _newest(self) -> Versions | None:
        try:
            return dict(self.query(f"select source, max(version) from {self._state} group by source"))
        except ClickHouseError as error:
            if code_of(error) not in (UNKNOWN_TABLE, UNKNOWN_DATABASE):
                raise
            return None

    def _load(self, above: Versions) -> list[Entry]:
        literal = self.dialect.literal
        wanted = " or ".join(
            f"(source = {literal(source)} and version > toUInt128('{version}'))"
            for source, version in above.items()
        )
        found = self.query(f"select source, name, value, version from {self._state} final where {wanted}")
        entries = [(source, name, value, version) for source, name, value, version in found]
        counts = [version & (1 << _COUNT_BITS) - 1 for *_, version in entries]
        self._version = max([self._version, *counts])
        return entries

    def _save(self, entries: Saved) -> None:
        self._version = max(self._version + 1, time.time_ns() // 1000)
        version = self._epoch << _COUNT_BITS | self._version
        literal = self.dialect.literal
        rows = ", ".join(
            f"({literal(source)}, {literal(name)}, {literal(value)}, {version}, now64(6, 'UTC'))"
            for (source, name), value in entries.items()
        )
        was_unsure, self._is_unsure = self._is_unsure, True
        self.client.command(
            f"insert into {self._state} (source, name, value, version, written_at) values {rows}",
            settings=_ONE_PART,
        )
        self._is_unsure = was_unsure and (self.source, FLOOR) not in entries
        self._own.saved(entries, version)

    def _is_fenced(self) -> bool:
        query = f"select epoch from {self._own.dialect.own('fences')} where source = ?"
        return any(epoch > self._epoch for (epoch,) in self._own.query(query, [self.source]))

    def _run_definitions(self, statements: Sequence[str], start: int) -> None:
        """Run statements, each of which may be repeated; what makes those before it unrepeatable is saved."""
        for i, statement in enumerate(statements[start:], start):
            done, _, unless = statement.partition(_UNLESS)
            hit("target.before-definition")
            if not (unless and self.query(unless)[0][0]):
                self.client.command(done)
            hit("target.defined")
            if not done.startswith(("create", "drop")) and i + 1 < len(statements):
                self._save({(self.source, _DEFINITIONS): _left(statements, i + 1)})
        self._save({(self.source, _DEFINITIONS): "{}"})

    def _define_exchange(self, place: TableId, other: TableId, identity: str) -> None:
        dialect = self.dialect
        names = f"{dialect.qualified(place)} and {dialect.qualified(other)}"
        at = f"database = {dialect.literal(place.schema)} and name = {dialect.literal(place.name)}"
        unless = f"select count() from system.tables where {at} and uuid = '{identity}'"
        self.define(f"exchange tables {names}{dialect.on_cluster}{_UNLESS}{unless}")

    def _uuid_of(self, place: TableId) -> str:
        literal = self.dialect.literal
        at = f"database = {literal(place.schema)} and name = {literal(place.name)}"
        ((found,),) = self.query(f"select toString(uuid) from system.tables where {at}")
        return str(found)

    def _stage(self, given: pa.Table) -> None:
        self.client.command(f"drop temporary table if exists {GIVEN}")
        columns = ", ".join(f"{name} {kind}" for name, kind in _structure(given))
        self.client.command(f"create temporary table {GIVEN} ({columns})")
        self._insert(f"insert into {GIVEN} select * from {GIVEN}", given, {}, only_last=True)

    def _insert(
        self, statement: str, given: pa.Table, settings: Mapping[str, Any], *, only_last: bool = False
    ) -> None:
        structure = ", ".join(f"{name} {kind}" for name, kind in _structure(given))
        head, _, tail = statement.rpartition(GIVEN) if only_last else statement.partition(GIVEN)
        read = f"{head}input({self.dialect.literal(structure)}){tail} format ArrowStream\n"
        hit("target.before-insert")
        # In the body, not in the URL: that of a table with hundreds of columns is too long for proxies.
        self.client.command("", data=read.encode() + _stream(given), settings=dict(settings))
        hit("target.inserted")


def _left(statements: Sequence[str], start: int) -> str:
    """Return the note of statements, of which those from `start` on are still to be run."""
    return packed(json.dumps({"statements": list(statements), "next": start}))


def _stream(given: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    # A third of the bytes, for less processor time than they take on their way.
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, given.schema, options=options) as writer:
        writer.write_table(given)
    return sink.getvalue().to_pybytes()


def _structure(given: pa.Table) -> Iterator[tuple[str, str]]:
    """The columns of an Arrow table as ClickHouse reads them."""
    for field in given.schema:
        yield field.name, _read_as(field.type)


_PLAIN = {
    pa.int8(): "Int8", pa.int16(): "Int16", pa.int32(): "Int32", pa.int64(): "Int64",
    pa.uint8(): "UInt8", pa.uint16(): "UInt16", pa.uint32(): "UInt32", pa.uint64(): "UInt64",
    pa.bool_(): "Bool", pa.float32(): "Float32", pa.float64(): "Float64", pa.date32(): "Date32",
}  # fmt: skip


def _read_as(of: pa.DataType) -> str:
    if of in _PLAIN:
        return f"Nullable({_PLAIN[of]})"
    if pa.types.is_decimal(of):
        return f"Nullable(Decimal({of.precision}, {of.scale}))"
    if pa.types.is_timestamp(of):
        return "Nullable(DateTime64(6, 'UTC'))"
    if pa.types.is_list(of):
        return "Array(String)"
    if pa.types.is_dictionary(of):
        return _read_as(of.value_type)
    return "Nullable(String)"


def where_of(options: ClickHouseSinkOptions) -> str:
    """Return the server in words, for errors."""
    return str(options.address)


def connect(
    options: ClickHouseSinkOptions, epoch: int = 0, session: str | None = None
) -> ClickHouseConnection:
    """Open a connection; without a session, for reading."""
    address = options.address
    client = clickhouse_connect.get_client(
        host=address.host,
        port=address.port,
        username=address.user,
        password=address.password,
        secure=address.is_secure,
        session_id=session,
        autogenerate_session_id=False,
        compress=False,
        query_limit=0,
        query_retries=0,
        connect_timeout=CONNECT_SECONDS,
        send_receive_timeout=STATEMENT_SECONDS,
        client_name="cdc",
        settings=_SETTINGS,
        **{name: _flag(value) for name, value in address.parameters.items()},
    )
    return ClickHouseConnection(client, options, epoch, where_of(options))


def _flag(value: str) -> Any:
    return {"true": True, "false": False}.get(value, value)


def session_of(context: SinkContext) -> str:
    """Return the session of a sink for one source: the same for each process that writes for it."""
    return f"cdc-{context.name}-{context.log_id}"


@contextmanager
def translated(operation: str, where: str) -> Iterator[None]:
    """Our errors instead of the driver's."""
    try:
        yield
    except ClickHouseError as error:
        raise translated_error(error, operation, where) from error
