"""From a commit until it is durable in the log, and until a DuckDB mirror shows it, under a steady load.

pgbench commits transactions of one row at a fixed rate; each has the server's commit time in the log. The
sink delivers without an interval. Prints p50, p99 and p99.9 beside the limits of the design.
Run: python -m benchmarks.latency [transactions a second] [seconds] [folder of pgbench]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import engine_of, peak_mib
from benchmarks.soak import start_pgbench
from benchmarks.stream import TABLE
from cdc.cli.allocators import bound_resident_memory
from cdc.control import storage
from cdc.model import Commit, Envelope
from cdc.spi import Plan, registry
from cdc.spi.status import DaemonReport
from cdc_config import Configuration, load
from tests.support.postgres.server import PostgresServer

TRANSACTION = """insert into bench select i, i % 5000, i % 9, i % 100, i / 7.0, 'name ' || i, 'user' || i,
    true, now(), current_date from nextval('ids') i;
"""
CONFIG = """
state_dir: {folder}/state
sources:
  bench: {{type: postgres, url: "{url}", tables: ["public.bench"]}}
sinks:
  mirror: {{type: duckdb, path: {folder}/mirror.duckdb, flush: {{interval: 0s}}}}
"""
# What a start still compiles and loads is no latency of a daemon.
WARM_UP_SECONDS = 2.0
LIMITS = {"durable in the log": 0.020, "visible in the mirror": 0.250}


class Moments:
    """When the log, and the sink, had all changes below an offset: `BatchTracer`."""

    def __init__(self) -> None:
        self.durable: list[tuple[int, float]] = []
        self.visible: list[tuple[int, float]] = []

    def captured(self, source: str, commit: Commit, rows: int) -> None:
        del source, rows
        self.durable.append((commit.next, time.time()))

    def delivered(self, sink: str, source: str, plan: Plan, *, is_replay: bool) -> None:
        del sink, source, is_replay
        self.visible.append((plan.next, time.time()))

    @property
    def is_level(self) -> bool:
        """Whether the sink has what the log has."""
        return bool(self.durable and self.visible) and self.durable[-1][0] <= self.visible[-1][0]


def main(rate: int = 1000, seconds: float = 20.0, programs: str = "/usr/lib/postgresql/15/bin") -> None:
    """Run the load, and print the latencies."""
    bound_resident_memory()
    server = PostgresServer(15).start()
    try:
        with server.connect() as connection, tempfile.TemporaryDirectory(prefix="cdc-bench-") as name:
            folder = Path(name)
            connection.execute(TABLE)
            connection.execute("create sequence ids")
            (folder / "cdc.yaml").write_text(CONFIG.format(folder=folder, url=server.dsn()))
            configuration = load(folder / "cdc.yaml", registry.load)
            moments = Moments()
            engine = engine_of(configuration, moments)
            with start_pgbench(
                server, folder, TRANSACTION, seconds + WARM_UP_SECONDS, rate, Path(programs)
            ) as load_:

                def stop_when_done(_: DaemonReport) -> None:
                    if load_.poll() is not None and moments.is_level:
                        engine.stop()

                engine.run(on_tick=stop_when_done)
            _show(rate, _commits(configuration), moments)
    finally:
        server.destroy()


def _commits(configuration: Configuration) -> tuple[Any, Any]:
    """The offset and the commit time (seconds since 1970) of each change in the log."""
    log = storage.logs(configuration).reader("bench")
    seqs, times = [], []
    for batch in log.read(log.start, log.end.next if log.end else 0):
        seqs.append(batch.seq.to_numpy())
        times.append(batch.data.column(Envelope.COMMIT_AT).cast("int64").to_numpy() / 1e6)
    log.close()
    return np.concatenate(seqs), np.concatenate(times)


def _show(rate: int, commits: tuple[Any, Any], moments: Moments) -> None:
    seqs, times = commits
    counted = times >= times[0] + WARM_UP_SECONDS
    seqs, times = seqs[counted], times[counted]
    reached = len(seqs) / (times[-1] - times[0])
    print(f"{len(seqs):,} transactions of one row, {reached:,.0f} a second ({rate} asked)")
    print(f"{'from the commit until':<24}{'p50':>9}{'p99':>9}{'p99.9':>9}{'limit':>9}{'p99/limit':>11}")
    both = zip(LIMITS.items(), (moments.durable, moments.visible), strict=True)
    for (what, limit), moment in both:
        taken = _reached(seqs, moment) - times
        p50, p99, p999 = np.quantile(taken, [0.5, 0.99, 0.999])
        shown = "".join(f"{value * 1000:>6.1f} ms" for value in (p50, p99, p999, limit))
        print(f"{what:<24}{shown}{p99 / limit:>11.2f}")
    print(f"peak resident memory of this process: {peak_mib():.0f} MiB")


def _reached(seqs: Any, reached: Sequence[tuple[int, float]]) -> Any:
    """When each change was there: with the first moment whose offset lies behind it."""
    nexts, moments = (np.asarray(column) for column in zip(*reached, strict=True))
    return moments[np.searchsorted(nexts, seqs, side="right")]


if __name__ == "__main__":
    given = sys.argv[1:]
    main(*[kind(value) for kind, value in zip((int, float, str), given, strict=False)])
