"""What each test costs in processor time, servers and daemons included.

`COSTS=FOLDER pytest -p tests.support.costs …` appends a line for each test to `FOLDER/costs.WORKER.jsonl`:
the test, its processor seconds, its wall seconds. Counted are the test process and all processes below it,
those that have ended included.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

VARIABLE = "COSTS"


def processor_seconds() -> float:
    """User and system time of this process and of all below it, since they began."""
    seconds = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        seconds += used.ru_utime + used.ru_stime
    below = _children(os.getpid())
    while below:
        pid = below.pop()
        with suppress(psutil.NoSuchProcess):
            seconds += sum(psutil.Process(pid).cpu_times()[:4])
            below += _children(pid)
    return seconds


def _children(pid: int) -> list[int]:
    """The kernel's own list: a search through all processes of the machine costs as much as a small test."""
    with suppress(FileNotFoundError, ProcessLookupError):
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
        return [int(child) for one in lists for child in one.split()]
    return []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure one test with its fixtures; what a fixture of the session starts counts for its first test."""
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return (yield)
    before, began = processor_seconds(), time.monotonic()
    result = yield
    costs = [item.nodeid, processor_seconds() - before, time.monotonic() - began]
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with (Path(folder) / f"costs.{worker}.jsonl").open("a") as output:
        output.write(json.dumps(costs) + "\n")
    return result
