"""Data folders fresh from initialisation, made once per kind of server and process, to be copied."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

from cdc.testing.servers.mysql import initialise_mariadb, initialise_mysql
from tests.support.mysql.binaries import MysqlBinaries, mysql_binaries

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
    folder = Path(tempfile.mkdtemp(prefix=f"cdc-{name}-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data = folder / "data"
    # A starting server removes what it takes for its own leftovers from its tmpdir.
    (folder / "tmp").mkdir()
    names = f"--lower-case-table-names={lower_case_table_names}"
    initialise = _initialise_mariadb if binaries.flavour == "mariadb" else _initialise_mysql
    initialise(binaries, data, names)
    (data / "auto.cnf").unlink(missing_ok=True)
    return data


def _initialise_mysql(binaries: MysqlBinaries, data: Path, *given: str) -> None:
    script = data.parent / "accounts.sql"
    script.write_text(_ACCOUNT)
    options = ["--innodb-flush-method=nosync", "--innodb-doublewrite=OFF", f"--init-file={script}"]
    options += [f"--datadir={data}", f"--tmpdir={data.parent / 'tmp'}", *given]
    initialise_mysql(binaries.server_command, *options)


def _initialise_mariadb(binaries: MysqlBinaries, data: Path, *given: str) -> None:
    data.mkdir()
    options = ["--innodb-flush-method=nosync", "--innodb-doublewrite=OFF", "--innodb-log-file-size=16M"]
    options += [f"--datadir={data}", f"--tmpdir={data.parent / 'tmp'}", *given]
    initialise_mariadb(binaries.server_command, binaries.share, *options)
