"""Checks of every request: limits of rate and size, the host that it names, and the token."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cdc.errors import CdcError

# A page asks a few times a second, a scrape every few seconds: several of each, and room for a burst.
REQUESTS_PER_SECOND = 50.0
REQUEST_BURST = 200
# People click, and scripts wait for each answer.
CONTROLS_PER_SECOND = 5.0
CONTROL_BURST = 20
# The longest request names some hundred tables.
MAX_BODY_BYTES = 64 * 1024
# Without a token, for the probes of whoever runs the container.
OPEN_PATHS = ("/healthz", "/readyz")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Bucket:
    """Allows a burst, then so many a second. Thread-safe."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._left, self._at = float(burst), clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one; False if none is left."""
        with self._lock:
            now = self._clock()
            self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Access:
    """Access rules. While `secret` returns None, no request may control, and every client may read."""

    def __init__(
        self, secret: Callable[[], str | None], *, is_local: bool, controls: Bucket | None = None
    ) -> None:
        self._secret = secret
        self._is_local = is_local
        self._controls = controls or Bucket(CONTROLS_PER_SECOND, CONTROL_BURST)

    def refuse_reading(self, request: HTTPConnection) -> Response | None:
        """Return the refusal of a request that changes nothing; None if it may continue."""
        if self._is_local or request.url.path in OPEN_PATHS:
            return self.refuse_host(request)
        return self._refuse_stranger(request)

    def refuse_host(self, request: HTTPConnection) -> Response | None:
        """Return the refusal of a request that names a host which is not served on loopback."""
        if not self._is_local or _host(request.headers.get("host", "")) in _LOCAL_NAMES:
            return None
        # Otherwise a page on the Internet could make its reader's browser send requests here.
        remedy = "Use http://127.0.0.1, or set http.listen to the address that this name has."
        return refusal(421, "WrongHost", "the request names a host that this service does not serve", remedy)

    def refuse_control(self, request: HTTPConnection) -> Response | None:
        """Return the refusal of a request that changes something; None if it may continue."""
        return self._refuse_stranger(request) or self.refuse_preview()

    def refuse_preview(self) -> Response | None:
        """Return the refusal of a request that only asks what a change would do."""
        return None if self._controls.take() else too_many("too many requests that change something")

    def _refuse_stranger(self, request: HTTPConnection) -> Response | None:
        """Return the refusal of a request without the token, which is too long to be found by trying."""
        secret = self._secret()
        if secret is None:
            remedy = "Set http.token (generate one with `openssl rand -hex 32`), or use the command line."
            return refusal(403, "ControlsOff", "without http.token, HTTP changes nothing", remedy)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # The same time for every wrong token, whatever it shares with the right one.
        is_right = hmac.compare_digest(given.strip().encode(), secret.encode())
        if scheme.lower() == "bearer" and is_right:
            return None
        what = "the token is wrong" if given else "a token is needed"
        answer = refusal(401, "Unauthorized", what, "Send the header Authorization: Bearer TOKEN.")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer


class RequestLimits:
    """Middleware: the rate of all requests, and the size of their bodies."""

    def __init__(self, app: ASGIApp, requests: Bucket | None = None) -> None:
        self._app = app
        self._requests = requests or Bucket(REQUESTS_PER_SECOND, REQUEST_BURST)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] not in OPEN_PATHS and not self._requests.take():
            await too_many("too many requests")(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if not (announced.isascii() and announced.isdigit()) or int(announced) > MAX_BODY_BYTES:
            await too_large()(scope, receive, send)
            return
        await self._app(scope, _counted(receive), send)


class BodyTooLarge(Exception):
    """The body was longer than declared, or its length was not declared."""


def _counted(receive: Receive) -> Receive:
    read = 0

    async def counted() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY_BYTES:
            raise BodyTooLarge
        return message

    return counted


def refusal(status: int, kind: str, message: str, remedy: str, where: str = "") -> Response:
    """Return an error as JSON, as the commands print it."""
    error = {"kind": kind, "where": where, "message": message, "remedy": remedy}
    return Response(orjson.dumps({"error": error}), status, media_type="application/json")


def refusal_of(status: int, error: CdcError) -> Response:
    """Return an error, with all that it collects (`problems`) if these are several."""
    document: dict[str, Any] = error.document()
    if len(error.problems) > 1:
        document["problems"] = [problem.document() for problem in error.problems]
    return Response(orjson.dumps({"error": document}), status, media_type="application/json")


def too_many(message: str) -> Response:
    answer = refusal(429, "TooManyRequests", message, "Wait a second.")
    answer.headers["Retry-After"] = "1"
    return answer


def too_large() -> Response:
    remedy = f"Send at most {MAX_BODY_BYTES // 1024} KiB."
    return refusal(413, "BodyTooLarge", "the body is too large", remedy)


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0] + "]"
    return header.partition(":")[0].lower()
