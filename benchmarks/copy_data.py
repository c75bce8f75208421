"""Rows of a COPY taken from libpq directly, beside psycopg's `get_copy_data`: one decoder, both ways in turn.

1,000,000 rows of 6 columns, decoded and dropped. Prints the processor time a row of this process, and the
ratio.
Run: python -m benchmarks.copy_data [rows]
"""

from __future__ import annotations

import select
import sys
import time

import psycopg
from psycopg import pq

from cdc_source_postgres.wire import decoder as wire
from tests.support.postgres.frames import plans
from tests.support.postgres.server import PostgresServer

ROUNDS = 3
BATCH_BYTES = 4 * 2**20
TYPES = (20, 23, 25, 25, 16, 1184)
QUERY = """copy (select i::bigint, i::int, 'name ' || i, 'user' || i || '@example.com', i % 2 = 0, now()
    from generate_series(1, {rows}) i) to stdout (format binary)"""


class ByPsycopg:
    """A connection of which only psycopg's own call is seen."""

    def __init__(self, pgconn: pq.abc.PGconn) -> None:
        self.get_copy_data = pgconn.get_copy_data


def main(rows: int = 1_000_000) -> None:
    """Measure both in turn, print the best of each."""
    server = PostgresServer(18)
    server.start()
    try:
        with psycopg.connect(server.dsn()) as connection:
            pgconn = connection.pgconn
            rounds = [
                (_seconds(pgconn, ByPsycopg(pgconn), rows), _seconds(pgconn, pgconn, rows))
                for _ in range(ROUNDS)
            ]
    finally:
        server.destroy()
    theirs, ours = (min(times) / rows * 1e6 for times in zip(*rounds, strict=True))
    print(f"psycopg's get_copy_data   {theirs:6.3f} µs a row   1.00")
    print(f"libpq directly            {ours:6.3f} µs a row   {ours / theirs:.2f}")


def _seconds(pgconn: pq.abc.PGconn, given: object, rows: int) -> float:
    """Processor time of one COPY."""
    pgconn.send_query(QUERY.format(rows=rows).encode())
    poll = select.poll()
    poll.register(pgconn.socket, select.POLLIN)
    while pgconn.is_busy():
        poll.poll()
        pgconn.consume_input()
    pgconn.get_result()
    pgconn.nonblocking = 1
    decoder = wire.CopyDecoder("bench", plans(*TYPES), "error", lambda name, amount: None)
    frames, code, seen = wire.Frames(given), wire.WOULD_BLOCK, 0
    began = time.process_time()
    while code != wire.ENDED:
        code = decoder.drain(frames, BATCH_BYTES)
        if code == wire.WOULD_BLOCK:
            poll.poll()
            pgconn.consume_input()
        elif (batch := decoder.take()) is not None:
            seen += batch.num_rows
    took = time.process_time() - began
    if seen != rows:
        raise SystemExit(f"{seen} of {rows} rows came")
    while pgconn.get_result() is not None:
        pass
    pgconn.nonblocking = 0
    return took


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
