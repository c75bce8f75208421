"""`cdc check`: everything the daemon needs, checked before it starts; each finding has its fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

import typer
from rich.text import Text

from cdc.cli import local, sink_findings
from cdc.cli.composition import open_sink, open_source
from cdc.cli.docs import command_for
from cdc.cli.output import console, print_json, say
from cdc.cli.session import DEFAULT_CONFIG, ConfigOption, JsonOption, open_configuration
from cdc.cli.stored import last_status, log_identity
from cdc.errors import CdcError, SourceUnavailable
from cdc.spi import Finding, Severity
from cdc.spi.finding import counted
from cdc.spi.sink import Sink
from cdc.spi.source import Source
from cdc_config import Configuration, ConfiguredSink, ConfiguredSource

PluginT = TypeVar("PluginT", Source, Sink)
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
    document = last_status(configuration)
    for finding in local.state_findings(configuration, document):
        yield "state_dir", finding
    for name, source in configuration.sources.items():
        for finding in _of_source(configuration, source, document):
            yield f"sources.{name}", finding
    for name, sink in configuration.sinks.items():
        for finding in _of_sink(configuration, sink, document):
            yield f"sinks.{name}", finding


def _of_source(
    configuration: Configuration, source: ConfiguredSource, document: Mapping[str, Any]
) -> Iterator[Finding]:
    def look(opened: Source) -> Iterator[Finding]:
        found = list(opened.check())
        yield from found
        # A running daemon reads the slot at this moment. A slot that is wrong is named already.
        if not document["running"] and not any(_is_error(f) and f.code.startswith("slot") for f in found):
            yield from local.reach_findings(configuration, source.name, opened)

    owner = log_identity(configuration, source.name)
    yield from _ask(lambda: open_source(source, _silent, owner), look)
    yield from local.log_findings(configuration, source.name)


def _of_sink(
    configuration: Configuration, sink: ConfiguredSink, document: Mapping[str, Any]
) -> Iterator[Finding]:
    def look(opened: Sink) -> Iterator[Finding]:
        found = list(opened.check())
        yield from found
        yield from sink_findings.capability_findings(sink)
        yield from sink_findings.schema_findings(configuration, sink, opened, found)
        yield from sink_findings.aside_findings(document, sink.name, found)
        yield from local.cursor_findings(configuration, sink.name, opened, document)

    pid = int(document["pid"]) if document["running"] else 0
    yield from _ask(lambda: open_sink(sink, _silent, daemon_pid=pid), look)


def _ask(make: Callable[[], PluginT], look: Callable[[PluginT], Iterator[Finding]]) -> Iterator[Finding]:
    """What a plug-in finds; what it raises instead is a finding too."""
    try:
        with closing(make()) as plugin:
            yield from look(plugin)
    except CdcError as error:
        where = f"{error.where}: " if error.where else ""
        # A connector's remedy is that of a daemon, which tries again; this command looks once.
        remedy = UNREACHABLE if isinstance(error, SourceUnavailable) else error.remedy
        yield Finding(Severity.ERROR, type(error).__name__, where + error.message, remedy)


def _is_error(finding: Finding) -> bool:
    return finding.severity is Severity.ERROR


def _show(results: Sequence[Result]) -> None:
    out = console()
    for subject, finding in results:
        mark = Text(f"{finding.severity.value:<8}", _STYLE[finding.severity])
        say(Text.assemble(mark, (subject, "bold"), f"  {finding.message}"), out)
        lines = finding.fix.splitlines()
        if len(lines) > LONGEST_FIX:
            lines = [f"cdc check --fix {finding.code}   # prints {len(lines)} lines to run"]
        for line in lines:
            say(Text(f"          {line}", "cyan"), out)
        if finding.docs:
            say(Text(f"          see: {command_for(finding.docs)}", "dim"), out)
    errors = sum(finding.severity is Severity.ERROR for _, finding in results)
    warnings = sum(finding.severity is Severity.WARNING for _, finding in results)
    say(
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')}."
        if errors or warnings
        else "All is well: start with `cdc run`."
    )


def _silent(_event: str, **_fields: object) -> None:
    """A preflight reports by findings, not by log lines."""
