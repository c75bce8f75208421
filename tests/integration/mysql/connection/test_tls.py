from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cdc.errors import ConfigError, SourceRefused
from cdc.testing.servers.process import HOST
from cdc_source_mysql.binlog.dump import Replica, dump_from
from cdc_source_mysql.connection import Connector
from cdc_source_mysql.options import MysqlOptions
from tests.support.certificates import Authority
from tests.support.mysql.binlog_events import WRITE_ROWS, XID, until
from tests.support.mysql.server import MysqlServer

OTHER_HOST = "db.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=["mysql9", "mariadb10"])
def tls_server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[MysqlServer]:
    """A server with a certificate for its address, that talks to nobody without TLS."""
    server = started(str(request.param), authority, "server", HOST)
    yield server
    server.destroy()


def started(name: str, authority: Authority, owner: str, *hosts: str) -> MysqlServer:
    certificate, key = authority.issue(owner, *hosts)
    settings = {"ssl-ca": authority.file, "ssl-cert": certificate, "ssl-key": key}
    server = MysqlServer(name, {option: str(file) for option, file in settings.items()})
    return server.start()


def connector_to(server: MysqlServer, mode: str = "", user: str = "root", **files: Path) -> Connector:
    parameters = {f"ssl-{part}": str(file) for part, file in files.items()}
    if mode:
        parameters["ssl-mode"] = mode
    return Connector(MysqlOptions.model_validate({"url": server.url(user=user, **parameters)}), "shop")


def cipher(connector: Connector) -> str:
    with connector.connect("for the test") as connection, connection.cursor() as cursor:
        cursor.execute("show session status like 'Ssl_cipher'")
        row = cursor.fetchone()
        assert row is not None
        return str(row[1])


def test_tls_is_preferred(tls_server: MysqlServer) -> None:
    assert cipher(connector_to(tls_server))
    assert not cipher(connector_to(tls_server, "disabled"))


@pytest.mark.parametrize("mode", ["required", "verify_ca", "verify_identity", "VERIFY-IDENTITY", ""])
def test_certificate_of_the_host_is_accepted(
    tls_server: MysqlServer, authority: Authority, mode: str
) -> None:
    assert cipher(connector_to(tls_server, mode, ca=authority.file))


@pytest.mark.parametrize("mode", ["verify_ca", "verify_identity", ""])
def test_certificate_of_another_authority_is_refused(
    tls_server: MysqlServer, tmp_path: Path, mode: str
) -> None:
    stranger = Authority.make(tmp_path, "stranger")
    with pytest.raises(SourceRefused, match=r"certificate is not accepted.*ssl-ca"):
        cipher(connector_to(tls_server, mode, ca=stranger.file))


def test_certificate_is_not_accepted_by_the_machines_authorities(tls_server: MysqlServer) -> None:
    with pytest.raises(SourceRefused, match="certificate is not accepted"):
        cipher(connector_to(tls_server, "verify_ca"))


def test_certificate_of_another_host_is_refused_by_identity_only(authority: Authority) -> None:
    server = started("mariadb10", authority, "other", OTHER_HOST)
    try:
        assert cipher(connector_to(server, "verify_ca", ca=authority.file))
        with pytest.raises(SourceRefused, match="certificate is not accepted"):
            cipher(connector_to(server, "verify_identity", ca=authority.file))
    finally:
        server.destroy()


def test_account_may_ask_for_a_certificate_of_ours(tls_server: MysqlServer, authority: Authority) -> None:
    certificate, key = authority.issue("client")
    tls_server.execute("create user signed@'%' identified by '' require x509")
    assert cipher(
        connector_to(tls_server, "verify_ca", "signed", ca=authority.file, cert=certificate, key=key)
    )
    with pytest.raises(SourceRefused, match="Access denied"):
        cipher(connector_to(tls_server, "verify_ca", "signed", ca=authority.file))
    tls_server.execute("drop user signed@'%'")


def test_server_that_insists_on_tls_names_the_setting(tls_server: MysqlServer) -> None:
    with tls_server.connect() as root, root.cursor() as cursor:
        cursor.execute("set global require_secure_transport = on")
        with pytest.raises(SourceRefused, match="ssl-mode"):
            cipher(connector_to(tls_server, "disabled"))
        cursor.execute("set global require_secure_transport = off")


def test_server_without_tls_is_refused_where_it_is_required(mariadb10: MysqlServer) -> None:
    assert not cipher(connector_to(mariadb10, "preferred"))
    with pytest.raises(SourceRefused, match="SSL is required"):
        cipher(connector_to(mariadb10, "required"))


@pytest.mark.parametrize("part", ["ca", "cert"])
def test_unreadable_file_is_a_config_error(mysql9: MysqlServer, tmp_path: Path, part: str) -> None:
    file = tmp_path / "no.pem"

    def connector_with() -> Connector:
        if part == "ca":
            return connector_to(mysql9, "verify_ca", ca=file)
        return connector_to(mysql9, "required", cert=file)

    with pytest.raises(ConfigError, match=f"ssl-{part}"):
        cipher(connector_with())
    file.write_text("no certificate")
    with pytest.raises(ConfigError, match=f"ssl-{part}"):
        cipher(connector_with())


def test_dump_comes_whole_through_tls(tls_server: MysqlServer, authority: Authority) -> None:
    database = tls_server.create_database()
    database.execute("create table t (i int primary key auto_increment, b longblob)")
    file, offset = tls_server.position()
    # More than one packet's 16 MiB, and many records of TLS.
    size = 20 << 20
    tls_server.execute("set global max_allowed_packet = 64 << 20")
    database.execute(f"insert into t (b) values (repeat('x', {size}))")
    connector = connector_to(tls_server, "verify_identity", ca=authority.file)
    dump = dump_from(connector, file, offset, Replica.of(connector.options, "shop"))
    try:
        found = until(dump, XID)
    finally:
        dump.close()
    [rows] = [event for event in found if event.type in WRITE_ROWS]
    assert rows.data.count(b"x") >= size
    database.drop()
