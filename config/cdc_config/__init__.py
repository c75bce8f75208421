"""The configuration file: its shape, its loading, its JSON Schema; a leaf that knows no plug-in."""

from cdc_config.http import HttpAddress, HttpSettings, TlsSettings
from cdc_config.load import (
    TRANSFORMS,
    Configuration,
    ConfiguredSink,
    ConfiguredSource,
    PluginLoader,
    load,
    load_http,
    load_value,
    salvage_http,
    salvage_state_dir,
)
from cdc_config.problem import InvalidConfig
from cdc_config.schema import json_schema
from cdc_config.settings import FlushSettings, LogSettings, RetainSettings, SinkSettings, SourceSettings

__all__ = [
    "TRANSFORMS",
    "Configuration",
    "ConfiguredSink",
    "ConfiguredSource",
    "FlushSettings",
    "HttpAddress",
    "HttpSettings",
    "InvalidConfig",
    "LogSettings",
    "PluginLoader",
    "RetainSettings",
    "SinkSettings",
    "SourceSettings",
    "TlsSettings",
    "json_schema",
    "load",
    "load_http",
    "load_value",
    "salvage_http",
    "salvage_state_dir",
]
