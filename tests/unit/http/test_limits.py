"""How much the HTTP service answers."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from cdc.http.guard import Access, Bucket, RequestLimits


def bucket(burst: int) -> Bucket:
    """It never fills again."""
    return Bucket(1.0, burst, clock=lambda: 0.0)


def scope(path: str) -> dict[str, Any]:
    headers = [(b"host", b"localhost"), (b"authorization", b"Bearer right")]
    return {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b""}


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


def statuses(app: Any, paths: list[str]) -> list[int]:
    found: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    for path in paths:
        asyncio.run(app(scope(path), receive, send))
    return found


def test_a_bucket_allows_a_burst_and_fills_again() -> None:
    now = [0.0]
    found = Bucket(2.0, 3, clock=lambda: now[0])
    assert [found.take() for _ in range(4)] == [True, True, True, False]
    now[0] += 1.0
    assert [found.take() for _ in range(3)] == [True, True, False]
    now[0] += 1000.0
    assert [found.take() for _ in range(4)] == [True, True, True, False]


def test_too_many_requests_are_refused_and_probes_are_not() -> None:
    app = RequestLimits(Response("fine"), bucket(2))
    assert statuses(app, ["/a", "/healthz", "/b", "/c", "/readyz"]) == [200, 200, 200, 429, 200]


def test_too_many_changes_are_refused_with_the_right_token_too() -> None:
    access = Access(lambda: "right", is_local=True, controls=bucket(2))
    request = Request(scope("/"))
    refused = [access.refuse_control(request), access.refuse_preview(), access.refuse_control(request)]
    assert [answer and answer.status_code for answer in refused] == [None, None, 429]
