"""Runs `cdc …` as a child process: kills it, waits for what it logs, measures its memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

KIBIBYTE = 1024
ROOT = Path(__file__).resolve().parents[2]


def cdc_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cdc", *arguments]


def run_cdc(
    *arguments: str,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; nothing is checked, output is text."""
    return subprocess.run(
        cdc_command(*arguments),
        cwd=cwd,
        env=child_environment(environment),
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )


class CdcProcess:
    """A `cdc` that runs until stopped or killed. Its output goes to files; `close` (or the context manager)
    ends it.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        program: str | None = None,
    ) -> None:
        """`program` is Python that prepares something and calls `main`, instead of `python -m cdc`."""
        command = cdc_command(*arguments)
        if program is not None:
            command[1:3] = ["-c", program]
        self.log_path = log or Path(tempfile.mkstemp(prefix="cdc-", suffix=".log", dir=cwd)[1])
        with self.log_path.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=child_environment(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    @property
    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def log_records(self) -> list[dict[str, Any]]:
        """The log lines that are JSON objects."""
        records = (_record(line) for line in self.log_path.read_bytes().splitlines())
        return [record for record in records if record is not None]

    def kill9(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.wait(DEFAULT_TIMEOUT_SECONDS)

    def terminate(self, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> int:
        """SIGTERM, wait, give the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_seconds)

    def hang_up(self) -> None:
        """SIGHUP: the configuration is loaded again."""
        self._process.send_signal(signal.SIGHUP)

    def wait(self, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> int:
        """Wait for it to end by itself, give the exit code."""
        return self._process.wait(timeout_seconds)

    def wait_for_log(self, text: str, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS) -> None:
        """Until a log line contains `text`; fails with the log's tail when the process ends first."""

        def seen() -> bool:
            if text in self.log_text:
                return True
            self.assert_running()
            return False

        wait_until(seen, f"{text!r} in the daemon's log", timeout_seconds)

    def assert_running(self) -> None:
        code = self._process.poll()
        assert code is None, f"cdc ended with {code}:\n{self.log_text[-6000:]}"

    def peak_rss_bytes(self) -> int:
        """The highest resident size so far (VmHWM); the process must still run."""
        self.assert_running()
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * KIBIBYTE
        message = f"process {self.pid} reports no VmHWM (it has ended)"
        raise RuntimeError(message)

    def close(self) -> None:
        """Kill it if it still runs. May be called twice."""
        if self._process.poll() is None:
            self.kill9()


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for every Python process that a test starts: this checkout is importable from any
    working folder, crashes of native code are shown, and what was compiled once is kept.
    """
    roots = [str(ROOT), *(str(ROOT / name) for name in ("connectors", "sinks", "config"))]
    path = os.pathsep.join([*roots, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONFAULTHANDLER": "1",
        "PYTHONDONTWRITEBYTECODE": "",
        # Daemons run beside each other; what serves HTTP says where.
        "CDC_HTTP": "off",
        **(extra or {}),
    }


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def interruptible() -> Iterator[None]:
    """Children of this block end by SIGINT, even if this process ignores it, as one in a shell's background
    does.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
