"""What a test may not leave to the next one on their server: changed global settings, a large binlog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.mysql.server import MysqlServer

# Behind an event over max_allowed_packet MariaDB 10 returns no GTIDs of places in that file, and elsewhere it
# reads the file from its start to find them: each test begins in a small one.
LARGE_BINLOG_BYTES = 8 * 1024 * 1024
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
    """Fail a test that leaves global settings changed, and begin another binlog behind a large one."""
    before = _settings(server)
    yield
    if server.position()[1] > LARGE_BINLOG_BYTES:
        server.execute("flush binary logs")
    after = _settings(server)
    changed = {name: (before.get(name), value) for name, value in after.items() if before.get(name) != value}
    assert not changed, f"global settings that this test left changed: {changed}"


def _settings(server: MysqlServer) -> dict[str, str]:
    schema = "performance_schema" if server.flavour == "mysql" else "information_schema"
    rows = server.query(f"select variable_name, variable_value from {schema}.global_variables")
    return {name: value for name, value in rows if not name.lower().startswith(_MOVING)}
