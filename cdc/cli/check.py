"""`cdc check`: everything that would stop the daemon, found before it starts, each finding with its fix."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from cdc.cli.composition import open_sink, open_source
from cdc.cli.output import console, print_json, say, show_bytes
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, open_configuration
from cdc.cli.stored import log_identity
from cdc.errors import CdcError, SourceUnavailable
from cdc.spi import Finding, Severity
from cdc.spi.sink import Sink
from cdc.spi.source import Source
from config import Configuration, ConfiguredSource

Result = tuple[str, Finding]

UNREACHABLE = "Check host and port, and that the server runs."
# A longer fix is a script: it is printed when it is asked for, without an indent.
LONGEST_FIX = 10
_STYLE = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}


def check(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    fix: Annotated[
        str | None,
        typer.Option(
            "--fix", metavar="CODE", help="Print the fix of the findings of this code, nothing else."
        ),
    ] = None,
) -> None:
    """Look for all that would stop the daemon.

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
        _show(results)
    if any(finding.severity is Severity.ERROR for _, finding in results):
        raise typer.Exit(1)


def _print_fixes(results: Sequence[Result], code: str) -> None:
    """To be piped: into psql, say."""
    fixes = [finding.fix for _, finding in results if finding.code == code and finding.fix]
    if not fixes:
        say(f"There is nothing to fix under the code {code}.")
        raise typer.Exit(1)
    print("\n".join(dict.fromkeys(fixes)))


def find_all(configuration: Configuration) -> Iterator[Result]:
    """The findings of the state folder, of every source and of every sink, in the file's order."""
    for finding in _state_findings(configuration):
        yield "state_dir", finding
    for name, source in configuration.sources.items():
        for finding in _ask(lambda source=source: _open(configuration, source)):  # type: ignore[misc]
            yield f"sources.{name}", finding
    for name, sink in configuration.sinks.items():
        for finding in _ask(lambda sink=sink: open_sink(sink, _silent)):  # type: ignore[misc]
            yield f"sinks.{name}", finding


def _open(configuration: Configuration, source: ConfiguredSource) -> Source:
    return open_source(source, _silent, log_identity(configuration, source.name))


def _ask(make: Callable[[], Source | Sink]) -> Sequence[Finding]:
    """What a plug-in finds; what it raises instead is a finding too."""
    try:
        plugin = make()
        try:
            return list(plugin.check())
        finally:
            plugin.close()
    except CdcError as error:
        where = f"{error.where}: " if error.where else ""
        # A connector's remedy is that of a daemon, which tries again; this command looks once.
        remedy = UNREACHABLE if isinstance(error, SourceUnavailable) else error.remedy
        return [Finding(Severity.ERROR, type(error).__name__, where + error.message, remedy)]


def _state_findings(configuration: Configuration) -> Iterator[Finding]:
    folder = configuration.state_dir
    parent = _nearest(folder)
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        fix = f"Make {parent} a folder that the user {os.geteuid()} may write, or set state_dir."
        yield Finding(Severity.ERROR, "state-dir", f"{folder} can't be written", fix)
        return
    free = shutil.disk_usage(parent).free
    wanted = sum(source.settings.log.retain.size for source in configuration.sources.values())
    if free < wanted:
        message = f"the logs may keep {show_bytes(wanted)}, but the disk has {show_bytes(free)} free"
        fix = (
            "Lower log.retain.size, or put state_dir on a larger disk; capture pauses while the disk is full."
        )
        yield Finding(Severity.WARNING, "disk-space", message, fix)
    else:
        yield Finding(Severity.OK, "state-dir", f"{folder} can be written, {show_bytes(free)} free")


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest parent that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _show(results: Sequence[Result]) -> None:
    out = console()
    for subject, finding in results:
        mark = Text(f"{finding.severity.value:<8}", _STYLE[finding.severity])
        out.print(Text.assemble(mark, (subject, "bold"), f"  {finding.message}"), soft_wrap=True)
        lines = finding.fix.splitlines()
        if len(lines) > LONGEST_FIX:
            lines = [f"cdc check --fix {finding.code}   # prints {len(lines)} lines to run"]
        for line in lines:
            out.print(Text(f"          {line}", "cyan"), soft_wrap=True)
        if finding.docs:
            out.print(Text(f"          see {finding.docs}", "dim"), soft_wrap=True)
    errors = sum(finding.severity is Severity.ERROR for _, finding in results)
    warnings = sum(finding.severity is Severity.WARNING for _, finding in results)
    say(
        f"{errors} errors, {warnings} warnings."
        if errors or warnings
        else "All is well: start with `cdc run`."
    )


def _silent(_event: str, **_fields: object) -> None:
    """A preflight reports by findings, not by log lines."""
