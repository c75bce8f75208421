"""The ASGI application: routes, and how errors are answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cdc.errors import CdcError
from cdc.http.controls import Action, ControlQuery, Controls, PauseBody, ReloadBody, ReplayBody, SnapshotBody
from cdc.http.guard import Access, BodyTooLarge, Bucket, RequestLimits, refusal, refusal_of, too_large
from cdc.http.metrics import Metrics
from cdc.http.openapi import PREFIX, Endpoint, document
from cdc.http.page import PREFIX as PAGE
from cdc.http.page import page
from cdc.http.reads import (
    CheckpointsQuery,
    EventsQuery,
    HistoryQuery,
    Reads,
    SchemasQuery,
    StatusQuery,
    TablesQuery,
    answer,
    parse_query,
    wrong,
)

Handler = Callable[[Request], Awaitable[Response]]
_PREVIEW = ("title", "happens", "stays", "command", "button", "dry_run")


def endpoints(reads: Reads, controls: Controls) -> list[Endpoint]:
    """Return all endpoints below the prefix that answer with JSON."""
    return [
        Endpoint("/status", "GET", reads.status, StatusQuery, ("verdict", "resources", "sources", "sinks")),
        Endpoint("/tables", "GET", reads.tables, TablesQuery, ("total", "by_state", "next", "tables")),
        Endpoint("/checkpoints", "GET", reads.checkpoints, CheckpointsQuery, ("checkpoints",)),
        Endpoint("/schema-history", "GET", reads.schemas, SchemasQuery, ("next", "schemas")),
        Endpoint("/errors", "GET", reads.errors, StatusQuery, ("errors",)),
        Endpoint("/events", "GET", reads.events, EventsQuery, ("events",)),
        Endpoint("/history", "GET", reads.history, HistoryQuery, ("step_seconds", "at", "series", "marks")),
        Endpoint("/pause", "POST", controls.pause, ControlQuery, _PREVIEW, PauseBody),
        Endpoint("/resume", "POST", controls.resume, ControlQuery, _PREVIEW, PauseBody),
        Endpoint("/replay", "POST", controls.replay, ControlQuery, _PREVIEW, ReplayBody),
        Endpoint("/snapshot", "POST", controls.snapshot, ControlQuery, _PREVIEW, SnapshotBody),
        Endpoint("/reload", "POST", controls.reload, ControlQuery, (*_PREVIEW, "changes"), ReloadBody),
    ]


def application(
    reads: Reads, controls: Controls, metrics: Metrics, access: Access, requests: Bucket | None = None
) -> Starlette:
    """Return the application; `requests` limits the rate of all of them, by default as `guard` says."""
    found = endpoints(reads, controls)
    described = document(found)

    def openapi(_: Request) -> Response:
        return answer(described)

    routes = [
        Route("/", _open(page, access)),
        Route(f"{PAGE}/{{name}}", _open(page, access)),
        Route("/healthz", _guarded(reads.healthz, access)),
        Route("/readyz", _guarded(reads.readyz, access)),
        Route("/metrics", _guarded(metrics.answer, access)),
        Route(f"{PREFIX}/openapi.json", _guarded(openapi, access)),
        Route(f"{PREFIX}/stream", _guarded_stream(reads, access)),
        *(Route(f"{PREFIX}{one.path}", _handler(one, access), methods=[one.method]) for one in found),
    ]
    handlers: Any = {CdcError: _ours, HTTPException: _theirs, BodyTooLarge: _long, Exception: _defect}
    return Starlette(
        routes=routes, middleware=[Middleware(RequestLimits, requests)], exception_handlers=handlers
    )


def _open(handler: Callable[[Request], Response], access: Access) -> Handler:
    """The page has no data: it asks for the token where reading needs one."""

    async def opened(request: Request) -> Response:
        return access.refuse_host(request) or handler(request)

    return opened


def _guarded(handler: Callable[[Request], Response], access: Access) -> Handler:
    async def guarded(request: Request) -> Response:
        refused = access.refuse_reading(request)
        return await run_in_threadpool(handler, request) if refused is None else refused

    return guarded


def _guarded_stream(reads: Reads, access: Access) -> Handler:
    async def guarded(request: Request) -> Response:
        refused = access.refuse_reading(request)
        return await reads.stream(request) if refused is None else refused

    return guarded


def _handler(endpoint: Endpoint, access: Access) -> Handler:
    async def read(request: Request) -> Response:
        refused = access.refuse_reading(request)
        query = parse_query(endpoint.query, request) if refused is None else refused
        if isinstance(query, Response):
            return query
        return answer(await run_in_threadpool(endpoint.handler, query))

    async def control(request: Request) -> Response:
        refused = access.refuse_reading(request)
        query = parse_query(endpoint.query, request) if refused is None else refused
        if isinstance(query, Response):
            return query
        dry_run = isinstance(query, ControlQuery) and query.dry_run
        refused = access.refuse_preview() if dry_run else access.refuse_control(request)
        body = await _body(endpoint, request) if refused is None else refused
        if isinstance(body, Response):
            return body
        return answer(await run_in_threadpool(_act, endpoint, body, dry_run=dry_run))

    return read if endpoint.body is None else control


async def _body(endpoint: Endpoint, request: Request) -> Any:
    assert endpoint.body is not None
    try:
        value = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return refusal(400, "ConfigError", "the body is not JSON", "Send a JSON object.", where="body")
    try:
        return endpoint.body.model_validate(value)
    except ValidationError as error:
        return wrong(error)


def _act(endpoint: Endpoint, body: Any, *, dry_run: bool) -> dict[str, Any]:
    action: Action = endpoint.handler(body)
    said, act = action
    return said | ({} if dry_run else act()) | {"dry_run": dry_run}


def _ours(_: Request, error: Exception) -> Response:
    """Answer a request that the daemon refuses with its error, unchanged."""
    assert isinstance(error, CdcError)
    return refusal_of(409, error)


def _theirs(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    found = refusal(error.status_code, "HttpError", error.detail, f"See {PREFIX}/openapi.json.")
    found.headers.update(error.headers or {})
    return found


def _long(_: Request, __: Exception) -> Response:
    return too_large()


def _defect(_: Request, error: Exception) -> Response:
    """The text of a foreign error may hold a value: only its class is shown."""
    remedy = "This is a defect: please report it with the request."
    return refusal(500, "InternalError", f"unexpected {type(error).__name__}", remedy)
