"""Puts back what a test leaves changed on a server that it shares with the next one: global settings, and a
large binlog.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.support.mysql.server import MysqlServer

# Behind an event over max_allowed_packet MariaDB 10 returns no GTIDs of places in that file, and elsewhere it
# reads the file from its start to find them: each test begins in a small one.
LARGE_BINLOG_BYTES = 8 * 1024 * 1024
# One setting may limit another: the first round raises the limit.
ROUNDS = 2
# What every transaction moves.
_MOVING = (
    "gtid",
    "timestamp",
    "last_",
    "rand_seed",
    "insert_id",
    "identity",
    "pseudo",
    "innodb_buffer_pool_load",
)


@contextmanager
def left_as_found(server: MysqlServer) -> Iterator[None]:
    """Restore the global settings behind the block, and begin another binlog behind a large one."""
    before = _settings(server)
    yield
    if not server.is_running:
        server.start()
    if server.position()[1] > LARGE_BINLOG_BYTES:
        server.execute("flush binary logs")
    for _ in range(ROUNDS):
        for name, value in _changed(server, before).items():
            text = value if value.isdigit() else f"'{value}'"
            server.execute(f"set global {name} = {text}")
    changed = _changed(server, before)
    assert not changed, f"global settings that cannot be put back: {sorted(changed)}"


def _changed(server: MysqlServer, before: Mapping[str, str]) -> dict[str, str]:
    """The settings that are not as before, each with its value then."""
    now = _settings(server)
    return {name: value for name, value in before.items() if now.get(name) != value}


def _settings(server: MysqlServer) -> dict[str, str]:
    schema = "performance_schema" if server.flavour == "mysql" else "information_schema"
    rows = server.query(f"select variable_name, variable_value from {schema}.global_variables")
    return {name: value for name, value in rows if not name.lower().startswith(_MOVING)}
