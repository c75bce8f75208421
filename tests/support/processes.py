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
from typing import IO, Any, Self

import orjson

from tests.support.preloaded import Fork, Forks
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

KIBIBYTE = 1024
ROOT = Path(__file__).resolve().parents[2]


# Where `cdc` processes are forked from; None starts an interpreter for each. Set by tests/conftest.py.
forks: Forks | None = None


@contextmanager
def forking(given: Forks | None) -> Iterator[None]:
    """Fork the `cdc` processes of this block from there."""
    global forks  # noqa: PLW0603  (a choice for the whole process)
    before, forks = forks, given
    try:
        yield
    finally:
        forks = before


def start_cdc(
    *arguments: str,
    cwd: Path,
    environment: Mapping[str, str] | None,
    stdin: int = subprocess.DEVNULL,
    stdout: IO[Any] | int,
    stderr: IO[Any] | int,
) -> subprocess.Popen[Any] | Fork:
    """Start `cdc` in a session of its own, on files that are open or their descriptors."""
    complete = child_environment(environment)
    if forks is not None:
        with Path(os.devnull).open("rb") as nothing:
            streams = (nothing if stdin == subprocess.DEVNULL else stdin, stdout, stderr)
            first, second, third = (one if isinstance(one, int) else one.fileno() for one in streams)
            fork = forks.start(list(arguments), cwd, complete, (first, second, third))
        if fork is not None:
            return fork
    return subprocess.Popen(
        cdc_command(*arguments),
        cwd=cwd,
        env=complete,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def cdc_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cdc", *arguments]


def run_cdc(
    *arguments: str,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; nothing is checked, output is text."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = start_cdc(*arguments, cwd=cwd, environment=environment, stdout=output, stderr=errors)
        try:
            code = process.wait(timeout_seconds)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(cdc_command(*arguments), code, output.read(), errors.read())


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
        self.log_path = log or Path(tempfile.mkstemp(prefix="cdc-", suffix=".log", dir=cwd)[1])
        with self.log_path.open("ab") as output:
            if program is None:
                self._process = start_cdc(
                    *arguments, cwd=cwd, environment=environment, stdout=output, stderr=output
                )
            else:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", program, *arguments],
                    cwd=cwd,
                    env=child_environment(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
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
        """The highest resident size so far (VmHWM); the process must still run, and have an interpreter of
        its own: a fork has the pages of everything that the tests start.
        """
        self.assert_running()
        assert isinstance(self._process, subprocess.Popen), "needs the fixture fresh_processes"
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
