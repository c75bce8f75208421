from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from cdc.spi.finding import Finding, Severity
from tests.support.findings import Check
from tests.support.postgres.fixtures import PostgresFactory
from tests.support.postgres.server import Database

ERROR = Severity.ERROR
HBA = [
    "host all postgres 127.0.0.1/32 trust",
    "host all app 127.0.0.1/32 scram-sha-256",
    "host all sleeper 127.0.0.1/32 trust",
]


def test_check_says_that_nothing_listens(check: Check) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        (finding,) = check(f"postgresql://app:pw@127.0.0.1:{port}/shop")
    assert finding == Finding(
        ERROR,
        "connection",
        f'connecting to check it: connection to server at "127.0.0.1", port {port} failed:'
        " Connection refused",
        "Start the server, or correct host and port in url (inside a container, localhost is the container).",
    )


def test_check_names_a_missing_database(check: Check, database15: Database) -> None:
    (finding,) = check(database15.server.dsn("nowhere"))
    assert finding == Finding(
        ERROR,
        "database",
        'connecting to check it: database "nowhere" does not exist (SQLSTATE 3D000)',
        "Correct the database in url; psql --list shows the existing ones.",
    )


@pytest.mark.halved(other=True)
@pytest.mark.parametrize("version", [15, 18])
def test_check_tells_reasons_of_a_failed_login_apart(
    check: Check, postgres_factory: PostgresFactory, version: int
) -> None:
    server = postgres_factory(hba=HBA, version=version)
    with server.connect() as admin:
        admin.execute("create role app login password 'right-one'")
        admin.execute("create role sleeper")

    (wrong,) = check(server.dsn(user="app", password="wrong-one"))
    assert wrong == Finding(
        ERROR,
        "login",
        'connecting to check it: password authentication failed for user "app" (SQLSTATE 28P01)',
        "Correct the password in url; to set a new one: alter role app password '...';",
    )

    (none,) = check(server.dsn(user="app"))
    assert none.code == "login"
    assert "no password supplied" in none.message

    (asleep,) = check(server.dsn(user="sleeper"))
    assert asleep == Finding(
        ERROR,
        "login",
        'connecting to check it: role "sleeper" is not permitted to log in (SQLSTATE 28000)',
        "Correct the user in url, or run: alter role sleeper login; or, if no such role exists:"
        " create role sleeper login replication password '...';",
    )

    (outside,) = check(server.dsn(user="stranger"))
    assert outside == Finding(
        ERROR,
        "pg-hba",
        'connecting to check it: no pg_hba.conf entry for host "127.0.0.1", user "stranger",'
        ' database "postgres",'
        " no encryption (SQLSTATE 28000)",
        "Add this line to pg_hba.conf, then run: select pg_reload_conf();\n"
        "host postgres stranger 127.0.0.1/32 scram-sha-256",
    )


def test_check_names_a_missing_role(check: Check, database15: Database) -> None:
    (finding,) = check(database15.dsn(user="nobody_here"))
    assert finding == Finding(
        ERROR,
        "login",
        'connecting to check it: role "nobody_here" does not exist (SQLSTATE 28000)',
        "Correct the user in url, or run: alter role nobody_here login; or, if no such role exists:"
        " create role nobody_here login replication password '...';",
    )


def test_check_says_that_the_server_has_no_tls(check: Check, database15: Database) -> None:
    (finding,) = check(database15.dsn(sslmode="require"))
    assert (finding.severity, finding.code) == (ERROR, "tls")
    assert finding.message.endswith("server does not support SSL, but SSL was required")


def test_check_never_shows_the_password(check: Check, database15: Database) -> None:
    findings = check(database15.server.dsn("nowhere", user="nobody_here", password="hidden-word"))
    assert "hidden-word" not in str(findings)


def test_check_finds_a_pooler_that_refuses_replication(check: Check, database15: Database) -> None:
    with pooler(database15.server.port) as port:
        findings = check(database15.dsn(port=str(port)))
    assert findings.of("replication-connection") == Finding(
        ERROR,
        "replication-connection",
        "connecting for replication: unsupported startup parameter: replication (SQLSTATE 08P01)",
        "Give the address of the server itself in url: a connection pooler does not support replication.",
    )
    assert findings.of("connection").severity is Severity.OK


@contextlib.contextmanager
def pooler(target: int) -> Iterator[int]:
    """A port that passes connections on, but answers those for replication as pgbouncer before 1.23 does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, target), daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(listener: socket.socket, target: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_answer, args=(client, target), daemon=True).start()


def _answer(client: socket.socket, target: int) -> None:
    with client, contextlib.suppress(OSError):
        startup = client.recv(65536)
        while struct.unpack(">I", startup[4:8])[0] in (80877103, 80877104):  # SSLRequest, GSSENCRequest
            client.sendall(b"N")
            startup = client.recv(65536)
        if b"replication\x00" in startup:
            fields = b"SERROR\x00C08P01\x00Munsupported startup parameter: replication\x00\x00"
            client.sendall(b"E" + struct.pack(">I", len(fields) + 4) + fields)
            return
        with socket.create_connection(("127.0.0.1", target)) as server:
            server.sendall(startup)
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            server.shutdown(socket.SHUT_RDWR)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
