"""Whatever is sent is answered or refused: nothing fails inside, nothing changes without the token."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdc.control.live import LiveStatus
from cdc.control.monitor import StatusMonitor
from cdc.http.app import application, endpoints
from cdc.http.controls import Controls
from cdc.http.guard import MAX_BODY_BYTES, Access, Bucket
from cdc.http.metrics import Metrics
from cdc.http.openapi import PREFIX
from cdc.http.reads import Reads
from cdc.log import LocalLogs
from cdc.spi import registry
from cdc.spi.status import DaemonReport
from cdc_config import load

SECRET = "not-a-secret-of-anyone-0123456789"
CONFIG = """
state_dir: {folder}/state
sources: {{shop: {{type: postgres, url: "postgresql://u:hunter2@h/d"}}}}
sinks: {{lake: {{type: parquet, from: [shop], url: {folder}/lake}}}}
"""
ENDLESS = 10**9


class Service:
    """The application, on a state that no daemon has made, with room for as many requests as a test sends."""

    def __init__(self, folder: Path) -> None:
        file = folder / "cdc.yaml"
        file.write_text(CONFIG.format(folder=folder), "utf-8")
        configuration = load(file, registry.load)
        monitor = StatusMonitor()
        monitor.tick(DaemonReport(running=True))
        live = LiveStatus(configuration, monitor, LocalLogs(configuration.state_dir), list)
        self.paths = [f"{PREFIX}{one.path}" for one in endpoints(Reads(live), Controls(live))]
        access = Access(lambda: SECRET, is_local=True, controls=Bucket(ENDLESS, ENDLESS))
        self._app = application(Reads(live), Controls(live), Metrics(live), access, Bucket(ENDLESS, ENDLESS))

    def ask(
        self, method: str, path: str, query: bytes, headers: Mapping[bytes, bytes], body: bytes
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """The status, the headers and the body of the answer."""
        pairs = [(b"host", b"localhost"), *headers.items()]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": quote_from_bytes(path.encode()).encode(),
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "server": ("localhost", 80),
            "client": ("127.0.0.1", 1),
            "headers": pairs,
            "query_string": query,
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self._app(scope, receive, send))
        answer = b"".join(one.get("body", b"") for one in sent)
        return sent[0]["status"], dict(sent[0]["headers"]), answer


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return Service(tmp_path_factory.mktemp("fuzzed"))


NAMES = ("name", "kind", "tables", "sink", "from", "source", "limit", "cursor", "search", "window", "dry_run")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["shop"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
BODIES = st.binary(max_size=300) | JSON.map(lambda value: orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
QUERIES = st.binary(max_size=60) | st.dictionaries(
    st.sampled_from(NAMES),
    st.text(max_size=30).map(lambda text: quote_from_bytes(text.encode("utf-8", "replace"))),
).map(lambda pairs: "&".join(f"{key}={value}" for key, value in pairs.items()).encode())
# Without line ends, as an HTTP server passes them.
HEADERS = st.binary(max_size=60).filter(lambda value: not {b"\r"[0], b"\n"[0], 0} & set(value))
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(
    number=st.integers(0, 11),
    post=st.booleans(),
    query=QUERIES,
    body=BODIES,
    token=HEADERS,
    right=st.booleans(),
)
def test_no_request_fails_inside(
    service: Service, number: int, post: bool, query: bytes, body: bytes, token: bytes, right: bool
) -> None:
    path = service.paths[number % len(service.paths)]
    given_token = f"Bearer {SECRET}".encode() if right else token
    status, headers, answer = service.ask(
        "POST" if post else "GET", path, query, {b"authorization": given_token}, body
    )
    assert status < 500, (path, query, body, answer)
    assert SECRET.encode() not in answer
    assert b"hunter2" not in answer
    if status >= 400:
        error = orjson.loads(answer)["error"]
        assert error.keys() == {"kind", "where", "message", "remedy"}
        assert headers[b"content-type"] == b"application/json"


@FEW
@given(token=HEADERS | HEADERS.map(lambda value: b"Bearer " + value), cut=st.integers(0, len(SECRET) - 1))
def test_no_other_token_changes_anything(service: Service, token: bytes, cut: int) -> None:
    nearly = f"Bearer {SECRET[:cut]}".encode()
    for path in (path for path in service.paths if path.endswith(("pause", "resume", "replay", "reload"))):
        for one in (token, nearly, b"Basic " + SECRET.encode(), SECRET.encode()):
            status, _, answer = service.ask("POST", path, b"", {b"authorization": one}, b'{"name": "shop"}')
            assert (status, orjson.loads(answer)["error"]["kind"]) == (401, "Unauthorized")


@FEW
@given(length=HEADERS | st.integers(MAX_BODY_BYTES + 1, 10**30).map(lambda size: str(size).encode()))
def test_a_length_that_is_none_or_too_large_is_refused(service: Service, length: bytes) -> None:
    headers = {b"content-length": length, b"authorization": f"Bearer {SECRET}".encode()}
    status, _, _ = service.ask("POST", f"{PREFIX}/pause", b"", headers, b"{}")
    assert status in (409, 413, 422)
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        assert status == 413


def test_a_body_is_counted_whatever_its_length_says(service: Service) -> None:
    headers = {b"content-length": b"2", b"authorization": f"Bearer {SECRET}".encode()}
    assert service.ask("POST", f"{PREFIX}/pause", b"", headers, b" " * (MAX_BODY_BYTES + 1))[0] == 413
