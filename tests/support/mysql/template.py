"""Data folders fresh from initialisation, one a kind of server, to be copied."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from cdc.testing.servers import mysql
from cdc.testing.servers.mysql import initialise_mariadb, initialise_mysql
from tests.support.mysql.binaries import MysqlBinaries, mysql_binaries
from tests.support.templates import kept

# The superuser over TCP: without name resolution, 127.0.0.1 is not `localhost`. MariaDB's scripts make it.
_ACCOUNT = (
    "create user root@'127.0.0.1' identified by '';\n"
    "grant all on *.* to root@'127.0.0.1' with grant option;\n"
)


@functools.cache
def template(name: str, lower_case_table_names: str = "0") -> Path:
    """The data folder to copy. It holds no server uuid: every copy makes its own at its first start. How
    names are compared is settled there for ever.
    """
    binaries = mysql_binaries(name)
    initialise = _initialise_mariadb if binaries.flavour == "mariadb" else _initialise_mysql

    def make(folder: Path) -> None:
        # A starting server removes what it takes for its own leftovers from its tmpdir.
        (folder / "tmp").mkdir()
        data = folder / "data"
        initialise(binaries, data, f"--lower-case-table-names={lower_case_table_names}")
        (data / "auto.cnf").unlink(missing_ok=True)

    program = Path(binaries.server_command()[0])
    own = (mysql, sys.modules[__name__])
    return kept(f"{name}-{lower_case_table_names}", program, own, make) / "data"


def _initialise_mysql(binaries: MysqlBinaries, data: Path, *given: str) -> None:
    script = data.parent / "accounts.sql"
    script.write_text(_ACCOUNT)
    options = ["--innodb-flush-method=nosync", "--innodb-doublewrite=OFF", f"--init-file={script}"]
    # The default, 100 MiB, would be more than half of what every server copies.
    options += ["--innodb-redo-log-capacity=8M"]
    options += [f"--datadir={data}", f"--tmpdir={data.parent / 'tmp'}", *given]
    initialise_mysql(binaries.server_command, *options)


def _initialise_mariadb(binaries: MysqlBinaries, data: Path, *given: str) -> None:
    data.mkdir()
    options = ["--innodb-flush-method=nosync", "--innodb-doublewrite=OFF", "--innodb-log-file-size=16M"]
    options += [f"--datadir={data}", f"--tmpdir={data.parent / 'tmp'}", *given]
    initialise_mariadb(binaries.server_command, binaries.share, *options)
