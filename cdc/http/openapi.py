"""The list of endpoints, from which routes, OpenAPI and the docs are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

import cdc

PREFIX = "/api/v1"
_OBJECT: dict[str, Any] = {"type": "object"}
ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["kind", "where", "message", "remedy"],
            "properties": {name: {"type": "string"} for name in ("kind", "where", "message", "remedy")},
        }
    },
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path with one method. `query` and `body` are the models of what a caller gives; `returns` names the
    keys of the answer.
    """

    path: str
    method: str
    handler: Callable[..., Any]
    query: type[BaseModel]
    returns: Sequence[str]
    body: type[BaseModel] | None = None

    @property
    def summary(self) -> str:
        return (self.handler.__doc__ or "").strip().partition("\n")[0].rstrip(".")


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    paths: dict[str, Any] = {
        "/healthz": _probe("Whether the daemon works; 503: restart it", ["alive", "age_seconds"]),
        "/readyz": _probe("Whether changes flow, and why not", ["ready", "title", "text", "remedy"]),
        "/metrics": {"get": _plain("Metrics for Prometheus", "text/plain")},
        f"{PREFIX}/stream": {"get": _plain("Server-sent events: status, event, point", "text/event-stream")},
        f"{PREFIX}/openapi.json": {
            "get": _operation("This document", {"200": _answer(["openapi", "paths"])})
        },
    }
    for endpoint in endpoints:
        paths.setdefault(f"{PREFIX}{endpoint.path}", {})[endpoint.method.lower()] = _described(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "cdc", "version": cdc.__version__},
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR_SCHEMA},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(endpoint: Endpoint) -> dict[str, Any]:
    problems = ["401", "403", "421", "422", "429", *(["400", "409", "413"] if endpoint.body else ["409"])]
    answers = {"200": _answer(endpoint.returns), **{code: _problem() for code in sorted(problems)}}
    operation = _operation(endpoint.summary, answers)
    operation["parameters"] = _parameters(endpoint.query)
    if endpoint.body is not None:
        schema = _inlined(endpoint.body.model_json_schema(by_alias=True))
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        # A dry run needs no token.
        operation["security"] = [{"token": []}, {}]
    return operation


def _operation(summary: str, answers: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": answers}


def _parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = _inlined(model.model_json_schema(by_alias=True))
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": one.pop("description", ""),
            "schema": _without_null(one),
        }
        for name, one in schema.get("properties", {}).items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is left out has no value: null is not one."""
    choices = [one for one in schema.pop("anyOf", []) if one != {"type": "null"}]
    schema = {key: value for key, value in schema.items() if value is not None}
    return schema | choices[0] if choices else schema


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    schema.pop("title", None)
    for one in schema.get("properties", {}).values():
        one.pop("title", None)
    return schema


def _probe(summary: str, returns: Sequence[str]) -> dict[str, Any]:
    return {"get": _operation(summary, {"200": _answer(returns), "503": _answer(returns), "421": _problem()})}


def _plain(summary: str, kind: str) -> dict[str, Any]:
    answers = {"200": {"description": "Done", "content": {kind: {"schema": {"type": "string"}}}}}
    return _operation(summary, answers | {code: _problem() for code in ("401", "403", "421", "429", "503")})


def _answer(returns: Sequence[str]) -> dict[str, Any]:
    schema = _OBJECT | {"required": list(returns)}
    return {"description": "Done", "content": {"application/json": {"schema": schema}}}


def _problem() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": "Refused", "content": {"application/json": {"schema": schema}}}
