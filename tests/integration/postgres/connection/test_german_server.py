"""A server that speaks German: every refusal has the same kind, code and remedy as an English one's."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.errors import CdcError, SourceGap, SourceRefused, SourceUnavailable
from cdc_source_postgres.connection import Connector
from cdc_source_postgres.options import PostgresOptions
from tests.support.findings import Check
from tests.support.postgres.server import PostgresServer

LOCALE = "de_DE.UTF-8"
HBA = [
    "host all postgres 127.0.0.1/32 trust",
    "host all sleeper 127.0.0.1/32 trust",
    "host all plain 127.0.0.1/32 trust",
    "host all app 127.0.0.1/32 scram-sha-256",
]


@pytest.fixture(scope="module")
def german() -> Iterator[PostgresServer]:
    """Debian's PostgreSQL 15, which has translations; the locale is made here, for most systems have none."""
    if not Path("/usr/share/locale/de/LC_MESSAGES/postgres-15.mo").exists():
        pytest.skip("the PostgreSQL 15 of this machine has no translations: Debian's package has them")
    settings = {"lc_messages": LOCALE, "max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB"}
    folder = Path(tempfile.mkdtemp(prefix="cdc-locale-"))
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as environment:
        subprocess.run(
            ["localedef", "-i", "de_DE", "-f", "UTF-8", str(folder / LOCALE)], check=True, capture_output=True
        )
        environment.setenv("LOCPATH", str(folder))
        server = PostgresServer(15, settings, HBA).start()
    yield server
    server.destroy()
    shutil.rmtree(folder, ignore_errors=True)


def connector(url: str) -> Connector:
    return Connector(PostgresOptions.model_validate({"url": url}), "shop")


def refusal(url: str) -> CdcError:
    with pytest.raises(CdcError) as caught:
        connector(url).connect("to try it")
    return caught.value


def test_german_refusals_are_told_by_their_sqlstate(german: PostgresServer, check: Check) -> None:
    with german.connect() as admin:
        for statement in (
            "create role app login password 'right-one'",
            "create role sleeper",
            "create role plain login connection limit 0",
            "create database closed",
            "revoke connect on database closed from public",
        ):
            admin.execute(statement.encode())
    wrong = german.dsn(user="app", password="wrong-one")
    error = refusal(wrong)
    assert type(error) is SourceRefused
    assert "Passwort-Authentifizierung" in error.message
    assert "wrong-one" not in str(error)
    assert type(refusal(german.dsn("nowhere"))) is SourceRefused

    def found(url: str) -> tuple[str, str]:
        (finding,) = check(url)
        return finding.code, finding.fix

    assert found(wrong) == (
        "login",
        "Correct the password in url; to set a new one: alter role app password '...';",
    )
    assert found(german.dsn(user="app"))[0] == "login"
    assert found(german.dsn(user="sleeper"))[0] == "login"
    assert found(german.dsn(user="stranger")) == (
        "pg-hba",
        "Add this line to pg_hba.conf, then run: select pg_reload_conf();\n"
        "host postgres stranger 127.0.0.1/32 scram-sha-256",
    )
    assert found(german.dsn("nowhere"))[0] == "database"
    assert found(german.dsn(user="plain")) == ("connections", "alter role plain connection limit -1;")
    assert found(german.dsn(sslmode="require"))[0] == "tls"
    with german.connect() as admin:
        admin.execute("alter role plain connection limit -1")
    assert found(german.dsn("closed", user="plain")) == (
        "login",
        "grant connect on database closed to plain;",
    )
    with pytest.raises(SourceRefused) as caught:
        connector(german.dsn(user="plain")).replicate()
    assert caught.value.remedy.startswith("Give the role REPLICATION")


def test_german_slot_and_publication_errors_are_gaps(german: PostgresServer) -> None:
    with german.connect() as admin:
        admin.execute("select pg_create_logical_replication_slot('s', 'pgoutput')")
        admin.execute("select pg_create_logical_replication_slot('t', 'pgoutput')")
        admin.execute("create table x (id int primary key)")
        admin.execute("insert into x values (1)")

    def streaming(slot: str) -> CdcError:
        replication = connector(german.dsn()).replicate()
        options = "(proto_version '1', publication_names 'p')"
        try:
            replication.command(f"START_REPLICATION SLOT {slot} LOGICAL 0/0 {options}", "asking")
            while replication.pgconn.get_copy_data(1)[0] >= 0:
                replication.wait(1)
            ended = replication.ended("streaming")
        except CdcError as error:
            return error
        finally:
            replication.close()
        assert isinstance(ended, CdcError)
        return ended

    missing = streaming("nowhere")
    assert type(missing) is SourceGap
    assert "existiert nicht" in missing.message
    unpublished = streaming("t")
    assert type(unpublished) is SourceGap
    assert "existiert nicht" in unpublished.message
    with german.connect() as admin:
        for _ in range(3):
            admin.execute("select pg_logical_emit_message(false, 'x', 'y')")
            admin.execute("select pg_switch_wal()")
        admin.execute("checkpoint")
    assert type(streaming("s")) is SourceGap


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    assert type(refusal("postgresql://app:pw@127.0.0.1:1/shop?sslmode=require")) is SourceUnavailable
    assert type(refusal("postgresql://app:pw@127.0.0.1:1,127.0.0.1:2/shop")) is SourceUnavailable
