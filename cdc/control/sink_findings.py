"""Findings of `cdc check` on a sink that come from the configuration of its sources, or from the status of a
running daemon.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cdc.control.status import DaemonView
from cdc.spi import Atomicity, Capabilities, Finding, SelectsTables, Severity
from cdc.spi.sink import ChecksSchemas, Sink
from cdc_config import Configuration, ConfiguredSink


def schema_findings(
    configuration: Configuration, sink: ConfiguredSink, opened: Sink, found: Sequence[Finding]
) -> Iterator[Finding]:
    """Yield the sink's findings on the schemas that its sources' `tables` name, without repeating any."""
    if not isinstance(opened, ChecksSchemas):
        return
    known = {finding.code for finding in found}
    for finding in opened.check_schemas(_schemas(configuration, sink)):
        if finding.code not in known:
            yield finding


def capability_findings(sink: ConfiguredSink) -> Iterator[Finding]:
    """Yield the sink's capabilities, and options of the configuration that exceed them."""
    capabilities: Capabilities = sink.plugin.capabilities
    facts = "; ".join(f"{name}: {value}" for name, value in capabilities.facts().items())
    yield Finding(Severity.OK, "sink-capabilities", facts)
    wanted = sink.settings.flush.policy(capabilities.flush)
    if capabilities.obeyed(wanted) != wanted:
        smallest = capabilities.facts()["smallest flush interval"]
        message = f"flush.interval is below the minimum of this type of sink, {smallest}"
        yield Finding(Severity.WARNING, "flush-interval", message, f"Write flush: {{interval: {smallest}}}.")
    if capabilities.atomic is Atomicity.NOTHING:
        message = "an interrupted delivery stays partly visible until the next attempt completes it"
        yield Finding(Severity.WARNING, "sink-not-atomic", message)


def aside_findings(daemon: DaemonView, sink: str, found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield the tables that the sink has set aside, from the running daemon's status. A sink that could be
    read has listed them already.
    """
    if not daemon.running or any(finding.code == "table-set-aside" for finding in found):
        return
    for pair in daemon.report.sinks.get(sink, ()) if daemon.report else ():
        for one in pair.set_aside:
            message = f"the table {one.table} is set aside: {one.message}"
            yield Finding(Severity.ERROR, "table-set-aside", message, one.remedy)


def _schemas(configuration: Configuration, sink: ConfiguredSink) -> set[str]:
    """The schemas that the patterns of the sink's sources name in full."""
    options = [configuration.sources[source].options for source in sink.sources]
    patterns = [
        pattern
        for one in options
        if isinstance(one, SelectsTables)
        for pattern in one.tables
        if not pattern.startswith("!")
    ]
    schemas = {pattern.partition(".")[0].strip('"') for pattern in patterns}
    return {schema for schema in schemas if "*" not in schema and "?" not in schema}
