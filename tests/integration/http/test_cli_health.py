"""`cdc health`, asked of a daemon that runs, that is down, and that serves nothing."""

from __future__ import annotations

from tests.integration.cli.conftest import Project
from tests.integration.http.conftest import Client, client_of, environment, with_http
from tests.support.certificates import Authority
from tests.support.processes import CdcProcess, run_cdc


def health(project: Project, address: str, *options: str) -> tuple[int, str]:
    result = run_cdc("health", *options, cwd=project.folder, environment={"CDC_HTTP": address})
    return result.returncode, result.stdout + result.stderr


def test_daemon_that_works_is_healthy_and_ready(project: Project, client: Client) -> None:
    address = client.url.removeprefix("http://")
    code, text = health(project, address)
    assert (code, text.startswith("The daemon works")) == (0, True)
    code, text = health(project, address, "--ready")
    assert (code, text.startswith("All is well.")) == (0, True)


def test_daemon_that_does_not_run_is_named(project: Project) -> None:
    code, text = health(project, "127.0.0.1:9")
    assert code == 1
    assert "no daemon answers at 127.0.0.1:9: Connection refused" in text


def test_daemon_without_http_cannot_be_asked(project: Project) -> None:
    with_http(project, listen="off")
    result = run_cdc("health", cwd=project.folder, environment={"CDC_HTTP": ""})
    assert result.returncode == 2
    assert "the daemon serves no HTTP" in result.stderr


def test_daemon_that_listens_everywhere_over_tls_is_asked_here(project: Project) -> None:
    cert, key = Authority.make(project.folder).issue("db.example.com", "db.example.com")
    with_http(project, tls={"cert": str(cert), "key": str(key)})
    with CdcProcess("run", cwd=project.folder, environment=environment("0.0.0.0:0")) as daemon:
        port = client_of(daemon).url.rpartition(":")[2]
        assert health(project, f"0.0.0.0:{port}")[0] == 0
        assert daemon.terminate() == 0
