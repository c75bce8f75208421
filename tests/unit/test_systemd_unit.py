"""deploy/cdc@.service, judged by systemd's own tool."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cdc.cli.service import REPORT_SECONDS
from cdc.control.verdict import ALIVE_SECONDS
from tests.architecture.tree import ROOT

UNIT = ROOT / "deploy/cdc@.service"
# What `systemd-analyze security` calls OK ends at 4.9; units that it calls safe are below this.
MOST_EXPOSURE = 2.0

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_systemd
def test_systemd_knows_every_line_of_the_unit(tmp_path: Path) -> None:
    # The program that the unit starts must exist where it is verified.
    installed = UNIT.read_text("utf-8").replace("/opt/cdc/bin/cdc", sys.executable)
    (tmp_path / "cdc@.service").write_text(installed, "utf-8")
    found = analyze("verify", "--man=no", str(tmp_path / "cdc@shop.service"))
    ours = [line for line in (found.stdout + found.stderr).splitlines() if "cdc@" in line]
    assert (found.returncode, ours) == (0, []), found.stderr


@needs_systemd
def test_unit_exposes_little() -> None:
    found = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE * 10:.0f}", str(UNIT))
    assert found.returncode == 0, found.stdout[-500:]


def test_watchdog_waits_longer_than_the_daemon_needs_to_know_that_it_hangs() -> None:
    assert "\nWatchdogSec=2min\n" in UNIT.read_text("utf-8")
    assert ALIVE_SECONDS + REPORT_SECONDS < 120
