"""Reports to the service manager (systemd) over the socket that it names in NOTIFY_SOCKET: sd_notify(3).

Without that variable nothing happens. The watchdog is fed by progress: not by a thread that is merely alive.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Self

from cdc.control.live import LiveStatus
from cdc.control.monitor import StatusMonitor
from cdc.control.verdict import ALIVE_SECONDS
from cdc.spi.status import DaemonReport

# As often as `systemctl status` needs it; shorter than half of any sensible WatchdogSec.
REPORT_SECONDS = 5.0
# A manager that does not read must not hold up the daemon.
SEND_TIMEOUT_SECONDS = 1.0
# Of one core: the daemon's own ticks need a tenth of this, a delivery that computes or writes far more.
IDLE_SHARE = 0.1


class NotifySender:
    """Sends to the manager that started this process; does nothing without one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.has_manager = self._address is not None

    def send(self, *fields: str) -> None:
        """Send one message of lines such as `READY=1`."""
        if self._address is None:
            return
        # A manager that has gone, or does not read: its watchdog and its time limits decide.
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.settimeout(SEND_TIMEOUT_SECONDS)
            sender.sendto("\n".join(fields).encode(), self._address)


class ServiceManager:
    """The manager that started this process. Used as a context manager around the engine's run."""

    def __init__(self, live: LiveStatus, environment: Mapping[str, str] = os.environ) -> None:
        self._live = live
        self._sender = NotifySender(environment)
        self._send = self._sender.send
        self._watchdog_seconds = _watchdog_seconds(environment)
        self._progress = ProgressProof(live.monitor)
        self._is_ready = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report, name="service-manager", daemon=True)

    def __enter__(self) -> Self:
        if self._sender.has_manager:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        if self._sender.has_manager:
            self._thread.join()

    def tick(self, _: DaemonReport) -> None:
        """The engine works: the first time, the service counts as started."""
        if not self._is_ready:
            self._is_ready = True
            self._send("READY=1")

    def stopping(self) -> None:
        """An orderly end has begun."""
        self._send("STOPPING=1", "STATUS=Stopping: finishing the current batches.")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Report that the block reloads the configuration; `systemctl reload` waits for its end."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            self._send("READY=1")

    def _report(self) -> None:
        status = ""
        pause = min(REPORT_SECONDS, (self._watchdog_seconds or REPORT_SECONDS) / 2)
        while not self._ended.wait(pause):
            if self._watchdog_seconds and self._progress.is_given():
                self._send("WATCHDOG=1")
            found = self._status()
            if found and found != status and not self._ended.is_set():
                status = found
                self._send(f"STATUS={status}")

    def _status(self) -> str:
        """The verdict, or nothing while the state cannot be read."""
        # The log and /readyz say what is wrong. No error may end the thread that feeds the watchdog.
        with suppress(Exception):
            verdict = self._live.verdict(self._live.status())
            return " ".join(f"{verdict.title}. {verdict.text}".split())
        return ""


class ProgressProof:
    """Whether a restart would mend nothing: the engine's thread ticks, and no sink is stuck while the process
    idles. A sink whose one large transaction takes an hour computes or writes, and must not be restarted.
    """

    def __init__(self, monitor: StatusMonitor, work: Callable[[], float] = time.process_time) -> None:
        self._monitor = monitor
        self._work = work
        self._checked_at, self._worked = time.monotonic(), work()

    def is_given(self) -> bool:
        """Return whether there was progress since the last call."""
        now, worked = time.monotonic(), self._work()
        passed, used = now - self._checked_at, worked - self._worked
        self._checked_at, self._worked = now, worked
        if self._monitor.age_seconds >= ALIVE_SECONDS:
            return False
        return used > IDLE_SHARE * passed or not self._monitor.stuck()


def _address(name: str) -> str | None:
    """Return the socket's address: `@` is the zero byte of an abstract one."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """Return the manager's limit; None if it watches no process, or another one."""
    limit = environment.get("WATCHDOG_USEC", "")
    is_own = environment.get("WATCHDOG_PID") in (None, "", str(os.getpid()))
    return int(limit) / 1e6 if limit.isdigit() and int(limit) and is_own else None
