"""Writes what commands say: tables and sentences for people, JSON for programs; errors go to stderr.

rich is imported where something has columns or a style: plain sentences and JSON do without its 50 modules.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

import orjson

from cdc.errors import CdcError
from cdc.names import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Wide enough that no table of ours is cut when it goes into a file or a pipe.
PIPE_WIDTH = 200
_JSON_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS

# A full stop after a command would be pasted with it.
_ENDS_WITH_COMMAND = re.compile(r"(?:^|: )(?:cdc|kill|pip|uv|python3?) [^:]*$")

Cell: TypeAlias = "str | Text"


def has_screen(stream: TextIO) -> bool:
    """Whether a view can be drawn in place there."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def console(stream: TextIO | None = None) -> Console:
    """A console for that stream (stdout when left out), as wide as the terminal or a pipe allows."""
    from rich.console import Console

    stream = stream or sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def say(text: Cell, out: Console | None = None) -> None:
    """A line for people, never wrapped by us; what would move the cursor or change colours is escaped."""
    if isinstance(text, str) and out is None:
        print(plain(text))
    else:
        (out or console()).print(plain(text), soft_wrap=True)


def plain(text: Cell) -> Cell:
    """The text without control characters other than line breaks: names and servers' words may hold them."""
    if isinstance(text, str):
        return printable(text, keep="\n")
    if printable(text.plain, keep="\n") == text.plain:
        return text
    return type(text).assemble(*((printable(part.plain, keep="\n"), part.style) for part in _spans(text)))


def _spans(text: Text) -> list[Text]:
    """The text cut where its style changes."""
    offsets = sorted({offset for span in text.spans for offset in (span.start, span.end)})
    parts = text.divide(offsets)
    for part in parts:
        part.style = part.spans[0].style if part.spans else part.style
    return list(parts)


def print_json(document: Any) -> None:
    """A document for programs, on stdout."""
    sys.stdout.write(orjson.dumps(document, default=str, option=_JSON_OPTIONS).decode())
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], right: Sequence[str] = ()) -> None:
    """A table for people; the columns named in `right` hold numbers."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        cells = map(plain, row)
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    console().print(table)


def print_error(error: CdcError, *, as_json: bool) -> None:
    """One block on stderr; an error that holds several (`problems`) shows each."""
    if as_json:
        _write_document({"error": _document_of(error)})
    else:
        _say_problems(error, "error", "bold red")


def print_warning(error: CdcError, note: str, *, as_json: bool) -> None:
    """An error that the command gets around, as `print_error`, and in a note how."""
    if as_json:
        _write_document({"warning": _document_of(error) | {"note": note}})
    else:
        _say_problems(error, "warning", "bold yellow")
        say(f"  {note}", console(sys.stderr))


def _document_of(error: CdcError) -> dict[str, Any]:
    problems = error.problems
    document: dict[str, Any] = problems[0].document() | {"kind": type(error).__name__}
    if len(problems) > 1:
        document["problems"] = [problem.document() for problem in problems]
    return document


def _write_document(document: dict[str, Any]) -> None:
    sys.stderr.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE).decode())


def _say_problems(error: CdcError, word: str, style: str) -> None:
    from rich.text import Text

    out = console(sys.stderr)
    for problem in error.problems:
        where = f"{problem.where}: " if problem.where else ""
        say(Text.assemble((f"{word}: ", style), where + problem.message.rstrip(".")), out)
        if problem.remedy:
            say(Text(f"  {as_sentence(problem.remedy)}", "green"), out)


def as_sentence(text: str) -> str:
    """The text with a full stop, unless it ends a sentence already, or with a command to be pasted."""
    is_ended = text.endswith((".", "?", "!", ";")) or _ENDS_WITH_COMMAND.search(text) is not None
    return text if is_ended else f"{text}."
