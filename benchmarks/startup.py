"""How long a command takes that has nothing to do, beside an interpreter that does nothing, in one run.

Usage: python -m benchmarks.startup [runs]. Prints the least wall time and processor time of each command.
The wall time of `cdc run` ends with the log line `streaming`, its processor time with the process.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

from tests.support.postgres.server import Database, PostgresServer
from tests.support.processes import CdcProcess, cdc_command, child_environment

RUNS = 7


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    server = PostgresServer(18).start()
    try:
        folder = _project(server.create_database())
        _finish(cdc_command("run", "--once", "-q"), folder)  # Creates the slot and copies.
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "cdc version": cdc_command("version"),
            "cdc run --once, nothing to do": cdc_command("run", "--once", "-q"),
        }
        print(f"{'command':<32}{'wall s':>8}{'processor s':>13}   load {os.getloadavg()[0]:.1f}")
        for name, command in commands.items():
            _show(name, runs, partial(_finish, command, folder))
        _show("cdc run, until it streams", runs, partial(_stream, folder))
    finally:
        server.destroy()


def _project(database: Database) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cdc-startup-"))
    database.execute("create table items (id int primary key)", "insert into items values (1)")
    source = {"type": "postgres", "url": database.url, "tables": ["public.*"]}
    sink = {"type": "parquet", "from": ["shop"], "url": "./lake"}
    config = {"sources": {"shop": source}, "sinks": {"lake": sink}}
    (folder / "cdc.yaml").write_text(yaml.safe_dump(config), "utf-8")
    return folder


def _show(name: str, runs: int, run: Callable[[], float]) -> None:
    walls, processors = [], []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(run())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processors.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"{name:<32}{min(walls):>8.2f}{min(processors):>13.2f}")


def _finish(command: list[str], folder: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, env=child_environment(), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _stream(folder: Path) -> float:
    begun = time.perf_counter()
    with CdcProcess("run", cwd=folder) as process:
        process.wait_for_log("streaming")
        took = time.perf_counter() - begun
        process.terminate()
    return took


if __name__ == "__main__":
    main()
