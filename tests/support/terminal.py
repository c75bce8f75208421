"""A terminal that a command is attached to: a pty, and what a person would see on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.processes import interruptible, start_cdc
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS

_CONTROL = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])")


class Terminal:
    """Characters in rows: understands what our own view writes, and fails on any other control sequence.

    `scrolled` are the rows that left at the top, `colours` the codes that set one. Wide characters are not
    supported: nothing of ours is wide.
    """

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self.rows: list[str] = [""]
        self.scrolled: list[str] = []
        self.colours: set[str] = set()
        self.row = self.column = 0
        self._main: tuple[list[str], int, int] | None = None

    @property
    def text(self) -> str:
        return "\n".join(row.rstrip() for row in self.rows)

    def feed(self, text: str) -> None:
        position = 0
        while position < len(text):
            control = _CONTROL.match(text, position)
            if control:
                self._control(control[1], control[2])
                position = control.end()
            else:
                self._character(text[position])
                position += 1

    def _character(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self._down()
        else:
            assert character.isprintable(), repr(character)
            if self.column == self.columns:
                self._down()
                self.column = 0
            row = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = row[: self.column] + character + row[self.column + 1 :]
            self.column += 1

    def _down(self) -> None:
        self.row += 1
        while self.row >= len(self.rows):
            self.rows.append("")
        if len(self.rows) > self.lines:
            self.scrolled.append(self.rows.pop(0))
            self.row -= 1

    def _control(self, parameters: str, letter: str) -> None:
        if (parameters, letter) == ("?1049", "h"):
            self._main = (self.rows, self.row, self.column)
            self.rows, self.row, self.column = [""], 0, 0
        elif (parameters, letter) == ("?1049", "l"):
            assert self._main is not None
            self.rows, self.row, self.column = self._main
        elif letter == "A":
            assert int(parameters or 1) <= self.row, "the cursor leaves the screen"
            self.row -= int(parameters or 1)
        elif letter == "H":
            self.row = self.column = 0
        elif letter == "J":
            self.rows[self.row] = self.rows[self.row][: self.column]
            del self.rows[self.row + 1 :]
        else:
            assert letter == "m", (parameters, letter)
            self.colours |= {number for number in parameters.split(";") if number[:1] in "349" and number[1:]}


class OnTerminal:
    """A `cdc` on a terminal of its own. Ends it at the end of the context."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        columns: int = 80,
        lines: int = 40,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.terminal = Terminal(columns, lines)
        # What was on the screen after each read; a view that is redrawn is erased first, so none mixes two.
        self.screens: list[str] = []
        self._lock = threading.Condition()
        self._end, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        given = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **(environment or {})}
        with interruptible():
            self.process = start_cdc(
                *arguments, cwd=cwd, environment=given, stdin=child, stdout=child, stderr=child
            )
        os.close(child)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._end)

    @property
    def text(self) -> str:
        """What is on the screen now."""
        with self._lock:
            return self.terminal.text

    def wait_for(self, *parts: str) -> str:
        """Return the screen as soon as it has all of these."""
        with self._lock:
            has_all = self._lock.wait_for(
                lambda: all(part in self.terminal.text for part in parts), DEFAULT_TIMEOUT_SECONDS
            )
            assert has_all, f"the screen has no {parts}:\n{self.terminal.text}"
            return self.terminal.text

    def type(self, text: str) -> None:
        """As a person does, the end of the line included."""
        os.write(self._end, text.encode())

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """The exit code, after all that was written is on the screen."""
        code = self.process.wait(DEFAULT_TIMEOUT_SECONDS)
        self._reader.join(DEFAULT_TIMEOUT_SECONDS)
        return code

    def _read(self) -> None:
        pending = b""
        while True:
            try:
                data = os.read(self._end, 65536)
            except OSError:
                return
            if not data:
                return
            pending += data
            whole = _whole(pending)
            with self._lock:
                self.terminal.feed(pending[:whole].decode())
                self.screens.append(self.terminal.text)
                self._lock.notify_all()
            pending = pending[whole:]


def _whole(data: bytes) -> int:
    """How many bytes hold no half of a character or control sequence at their end."""
    escape = data.rfind(b"\x1b")
    if escape >= 0 and not re.match(rb"\x1b\[\??[0-9;]*[A-Za-z]", data[escape:]):
        return escape
    for length in range(1, min(4, len(data)) + 1):
        if data[-length] >= 0xC0:
            needed = 2 if data[-length] < 0xE0 else 3 if data[-length] < 0xF0 else 4
            return len(data) - length if needed > length else len(data)
        if data[-length] < 0x80:
            break
    return len(data)


def normalised(text: str) -> str:
    """The text without what differs between runs: every figure is `#`, every size `# B`, every time `# s`,
    spaces are single, and there are no trends and sparklines.
    """
    text = re.sub(r"\b[0-9A-F]+/[0-9A-F]+\b|\d[\d.,:]*", "#", re.sub("[▁▂▃▄▅▆▇█]", "", text))
    text = re.sub(r"[→↗↘] (steady|# \w+ left|# s/s)", "", text)
    text = re.sub(r"# [KMG]iB", "# B", re.sub(r"# (?:min|h)\b(?: # \w+)?", "# s", text))
    return "\n".join(" ".join(line.split()) for line in text.splitlines())
