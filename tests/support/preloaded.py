"""Starts `cdc` processes as forks of an interpreter that has imported everything.

Three quarters of the processor time that `cdc run` needs up to its first change are imports, and the tests
start `cdc` hundreds of times. A fork is a process of its own, with the arguments, environment, working folder
and streams that the test gives: it can be killed, stopped and waited for like any other. What only a fresh
interpreter shows (imports, memory) is tested with the fixture `fresh_processes`. `CDC_TEST_FRESH=1` makes
every process fresh.

The module is both ends: `Forks` in the test process, `_serve` in the interpreter that forks. They share a
socket for requests, and for each process a pipe that carries its id and then its exit code.
"""

from __future__ import annotations

import atexit
import importlib
import io
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

# Variables that are read when an interpreter or a library starts: a process with other values needs an
# interpreter of its own. Every other variable is read when it is used.
_FIXED = (
    "PYTHON",
    "CDC_NATIVE",
    "LD_",
    "MALLOC_",
    "GLIBC_",
    "LANG",
    "LC_",
    "TZ",
    "OMP_",
    "OPENBLAS_",
    "ARROW_",
)
# Of those, set again for the streams of each process.
_STREAMS = "PYTHONIOENCODING"
# A request holds the environment: far above any there is, below what a socket takes at once.
_REQUEST_BYTES = 128 * 1024
_STREAM_COUNT = 3


@dataclass
class Fork:
    """A running or ended process, used like `subprocess.Popen`."""

    args: list[str]
    _report: IO[bytes]
    pid: int = field(init=False)
    returncode: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.pid = self._number()

    def poll(self) -> int | None:
        """Return the exit code, the negative number of a signal, or None while it runs."""
        if self.returncode is None and self._is_over(0):
            self.returncode = self._number()
            self._report.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code as soon as it has ended; TimeoutExpired if it has not by then."""
        if self.returncode is None and not self._is_over(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def _is_over(self, timeout_seconds: float | None) -> bool:
        return bool(select.select([self._report], [], [], timeout_seconds)[0])

    def _number(self) -> int:
        line = self._report.readline()
        if not line:
            message = f"the interpreter that forks has ended, and with it {self.args}"
            raise RuntimeError(message)
        return int(line)


class Forks:
    """An interpreter that forks, started at the first use; a context manager that ends it and its forks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._parent: subprocess.Popen[bytes] | None = None
        self._environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._control is not None and self._parent is not None:
            self._control.close()
            self._parent.wait()

    def start(
        self, arguments: list[str], cwd: Path, environment: Mapping[str, str], streams: tuple[int, int, int]
    ) -> Fork | None:
        """Start `cdc` with these arguments and these files as stdin, stdout and stderr, in a session of its
        own. None if the environment asks for a fresh interpreter.
        """
        with self._lock:
            control = self._control or self._begin(environment)
            if _fixed(environment) != _fixed(self._environment):
                return None
            reading, writing = os.pipe()
            request = json.dumps({"arguments": arguments, "cwd": str(cwd), "environment": dict(environment)})
            socket.send_fds(control, [request.encode()], [*streams, writing])
            os.close(writing)
        return Fork(["cdc", *arguments], io.FileIO(reading))

    def _begin(self, environment: Mapping[str, str]) -> socket.socket:
        self._environment = {name: value for name, value in environment.items() if name != "CDC_FAILPOINT"}
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", "tests.support.preloaded", str(theirs.fileno())],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return self._control


def _fixed(environment: Mapping[str, str]) -> dict[str, str]:
    return {n: v for n, v in environment.items() if n.startswith(_FIXED) and n != _STREAMS}


def _preload() -> None:
    """Import what any command or daemon imports."""
    from cdc import deferred
    from cdc.cli.app import COMMANDS
    from cdc.spi.registry import installed, load

    for place in COMMANDS.values():
        importlib.import_module(place.partition(":")[0])
    for group in ("cdc.sources", "cdc.sinks"):
        for plugin in installed(group):
            load(group, plugin.name)
    for module in (
        "uvicorn",
        "starlette.applications",
        "cdc.http.server",
        "cdc.sql",
        "cdc.lake",
        "rich.console",
    ):
        importlib.import_module(module)
    assert deferred.compute.sum
    assert deferred.parquet.ParquetFile
    assert deferred.sqlglot.parse


def _serve(control: socket.socket) -> None:
    """Fork for each request until the test process ends. Returns in the forks only."""
    running: dict[int, tuple[int, int]] = {}  # The process and its report by its pidfd.
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is control:
                    data, files, _, _ = socket.recv_fds(control, _REQUEST_BYTES, _STREAM_COUNT + 1)
                    if not data:
                        _end(running)
                    pid = os.fork()
                    if pid == 0:
                        control.close()
                        selector.close()
                        _become(json.loads(data), files, running)
                        return
                    for file in files[:_STREAM_COUNT]:
                        os.close(file)
                    os.write(files[_STREAM_COUNT], b"%d\n" % pid)
                    watch = os.pidfd_open(pid)
                    running[watch] = (pid, files[_STREAM_COUNT])
                    selector.register(watch, selectors.EVENT_READ)
                else:
                    selector.unregister(key.fileobj)
                    _report(key.fd, *running.pop(key.fd))


def _report(watch: int, pid: int, report: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    # A test that no longer looks has closed its end.
    with suppress(BrokenPipeError):
        os.write(report, b"%d\n" % code)
    os.close(watch)
    os.close(report)


def _end(running: Mapping[int, tuple[int, int]]) -> None:
    for pid, _ in running.values():
        os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _become(request: Mapping[str, object], files: list[int], running: Mapping[int, tuple[int, int]]) -> None:
    """Make this fork what `python -m cdc` is when `main` begins."""
    os.setsid()
    for watch, (_, report) in running.items():
        os.close(watch)
        os.close(report)
    for number, file in enumerate(files[:_STREAM_COUNT]):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    environment = request["environment"]
    assert isinstance(environment, dict)
    os.environ.clear()
    os.environ.update(environment)
    cwd, arguments = request["cwd"], request["arguments"]
    assert isinstance(cwd, str)
    assert isinstance(arguments, list)
    os.chdir(cwd)
    sys.path[0] = cwd
    sys.argv = ["cdc", *arguments]
    encoding = environment.get(_STREAMS) or sys.stdout.encoding
    sys.stdin = os.fdopen(0, encoding=encoding, closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding=encoding, errors=sys.stdout.errors, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding=encoding, errors="backslashreplace", buffering=1, closefd=False)
    # Armed by a variable when it is imported.
    importlib.reload(sys.modules["cdc.failpoints"])


def _run(main: Callable[[], None]) -> None:
    """Run the command and end as an interpreter does, but leave its objects to the system: to free what the
    fork shares with its parent, each page is copied first, for a tenth of a second of processor time.
    """
    code = 0
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):  # The interpreter writes it.
            raise
        code = end.code or 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    import gc

    gc.disable()
    _preload()
    gc.collect()
    gc.freeze()
    gc.enable()
    with socket.socket(fileno=int(sys.argv[1])) as given:
        _serve(given)
    from cdc.cli.main import main

    _run(main)
