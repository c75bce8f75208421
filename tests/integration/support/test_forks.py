"""A forked `cdc` is to a test what `cdc` in an interpreter of its own is."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.preloaded import Fork, Forks
from tests.support.processes import CdcProcess, child_environment, forking, run_cdc, start_cdc
from tests.support.waiting import wait_until

# Retries for ever: nothing listens there.
DAEMON = """
sources: {shop: {type: postgres, url: "postgresql://nobody@127.0.0.1:1/none"}}
sinks: {lake: {type: parquet, url: ./lake}}
"""
_CHILD = """
import sys
from pathlib import Path
from tests.support.preloaded import Forks
from tests.support.processes import CdcProcess, forking

with forking(Forks()):
    daemon = CdcProcess("run", cwd=Path(sys.argv[1]))
    daemon.wait_for_log('"running"')
    print(daemon.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cdc.yaml").write_text(DAEMON, "utf-8")
    return tmp_path


@pytest.mark.halved
@pytest.mark.parametrize(
    "arguments", [("version", "--json"), ("status",), ("no-such-command",), ("run", "-c", "none.yaml")]
)
def test_a_fork_writes_what_an_interpreter_writes(
    arguments: tuple[str, ...], forks: Forks, tmp_path: Path
) -> None:
    results = []
    for which in (forks, None):
        with forking(which):
            results.append(run_cdc(*arguments, cwd=tmp_path))
    forked, fresh = ((r.returncode, r.stdout, r.stderr.partition('"at"')[0]) for r in results)
    assert forked == fresh


def test_a_fork_obeys_signals(forks: Forks, folder: Path) -> None:
    with forking(forks):
        with CdcProcess("run", cwd=folder) as daemon:
            daemon.wait_for_log('"running"')
            assert daemon.terminate() == 0
        with CdcProcess("run", cwd=folder) as daemon:
            daemon.wait_for_log('"running"')
            daemon.kill9()
            assert daemon.exit_code == -signal.SIGKILL


def test_an_environment_for_an_interpreter_gets_one(forks: Forks, tmp_path: Path) -> None:
    with forking(forks), (tmp_path / "output").open("w") as output:
        environments = ({"CDC_CONFIG": "other.yaml"}, {"PYTHONPATH": str(tmp_path)}, {"TZ": "Asia/Tokyo"})
        kinds = []
        for environment in environments:
            started = start_cdc(
                "version", cwd=tmp_path, environment=environment, stdout=output, stderr=output
            )
            started.wait()
            kinds.append(type(started))
    assert kinds == [Fork, subprocess.Popen, subprocess.Popen]


def test_the_forks_of_a_killed_test_run_end(folder: Path) -> None:
    command = [sys.executable, "-c", _CHILD, str(folder)]
    with subprocess.Popen(
        command, env=child_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        child.kill()
    wait_until(lambda: not psutil.pid_exists(pid), "the daemon to end")
