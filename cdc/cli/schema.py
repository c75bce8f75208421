"""`cdc schema`: the JSON Schema of the configuration file."""

from __future__ import annotations

import sys
from typing import Any

from pydantic import BaseModel

from cdc.cli.output import print_error, print_json
from cdc.cli.session import JsonOption
from cdc.errors import PluginError
from cdc.spi import registry
from cdc_config import json_schema


def schema(as_json: JsonOption = False) -> None:
    """Print the configuration's JSON Schema."""
    print_json(configuration_schema())


def configuration_schema() -> dict[str, Any]:
    """The schema with all plug-ins that can be imported; the others are named on stderr."""
    return json_schema(_options("cdc.sources"), _options("cdc.sinks"))


def _options(group: registry.Group) -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    for plugin in registry.installed(group):
        try:
            found[plugin.name] = registry.load(group, plugin.name).Options
        except PluginError as error:
            print_error(error, as_json=not sys.stderr.isatty())
    return found
