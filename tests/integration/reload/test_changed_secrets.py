"""Secrets that are replaced in their files while the daemon runs."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Project
from tests.integration.http.conftest import Client, client_of, environment, with_http
from tests.support.certificates import Authority
from tests.support.pipeline import Pipeline
from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.server import Database
from tests.support.processes import CdcProcess, run_cdc
from tests.support.waiting import wait_until

ACCOUNTS = ("app", "store")
HBA = [
    "host all app,store 127.0.0.1/32 scram-sha-256",
    "host all postgres 127.0.0.1/32 trust",
]
TAKEN_UP = "read the changed secrets again"


@pytest.fixture
def shop(postgres_factory: PostgresFactory) -> Database:
    """A database whose accounts `app` (of the source) and `store` (of the sink) have passwords."""
    found = postgres_factory(hba=HBA).create_database()
    for account in ACCOUNTS:
        found.execute(f"create role {account} login superuser password 'first-secret'")
    found.execute("create schema app", "create table app.t (id int primary key)")
    return found


def reference(database: Database, account: str) -> str:
    """The place of the database, with the account's password in a file."""
    server = f"host=127.0.0.1 port={database.server.port} dbname={database.name}"
    return f"{server} user={account} password='${{file:{account}-password}}'"


def rotate(database: Database, account: str) -> None:
    """End the validity of the account's password, and its sessions."""
    database.execute(f"alter role {account} password 'second-secret'")
    database.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where usename = '{account}'")


def errors(pipeline: Pipeline) -> str:
    status = pipeline.status()
    return f"{status['sources']['shop']['error']} {status['sinks']['warehouse'][0]['error']}"


def test_source_and_sink_that_fail_log_in_with_the_passwords_that_their_files_have_now(
    shop: Database, tmp_path: Path
) -> None:
    target = shop.server.create_database()
    for account in ACCOUNTS:
        (tmp_path / f"{account}-password").write_text("first-secret\n", "utf-8")
    pipeline = Pipeline(shop, tmp_path, url=reference(shop, "app"))
    pipeline.mirror_into(target, url=reference(target, "store"))
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon)
        pipeline.wait_until_delivered(daemon)
        for number, account in enumerate(ACCOUNTS):
            rotate(shop, account)
            shop.execute(f"insert into app.t values ({number})")
            wait_until(lambda: "password authentication failed" in errors(pipeline), "the refused login")
            (tmp_path / f"{account}-password").write_text("second-secret\n", "utf-8")
            pipeline.wait_until_delivered(daemon)
        taken = [one["changes"] for one in daemon.log_records if one["event"] == TAKEN_UP]
        assert taken == [["sources.shop changed (url)"], ["sinks.warehouse changed (url)"]]
        assert run_cdc("status", cwd=tmp_path).returncode == 0
        assert daemon.terminate() == 0
    assert target.value("select count(*) from app.t") == 2
    assert "-secret" not in str(daemon.log_records)


def test_file_that_was_edited_is_not_taken_up_with_the_secrets(shop: Database, tmp_path: Path) -> None:
    secret = tmp_path / "app-password"
    secret.write_text("first-secret", "utf-8")
    pipeline = Pipeline(shop, tmp_path, url=reference(shop, "app"))
    with pipeline.start() as daemon:
        pipeline.wait_until_streaming(daemon)
        pipeline.configure(heartbeat="1s")
        rotate(shop, "app")
        secret.write_text("second-secret", "utf-8")
        shop.execute("insert into app.t values (1)")
        wait_until(lambda: pipeline.status()["sources"]["shop"]["error"], "the source to fail")
        result = run_cdc("reload", cwd=tmp_path)
        assert "sources.shop changed (url, heartbeat)" in result.stdout, result.stderr
        pipeline.wait_until_delivered(daemon)
        assert TAKEN_UP not in [one["event"] for one in daemon.log_records]
        assert daemon.terminate() == 0


def test_reload_takes_up_another_token(project: Project) -> None:
    first, second = "not-a-secret-of-anyone-0123456789", "nor-this-one-is-any-secret-9876543"
    (project.folder / "token").write_text(first, "utf-8")
    with_http(project, token="${file:token}")
    with CdcProcess("run", cwd=project.folder, environment=environment()) as daemon:
        client = client_of(daemon)
        (project.folder / "token").write_text(second, "utf-8")
        assert "http changed (token)" in project.cdc("reload").out
        codes = [client.post("/api/v1/pause", {"name": "store"}, token=one).status for one in (first, second)]
        assert codes == [401, 200]
        assert daemon.terminate() == 0


def test_renewed_certificate_is_presented_and_one_that_cannot_be_used_is_not(project: Project) -> None:
    authority = Authority.make(project.folder)
    cert, key = authority.issue("localhost", "localhost")
    with_http(project, tls={"cert": str(cert), "key": str(key)})
    with CdcProcess("run", cwd=project.folder, environment=environment("localhost:0")) as daemon:
        port = client_of(daemon, ssl.create_default_context()).url.rpartition(":")[2]
        url = f"https://localhost:{port}"
        assert Client(url, ssl.create_default_context(cafile=authority.file)).get("/healthz").status == 200
        renewed = Authority.make(project.folder, "renewed")
        renewed.issue("localhost", "localhost")
        trusting = Client(url, ssl.create_default_context(cafile=renewed.file))
        assert trusting.get("/healthz").status == 200
        key.write_text("no key", "utf-8")
        assert trusting.get("/healthz").status == 200
        daemon.wait_for_log("the renewed certificate is not used")
        assert daemon.terminate() == 0
