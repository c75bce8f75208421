"""A region at the bottom of a terminal that is drawn in place, below lines that scroll away above it."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Sequence
from typing import TextIO, cast

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from cdc.cli.output import plain

# Where the terminal does not say its size.
DEFAULT_SIZE = (80, 24)
_ALTERNATE, _MAIN = "\x1b[?1049h", "\x1b[?1049l"


def rows_of(line: Text, columns: int) -> int:
    """Return how many rows of a terminal the line takes."""
    return max(-(-cell_len(line.plain) // columns), 1)


class Screen:
    """Draws on a terminal. Any thread; a line that is written meanwhile appears above the region.

    `alternate` draws on the terminal's other screen, which is gone with `close`.
    """

    def __init__(self, stream: TextIO, *, alternate: bool = False) -> None:
        self._stream = stream
        self._alternate = alternate
        self._lock = threading.RLock()
        self._shown: list[Text] = []
        self._unfinished = ""
        self.utf8 = (stream.encoding or "").lower().replace("-", "") == "utf8"
        if alternate:
            self._put(_ALTERNATE)

    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        try:
            found = os.get_terminal_size(self._stream.fileno())
        except OSError:
            return DEFAULT_SIZE
        return (found.columns, found.lines) if found.columns and found.lines else DEFAULT_SIZE

    def draw(self, lines: Callable[[int, int], Sequence[Text]]) -> None:
        """Replace the region by lines that are made for columns and lines."""
        # Names can hold what moves the cursor; each character that is shown instead counts.
        made = [cast("Text", plain(line)) for line in lines(*self.size())]
        with self._lock:
            erased = self._erased()
            self._shown = made
            self._put(erased + self._rendered(made))

    def write(self, text: str) -> int:
        """Write text as a stream does: whole lines appear above the region."""
        with self._lock:
            whole, newline, self._unfinished = (self._unfinished + text).rpartition("\n")
            if newline:
                self._put(self._erased() + whole + newline + self._rendered(self._shown))
        return len(text)

    def flush(self) -> None:
        """Every line is flushed when it is written."""

    def close(self) -> None:
        """Remove the region; what is written afterwards follows where it was."""
        with self._lock:
            self._put(self._erased() + (_MAIN if self._alternate else ""))
            self._shown = []

    def _erased(self) -> str:
        if self._alternate:
            return "\x1b[H\x1b[J"
        columns = self.size()[0]
        rows = sum(rows_of(line, columns) for line in self._shown)
        return f"\r\x1b[{rows}A\x1b[J" if rows else ""

    def _rendered(self, lines: Sequence[Text]) -> str:
        """With colours; each line whole."""
        made = io.StringIO()
        console = Console(file=made, force_terminal=True, highlight=False, markup=False, emoji=False)
        for line in lines:
            console.print(line, soft_wrap=True)
        return made.getvalue()

    def _put(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
