from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from cdc.log import verify_log
from tests.support.logs import opened, rows
from tests.support.processes import child_environment

# Kills of `make test`, and of `make test-all`.
FEW_KILLS, MANY_KILLS = 3, 20


def _kill_after(folder: Path, lines: int) -> list[tuple[int, int]]:
    """Run the appender, kill -9 it after so many commits, and give every commit that it printed."""
    command = [sys.executable, "-m", "tests.fault.log_appender", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment()) as child:
        assert child.stdout is not None
        printed = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        printed += child.stdout.readlines()
    return [(int(a), int(b)) for a, b in (line.split() for line in printed if line.endswith("\n"))]


@pytest.mark.parametrize("kills", [FEW_KILLS, pytest.param(MANY_KILLS, marks=pytest.mark.slow)])
def test_log_killed_at_random_moments_holds_every_commit_it_reported(tmp_path: Path, kills: int) -> None:
    folder = tmp_path / "log"
    for _ in range(kills):
        printed = _kill_after(folder, random.randrange(1, 40))
        assert list(verify_log(folder).damage) == []
        with opened(folder, segment_bytes=50_000) as log:
            assert log.end is not None
            assert set(printed) <= {(c.next, c.position.order - 1) for c in log.commits(0)}
            assert [row["_cdc_seq"] for row in rows(log)] == list(range(log.end.next))
            assert int(log.metadata["at"]) == log.end.position.order - 1
