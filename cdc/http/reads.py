"""The requests that change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from cdc.control import storage
from cdc.control.catalog import TableQuery, errors_of, readers, schemas_of, tables_of
from cdc.control.live import LiveStatus
from cdc.control.monitor import MAX_EVENTS, POINT_SECONDS
from cdc.control.status import STALE_SECONDS
from cdc.control.stored import checkpoint_document, kept_checkpoints
from cdc.control.verdict import ALIVE_SECONDS
from cdc.http.guard import refusal
from cdc.spi.status import StatusDocument
from cdc.units import parse_duration

_JSON = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
STREAM_SECONDS = 1.0
# One for each page that is open; more are scripts that forgot to close.
MAX_STREAMS = 16
MOST_ROWS = 1000
Limit = Annotated[int, Field(ge=1, le=MOST_ROWS)]
# No name of a source, sink or table is longer, and a search is a part of one.
Text = Annotated[str, Field(max_length=500)]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StatusQuery(_Query):
    """No parameters."""


class TablesQuery(_Query):
    """Which tables, and which page of them."""

    search: Text = Field("", description="A part of the table's name.")
    source: Text | None = Field(None, description="Tables of this source only.")
    state: Literal["waiting", "copying", "live", "paused", "skipped", "unfollowed"] | None = Field(
        None, description="Tables in this state only."
    )
    order: Literal["name", "state", "attention"] = Field(
        "name",
        description="The order of the tables; `attention`: skipped, unfollowed and copied ones first.",
    )
    limit: Limit = Field(100, description="At most this many.")
    cursor: Text = Field("", description="`next` of the page before.")


class CheckpointsQuery(_Query):
    """Which checkpoints."""

    source: Text | None = Field(None, description="Checkpoints of this source only.")
    limit: Limit = Field(20, description="At most this many, newest first.")


class SchemasQuery(_Query):
    """Which definitions, and which page of them."""

    search: Text = Field("", description="A part of the table's name.")
    source: Text | None = Field(None, description="Tables of this source only.")
    limit: Limit = Field(100, description="At most this many, newest first.")
    cursor: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = Field(
        None, description="`next` of the page before."
    )


class EventsQuery(_Query):
    """How many events."""

    limit: Annotated[int, Field(ge=1, le=MAX_EVENTS)] = Field(
        50, description="At most this many, newest first."
    )


class HistoryQuery(_Query):
    """How much of the last day."""

    window: str = Field(
        "1h", pattern=r"^[0-9]{1,4}(s|m|h)$", description="A duration, such as 15m, at most 24h."
    )


def _plain(value: Any) -> Any:
    """Return a value that orjson does not write itself in a form that it writes."""
    if isinstance(value, StatusDocument):
        return value.document()
    if is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    return str(value)


def as_json(document: Any) -> bytes:
    """Return a document as JSON; reports and dataclasses may be parts of it."""
    return orjson.dumps(document, default=_plain, option=_JSON)


def answer(document: Any, status: int = 200) -> Response:
    """Return a document as JSON that caches do not store."""
    body = as_json(document)
    return Response(body, status, headers={"Cache-Control": "no-store"}, media_type="application/json")


class Reads:
    """The handlers, which starlette runs on threads of its own."""

    def __init__(self, live: LiveStatus) -> None:
        self._live = live
        self._streams = 0
        self.stopping = False

    def healthz(self, _: Request) -> Response:
        """200 while the engine's thread works: 503 calls for a restart."""
        age = self._live.monitor.age_seconds
        is_alive = age < ALIVE_SECONDS
        return answer({"alive": is_alive, "age_seconds": round(age, 1)}, 200 if is_alive else 503)

    def readyz(self, _: Request) -> Response:
        """200 while changes flow: 503 names what keeps them, and what to do."""
        status = self._live.status()
        verdict = self._live.verdict(status)
        is_ready = verdict.is_ready and self._live.monitor.age_seconds <= STALE_SECONDS
        errors = errors_of(status)
        remedy = errors[0].error.remedy if errors and not is_ready else ""
        document = {"ready": is_ready, "title": verdict.title, "text": verdict.text, "remedy": remedy}
        return answer(document, 200 if is_ready else 503)

    def status(self, _: StatusQuery) -> Any:
        """The status of everything, with the verdict."""
        return self._live.document()

    def tables(self, query: TablesQuery) -> Any:
        """The captured tables, by pages."""
        status = self._live.status()
        with readers(status, self._live.log) as logs:
            return tables_of(status, logs, TableQuery(**query.model_dump()))

    def checkpoints(self, query: CheckpointsQuery) -> Any:
        """The places that a replay can start from."""
        found = kept_checkpoints(self._live.configuration, query.source, query.limit)
        return {"checkpoints": [checkpoint_document(point, in_log=is_in_log) for point, is_in_log in found]}

    def schemas(self, query: SchemasQuery) -> Any:
        """The definitions that captured tables have had, each with what it changed, by pages."""
        with closing(storage.state(self._live.configuration).reader()) as state:
            return schemas_of(state, query.search, query.source, query.limit, query.cursor)

    def errors(self, _: StatusQuery) -> Any:
        """The present errors, each with its remedy."""
        return {"errors": [error.document() for error in errors_of(self._live.status())]}

    def events(self, query: EventsQuery) -> Any:
        """The newest lines of the log of this process, without progress."""
        return {"events": self._live.monitor.events(query.limit)}

    def history(self, query: HistoryQuery) -> Any:
        """Rates, lags and freshness: of an hour every ten seconds, of a day every five minutes."""
        return self._live.monitor.history(parse_duration(query.window).total_seconds())

    async def stream(self, request: Request) -> Response:
        """Server-sent events: `status` every second, `event`, and `point` every ten seconds."""
        if self._streams >= MAX_STREAMS:
            return refusal(
                503, "TooManyStreams", "too many streams are open", "Close one, or ask for the status."
            )
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(request), media_type="text/event-stream", headers=headers)

    async def _events(self, request: Request) -> AsyncIterator[bytes]:
        monitor, seen, rounds = self._live.monitor, 0, 0
        self._streams += 1
        try:
            while not self.stopping and not await request.is_disconnected():
                yield _event("status", await run_in_threadpool(self._live.document))
                for one in reversed(monitor.events(MAX_EVENTS, after=seen)):
                    seen = one["number"]
                    yield _event("event", one)
                if rounds % (POINT_SECONDS // STREAM_SECONDS) == 0:
                    yield _event("point", monitor.history(POINT_SECONDS))
                rounds += 1
                await asyncio.sleep(STREAM_SECONDS)
        finally:
            self._streams -= 1


def _event(name: str, document: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), as_json(document))


def parse_query(model: type[BaseModel], request: Request) -> BaseModel | Response:
    """Return the parameters of a request, or their error. A repeated parameter is an error."""
    names = [name for name, _ in request.query_params.multi_items()]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        return refusal(422, "ConfigError", "is given twice", "Give it once.", where=repeated)
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        return wrong(error)


def wrong(error: ValidationError) -> Response:
    """Return the errors of parameters or a body, without their values."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "model_type":
        return refusal(422, "ConfigError", "the body is not an object", "Send a JSON object.", where="body")
    return refusal(422, "ConfigError", first["msg"], "See /api/v1/openapi.json.", where=where)
