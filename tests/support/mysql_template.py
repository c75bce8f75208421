"""Data folders fresh from initialisation, made once per kind of server and process, to be copied."""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.mysql_binaries import MysqlBinaries, mysql_binaries

# The superuser over TCP: without name resolution, 127.0.0.1 is not `localhost`. MariaDB's scripts make it.
_ACCOUNT = (
    "create user root@'127.0.0.1' identified by '';\n"
    "grant all on *.* to root@'127.0.0.1' with grant option;\n"
)
# What mariadb-install-db feeds to the server, but for help texts and the sys schema. The names changed in 11.
_MARIADB_SCRIPTS = ("system_tables.sql", "performance_tables.sql", "system_tables_data.sql")


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
    options = ["--innodb-flush-method=nosync", "--innodb-doublewrite=OFF", "--skip-log-bin", *given]
    options.append(f"--tmpdir={data.parent / 'tmp'}")
    _run(
        binaries.server_command(
            "--no-defaults", "--initialize-insecure", f"--datadir={data}", f"--init-file={script}", *options
        )
    )


def _initialise_mariadb(binaries: MysqlBinaries, data: Path, *given: str) -> None:
    data.mkdir()
    prefix = "mariadb" if (binaries.share / "mariadb_system_tables.sql").exists() else "mysql"
    scripts = [(binaries.share / f"{prefix}_{script}").read_text() for script in _MARIADB_SCRIPTS]
    head = "create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\n"
    options = ["--innodb-flush-method=nosync", "--innodb-doublewrite=OFF", "--innodb-log-file-size=16M"]
    options += [f"--tmpdir={data.parent / 'tmp'}", *given]
    _run(
        binaries.server_command("--no-defaults", "--bootstrap", f"--datadir={data}", *options),
        "".join([head, *scripts]),
    )


def _run(command: list[str], text: str = "") -> None:
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        message = f"{command[3]} ended with status {result.returncode}:\n{result.stderr[-4000:]}"
        raise ChildProcessError(message)
