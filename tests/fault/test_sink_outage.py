"""A sink that is down holds up neither the source nor the other sinks, and catches up by itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.pipeline import Pipeline
from tests.support.postgres.server import Database
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

TRANSACTIONS = 50
# The longest pause between two tries of a sink that is down, and then the work.
_HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
connection.close()
"""


@contextmanager
def held_by_another_process(path: Path) -> Iterator[None]:
    """A DuckDB file that somebody else has open for writing: the sink can't have it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate("", timeout=DEFAULT_TIMEOUT_SECONDS)


@pytest.mark.parametrize("changes", [200_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_slot_advances_while_a_sink_is_down_and_the_sink_catches_up(
    database15: Database, tmp_path: Path, changes: int
) -> None:
    database15.execute(
        "create schema app",
        "create table app.events (id bigint primary key, kind int, note text)",
        "insert into app.events values (-1, 0, 'first')",
    )
    pipeline = Pipeline(database15, tmp_path)
    with ExitStack() as stack:
        with held_by_another_process(pipeline.mirror):
            daemon = stack.enter_context(pipeline.start())
            pipeline.wait_until_streaming(daemon)
            wait_until(lambda: is_down(pipeline), "the sink to be down")
            written = write_changes(database15, changes)
            wait_until(lambda: pipeline.confirmed(written), "the slot to pass all changes")
            wait_until(lambda: is_down(pipeline), "the sink to be down still")
            assert pipeline.sink_status("lake")["error"] is None
        pipeline.wait_until_delivered(daemon)
        assert daemon.terminate() == 0
    assert pipeline.mirror_rows("app.events") == changes + 1
    assert pipeline.lake_rows("app.events") == changes + 1


def is_down(pipeline: Pipeline) -> bool:
    """Seen between two attempts: during one, the state is another."""
    status = pipeline.sink_status("warehouse")
    return status.get("state") == "retrying" and "another process" in status["error"]["message"]


def write_changes(database: Database, changes: int) -> str:
    """Many transactions; gives the position after the last."""
    step = changes // TRANSACTIONS
    with database.connect() as connection:
        for first in range(0, changes, step):
            series = f"generate_series({first}, {first + step - 1}) i"
            connection.execute(
                f"insert into app.events select i, i % 10, 'event ' || i from {series}".encode()
            )
    return str(database.value("select pg_current_wal_flush_lsn()::text"))
