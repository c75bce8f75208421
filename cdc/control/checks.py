"""Check everything that the daemon needs: the state folder, every source and every sink."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TypeVar

from cdc.control import local, sink_findings
from cdc.control.composition import open_sink, open_source, silent
from cdc.control.status import DaemonView, daemon_of
from cdc.control.stored import log_identity
from cdc.errors import CdcError, SourceUnavailable
from cdc.kit.report import UNREACHABLE
from cdc.spi import Finding, Severity
from cdc.spi.sink import Sink
from cdc.spi.source import Source
from cdc_config import Configuration, ConfiguredSink, ConfiguredSource

PluginT = TypeVar("PluginT", Source, Sink)
Result = tuple[str, Finding]


def find_all(configuration: Configuration) -> Iterator[Result]:
    """Yield the findings on the state folder, every source and every sink, in the order of the file."""
    daemon = daemon_of(configuration)
    foreign: list[Result] = []
    for subject, finding in _each(configuration, daemon):
        if local.is_of_another_log(finding):
            foreign.append((subject, finding))
        else:
            yield subject, finding
    yield from local.one_fault(configuration, foreign)


def _each(configuration: Configuration, daemon: DaemonView) -> Iterator[Result]:
    for finding in local.state_findings(configuration, daemon):
        yield "state_dir", finding
    for name, source in configuration.sources.items():
        for finding in _of_source(configuration, source, daemon):
            yield f"sources.{name}", finding
    for name, sink in configuration.sinks.items():
        for finding in _of_sink(configuration, sink, daemon):
            yield f"sinks.{name}", finding


def _of_source(
    configuration: Configuration, source: ConfiguredSource, daemon: DaemonView
) -> Iterator[Finding]:
    def look(opened: Source) -> Iterator[Finding]:
        found = list(opened.check())
        yield from found
        yield from local.outdated_findings(configuration, source.name, opened)
        # A running daemon reads the slot at this moment. A slot that is wrong is named already.
        if not daemon.running and not any(_is_error(f) and f.code.startswith("slot") for f in found):
            yield from local.reach_findings(configuration, source.name, opened)

    owner = log_identity(configuration, source.name)
    yield from _ask(lambda: open_source(source, silent, owner), look)
    yield from local.log_findings(configuration, source.name)


def _of_sink(configuration: Configuration, sink: ConfiguredSink, daemon: DaemonView) -> Iterator[Finding]:
    def look(opened: Sink) -> Iterator[Finding]:
        found = list(opened.check())
        yield from found
        yield from sink_findings.capability_findings(sink)
        yield from sink_findings.schema_findings(configuration, sink, opened, found)
        yield from sink_findings.aside_findings(daemon, sink.name, found)
        yield from local.cursor_findings(configuration, sink.name, opened, daemon)

    yield from _ask(lambda: open_sink(sink, silent, daemon=daemon.holder if daemon.running else None), look)


def _ask(make: Callable[[], PluginT], look: Callable[[PluginT], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield the findings of a plug-in; report an error that it raises as a finding."""
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
