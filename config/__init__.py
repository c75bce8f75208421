"""The configuration file: its shape, its loading, its JSON Schema; a leaf that knows no plug-in."""

from config.load import Configuration, ConfiguredSink, ConfiguredSource, PluginLoader, load
from config.problem import InvalidConfig
from config.schema import json_schema
from config.settings import FlushSettings, LogSettings, RetainSettings, SinkSettings, SourceSettings

__all__ = [
    "Configuration",
    "ConfiguredSink",
    "ConfiguredSource",
    "FlushSettings",
    "InvalidConfig",
    "LogSettings",
    "PluginLoader",
    "RetainSettings",
    "SinkSettings",
    "SourceSettings",
    "json_schema",
    "load",
]
