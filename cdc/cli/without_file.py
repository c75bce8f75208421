"""`cdc run SOURCE_URL --to SINK_URL`: a configuration from the command line alone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from cdc.cli.configured import REMEMBERED_FILE
from cdc.cli.importing import uncollected
from cdc.cli.init import URL_VARIABLE
from cdc.control.urls import configuration_of, text_of
from cdc.errors import ConfigError
from cdc.files import set_umask, write_atomically
from cdc_config import Configuration

SourceUrlArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="SOURCE_URL",
        help="With --to, instead of a file: the database, or env:NAME for the variable that holds its URL."
        f" Default: {URL_VARIABLE}.",
    ),
]
ToOption = Annotated[
    list[str] | None,
    typer.Option(metavar="SINK_URL", help="Without a file: where to copy to, such as duckdb:///shop.duckdb."),
]
TablesOption = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Without a file: the tables, as globs on schema.table."),
]

_VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_SOURCE, _SINK = "run SOURCE_URL", "--to"


@dataclass(frozen=True, slots=True)
class GivenUrls:
    """URLs that the command line gives in place of a file; each may be `env:NAME`."""

    source: str | None
    sinks: Sequence[str]
    tables: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.source or self.sinks or self.tables)

    def configuration(self, environment: Mapping[str, str] = os.environ) -> Configuration:
        """Return the configuration, with the state in the working directory.

        Raises:
            ConfigError, PluginError: a URL is missing, or gives no valid options.
        """
        source = self.source or environment.get(URL_VARIABLE)
        if not self.sinks:
            example = "cdc run SOURCE_URL --to duckdb:///mirror.duckdb"
            raise ConfigError("no sink was given", where=_SINK, remedy=f"Such as: {example}")
        if not source:
            remedy = f"Set {URL_VARIABLE} to the URL of the database."
            raise ConfigError("no URL was given", where=_SOURCE, remedy=remedy)
        with uncollected():
            configuration = configuration_of(
                _resolved(source, environment, _SOURCE),
                [_resolved(sink, environment, _SINK) for sink in self.sinks],
                self.tables,
                Path.cwd(),
                (_SOURCE, _SINK),
            )
        set_umask(configuration.umask)
        return replace(configuration, file=Path.cwd() / REMEMBERED_FILE)

    def remember(self, configuration: Configuration) -> None:
        """Write the configuration into its `state_dir`, secrets left out, for commands without URLs. No-op if
        there are none here either.
        """
        if not self:
            return
        names = [URL_VARIABLE, *map(_variable_of, (self.source, *self.sinks))]
        variables = {os.environ[name]: name for name in reversed(names) if name in os.environ}
        if self.source and not _variable_of(self.source):
            variables[self.source] = URL_VARIABLE
        write_atomically(configuration.file, [text_of(configuration, variables).encode()])


def _variable_of(url: str | None) -> str:
    """The name of the variable that holds the URL; empty if the URL itself was given."""
    variable = _VARIABLE.fullmatch(url or "")
    return variable[1] if variable else ""


def _resolved(url: str, environment: Mapping[str, str], where: str) -> str:
    """The URL, or that of the variable that it names: a command line is shown to every account."""
    name = _variable_of(url)
    if not name:
        return url
    found = environment.get(name)
    if not found:
        raise ConfigError(f"the variable {name} is not set", where=where, remedy=f"Set {name} to the URL.")
    return found
