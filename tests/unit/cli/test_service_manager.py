"""What the watchdog is fed by, and what a reload says, on a real notify socket."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import pytest

from cdc.cli.service import ProgressProof, ServiceManager
from cdc.control.live import LiveStatus
from cdc.control.monitor import StatusMonitor
from cdc.spi.status import DaemonReport, SinkReport
from tests.support.notify_socket import NotifySocket


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def waiting(changes: int, interval_seconds: float = 0.0) -> DaemonReport:
    sink = SinkReport(
        source="shop",
        state="applying",
        behind_changes=changes,
        flush_interval_seconds=interval_seconds,
    )
    return DaemonReport(sinks={"lake": [sink]})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monitor(clock: Clock) -> StatusMonitor:
    """A monitor whose engine has just ticked, ten minutes after changes began to wait."""
    made = StatusMonitor(clock)
    made.tick(waiting(5))
    clock.now = 600.0
    made.tick(waiting(5))
    return made


def test_engine_that_does_not_tick_gives_no_progress(clock: Clock) -> None:
    monitor = StatusMonitor(clock)
    monitor.tick(waiting(0))
    proof = ProgressProof(monitor)
    assert proof.is_given()
    clock.now = 60.0
    assert not proof.is_given()


def test_stuck_sink_in_a_process_that_idles_gives_no_progress(monitor: StatusMonitor) -> None:
    assert not ProgressProof(monitor, work=lambda: 0.0).is_given()


def test_a_sink_that_waits_for_its_flush_is_not_stuck(clock: Clock, monitor: StatusMonitor) -> None:
    assert monitor.stuck()
    monitor.tick(waiting(5, interval_seconds=600.0))
    assert monitor.stuck() == []
    clock.now = 1000.0
    assert [name for name, *_ in monitor.stuck()] == ["lake"]


def test_stuck_sink_whose_delivery_computes_is_progress(monitor: StatusMonitor) -> None:
    used = iter(range(0, 10**9, 10**6))
    assert ProgressProof(monitor, work=lambda: float(next(used))).is_given()


def test_sink_that_moves_is_progress(monitor: StatusMonitor) -> None:
    monitor.tick(waiting(0))
    assert ProgressProof(monitor, work=lambda: 0.0).is_given()


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_reload_is_told_from_its_begin_to_its_end(kind: str, tmp_path: Path, monitor: StatusMonitor) -> None:
    name = str(tmp_path / "notify") if kind == "path" else f"@cdc-test-{os.getpid()}-{tmp_path.name}"
    live = cast("LiveStatus", type("Live", (), {"monitor": monitor}))
    with NotifySocket(name) as heard:
        manager = ServiceManager(live, {"NOTIFY_SOCKET": name})
        with manager.reloading():
            begin = heard.receive()
        assert begin["RELOADING"] == "1"
        assert begin["MONOTONIC_USEC"].isdigit()
        assert heard.receive() == {"READY": "1"}


def test_manager_that_has_gone_is_no_error(tmp_path: Path, monitor: StatusMonitor) -> None:
    live = cast("LiveStatus", type("Live", (), {"monitor": monitor}))
    ServiceManager(live, {"NOTIFY_SOCKET": str(tmp_path / "gone")}).stopping()
