"""A daemon that serves HTTP, and a client of it."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from tests.integration.cli.conftest import Project, minimal, run_folder  # noqa: F401  (a fixture)
from tests.support.processes import CdcProcess
from tests.support.waiting import DEFAULT_TIMEOUT_SECONDS, wait_until

TOKEN = "not-a-secret-of-anyone-0123456789"
READS = (
    "/healthz",
    "/readyz",
    "/api/v1/status",
    "/api/v1/tables",
    "/api/v1/checkpoints",
    "/api/v1/schema-history",
    "/api/v1/errors",
    "/api/v1/events",
    "/api/v1/history",
    "/api/v1/openapi.json",
)


@dataclass(frozen=True)
class HttpAnswer:
    """What the service answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        error: dict[str, str] = self.json["error"]
        return error


@dataclass(frozen=True)
class Client:
    """Asks one service."""

    url: str
    tls: ssl.SSLContext | None = None

    def get(self, path: str, **headers: str) -> HttpAnswer:
        return self.send("GET", path, None, headers)

    def post(self, path: str, body: Any, token: str | None = TOKEN) -> HttpAnswer:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.send("POST", path, orjson.dumps(body), headers)

    def send(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None, headers: Mapping[str, str]
    ) -> HttpAnswer:
        connection = self.connection()
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return HttpAnswer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        if self.tls is not None:
            return http.client.HTTPSConnection(
                parts.hostname, parts.port, context=self.tls, timeout=DEFAULT_TIMEOUT_SECONDS
            )
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=DEFAULT_TIMEOUT_SECONDS)

    def verdict(self) -> dict[str, Any]:
        verdict: dict[str, Any] = self.get("/api/v1/status").json["verdict"]
        return verdict

    def wait_for_title(self, title: str) -> None:
        wait_until(lambda: title in self.verdict()["title"], f"the verdict {title!r}")


def environment(listen: str = "127.0.0.1:0", token: str = TOKEN) -> dict[str, str]:
    """What a daemon needs that serves on a free port."""
    return {"CDC_HTTP": listen, "CDC_TOKEN": token}


def client_of(daemon: CdcProcess, tls: ssl.SSLContext | None = None) -> Client:
    """The client of a daemon, once it serves."""
    daemon.wait_for_log("serving HTTP")
    urls = [one["url"] for one in daemon.log_records if one.get("event") == "serving HTTP"]
    return Client(urls[-1].replace("0.0.0.0", "127.0.0.1"), tls)


@contextmanager
def serving(folder: Path, listen: str = "127.0.0.1:0", token: str = TOKEN) -> Iterator[Client]:
    """The client of a daemon that runs in this folder meanwhile."""
    with CdcProcess("run", cwd=folder, environment=environment(listen, token)) as daemon:
        yield client_of(daemon)
        assert daemon.terminate() == 0


def with_http(project: Project, **http: Any) -> None:
    project.write({**project.config, "http": {"token": "${CDC_TOKEN:-}", **http}})


def serving_project(folder: Path) -> Project:
    made = Project(folder)
    made.write(minimal())
    with_http(made)
    return made


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that serves and has never run."""
    return serving_project(tmp_path)


@contextmanager
def _delivered(folder: Path) -> Iterator[Client]:
    with serving(folder) as found:
        found.wait_for_title("All is well")
        yield found


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A daemon with ten changes delivered, for all tests that change nothing. Each may send controls of which
    nothing comes: together fewer than the service takes at once.
    """
    with _delivered(serving_project(tmp_path_factory.mktemp("served")).folder) as found:
        yield found


@pytest.fixture
def own_client(project: Project) -> Iterator[Client]:
    """Such a daemon for one test that changes something."""
    with _delivered(project.folder) as found:
        yield found
