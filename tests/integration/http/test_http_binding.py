"""Where the service listens, whom it serves there, and how much."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import pytest

from cdc.http.guard import MAX_BODY_BYTES
from tests.integration.cli.conftest import Project
from tests.integration.http.conftest import (
    READS,
    TOKEN,
    Client,
    client_of,
    environment,
    serving,
    with_http,
)
from tests.support.certificates import Authority
from tests.support.processes import CdcProcess, run_cdc
from tests.support.waiting import wait_until

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def test_where_the_port_is_taken_the_daemon_says_so_and_works(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with CdcProcess("run", cwd=project.folder, environment=environment(address)) as daemon:
            daemon.wait_for_log("not serving HTTP")
            (said,) = [one for one in daemon.log_records if one["event"] == "not serving HTTP"]
            assert (said["address"], said["reason"], said["level"]) == (
                address,
                "Address already in use",
                "warning",
            )
            wait_until((project.folder / "store.bin").exists, "the daemon to deliver")
            assert daemon.terminate() == 0


def test_a_run_that_ends_by_itself_serves_nothing(project: Project) -> None:
    result = run_cdc("run", "--once", cwd=project.folder, environment=environment())
    assert (result.returncode, "HTTP" in result.stderr) == (0, False)


@pytest.mark.parametrize(
    ("listen", "where"),
    [("0.0.0.0:0", "http.tls"), ("127.0.0.1", "--http"), ("off.example.com:1", "http.tls")],
)
def test_an_address_that_is_not_safe_is_refused_on_the_command_line(
    project: Project, listen: str, where: str
) -> None:
    result = run_cdc("run", "--http", listen, "--json", cwd=project.folder, environment={"CDC_TOKEN": TOKEN})
    assert result.returncode == 2
    assert f'"where":"{where}"' in result.stderr


def test_other_machines_need_the_token_for_all_but_the_probes(project: Project) -> None:
    with_http(project, behind_proxy=True)
    with serving(project.folder, "0.0.0.0:0") as client:
        wait_until(
            lambda: client.get("/readyz", Host="db.example.com").status == 200, "the daemon to be ready"
        )
        for path in READS:
            expected = 200 if path.endswith("z") else 401
            assert (path, client.get(path, Host="db.example.com").status) == (path, expected)
            assert client.send("GET", path, None, {**BEARER, "Host": "db.example.com"}).status == 200
        assert client.post("/api/v1/pause?dry_run=true", {"name": "store"}, token=None).status == 401


def test_a_browser_that_another_site_sent_is_refused(client: Client) -> None:
    assert client.get("/api/v1/status", Host="evil.example.com").status == 421
    assert client.get("/api/v1/status", Host="localhost:1").status == 200


def test_it_is_served_over_tls(project: Project) -> None:
    authority = Authority.make(project.folder)
    cert, key = authority.issue("localhost", "localhost")
    with_http(project, tls={"cert": str(cert), "key": str(key)})
    trusting = ssl.create_default_context(cafile=authority.file)
    with CdcProcess("run", cwd=project.folder, environment=environment("localhost:0")) as daemon:
        found = client_of(daemon, trusting)
        assert found.url.startswith("https://")
        port = found.url.rpartition(":")[2]
        assert Client(f"https://localhost:{port}", trusting).get("/healthz").status == 200
        assert daemon.terminate() == 0


def test_a_certificate_that_cannot_be_used_stops_the_start(project: Project) -> None:
    with_http(project, tls={"cert": "no.pem", "key": "no.pem"})
    result = run_cdc("run", "--json", cwd=project.folder, environment=environment())
    assert result.returncode == 2
    assert '"where":"http.tls"' in result.stderr


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(client: Client) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b'{"name": "', b"x" * MAX_BODY_BYTES, b'"}']

    assert client.send("POST", "/api/v1/pause", b"x" * (MAX_BODY_BYTES + 1), BEARER).status == 413
    assert client.send("POST", "/api/v1/pause", chunks(), BEARER).status == 413
