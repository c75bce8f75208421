"""Reference pages that the docs site makes of the code: configuration and HTTP.

A test holds docs/metrics.md to the code, so metrics need no page here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cdc.cli.schema import configuration_schema
from cdc.http.app import endpoints
from cdc.http.controls import Controls
from cdc.http.openapi import document
from cdc.http.reads import Reads
from cdc_config.settings import SinkSettings, SourceSettings

Schema = Mapping[str, Any]
PLUGINS: Mapping[str, type[BaseModel]] = {"sources": SourceSettings, "sinks": SinkSettings}
MADE = "This page is made from the code of this version.\n"
KEYS_ARE = """\
A dot separates a section from its key: `log.retain.age`. `[]` is each entry of a list, `*` each name of a
mapping. Every value can be a reference such as `${NAME}` or `${file:/run/secrets/x}`.
[Configuration](../configuration.md) explains the file, and `cdc schema` prints its JSON Schema.
"""
# What every value of the file may be; saying so for each key would hide the rest.
REFERENCE_PATTERN = r"\$\{"
# Pydantic's spelling of durations: `P7D`, `PT5M`.
ISO_DURATION = re.compile(r"PT?(\d+)([DHMS])")
PLACEHOLDER = re.compile(r"(?<!`)<(\w+)>")
HTML = r"&lt;\1&gt;"
SIZES = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
HEADER = "| key | type | default | meaning |\n|---|---|---|---|"


def configuration() -> str:
    """Return the page of all keys of the configuration file."""
    schema = configuration_schema()
    definitions = schema["$defs"]
    parts = ["# All keys of the configuration\n", MADE, KEYS_ARE]
    file = {**schema, "properties": {k: v for k, v in schema["properties"].items() if k not in PLUGINS}}
    parts += ["## The file\n", *_table(_all_rows(file, definitions))]
    for folder, model in PLUGINS.items():
        kind = folder.removesuffix("s")
        names = sorted(
            name.removeprefix(f"{kind}.") for name in definitions if re.fullmatch(rf"{kind}\.\w+", name)
        )
        properties = definitions[f"{kind}.{names[0]}"]["properties"]
        common = {name: properties[name] for name in map(_spelled, model.model_fields.items())}
        common["type"] = {**common["type"], "enum": names}
        shared = _all_rows({"properties": common, "required": ["type"]}, definitions)
        parts += [f"## Every {kind}\n\nKeys of `{folder}.<name>`.\n", *_table(shared)]
        for name in names:
            own = definitions[f"{kind}.{name}"]
            own = {**own, "properties": {**own["properties"], "type": common["type"]}}
            parts.append(f"## type: {name}\n\nKeys and defaults that not every {kind} has.")
            parts.append(f"[{name}](../{folder}/{name}.md) explains them.\n")
            parts += _table([row for row in _all_rows(own, definitions) if row not in shared])
    return "\n".join(parts)


def _spelled(field: tuple[str, FieldInfo]) -> str:
    """Return the key of a field, as a configuration file spells it."""
    return field[1].alias or field[0]


def http() -> str:
    """Return the page of all paths, with parameters, bodies and answers."""
    nobody = cast("Any", None)
    made = document(endpoints(Reads(nobody), Controls(nobody)))
    parts = ["# All paths of the HTTP service\n", MADE]
    parts.append("[HTTP](../http.md) explains who may do what. A daemon serves its own OpenAPI document at")
    parts.append("`/api/v1/openapi.json`.\n")
    schemas = made.get("components", {}).get("schemas", {})
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            parts += _operation(method.upper(), path, operation, schemas)
    return "\n".join(parts)


def _table(rows: list[str]) -> list[str]:
    return [HEADER, *rows, ""]


def _all_rows(schema: Schema, definitions: Schema) -> list[str]:
    return [row for name in schema["properties"] for row in _rows(name, schema, name, definitions)]


def _rows(key: str, parent: Schema, name: str, definitions: Schema) -> Iterator[str]:
    """Yield the row of a key, then those of the keys below it."""
    prop = parent["properties"][name]
    default = _default(prop, is_required=name in parent.get("required", ()))
    yield _row(f"`{key}`", _type(prop, definitions), default, prop.get("description", ""))
    for suffix, section in _sections(prop, definitions):
        for inner in section.get("properties", ()):
            yield from _rows(f"{key}{suffix}.{inner}", section, inner, definitions)


def _sections(prop: Schema, definitions: Schema, suffix: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield the mappings with keys of their own that a value can be or contain."""
    if "$ref" in prop:
        yield suffix, definitions[prop["$ref"].removeprefix("#/$defs/")]
    elif "properties" in prop:
        yield suffix, prop
    for option in prop.get("anyOf", ()):
        yield from _sections(option, definitions, suffix)
    if isinstance(prop.get("items"), Mapping):
        yield from _sections(prop["items"], definitions, f"{suffix}[]")
    if isinstance(prop.get("additionalProperties"), Mapping):
        yield from _sections(prop["additionalProperties"], definitions, f"{suffix}.*")


def _type(prop: Schema, definitions: Schema) -> str:
    if "$ref" in prop:
        prop = definitions[prop["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in prop:
        options = [
            o for o in prop["anyOf"] if o.get("pattern") != REFERENCE_PATTERN and o.get("type") != "null"
        ]
        return " or ".join(dict.fromkeys(_type(option, definitions) for option in options))
    if "enum" in prop:
        return ", ".join(f"`{value}`" for value in prop["enum"])
    if "const" in prop:
        return f"`{prop['const']}`"
    if "properties" in prop:
        return "mapping"
    if prop.get("type") == "array":
        return f"list of {_type(prop.get('items', {}), definitions)}"
    if prop.get("type") == "object":
        inner = prop.get("additionalProperties")
        return f"mapping of {_type(inner, definitions)}" if isinstance(inner, Mapping) else "mapping"
    return _scalar(prop)


def _scalar(prop: Schema) -> str:
    if prop.get("examples"):
        return "such as " + ", ".join(f"`{one}`" for one in prop["examples"])
    if prop.get("writeOnly"):
        return "secret text"
    word = {"string": "text", "integer": "whole number", "boolean": "`true`, `false`"}.get(
        prop.get("type", ""), "value"
    )
    low, high = prop.get("minimum"), prop.get("maximum")
    if low is None and high is None:
        return "path" if prop.get("format") == "path" else word
    return f"{word}, {low} to {high}" if high is not None else f"{word}, at least {low}"


def _default(prop: Schema, *, is_required: bool) -> str:
    if is_required:
        return "required"
    value = prop.get("default")
    if isinstance(value, dict) and value:
        return "below"
    if value is None or value in ([], {}, ""):
        return "none"
    examples = [str(one) for option in prop.get("anyOf", ()) for one in option.get("examples", ())]
    if "128MiB" in examples and isinstance(value, int):
        return f"`{_size(value)}`"
    if "30s" in examples and (duration := ISO_DURATION.fullmatch(str(value))):
        return f"`{''.join(duration.groups(default='')).lower()}`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _size(count: int) -> str:
    """Return the size as a configuration file spells it."""
    unit = next((one for one in SIZES if count % SIZES[one] == 0), "B")
    return f"{count // SIZES.get(unit, 1)}{unit}"


def _row(*cells: str) -> str:
    """Return the row of a table; Markdown would take `<source>` for HTML."""
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(PLACEHOLDER.sub(HTML, cell) for cell in escaped)} |"


def _operation(method: str, path: str, operation: Schema, schemas: Schema) -> list[str]:
    parts = [f"## {method} {path}\n", f"{operation['summary']}.\n"]
    if operation.get("parameters"):
        parts += ["| parameter | in | type | required | meaning |", "|---|---|---|---|---|"]
        for one in operation["parameters"]:
            required = "yes" if one.get("required") else "no"
            kind = _type(one.get("schema", {}), schemas)
            parts.append(_row(f"`{one['name']}`", one["in"], kind, required, one.get("description", "")))
        parts.append("")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body and body.get("properties"):
        parts += ["Body:\n", HEADER.replace("key", "field", 1)]
        parts += [*_all_rows(body, schemas), ""]
    return [*parts, *_answers(operation["responses"], schemas), ""]


def _answers(responses: Schema, schemas: Schema) -> list[str]:
    """Return the table of the answers; equal ones share a row."""
    statuses: dict[tuple[str, str], list[str]] = {}
    for status, answer in responses.items():
        for kind, content in answer.get("content", {}).items():
            schema = content.get("schema", {})
            if "$ref" in schema:
                schema = schemas[schema["$ref"].rpartition("/")[2]]
            fields = ", ".join(f"`{name}`" for name in schema.get("required", ()))
            statuses.setdefault((kind, fields or "–"), []).append(status)
    rows = [_row(", ".join(codes), kind, fields) for (kind, fields), codes in statuses.items()]
    return ["| answer | content | fields |", "|---|---|---|", *rows]
