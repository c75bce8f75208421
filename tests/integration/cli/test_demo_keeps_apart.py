"""The demo's servers leave those alone that run beside them."""

from __future__ import annotations

import gc

import pytest

from cdc.cli.demo.mysql import MariadbServer
from tests.support.mysql.binaries import mysql_binaries


# PyMySQL leaves a socket behind where a server does not answer yet.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_demo_server_has_temporary_files_of_its_own() -> None:
    """A MariaDB that starts removes all files that look like temporary tables from where it makes its own."""
    with MariadbServer(mysql_binaries("mariadb10").starter) as server, server._superuser() as session:
        [(folder,)] = session.execute("select @@tmpdir")
    assert folder == str(server.folder / "tmp")
    gc.collect()
