"""Deliveries into a Postgres database, beside COPY of the same Arrow data into a table like the sink's.

Rows of ten columns, about 100 bytes each, from memory: no source, log or daemon. Inserts into a changelog and
into a mirror; then 100,000 changes (four fifths updates of random keys) of a mirror, once for each way to
write rows by key. With `adbc-driver-postgresql` or `pgpq` installed, their loads of the same data too.
Run: python -m benchmarks.apply_postgres [rows of the inserts] [rows of the mirror that is changed]
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.harness import peak_mib
from cdc.cli.allocators import bound_resident_memory
from cdc.model import ChangeBatch, Envelope, Operation, TableSchema
from cdc.model.batch import OPERATION_DICTIONARY
from cdc.spi import Sink
from cdc.sql.keyed import KeyedRows, delete_and_insert, insert_on_conflict, merge
from cdc.testing.events import EPOCH, delivery, sink_context, table
from cdc_sink_postgres import PostgresSink
from cdc_sink_postgres.dialect import PostgresDialect
from cdc_sink_postgres.encoding import encode, given_kind
from cdc_sink_postgres.options import PostgresSinkOptions
from tests.support.postgres.server import Database, PostgresServer

COLUMNS = {
    "id": pa.int64(),
    "customer": pa.int64(),
    "status": pa.string(),
    "amount": pa.decimal128(12, 2),
    "name": pa.string(),
    "email": pa.string(),
    "quantity": pa.int32(),
    "active": pa.bool_(),
    "at": pa.timestamp("us", "UTC"),
    "score": pa.float64(),
}
KINDS = ["bigint", "bigint", "text", "numeric(12,2)", "text", "text", "integer", "boolean", "timestamptz"]
KINDS += ["double precision"]
# The sink's own columns, by mode; `plain` has none.
OWN = {
    "append": [
        ("op", "text"),
        ("seq", "bigint"),
        ("tx", "text"),
        ("position", "text"),
        ("commit_at", "timestamptz"),
        ("unchanged", "text[]"),
        ("before", "jsonb"),
    ],
    "mirror": [("seq", "bigint"), ("commit_at", "timestamptz")],
    "plain": [],
}
# As the engine gives them to a sink: 4 MiB a part, 500,000 rows a delivery.
PART_ROWS = 40_000
DELIVERY_ROWS = 500_000
CHANGED_ROWS = 100_000
ROUNDS = 3
WAYS = {"delete and insert": delete_and_insert, "on conflict": insert_on_conflict, "merge": merge}


def rows_of(ids: Any, salt: int) -> pa.RecordBatch:
    """Rows with these keys; other salts give other values."""
    count, numbers = len(ids), np.asarray(ids)
    texts = pa.array(numbers + salt).cast(pa.string())
    join = pa.compute.binary_join_element_wise
    values = [
        pa.array(numbers),
        pa.array(numbers % 5000),
        pa.array(np.array(["new", "paid", "sent"])[(numbers + salt) % 3]),
        pa.array((numbers * 7 + salt) % 10**9)
        .cast(pa.decimal128(19, 0))
        .cast(pa.decimal128(21, 2))
        .cast(COLUMNS["amount"]),
        join("customer ", texts, ""),
        join("c", texts, "@example.com", ""),
        pa.array((numbers % 100).astype(np.int32)),
        pa.array(numbers % 2 == 0),
        pa.array(numbers * 1_000_003 + 1_700_000_000_000_000).cast(pa.timestamp("us")).cast(COLUMNS["at"]),
        pa.array(np.full(count, 0.5) * numbers),
    ]
    return pa.RecordBatch.from_arrays(
        [v.cast(t) for v, t in zip(values, COLUMNS.values(), strict=True)], names=list(COLUMNS)
    )


def batch_of(schema: TableSchema, rows: pa.RecordBatch, operation: Operation, seq: int) -> ChangeBatch:
    count = rows.num_rows
    codes, zeros = pa.array(np.full(count, operation.code, np.int8)), pa.array(np.zeros(count, np.int32))
    envelope = {
        Envelope.OP: pa.DictionaryArray.from_arrays(codes, OPERATION_DICTIONARY),
        Envelope.SEQ: pa.array(np.arange(seq, seq + count)),
        Envelope.TX: pa.DictionaryArray.from_arrays(zeros, pa.array(["731"])),
        Envelope.POSITION: pa.DictionaryArray.from_arrays(zeros, pa.array(["0/16B3748"])),
        Envelope.COMMIT_AT: pa.array([EPOCH], Envelope.COMMIT_AT_TYPE).take(zeros),
    }
    arrays = [*rows.columns, *envelope.values()]
    return ChangeBatch(schema, pa.RecordBatch.from_arrays(arrays, names=[*COLUMNS, *envelope]))


class Fed:
    """A sink, one table of it, and its next offset."""

    def __init__(self, sink: Sink, schema: TableSchema, part_rows: int = PART_ROWS) -> None:
        self._sink, self._schema, self._part_rows = sink, schema, part_rows
        self._next = 0
        sink.prepare(schema.table.name)

    def deliver(self, parts: Sequence[tuple[pa.RecordBatch, Operation]]) -> float:
        """Apply one delivery; the seconds that it took."""
        first, made = self._next, []
        for rows, operation in parts:
            made.append([batch_of(self._schema, rows, operation, self._next)])
            self._next += rows.num_rows
        source = self._schema.table.name
        began = time.perf_counter()
        self._sink.apply(delivery([], source=source, first=first, next=self._next, parts=lambda: iter(made)))
        return time.perf_counter() - began

    def fill(self, rows: int) -> float:
        """Insert so many rows; the seconds that it took."""
        seconds = 0.0
        for start in range(0, rows, DELIVERY_ROWS):
            after = min(start + DELIVERY_ROWS, rows)
            parts = [(part, Operation.CREATE) for part in parts_of(start, after, self._part_rows)]
            seconds += self.deliver(parts)
        return seconds


def into_postgres(database: Database, **options: Any) -> Fed:
    sink = PostgresSink(PostgresSinkOptions(url=database.url, **options), sink_context())
    return Fed(sink, table("public.bench", COLUMNS, relation=1, version=1))


def parts_of(first: int, after: int, part_rows: int = PART_ROWS) -> Iterator[pa.RecordBatch]:
    for start in range(first, after, part_rows):
        yield rows_of(np.arange(start, min(start + part_rows, after)), 0)


def copy_seconds(database: Database, rows: int, mode: str) -> float:
    """The rows that the sink's table has in that mode, by our encoder and one COPY into a table like it."""
    kinds = [*KINDS, *(kind for _, kind in OWN[mode])]
    key = ", primary key (id)" if mode == "mirror" else ""
    own = "".join(f", {name} {kind}" for name, kind in OWN[mode])
    database.execute("drop table if exists copied", f"create table copied ({_definition()}{own}{key})")
    whole = pa.Table.from_batches(list(parts_of(0, rows)))
    texts = pa.repeat(pa.scalar("0/16B3748"), rows)
    values = {
        "bigint": whole.column("id"),
        "text": texts,
        "timestamptz": whole.column("at"),
        "text[]": pa.nulls(rows, pa.list_(pa.string())),
        "jsonb": pa.nulls(rows, pa.string()),
    }
    for name, kind in OWN[mode]:
        whole = whole.append_column(name, values[kind])
    with database.connect(autocommit=False) as connection:
        began = time.perf_counter()
        with connection.cursor().copy("copy copied from stdin (format binary)") as copy:
            for block in encode(whole, kinds):
                copy.write(block)
        connection.commit()
        return time.perf_counter() - began


def _definition() -> str:
    return ", ".join(f'"{name}" {kind}' for name, kind in zip(COLUMNS, KINDS, strict=True))


def encoder_seconds(rows: int) -> dict[str, float]:
    """Processor seconds of encoding alone: ours, and that of pgpq."""
    whole = pa.Table.from_batches(list(parts_of(0, rows)))
    found = {"our encoder": _timed(lambda: sum(len(block) for block in encode(whole, KINDS)))}
    if importlib.util.find_spec("pgpq"):
        import pgpq  # type: ignore[import-not-found]  # noqa: PLC0415

        plain = whole.drop_columns(["amount"])
        encoder = pgpq.ArrowToPostgresBinaryEncoder(plain.schema)
        found["pgpq, without the decimal, which it cannot encode"] = _timed(
            lambda: [
                encoder.write_header(),
                *(encoder.write_batch(b) for b in plain.to_batches()),
                encoder.finish(),
            ]
        )
        ours = [kind for kind in KINDS if not kind.startswith("numeric")]
        found["our encoder, without the decimal"] = _timed(lambda: list(encode(plain, ours)))
    return found


def adbc_seconds(database: Database, rows: int) -> float | None:
    if not importlib.util.find_spec("adbc_driver_postgresql"):
        return None
    import adbc_driver_postgresql.dbapi as adbc  # type: ignore[import-not-found]  # noqa: PLC0415

    database.execute("drop table if exists copied", f"create table copied ({_definition()})")
    whole = pa.Table.from_batches(list(parts_of(0, rows)))
    with adbc.connect(database.url) as connection, connection.cursor() as cursor:
        began = time.perf_counter()
        cursor.adbc_ingest("copied", whole, mode="append")
        connection.commit()
        return time.perf_counter() - began


def _timed(act: Callable[[], object]) -> float:
    """The processor seconds of work that waits for nothing."""
    began = time.process_time()
    act()
    return time.process_time() - began


def inserts(server: PostgresServer, rows: int) -> None:
    for mode in ("append", "mirror"):
        database = server.create_database()
        copied = copy_seconds(database, rows, mode)
        ours = into_postgres(database, mode=mode).fill(rows)
        print(f"copy into a table like that of {mode:<6}  {rows / copied:>9,.0f} rows/s   1.00")
        print(f"inserts into {mode:<24}  {rows / ours:>9,.0f} rows/s   {copied / ours:.2f}")
        database.drop()
    database = server.create_database()
    other = adbc_seconds(database, rows)
    if other is not None:
        plain = copy_seconds(database, rows, "plain")
        print(f"ten columns: adbc_ingest {rows / other:,.0f} rows/s, our copy {rows / plain:,.0f} rows/s")
    database.drop()
    for name, seconds in encoder_seconds(rows).items():
        print(f"{name}: {rows / seconds:,.0f} rows a processor second")


def changes(server: PostgresServer, rows: int) -> None:
    database = server.create_database()
    fed = into_postgres(database)
    filled = fed.fill(rows)
    database.execute("vacuum analyze public.bench", "checkpoint")
    print(f"mirror of {rows:,} rows filled at {rows / filled:,.0f} rows/s; then {CHANGED_ROWS:,} changes:")
    chance = np.random.default_rng(1)
    end = rows
    for name, way in WAYS.items():
        _write_by(way)
        seconds, single = [], []
        for salt in range(1, ROUNDS + 1):
            old = np.unique(chance.integers(0, rows, CHANGED_ROWS * 4 // 5))
            ids = np.concatenate([old, np.arange(end, end + CHANGED_ROWS - len(old))])
            end += CHANGED_ROWS - len(old)
            seconds.append(_change(fed, ids, salt))
            single.append(_change(fed, np.unique(chance.integers(0, rows, 1000)), salt))
        each = ", ".join(f"{s:.2f}" for s in seconds)
        best, thousand = sorted(seconds)[ROUNDS // 2], 1000 * sorted(single)[ROUNDS // 2]
        print(
            f"  {name:<18} {CHANGED_ROWS / best:>9,.0f} rows/s (median of {each} s); 1,000: {thousand:.0f} ms"
        )
        database.execute("vacuum public.bench")
    database.drop()


def _write_by(way: Callable[..., list[str]]) -> None:
    def write_keyed(self: PostgresDialect, rows: KeyedRows) -> list[str]:
        return way(rows, self.delete)

    PostgresDialect.write_keyed = write_keyed  # type: ignore[method-assign]


def _change(fed: Fed, ids: Any, salt: int) -> float:
    parts = [ids[start : start + PART_ROWS] for start in range(0, len(ids), PART_ROWS)]
    return fed.deliver([(rows_of(part, salt), Operation.UPDATE) for part in parts])


def main(rows: int = 1_000_000, mirrored: int = 1_000_000) -> None:
    """Measure and print."""
    bound_resident_memory()
    assert [given_kind(kind) for kind in COLUMNS.values()]
    server = PostgresServer(
        18, {"shared_buffers": "512MB", "max_wal_size": "8GB", "fsync": "on", "full_page_writes": "on"}
    )
    server.start()
    try:
        print(f"{rows:,} rows, deliveries of {DELIVERY_ROWS:,}")
        inserts(server, rows)
        changes(server, mirrored)
        print(f"peak resident memory of this process: {peak_mib():.0f} MiB")
    finally:
        server.destroy()


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:3]))
