"""The campaign: a random workload on every kind of table while the daemon is killed again and again."""

from __future__ import annotations

import random
import threading
import time

from tests.support.equality import assert_all_equal
from tests.support.pipeline import Pipeline
from tests.support.processes import CdcProcess
from tests.support.workload import Workload

# One life that ends while changes flow, and one that ends wherever it is.
SHORT_SECONDS = 4.0
SHORT_KILLS = 2
FULL_SECONDS = 60.0
FULL_KILLS = 10
# Every other life ends a while after its start, wherever the daemon is then: starting, opening, copying.
LIFE_SECONDS = (0.3, 4.5)
# The others end a while after changes flow again.
STREAMING_SECONDS = (0.05, 2.5)


def campaign(workload: Workload, pipeline: Pipeline, seconds: float, kills: int, seed: int) -> None:
    """Write for that long, with that many kills, then hold mirror and lake to the source."""
    kill_repeatedly(workload, pipeline, seconds, kills, seed)
    assert_all_equal(workload, pipeline.lake, pipeline.target)


def kill_repeatedly(workload: Workload, pipeline: Pipeline, seconds: float, kills: int, seed: int) -> None:
    """Write for that long, with that many kills, then let the pipeline catch up."""
    rng = random.Random(seed)
    deadline = time.monotonic() + seconds
    killed = 0
    with workload:
        while time.monotonic() < deadline or killed < kills:
            with pipeline.start() as daemon:
                live(pipeline, daemon, rng, until_streaming=killed % 2 == 0)
                daemon.assert_running()
            killed += 1
            workload.check()
    pipeline.catch_up()


def live(pipeline: Pipeline, daemon: CdcProcess, rng: random.Random, *, until_streaming: bool) -> None:
    """Wait for the moment to kill; the caller does it by leaving the block."""
    if until_streaming:
        pipeline.wait_until_streaming(daemon, copied=False)
    span = STREAMING_SECONDS if until_streaming else LIFE_SECONDS
    threading.Event().wait(rng.uniform(*span))
