"""A daemon under steady load for a long time: nothing it holds may grow, and nothing may be lost.

pgbench commits transactions of two rows at a fixed rate (an insert, and an update of a row that is there), a
page is open, Prometheus scrapes every 5 s, and the configuration is reloaded every minute. Memory, threads
and descriptors of the daemon are read every 10 s. At the end the DuckDB mirror must equal the source, and the
lake must have each change once.
Run: python -m benchmarks.soak [minutes] [transactions a second] [folder of pgbench]
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import orjson
import psutil

from cdc.testing.ports import free_port
from cdc.testing.servers.process import HOST
from tests.support.postgres.server import PostgresServer
from tests.support.processes import CdcProcess, run_cdc
from tests.support.waiting import wait_until

MIB = 1024 * 1024
SAMPLE_SECONDS = 10.0
SCRAPE_SECONDS = 5.0
RELOAD_SECONDS = 60.0
# What is filled and compiled at the start is no growth: the first fifth counts for nothing.
WARM_UP = 0.2
# After the load, the rest may take this long.
CATCH_UP_SECONDS = 600.0
ACCOUNTS = 10_000
CLIENTS = 8

SETUP = (
    "create table account (id bigint primary key, balance bigint not null, changes bigint not null)",
    f"insert into account select i, 0, 0 from generate_series(1, {ACCOUNTS}) i",
    "create table entry (id bigserial primary key, account bigint not null, amount int not null,"
    " at timestamptz not null default now(), note text not null)",
)
TRANSACTION = rf"""\set account random(1, {ACCOUNTS})
\set amount random(-100, 100)
begin;
insert into entry (account, amount, note) values (:account, :amount, 'entry of ' || :account);
update account set balance = balance + :amount, changes = changes + 1 where id = :account;
end;
"""
CONFIG = """
state_dir: ./state
http: {{listen: "{listen}"}}
sources:
  bank: {{type: postgres, url: "{url}", log: {{retain: {{size: 512MiB}}}}}}
sinks:
  mirror: {{type: duckdb, path: ./mirror.duckdb, flush: {{interval: {interval}}}}}
  lake: {{type: parquet, url: ./lake, flush: {{interval: 30s}}}}
"""
TOTALS = "select count(*), sum(amount), max(id), bit_xor(id * amount) from {0}entry"
BALANCES = "select count(*), sum(balance), sum(changes), bit_xor(id * balance + changes) from {0}account"


@dataclass(frozen=True)
class Sample:
    """What the process holds, and how far the mirror is behind, so many seconds after the start."""

    seconds: float
    rss: int
    threads: int
    descriptors: int


def main(minutes: float = 30.0, rate: int = 5000, programs: str = "/usr/lib/postgresql/15/bin") -> None:
    """Run the load for that long, and print what it showed. Exit code 1: something grew or is lost."""
    server = PostgresServer(
        15,
        {
            "shared_buffers": "256MB",
            "max_wal_size": "4GB",
            "autovacuum": "on",
            "synchronous_commit": "off",
            "logical_decoding_work_mem": "64MB",
        },
    )
    server.start()
    folder = Path(tempfile.mkdtemp(prefix="cdc-soak-"))
    try:
        with server.connect() as connection:
            for statement in SETUP:
                connection.execute(statement)
        _soak(server, folder, minutes * 60, rate, Path(programs))
    finally:
        server.destroy()
        shutil.rmtree(folder, ignore_errors=True)


def _soak(server: PostgresServer, folder: Path, seconds: float, rate: int, programs: Path) -> None:
    listen = f"{HOST}:{free_port(HOST)}"
    config = folder / "cdc.yaml"

    def configure(interval: str) -> None:
        config.write_text(CONFIG.format(listen=listen, url=server.dsn(), interval=interval))

    configure("1s")
    environment = {"CDC_HTTP": listen}
    with CdcProcess("run", "--log-level", "warning", cwd=folder, environment=environment) as daemon:
        wait_until(lambda: _get(listen, "/readyz") is not None, "the daemon to be ready")
        began = time.monotonic()
        load = start_pgbench(server, folder, TRANSACTION, seconds, rate, programs)
        reloads = 0

        def reload() -> None:
            nonlocal reloads
            reloads += 1
            configure("2s" if reloads % 2 else "1s")
            daemon.hang_up()

        scrapes = 0

        def scrape() -> None:
            nonlocal scrapes
            scrapes += _get(listen, "/metrics") is not None and _get(listen, "/api/v1/status") is not None

        with _page(listen), _every(SCRAPE_SECONDS, scrape), _every(RELOAD_SECONDS, reload):
            samples = list(_samples(daemon.pid, load, began))
        print(load.stdout.read() if load.stdout else "", end="")
        behind = _behind(_get(listen, "/api/v1/status"))
        peak = daemon.peak_rss_bytes()
        code = daemon.terminate()
        print(f"exit code {code}, {scrapes} scrapes, {reloads} reloads, peak memory {peak / MIB:.0f} MiB")
        print(f"changes that a sink lacked when the load ended: {behind:,}")
        if warnings := daemon.log_text.strip():
            print(f"warnings and errors of the daemon:\n{warnings[-4000:]}")
    rest = run_cdc("run", "--once", "--quiet", cwd=folder, timeout_seconds=CATCH_UP_SECONDS)
    assert rest.returncode == 0, rest.stderr
    grows = _report(samples)
    differs = _compare(server, folder)
    raise SystemExit(1 if code or grows or differs else 0)


def start_pgbench(
    server: PostgresServer, folder: Path, transaction: str, seconds: float, rate: int, programs: Path
) -> subprocess.Popen[str]:
    """Commit transactions at this rate; the process ends after so many seconds."""
    script = folder / "transaction.sql"
    script.write_text(transaction)
    command = [str(programs / "pgbench"), "-n", "-M", "prepared", "-f", str(script), "-T", f"{seconds:.0f}"]
    command += ["-R", str(rate), "-c", str(CLIENTS), "-j", "2", server.dsn()]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _samples(pid: int, load: subprocess.Popen[str], began: float) -> Iterator[Sample]:
    process = psutil.Process(pid)
    while load.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            load.wait(SAMPLE_SECONDS)
        with process.oneshot():
            yield Sample(
                time.monotonic() - began,
                process.memory_info().rss,
                process.num_threads(),
                process.num_fds(),
            )


@contextmanager
def _every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            act()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _page(listen: str) -> Iterator[None]:
    """The page and its stream of events, read as a browser does until the block ends."""
    for path in ("/", "/api/v1/history", "/api/v1/tables"):
        assert _get(listen, path) is not None, path
    command = ["curl", "-sN", f"http://{listen}/api/v1/stream"]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
        assert browser.poll() is None, "the daemon has closed the page's stream"
    finally:
        browser.send_signal(signal.SIGTERM)
        browser.wait()


def _get(listen: str, path: str) -> bytes | None:
    """The body of a 200; None for all else."""
    try:
        with urllib.request.urlopen(f"http://{listen}{path}", timeout=30) as answer:
            body: bytes = answer.read()
            return body
    except OSError:
        return None


def _behind(status: bytes | None) -> int:
    """The most changes that a sink has yet to apply."""
    sinks = orjson.loads(status or b'{"sinks": {}}')["sinks"]
    return max((pair["behind_changes"] for pairs in sinks.values() for pair in pairs), default=0)


def _report(samples: list[Sample]) -> bool:
    """Print what the process held; return whether it grew."""
    print(f"{'minute':>7} {'memory':>9} {'threads':>8} {'descriptors':>12}")
    for sample in samples[:: max(1, len(samples) // 12)]:
        rss = f"{sample.rss / MIB:.0f} MiB"
        print(f"{sample.seconds / 60:7.1f} {rss:>9} {sample.threads:8} {sample.descriptors:12}")
    counted = [one for one in samples if one.seconds >= samples[-1].seconds * WARM_UP]
    half = len(counted) // 2
    grows = False
    for name, unit, limit in (("rss", MIB, 0.1), ("threads", 1, 0.0), ("descriptors", 1, 0.0)):
        first = statistics.median(getattr(one, name) for one in counted[:half]) / unit
        second = statistics.median(getattr(one, name) for one in counted[half:]) / unit
        highest = max(getattr(one, name) for one in counted) / unit
        grew = second > first * (1 + limit)
        grows |= grew
        verdict = "GREW" if grew else "flat"
        print(f"{name}: median {first:.0f}, then {second:.0f}; highest {highest:.0f}: {verdict}")
    return grows


def _compare(server: PostgresServer, folder: Path) -> bool:
    """Compare source, mirror and lake; print the counts, and return whether they differ."""
    with server.connect() as connection:
        source = [connection.execute(query.format("")).fetchone() for query in (TOTALS, BALANCES)]
    with duckdb.connect(str(folder / "mirror.duckdb"), read_only=True) as mirror:
        copied = [mirror.execute(query.format("public.")).fetchone() for query in (TOTALS, BALANCES)]
        files = f"read_parquet('{folder}/lake/public.*/**/*.parquet', union_by_name => true)"
        lake = mirror.execute(f"select count(*), count(distinct _cdc_seq) from {files}").fetchone()
    assert source[0]
    assert source[1]
    assert lake
    entries, changes = source[0][0], source[1][2]
    expected = ACCOUNTS + entries + changes
    equal = [tuple(map(int, row or ())) for row in source] == [tuple(map(int, row or ())) for row in copied]
    once = lake == (expected, expected)
    print(f"{entries:,} transactions; the mirror {'equals' if equal else 'DIFFERS FROM'} the source")
    print(f"changes in the lake: {lake[0]:,} of {expected:,}, {lake[1]:,} of them different")
    return not (equal and once)


if __name__ == "__main__":
    given = sys.argv[1:]
    os.environ.pop("CDC_HTTP", None)
    main(*[kind(value) for kind, value in zip((float, int, str), given, strict=False)])
