"""`cdc schema`: the JSON Schema of the configuration file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from cdc.cli.output import print_error, print_json
from cdc.cli.session import JsonOption
from cdc.errors import PluginError
from cdc.spi import registry
from cdc_config import TRANSFORMS, json_schema


def schema(as_json: JsonOption = False) -> None:
    """Print the configuration's JSON Schema."""
    print_json(configuration_schema())


def configuration_schema() -> dict[str, Any]:
    """The schema with all plug-ins that can be imported; the others are named on stderr."""
    sinks = _classes("cdc.sinks")
    flush = {name: sink.capabilities.flush for name, sink in sinks.items()}
    transforms: type[BaseModel] = registry.load("cdc.transforms", TRANSFORMS)
    return json_schema(_options(_classes("cdc.sources")), _options(sinks), flush, transforms)


def _options(classes: Mapping[str, Any]) -> dict[str, type[BaseModel]]:
    return {name: one.Options for name, one in classes.items()}


def _classes(group: registry.Group) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for plugin in registry.installed(group):
        try:
            found[plugin.name] = registry.load(group, plugin.name)
        except PluginError as error:
            print_error(error, as_json=not sys.stderr.isatty())
    return found
