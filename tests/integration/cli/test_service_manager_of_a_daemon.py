"""A daemon that a service manager starts: what it reports, from its start to its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Project
from tests.support.notify_socket import NotifySocket
from tests.support.processes import CdcProcess


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_daemon_reports_that_it_is_ready_well_alive_and_stopping(kind: str, project: Project) -> None:
    name = str(project.folder / "notify") if kind == "path" else f"@cdc-test-{os.getpid()}"
    with NotifySocket(name) as heard:
        told = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"}
        with CdcProcess("run", cwd=project.folder, environment=told) as daemon:
            heard.wait_for("READY", "1")
            heard.wait_for("WATCHDOG", "1")
            heard.wait_for("STATUS", "All is well. 1 sink follows 1 source.")
            assert daemon.terminate() == 0
        heard.wait_for("STOPPING", "1")


def test_watchdog_of_another_process_is_not_fed(project: Project) -> None:
    name = str(project.folder / "notify")
    with NotifySocket(name) as heard:
        told = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
        with CdcProcess("run", cwd=project.folder, environment=told) as daemon:
            heard.wait_for("STATUS", "All is well")
            assert daemon.terminate() == 0
        heard.wait_for("STOPPING", "1")
        assert not any("WATCHDOG" in message for message in heard.received)


def test_invalid_configuration_is_never_ready(project: Project) -> None:
    name = str(project.folder / "notify")
    Path(project.folder / "cdc.yaml").write_text("sources: {}", "utf-8")
    with NotifySocket(name) as heard:
        with CdcProcess("run", cwd=project.folder, environment={"NOTIFY_SOCKET": name}) as daemon:
            assert daemon.wait() == 2
        heard._socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            heard.receive()
