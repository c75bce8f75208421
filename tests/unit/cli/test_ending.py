"""How a process ends whose threads are still inside native code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import child_environment

# Finalising the interpreter under these threads ends in SIGABRT nineteen times in twenty.
BUSY = """
import sys, threading, duckdb
from cdc.cli.ending import end_process

connection = duckdb.connect()
connection.execute("create table numbers (n bigint)")
started = threading.Barrier(4)

def insert():
    cursor = connection.cursor()
    started.wait()
    while True:
        cursor.execute("insert into numbers select i from range(1000) r(i)").fetchall()

for _ in range(3):
    threading.Thread(target=insert, daemon=True).start()
started.wait()
print("printed")
try:
    {end}
except BaseException as error:
    end_process(error)
"""


def ended(end: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = BUSY.format(end=end)
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("end", "code"), [("sys.exit(0)", 0), ("sys.exit()", 0), ("sys.exit(3)", 3), ("sys.exit('why')", 1)]
)
def test_a_process_with_busy_threads_ends_with_its_exit_code_and_its_output(
    end: str, code: int, tmp_path: Path
) -> None:
    result = ended(end, tmp_path)
    assert (result.returncode, result.stdout) == (code, "printed\n"), result.stderr


def test_an_unexpected_error_is_shown_and_is_exit_code_1(tmp_path: Path) -> None:
    result = ended("raise RuntimeError('unexpected')", tmp_path)
    assert result.returncode == 1
    assert result.stderr.endswith("RuntimeError: unexpected\n")


def test_a_reader_of_the_output_who_has_gone_changes_nothing(tmp_path: Path) -> None:
    result = ended("sys.stdout = None; sys.exit(4)", tmp_path)
    assert (result.returncode, result.stderr) == (4, "")
