"""What is drawn in place, and the lines that appear above it."""

from __future__ import annotations

import io
import os

import pytest
from rich.text import Text

from cdc.cli.screen import Screen
from tests.support.terminal import Terminal

COLUMNS, LINES = 20, 6


class Tty(io.StringIO):
    """Stands for a terminal's stream: keeps what is written, and has a size."""

    encoding = "utf-8"

    def fileno(self) -> int:
        return 1


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Tty:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((COLUMNS, LINES)))
    return Tty()


def shown(stream: Tty) -> Terminal:
    terminal = Terminal(COLUMNS, LINES)
    terminal.feed(stream.getvalue().replace("\n", "\r\n"))
    return terminal


def draw(screen: Screen, *lines: str) -> None:
    screen.draw(lambda _columns, _lines: [Text(line) for line in lines])


def test_a_region_replaces_itself_below_the_lines_that_were_written(stream: Tty) -> None:
    screen = Screen(stream)
    draw(screen, "one", "two")
    screen.write("a log line\n")
    draw(screen, "three")
    assert shown(stream).text == "a log line\nthree\n"


def test_a_line_that_is_written_in_pieces_appears_whole(stream: Tty) -> None:
    screen = Screen(stream)
    draw(screen, "view")
    screen.write("a log ")
    assert shown(stream).text == "view\n"
    screen.write("line\n")
    assert shown(stream).text == "a log line\nview\n"


def test_lines_that_are_wider_than_the_terminal_are_erased_whole(stream: Tty) -> None:
    screen = Screen(stream)
    draw(screen, "x" * (2 * COLUMNS + 1), "end")
    draw(screen, "short")
    assert shown(stream).text == "short\n"


def test_control_characters_of_names_do_not_move_the_cursor(stream: Tty) -> None:
    screen = Screen(stream)
    draw(screen, "na\x1b[2Jme" + "x" * COLUMNS)
    assert "\x1b[2J" not in stream.getvalue()
    draw(screen, "short")
    assert shown(stream).text == "short\n"


def test_long_logs_scroll_away_above_the_region(stream: Tty) -> None:
    screen = Screen(stream)
    draw(screen, "view")
    for number in range(10):
        screen.write(f"line {number}\n")
    terminal = shown(stream)
    assert terminal.text == "line 6\nline 7\nline 8\nline 9\nview\n"
    assert terminal.scrolled == [f"line {number}" for number in range(6)]


def test_close_removes_the_region_and_the_other_screen(stream: Tty) -> None:
    screen = Screen(stream, alternate=True)
    draw(screen, "view")
    assert shown(stream).text == "view\n"
    screen.close()
    assert shown(stream).text == ""
