"""`cdc check`: everything the daemon needs, checked before it starts; each finding has its fix."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from cdc.cli.configured import open_configuration
from cdc.cli.docs import command_for
from cdc.cli.output import console, print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption
from cdc.control.checks import Result, find_all
from cdc.kit.report import counted
from cdc.spi import Severity

# A longer fix is a script: it is printed when it is asked for, without an indent.
LONGEST_FIX = 10
_INDENT = " " * 10
_STYLE = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}


def check(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    fix: Annotated[
        str | None,
        typer.Option("--fix", metavar="CODE", help="Print only the fixes of findings with this code."),
    ] = None,
) -> None:
    """Check everything the daemon needs before it starts.

    Connections, privileges, settings, tables, sinks, disk: each finding comes with its fix. The exit code is
    1 when one of them is an error.
    """
    results = list(find_all(open_configuration(config)))
    if fix is not None:
        _print_fixes(results, fix)
        return
    if as_json:
        print_json([{"subject": subject, **asdict(finding)} for subject, finding in results])
    else:
        out = console()
        for line in finding_lines(results, out.width if out.is_terminal else None):
            say(line, out)
    if has_errors(results):
        raise typer.Exit(1)


def _folded(message: str, start: int, width: int | None) -> list[str]:
    """The lines of a message whose first line begins in column `start`."""
    if width is None or start >= width:
        return [message]
    lines = textwrap.wrap(
        message,
        width - len(_INDENT),
        initial_indent=" " * (start - len(_INDENT)),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.lstrip() for line in lines] or [message]


def has_errors(results: Sequence[Result]) -> bool:
    return any(finding.severity is Severity.ERROR for _, finding in results)


def _print_fixes(results: Sequence[Result], code: str) -> None:
    """To be piped: into psql, say."""
    fixes = [finding.fix for _, finding in results if finding.code == code and finding.fix]
    if not fixes:
        say(f"No finding with the code {code} has a fix.")
        raise typer.Exit(1)
    print("\n".join(dict.fromkeys(fixes)))


def finding_lines(results: Sequence[Result], width: int | None = None) -> Iterator[Text]:
    """Yield the findings, each with its fix and page, and at the end their number.

    Messages are folded to `width` columns. A fix never is: it can be pasted.
    """
    for subject, finding in results:
        mark = Text(f"{finding.severity.value:<8}", _STYLE[finding.severity])
        start = len(mark) + len(subject) + 2
        first, *rest = _folded(finding.message, start, width)
        yield Text.assemble(mark, (subject, "bold"), f"  {first}")
        yield from (Text(f"{_INDENT}{line}") for line in rest)
        lines = finding.fix.splitlines()
        if len(lines) > LONGEST_FIX:
            lines = [f"cdc check --fix {finding.code}   # prints {len(lines)} lines to run"]
        yield from (Text(f"{_INDENT}{line}", "cyan") for line in lines)
        if finding.docs:
            yield Text(f"{_INDENT}see: {command_for(finding.docs)}", "dim")
    errors = sum(finding.severity is Severity.ERROR for _, finding in results)
    warnings = sum(finding.severity is Severity.WARNING for _, finding in results)
    yield Text(
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')}."
        if errors or warnings
        else "All is well: start with `cdc run`."
    )
