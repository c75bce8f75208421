"""Nothing is left behind: not by a test run that was itself killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.processes import child_environment
from tests.support.waiting import wait_until

_CHILD = """
import sys
from tests.support.{package}.server import {kind}
server = {kind}({version!r}).start()
print(server.pid, server.folder, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("package", "kind", "version"),
    [("postgres", "PostgresServer", 15), ("mysql", "MysqlServer", "mariadb10")],
)
def test_server_of_a_killed_test_run_is_stopped_and_removed(package: str, kind: str, version: object) -> None:
    command = [sys.executable, "-c", _CHILD.format(package=package, kind=kind, version=version)]
    with subprocess.Popen(
        command, env=child_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        pid, folder = child.stdout.readline().split()
        child.kill()
    wait_until(lambda: not psutil.pid_exists(int(pid)), "the server to end")
    wait_until(lambda: not Path(folder).exists(), "its folder to be removed")
