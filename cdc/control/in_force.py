"""The names of the configuration in force, from the daemon's last report, for a file that has an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cdc.control.status import daemon_of
from cdc.errors import ConfigError, StateError
from cdc.files import DEFAULT_UMASK
from cdc.spi.status import DaemonReport
from cdc_config import (
    Configuration,
    ConfiguredSink,
    ConfiguredSource,
    HttpSettings,
    InvalidConfig,
    SinkSettings,
    SourceSettings,
    salvage_state_dir,
)

# No command that may use it asks for the type: the options have the file's error.
_TYPE = "unknown"


def configuration_in_force(file: Path, error: ConfigError) -> Configuration | None:
    """Return the sources and sinks of the last report in the `state_dir` of a file that has this error.

    Reading the options of one of them raises the error. None if no daemon has run there.
    """
    bare = Configuration(file.absolute(), salvage_state_dir(file), {}, {}, DEFAULT_UMASK, HttpSettings())
    try:
        report = daemon_of(bare).report
    except StateError:
        return None  # The error of the file comes first.
    problems = [one for one in error.problems if isinstance(one, ConfigError)]
    return None if report is None else _reported(bare, report, InvalidConfig(problems))


def _reported(bare: Configuration, report: DaemonReport, error: InvalidConfig) -> Configuration:
    sources = {
        name: ConfiguredSource(name, SourceSettings(type=_TYPE), None, error) for name in report.sources
    }
    sinks = {
        name: ConfiguredSink(
            name, SinkSettings(type=_TYPE), None, error, tuple(pair.source for pair in pairs)
        )
        for name, pairs in report.sinks.items()
    }
    return replace(bare, sources=sources, sinks=sinks)
