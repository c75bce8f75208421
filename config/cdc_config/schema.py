"""The JSON Schema of the whole file, with the options of every installed plug-in, for editors and CI."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from cdc.spi.capabilities import FlushPolicy
from cdc_config.http import HttpSettings
from cdc_config.settings import (
    DEFAULT_STATE_DIR,
    DEFAULT_UMASK_TEXT,
    NAME_PATTERN,
    UMASK_PATTERN,
    FlushSettings,
    SinkSettings,
    SourceSettings,
)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# A text with a reference may replace a number, a choice or a flag.
_REFERENCE: dict[str, Any] = {"type": "string", "pattern": r"\$\{"}
_LITERAL_KEYS = ("enum", "const", "default", "examples", "required")
_DOTTED_PATH: dict[str, Any] = {"type": "string", "pattern": r"^[^:]+:[^:]+$"}

Schema = dict[str, Any]
Model = type[BaseModel]
Options = Mapping[str, Model]


def json_schema(
    sources: Options, sinks: Options, flush: Mapping[str, FlushPolicy], transforms: Model | None = None
) -> dict[str, Any]:
    """The schema, given the options models of the installed plug-ins and how sinks are flushed, by type name,
    and the model of a source's `transforms`.
    """
    definitions: dict[str, Any] = {}
    schema = {
        "$schema": _DIALECT,
        "title": "cdc configuration",
        "type": "object",
        "required": ["sources"],
        "additionalProperties": False,
        "properties": {
            "state_dir": {
                "type": "string",
                "default": DEFAULT_STATE_DIR,
                "description": (
                    "The folder for the log, the checkpoints and the status; relative to this file."
                ),
            },
            "umask": {
                "type": "string",
                "pattern": f"^{UMASK_PATTERN}$",
                "default": DEFAULT_UMASK_TEXT,
                "description": "Permissions to remove from new files and folders, in octal.",
            },
            "http": _http(definitions),
            "sources": _named(
                "source", [SourceSettings, *([transforms] if transforms else [])], sources, definitions
            )
            | {"minProperties": 1},
            "sinks": _named("sink", [SinkSettings], sinks, definitions),
        },
    }
    for name, policy in flush.items():
        _set_flush(definitions, f"sink.{name}", policy)
    return schema | {"$defs": definitions}


def _http(definitions: Schema) -> Schema:
    schema = _renamed(HttpSettings.model_json_schema(), "http")
    for key, definition in schema.pop("$defs", {}).items():
        definitions[f"http.{key}"] = _allowing_references(definition)
    schema["properties"] = {key: _allowing_references(one) for key, one in schema["properties"].items()}
    return {key: schema[key] for key in ("type", "description", "properties", "additionalProperties")}


def _set_flush(definitions: Schema, prefix: str, policy: FlushPolicy) -> None:
    """Show a sink's own policy as the default."""
    own = FlushSettings(
        rows=policy.rows, size=f"{policy.bytes}B", interval=timedelta(seconds=policy.interval_seconds)
    ).model_dump(mode="json")
    definitions[prefix]["properties"]["flush"]["default"] = own
    for key, value in own.items():
        definitions[f"{prefix}.FlushSettings"]["properties"][key]["default"] = value


def _named(kind: str, settings: Sequence[Model], options: Options, definitions: Schema) -> Schema:
    """A mapping of names to sections, whose keys depend on `type`."""
    cases = []
    for name in sorted(options):
        definitions[f"{kind}.{name}"] = _section(name, settings, options[name], f"{kind}.{name}", definitions)
        condition = {"properties": {"type": {"const": name}}, "required": ["type"]}
        cases.append({"if": condition, "then": {"$ref": f"#/$defs/{kind}.{name}"}})
    section = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"anyOf": [{"enum": sorted(options)}, _DOTTED_PATH]}},
        "allOf": cases,
    }
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME_PATTERN}$"},
        "additionalProperties": section,
    }


def _section(
    name: str, settings: Sequence[Model], options: Model, prefix: str, definitions: Schema
) -> Schema:
    merged: Schema = {"type": "object", "properties": {}, "required": []}
    for model in (*settings, options):
        schema = model.model_json_schema(by_alias=True)
        inner = _renamed(schema, prefix)
        for key, definition in inner.pop("$defs", {}).items():
            definitions[f"{prefix}.{key}"] = _allowing_references(definition)
        merged["properties"] |= {k: _allowing_references(v) for k, v in inner.get("properties", {}).items()}
        merged["required"] += inner.get("required", [])
    merged["properties"]["type"] = {
        "const": name,
        "description": settings[0].model_fields["type"].description,
    }
    return merged | {"additionalProperties": False}


def _renamed(schema: Any, prefix: str) -> Any:
    """The same schema with its references to `#/$defs/X` turned to `#/$defs/<prefix>.X`."""
    if isinstance(schema, list):
        return [_renamed(item, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    renamed = {k: _renamed(v, prefix) for k, v in schema.items()}
    if "$ref" in schema:
        renamed["$ref"] = f"#/$defs/{prefix}.{schema['$ref'].removeprefix('#/$defs/')}"
    return renamed


def _allowing_references(schema: Any) -> Any:
    """The same schema, in which a text with `${…}` also fits every scalar that isn't free text."""
    if isinstance(schema, list):
        return [_allowing_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {k: v if k in _LITERAL_KEYS else _allowing_references(v) for k, v in schema.items()}
    if not _is_strict_scalar(schema):
        return result
    outer = {k: result.pop(k) for k in ("description", "title", "default") if k in result}
    return outer | {"anyOf": [result, copy.deepcopy(_REFERENCE)]}


def _is_strict_scalar(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    if kind in ("integer", "number", "boolean"):
        return True
    return kind == "string" and any(key in schema for key in ("enum", "const", "pattern", "format"))
