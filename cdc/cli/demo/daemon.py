"""The daemon as a child process, as an operator would run it; killed once on purpose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STOP_TIMEOUT_SECONDS = 40.0


class Daemon:
    """`cdc run` on the demo's configuration; its log goes to a file."""

    def __init__(self, config: Path, state: Path, log: Path, variables: Mapping[str, str]) -> None:
        self._config = config
        self._state = state
        self._log = log
        self._environment = {**os.environ, **variables}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "cdc", "run", "--config", str(self._config)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)

    def kill(self) -> None:
        """Kill -9: no chance to tidy up. Does nothing when it has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """SIGTERM, as systemd does; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_TIMEOUT_SECONDS)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def status(self) -> dict[str, Any]:
        """The newest status document; empty before the first."""
        try:
            document = json.loads((self._state / "status.json").read_bytes())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return document if isinstance(document, dict) else {}

    def resident_mib(self) -> float:
        """Resident memory of the running daemon."""
        if not self.is_running():
            return 0.0
        assert self._process is not None
        try:
            text = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return 0.0
        line = next((line for line in text.splitlines() if line.startswith("VmRSS:")), "VmRSS: 0 kB")
        return int(line.split()[1]) / 1024

    def log_tail(self, lines: int = 12) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


def poll(seconds: float) -> None:
    """The demo's clock: how often the screen is drawn."""
    time.sleep(seconds)
